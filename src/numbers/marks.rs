//! What every node shows of the marks, beside the numbers. Frames and alerts read it.
//!
//! The store has all marks. Each node reads the last ones again and again, so a mark that any node has taken
//! is in the frames of all within a second.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::{
    domain::{
        mark::{Mark, NewMark},
        time::{HOUR, Millis, SECOND},
    },
    numbers::Mirror,
    sink::{SinkError, SinkErrorKind},
    store::marks::{MadeMark, MarkLog, MarksAsked},
};

/// How far back marks are shown, ms: a day, and the hour by which it is longer where the clock is set back.
const SHOWN_FOR: Millis = 25 * HOUR;
/// The most marks that are shown, the newest.
pub const MARKS_SHOWN: usize = 30;
/// How far ahead of now (ms) a mark may lie and is shown. The clock of the node that took it may be ahead.
const AHEAD: Millis = 5 * SECOND;
/// How often the store is read. A mark is shown after this time and a tick of the stream, at most.
const MARKS_READ_EVERY: Duration = Duration::from_millis(400);
/// How long to wait for the store.
const MARKS_WITHIN: Duration = Duration::from_secs(3);

/// The marks of the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarksShown {
    /// Goes up by one with every change on this node.
    pub version: u64,
    /// The last ones, the newest first.
    pub recent: Vec<Mark>,
}

/// Holds what is shown now. A clone holds the same. A reader never waits for the store.
#[derive(Clone, Default)]
pub struct Marks(Arc<RwLock<Arc<MarksShown>>>);

impl Marks {
    /// What is shown at this moment.
    pub fn snapshot(&self) -> Arc<MarksShown> {
        self.0.read().clone()
    }

    /// How often what is shown has changed on this node.
    pub fn version(&self) -> u64 {
        self.0.read().version
    }

    /// Shows these marks. The version goes up only if they differ from those before, since every new version
    /// is sent to all viewers.
    pub(crate) fn show(&self, recent: Vec<Mark>) {
        let mut shown = self.0.write();
        if shown.recent != recent {
            *shown = Arc::new(MarksShown { version: shown.version + 1, recent });
        }
    }
}

/// Makes marks, takes them back, and shows them on this node. A clone is the same.
#[derive(Clone)]
pub struct MarkDesk {
    log: Arc<dyn MarkLog>,
    mirror: Mirror,
    /// Held while the store is read, so that an older answer never takes the place of a newer one.
    reads: Arc<Mutex<()>>,
}

impl MarkDesk {
    /// Keeps marks in this store, and shows them beside these numbers.
    pub fn new(log: Arc<dyn MarkLog>, mirror: Mirror) -> MarkDesk {
        MarkDesk { log, mirror, reads: Arc::default() }
    }

    /// Keeps a mark, unless one with its key is there. It is shown here at once, and by the other nodes within
    /// a second.
    ///
    /// # Errors
    /// The store does not answer in time. The mark may be kept all the same, so a mark without a key that is
    /// sent again may be there twice.
    pub async fn add(&self, new: &NewMark) -> Result<MadeMark, SinkError> {
        let made = in_time(self.log.add_mark(new)).await?;
        self.shown_again().await;
        Ok(made)
    }

    /// Takes a mark back in the name of `by`; with `only_of`, one of this source. `false` where there is none
    /// with this id.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn remove(
        &self,
        id: &str,
        by: &str,
        only_of: Option<&str>,
    ) -> Result<bool, SinkError> {
        let now = self.mirror.now();
        let removed = in_time(self.log.remove_mark(id, (by, only_of), now)).await?;
        self.shown_again().await;
        Ok(removed)
    }

    /// The marks of a span, the newest first.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn list(&self, asked: MarksAsked) -> Result<Vec<Mark>, SinkError> {
        in_time(self.log.marks(asked)).await
    }

    /// Shows the marks of the store for as long as it is polled.
    pub async fn follow(self) {
        loop {
            self.shown_again().await;
            tokio::time::sleep(MARKS_READ_EVERY).await;
        }
    }

    /// Reads the last marks and shows them. Where the store does not answer, those that are shown stay.
    async fn shown_again(&self) {
        let _reads = self.reads.lock().await;
        let now = self.mirror.now();
        let asked = MarksAsked { from: now - SHOWN_FOR, to: now + AHEAD, limit: MARKS_SHOWN };
        match in_time(self.log.marks(asked)).await {
            Ok(recent) => self.mirror.marks().show(recent),
            // This is no warning: the writers of the store report its outage already.
            Err(error) => tracing::debug!(%error, "the marks can't be read"),
        }
    }
}

/// The answer of the store, if it comes in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
    tokio::time::timeout(MARKS_WITHIN, answer).await.unwrap_or_else(|_| {
        let why = format!("no answer within {} s", MARKS_WITHIN.as_secs());
        Err(SinkError::new(SinkErrorKind::Unavailable, why))
    })
}
