//! Waiting between attempts: doubling, with jitter, up to a limit.

use std::time::Duration;

use crate::config;

/// The wait before the next attempt.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(config: &config::Retry) -> Backoff {
        let initial = Duration::from_millis(config.initial_ms.max(1));
        Backoff { initial, max: Duration::from_millis(config.max_ms).max(initial), next: initial }
    }

    /// The next failure is a first one again.
    pub(super) fn reset(&mut self) {
        self.next = self.initial;
    }

    /// Waits between half of the current step and all of it, then doubles the step.
    pub(super) async fn wait(&mut self) {
        let jitter = rand::random_range(0.5..=1.0);
        tokio::time::sleep(self.next.mul_f64(jitter)).await;
        self.next = (self.next * 2).min(self.max);
    }
}
