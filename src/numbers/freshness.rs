//! How fresh the numbers are: whether they stand still, and how far counting lags behind intake.
//! `behindMs` in answers and frames is [`Freshness::behind_ms`] and nothing else.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::{Mutex, RwLock};

use crate::domain::time::{Millis, SECOND};

/// For how long a batch that was counted late means that its node is behind, in ms. A node that
/// is still behind counts its next late batch sooner than that.
const LATE_FOR: Millis = 2 * SECOND;

/// How fresh the counters of the mirror are. Everybody may ask; the writer of the mirror notes
/// what happens to them.
pub struct Freshness {
    /// Whether the counters were read at least once since the start.
    filled: AtomicBool,
    /// `Some` while the numbers stand still.
    interruption: RwLock<Option<Interruption>>,
    /// Set by [`Freshness::watch_lag`]; without it lag is not looked at.
    lag: OnceLock<CountingLag>,
}

/// Since when and why the numbers stand still.
struct Interruption {
    reason: String,
    /// Unix ms.
    since: Millis,
}

/// How far counting lags behind intake.
struct CountingLag {
    /// A lag shorter than this is not reported, in ms.
    least: Millis,
    /// When the oldest batch of this node that is not counted yet was sealed, Unix ms.
    oldest: Box<dyn Fn() -> Option<Millis> + Send + Sync>,
    /// The last batch of any node that was counted late: when it was sealed, and when it was
    /// counted, both in Unix ms.
    late: Mutex<Option<(Millis, Millis)>>,
}

impl Freshness {
    /// The freshness of counters that have not been read yet: they stand still since `now` (Unix
    /// ms).
    pub(super) fn unread(now: Millis) -> Freshness {
        Freshness {
            filled: AtomicBool::new(false),
            interruption: RwLock::new(Some(Interruption {
                reason: "the live counters have not been read yet".into(),
                since: now,
            })),
            lag: OnceLock::new(),
        }
    }

    /// Whether the counters were read at least once since the start; before that they are
    /// zeros and mean nothing.
    pub fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    /// Why the numbers stand still, in words; `None` while they move.
    pub fn interrupted(&self) -> Option<String> {
        let interruption = self.interruption.read();
        interruption.as_ref().map(|it| it.reason.clone())
    }

    /// How old the numbers are at `now` (Unix ms), in ms: how long they have stood still, how long
    /// the oldest batch of this node waits to be counted, or how late those of other nodes come.
    /// `None` where they are fresh.
    pub fn behind_ms(&self, now: Millis) -> Option<Millis> {
        let interruption = self.interruption.read();
        let still = interruption.as_ref().map(|it| (now - it.since).max(0));
        let waits = self.lag.get().and_then(|lag| {
            let late = *lag.late.lock();
            let late = late.filter(|(_, at)| now - at < LATE_FOR).map(|(sealed_at, _)| sealed_at);
            let oldest = [(lag.oldest)(), late].into_iter().flatten().min()?;
            (now - oldest >= lag.least).then_some(now - oldest)
        });
        still.max(waits)
    }

    /// Lets [`Freshness::behind_ms`] take batches into account that wait to be counted: `oldest`
    /// says when the oldest of them was sealed (Unix ms). A lag shorter than `least` ms is not
    /// reported. Only the first call has an effect.
    pub fn watch_lag(
        &self,
        least: Millis,
        oldest: impl Fn() -> Option<Millis> + Send + Sync + 'static,
    ) {
        let _ =
            self.lag.set(CountingLag { least, oldest: Box::new(oldest), late: Mutex::default() });
    }

    /// Notes that a batch which was sealed at `sealed_at` (0 where that is not known) is counted
    /// at `now`.
    pub(super) fn counted(&self, sealed_at: Millis, now: Millis) {
        if let Some(lag) = self.lag.get()
            && sealed_at > 0
            && now - sealed_at >= lag.least
        {
            *lag.late.lock() = Some((sealed_at, now));
        }
    }

    /// Notes that the numbers stand still from `now` on, unless they do so already.
    pub(super) fn interrupt(&self, reason: String, now: Millis) {
        let mut interruption = self.interruption.write();
        // A second reason replaces the first, but the numbers have stood still since the first.
        let since = interruption.as_ref().map_or(now, |it| it.since);
        *interruption = Some(Interruption { reason, since });
    }

    /// Notes that the numbers move again.
    pub(super) fn restored(&self) {
        // Counters that were never read are zeros. They are not fresh just because the connection
        // is back, so they stay marked as standing still.
        if self.is_filled() {
            *self.interruption.write() = None;
        }
    }

    /// Notes that the counters were read. They move from now on.
    pub(super) fn filled(&self) {
        self.filled.store(true, Ordering::Relaxed);
        self.restored();
    }
}
