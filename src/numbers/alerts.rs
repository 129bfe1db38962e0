//! What every node shows of the alerts, beside the numbers. The alert actor writes it; frames and
//! `GET /api/analytics/alerts` read it.

use std::{borrow::Cow, sync::Arc};

use parking_lot::RwLock;
use serde::Serialize;

use crate::domain::{access::Sight, alert::Firing, metric::MetricSet};

/// What `GET /api/analytics/alerts` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AlertsShown {
    /// Goes up by one with every change on this node. By it the stream knows whether the next
    /// frame has to say what fires.
    pub version: u64,
    /// The alerts that fire, the oldest first.
    pub firing: Vec<Firing>,
    /// The alerts that are over, the one that ended last first.
    pub history: Vec<Firing>,
}

impl AlertsShown {
    /// What somebody sees of it.
    pub fn seen_by(&self, sight: Sight, metric_set: &MetricSet) -> Cow<'_, AlertsShown> {
        if sight.sees_money() {
            return Cow::Borrowed(self);
        }
        let seen = |all: &[Firing]| all.iter().map(|it| it.seen_by(sight, metric_set)).collect();
        let (firing, history) = (seen(&self.firing), seen(&self.history));
        Cow::Owned(AlertsShown { version: self.version, firing, history })
    }
}

/// Holds what is shown now. A clone holds the same. A reader never waits for the store.
#[derive(Clone, Default)]
pub struct Alerts(Arc<RwLock<Arc<AlertsShown>>>);

impl Alerts {
    /// What is shown at this moment.
    pub fn snapshot(&self) -> Arc<AlertsShown> {
        self.0.read().clone()
    }

    /// How often what is shown has changed on this node.
    pub fn version(&self) -> u64 {
        self.0.read().version
    }

    /// Shows these alerts. The version goes up only if they differ from those shown before, since
    /// every new version is sent to all viewers.
    pub(crate) fn show(&self, firing: Vec<Firing>, history: Vec<Firing>) {
        let mut shown = self.0.write();
        if shown.firing != firing || shown.history != history {
            *shown = Arc::new(AlertsShown { version: shown.version + 1, firing, history });
        }
    }
}
