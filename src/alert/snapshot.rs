//! What every node shows of alerts.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

use crate::{domain::alert::Firing, store::alerts::AlertHistory};

/// What `GET /api/analytics/alerts` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// One more with every change; frames of the stream can tell by it whether to say more.
    pub version: u64,
    /// Those that fire, the oldest first.
    pub firing: Vec<Firing>,
    /// Those that are over, the last first.
    pub history: Vec<Firing>,
}

/// The latest snapshot; a clone is the same one. Reading it waits for nobody.
#[derive(Clone, Default)]
pub struct Alerts(Arc<RwLock<Arc<Snapshot>>>);

impl Alerts {
    /// As it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.read().clone()
    }

    /// How often it has changed.
    pub fn version(&self) -> u64 {
        self.0.read().version
    }

    /// Shows this; whether it is another than before.
    pub(super) fn show(&self, known: AlertHistory) -> bool {
        let mut snapshot = self.0.write();
        if snapshot.firing == known.firing && snapshot.history == known.over {
            return false;
        }
        let version = snapshot.version + 1;
        let AlertHistory { firing, over: history } = known;
        *snapshot = Arc::new(Snapshot { version, firing, history });
        true
    }
}
