//! What every node shows of the alerts, beside the numbers: the alert actor writes it; frames and
//! `GET /api/analytics/alerts` read it.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

use crate::domain::alert::Firing;

/// What `GET /api/analytics/alerts` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AlertsShown {
    /// Goes up by one with every change on this node. By it the stream knows whether the next
    /// frame has to say what fires.
    pub version: u64,
    /// Those that fire, the oldest first.
    pub firing: Vec<Firing>,
    /// Those that are over, the last first.
    pub history: Vec<Firing>,
}

/// What is shown now; a clone is the same one. Reading it waits for nobody.
#[derive(Clone, Default)]
pub struct Alerts(Arc<RwLock<Arc<AlertsShown>>>);

impl Alerts {
    /// As it is now.
    pub fn snapshot(&self) -> Arc<AlertsShown> {
        self.0.read().clone()
    }

    /// How often it has changed.
    pub fn version(&self) -> u64 {
        self.0.read().version
    }

    /// Shows this, where it is another than before.
    pub(crate) fn show(&self, firing: Vec<Firing>, history: Vec<Firing>) {
        let mut shown = self.0.write();
        if shown.firing != firing || shown.history != history {
            *shown = Arc::new(AlertsShown { version: shown.version + 1, firing, history });
        }
    }
}
