//! Reads batches back from the spool.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::{
    config,
    domain::batch::Batch,
    retry::Backoff,
    spool::{Spool, SpoolError},
    telemetry::health::Health,
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
            match self.try_read(seq).await {
                Ok(batch) => return batch,
                Err(e) => self.health.trouble(SPOOL, "read", &e.to_string()),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Reads batch `seq` where the spool still has it, perhaps in a kept segment; `None` where it has
    /// left the disk. What may pass is tried again.
    pub async fn find(&self, seq: u64) -> Option<Arc<Batch>> {
        let mut backoff = Backoff::new(&self.retry);
        loop {
            match self.try_read(seq).await {
                Ok(batch) => return Some(batch),
                Err(SpoolError::Gone { .. }) => return None,
                Err(_) => tokio::time::sleep(backoff.pause()).await,
            }
        }
    }

    async fn try_read(&self, seq: u64) -> Result<Arc<Batch>, SpoolError> {
        // The caller is an actor that shares its thread with others, and a slow disk would hold
        // them all up.
        let spool = self.spool.clone();
        let read = match Handle::try_current() {
            Ok(runtime) => {
                let read = runtime.spawn_blocking(move || spool.read(seq)).await;
                read.unwrap_or_else(|e| Err(SpoolError::Interrupted(e.to_string())))
            }
            // Without a runtime, as in the simulation, there is nobody else to hold up.
            Err(_) => spool.read(seq),
        };
        match &read {
            Ok(_) => self.health.well(SPOOL),
            Err(SpoolError::Gone { .. }) => {}
            Err(e) => self.health.trouble(SPOOL, "read", &e.to_string()),
        }
        read.map(Arc::new)
    }
}
