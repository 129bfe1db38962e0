//! Which node leads: the one that holds a lease, in Redis where there is one, else in Postgres. A
//! process that shares neither with other nodes always leads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::sink::Lease;

/// How long a lease lasts without being renewed. After a leader was killed, another one leads
/// after this time and a second or two.
const TTL: Duration = Duration::from_secs(9);
/// How long before the end of its lease a holder stops leading. The clock of the server that
/// keeps the lease may run slightly faster than ours.
const MARGIN: Duration = Duration::from_secs(2);
/// How often the holder renews the lease.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How long to wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Until when this node leads, on a monotonic clock. A clone says the same: the notifier has one.
#[derive(Clone, Debug, Default)]
pub struct Leading(Arc<Mutex<Option<Instant>>>);

impl Leading {
    /// Whether this node leads now.
    pub fn now(&self) -> bool {
        self.0.lock().is_some_and(|until| Instant::now() < until)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock() = until;
    }
}

/// Takes and renews the lease of alerts for this process.
pub struct LeaseHolder {
    lease: Arc<dyn Lease>,
    /// The name of this process in the lease.
    holder: String,
    /// When the lease was last asked for.
    asked_at: Option<Instant>,
    leading: Leading,
}

impl LeaseHolder {
    /// A holder that does not lead yet.
    pub fn new(lease: Arc<dyn Lease>) -> LeaseHolder {
        // The name is that of the process and not of its data dir. After a crash the new process
        // knows nothing of what the old one did, so it must not take the old one's lease for its
        // own.
        let holder = Uuid::new_v4().to_string();
        LeaseHolder { lease, holder, asked_at: None, leading: Leading::default() }
    }

    /// A handle that says whether this node leads.
    pub fn leading(&self) -> &Leading {
        &self.leading
    }

    /// Takes or renews the lease where that is due. The result is whether this node leads.
    ///
    /// # Errors
    /// The server that keeps the lease did not answer; the text says why. A lease that is held
    /// goes on until it runs out.
    pub async fn renew(&mut self) -> Result<bool, String> {
        let held = self.leading.now();
        if held && self.asked_at.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return Ok(true);
        }
        // Our time begins before the question and that of the server when it answers, which is
        // later. So our lease never ends after the server's.
        let asked = Instant::now();
        self.asked_at = Some(asked);
        let answer = self.lease.lead(&self.holder, TTL);
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(true)) => self.leading.set(Some(asked + TTL - MARGIN)),
            Ok(Ok(false)) => self.leading.set(None),
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => return Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        }
        Ok(self.leading.now())
    }

    /// Lets another node lead at once.
    pub async fn resign(&self) {
        self.leading.set(None);
        let letting_go = self.lease.resign(&self.holder);
        // If this fails, the lease runs out by itself.
        let _ = tokio::time::timeout(ANSWER_WITHIN, letting_go).await;
    }
}
