//! The state of each part, in words. Written by the actors, read by `/readyz`.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

/// Parts that are not well, each with its reason. Cheap to clone, shared.
#[derive(Clone, Debug, Default)]
pub struct Health {
    troubles: Arc<RwLock<BTreeMap<&'static str, String>>>,
}

impl Health {
    /// A part is in trouble; logged once per change of `kind`, which starts the reason.
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

    /// A part is well; logged if it was not.
    pub fn well(&self, part: &'static str) {
        // The common case takes no write lock.
        if self.troubles.read().contains_key(part) && self.troubles.write().remove(part).is_some() {
            tracing::info!(part, "well again");
        }
    }

    /// (part, reason) of all that is not well.
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
