//! Says in `/readyz` that the read replica can't be used. Charts are then read from the primary, so nothing else
//! shows it.

use std::{sync::Arc, time::Duration};

use crate::{store::StoreInfo, telemetry::health::Health};

/// The key of the reason.
pub const PART: &str = "replica";
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks again and again, for as long as the process runs.
pub async fn watch(store: Arc<dyn StoreInfo>, health: Health) {
    loop {
        match store.replica_trouble().await {
            Some(why) => health.standing(PART, format!("{PART}: {why}; charts ask the primary")),
            None => health.settle(PART),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
