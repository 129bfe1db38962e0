//! The one way to try again. The pause doubles from `retry.initial_ms` up to `retry.max_ms`. Each
//! pause is drawn at random between half of that and the whole (jitter), so that writers that
//! failed together don't return together.

use std::time::Duration;

use rand::RngExt;

use crate::config;

/// The pauses between the tries of one piece of work.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial_ms: u64,
    max_ms: u64,
    next_ms: u64,
}

impl Backoff {
    /// Starts at the shortest pause.
    pub fn new(config: &config::RetryConfig) -> Backoff {
        Backoff { initial_ms: config.initial_ms, max_ms: config.max_ms, next_ms: config.initial_ms }
    }

    /// How long to wait before the next try.
    pub fn pause(&mut self) -> Duration {
        let ms = self.next_ms;
        self.next_ms = (ms * 2).min(self.max_ms);
        Duration::from_millis(rand::rng().random_range(ms / 2..=ms))
    }

    /// Notes that a try succeeded: the next failure starts with the shortest pause again.
    pub fn reset(&mut self) {
        self.next_ms = self.initial_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let mut backoff = Backoff::new(&config::RetryConfig { initial_ms: 100, max_ms: 1000 });
        for ms in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            assert!((ms / 2..=ms).contains(&pause), "{pause} for {ms}");
        }
        backoff.reset();
        assert!(backoff.pause().as_millis() <= 100);
    }
}
