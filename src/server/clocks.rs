//! Compares this node's clock with that of the store's server. A clock that is off puts events into the
//! wrong minutes and days, without any error. Where something is deleted, both clocks are asked anyway;
//! this is so that an operator hears of it.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::time::{clock_apart, now_ms},
    store::StoreInfo,
    telemetry::health::Health,
};

/// How operators know it, and the key of the reason in `/readyz`.
pub const PART: &str = "clock";
/// How often the clocks are compared.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often it is tried while the store can't be reached.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Looks again and again, for as long as the process runs.
pub async fn watch(store: Arc<dyn StoreInfo>, health: Health) {
    loop {
        let asked = now_ms();
        let pause = match store.clock().await {
            // A store in this process's own file has no other clock.
            Ok(None) => return,
            Ok(Some(theirs)) => {
                let ahead = (asked + now_ms()) / 2 - theirs;
                metrics::gauge!("floodmark_clock_ahead_seconds").set(ahead as f64 / 1000.0);
                tell(&health, ahead);
                LOOK_EVERY
            }
            Err(_) => TRY_EVERY,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Says that this node's clock is `ahead` ms ahead, where that is too much.
fn tell(health: &Health, ahead: i64) {
    let Some(apart) = clock_apart(ahead) else { return health.settle(PART) };
    let reason = format!(
        "clock: this node's clock is {apart} that of the store's server; set both right (NTP), or its \
         numbers are of the wrong minutes and days"
    );
    if !health.standing_reasons().iter().any(|known| known.starts_with("clock: ")) {
        tracing::error!("{reason}");
    }
    health.standing(PART, reason);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_a_reason_until_it_is_right() {
        let health = Health::default();
        tell(&health, 4_000);
        assert_eq!(health.standing_reasons(), [""; 0]);
        tell(&health, -288_000_000);
        let reasons = health.standing_reasons();
        assert!(reasons[0].contains("288000 s behind"), "{reasons:?}");
        tell(&health, -10);
        assert_eq!(health.standing_reasons(), [""; 0]);
    }
}
