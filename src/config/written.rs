//! The rules as they are written, for what differs between two configurations.

use std::sync::Arc;

use super::{Rules, SchemaSpec};
use crate::domain::{
    alert::{AlertSpec, WebhookSpec},
    event_names::MapSpec,
    metric::{BreakdownSpec, MetricSpec},
    occasion::OccasionSpec,
    pace::TargetSpec,
    source::SourceSpec,
};

/// The rules in force: those that are not switched off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenRules {
    /// `[[metric]]`
    pub metrics: Vec<MetricSpec>,
    /// `[[breakdown]]`
    pub breakdowns: Vec<BreakdownSpec>,
    /// `[rates]`, each a code and a rate.
    pub rates: Vec<(String, String)>,
    /// `[[alert]]`
    pub alerts: Vec<AlertSpec>,
    /// `[[webhook]]`
    pub webhooks: Vec<WebhookSpec>,
    /// `[[map]]`
    pub maps: Vec<MapSpec>,
    /// `[[source]]`
    pub sources: Vec<SourceSpec>,
    /// `[[schema]]`
    pub schemas: Vec<SchemaSpec>,
    /// `[[occasion]]`
    pub occasions: Vec<OccasionSpec>,
    /// `[[target]]`
    pub targets: Vec<TargetSpec>,
}

impl Rules {
    /// Takes alerts and webhooks over from others, whose metrics are the same.
    pub fn take_alerts(&mut self, other: &Rules) {
        self.alerts = other.alerts.clone();
        let (alerts, webhooks) = (other.written.alerts.clone(), other.written.webhooks.clone());
        self.written = Arc::new(WrittenRules { alerts, webhooks, ..(*self.written).clone() });
    }
}
