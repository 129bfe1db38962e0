//! Who leads: a lease that one node holds, in Redis, else in Postgres. A process that shares
//! neither with others always leads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::sink::Lease;

/// How long a lease is held without being renewed. A leader that was killed is followed by
/// another after this and a second or two.
const TTL: Duration = Duration::from_secs(9);
/// The holder stops so long before the server lets another in: its clock and ours run at
/// slightly different speeds.
const MARGIN: Duration = Duration::from_secs(2);
/// How often the holder renews it.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How long to wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Until when this node leads, on the clock that is never set. Shared with the notifier.
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
    /// What the lease names this process.
    holder: String,
    asked_at: Option<Instant>,
    leading: Leading,
}

impl LeaseHolder {
    /// Holds nothing yet.
    pub fn new(lease: Arc<dyn Lease>) -> LeaseHolder {
        // Of this process, not of its data dir: after a crash it is somebody else.
        let holder = Uuid::new_v4().to_string();
        LeaseHolder { lease, holder, asked_at: None, leading: Leading::default() }
    }

    /// What tells whether this node leads.
    pub fn leading(&self) -> &Leading {
        &self.leading
    }

    /// Takes or renews the lease where that is due; whether this node leads.
    ///
    /// # Errors
    /// In words, where nobody answered. What was held goes on until it runs out.
    pub async fn renew(&mut self) -> Result<bool, String> {
        let held = self.leading.now();
        if held && self.asked_at.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return Ok(true);
        }
        // Before the question: the server counts from when it answers, which is later.
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
        // Failing that, it runs out.
        let _ = tokio::time::timeout(ANSWER_WITHIN, letting_go).await;
    }
}
