//! The state of each part of the server, in words. Actors write it and `/readyz` reads it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;

/// The parts that are not well, each with its reason. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Health {
    troubles: Arc<RwLock<BTreeMap<&'static str, String>>>,
    standing: Arc<RwLock<BTreeMap<&'static str, String>>>,
    stopping: Arc<AtomicBool>,
}

impl Health {
    /// Notes that a part is in trouble. It is logged only if `kind` differs from the last one,
    /// since a sink reports the same trouble at every retry. The reason begins with `kind`.
    pub fn trouble(&self, part: &'static str, kind: &str, message: &str) {
        let reason = format!("{kind}: {message}");
        let mut troubles = self.troubles.write();
        let same_kind =
            troubles.get(part).is_some_and(|known| known.split(':').next() == Some(kind));
        if !same_kind {
            tracing::warn!(part, kind, message, "in trouble; trying again");
        }
        troubles.insert(part, reason);
    }

    /// Notes that a part is well. It is logged if the part was not.
    pub fn well(&self, part: &'static str) {
        // Writers call this after every batch, so the common case takes no write lock.
        if self.troubles.read().contains_key(part) && self.troubles.write().remove(part).is_some() {
            tracing::info!(part, "well again");
        }
    }

    /// Notes what does not get well by itself, and what an operator has to know of until then. It
    /// takes the place of what was noted under the same key.
    pub fn standing(&self, key: &'static str, reason: String) {
        self.standing.write().insert(key, reason);
    }

    /// Notes that what stood under this key is well.
    pub fn settle(&self, key: &'static str) {
        self.standing.write().remove(key);
    }

    /// All that was noted with [`Health::standing`].
    pub fn standing_reasons(&self) -> Vec<String> {
        self.standing.read().values().cloned().collect()
    }

    /// Notes that the server is about to stop, so that load balancers send nothing more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// All parts that are not well, as (part, reason).
    pub fn troubles(&self) -> Vec<(&'static str, String)> {
        let troubles = self.troubles.read();
        troubles.iter().map(|(part, reason)| (*part, reason.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_stays_until_its_part_is_well() {
        let health = Health::default();
        health.trouble("store", "unavailable", "refused");
        health.trouble("store", "denied", "wrong password");
        assert_eq!(health.troubles(), [("store", "denied: wrong password".to_owned())]);
        health.well("live");
        health.well("store");
        assert!(health.troubles().is_empty());
    }
}
