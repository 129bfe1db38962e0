//! Reads batches back from the spool.

use std::sync::Arc;

use crate::{
    config, domain::batch::Batch, retry::Backoff, spool::Spool, telemetry::health::Health,
};

/// The part of the health that is told whether batches can be read back.
const SPOOL: &str = "spool";

/// Reads batches that are not in memory any more. A clone reads the same spool.
#[derive(Clone)]
pub struct BatchReader {
    /// Where the batches lie.
    pub spool: Spool,
    /// Where trouble is told.
    pub health: Health,
    /// How to try again.
    pub retry: config::RetryConfig,
}

impl BatchReader {
    /// Reads batch `seq`, and tries again until it works. Its lane can't go on without it, since no
    /// later batch of the lane may be written before it.
    pub async fn read(&self, seq: u64) -> Arc<Batch> {
        let mut backoff = Backoff::new(&self.retry);
        loop {
            // The caller is an actor that shares its thread with others, and a slow disk would hold
            // them all up.
            let spool = self.spool.clone();
            let read = tokio::task::spawn_blocking(move || spool.read(seq)).await;
            match read {
                Ok(Ok(batch)) => {
                    self.health.well(SPOOL);
                    return Arc::new(batch);
                }
                Ok(Err(e)) => self.health.trouble(SPOOL, "read", &e.to_string()),
                Err(e) => self.health.trouble(SPOOL, "read", &e.to_string()),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Whether the spool may still have batch `seq`: it is not older than the oldest one there.
    pub fn may_have(&self, seq: u64) -> bool {
        self.spool.oldest().is_some_and(|oldest| oldest <= seq)
    }
}
