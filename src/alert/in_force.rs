//! The alerts and webhooks that are in force. They can be replaced while the server runs.

use std::sync::Arc;

use metrics::Gauge;
use parking_lot::RwLock;

use super::drift;
use crate::domain::alert::{AlertRules, Firing, SCHEMA_DRIFT};

/// A handle on the rules in force; a clone is a handle on the same. The alert actor takes new ones up with
/// its next look, and the notifier with its next notice.
#[derive(Clone)]
pub struct RulesInForce(Arc<RwLock<Arc<AlertRules>>>);

impl RulesInForce {
    /// These are in force.
    pub fn new(rules: Arc<AlertRules>) -> RulesInForce {
        RulesInForce(Arc::new(RwLock::new(rules)))
    }

    /// Those of this moment.
    pub fn now(&self) -> Arc<AlertRules> {
        self.0.read().clone()
    }

    /// Takes the rules of this moment into `held`; whether these are others than those before.
    pub fn take_up(&self, held: &mut Arc<AlertRules>) -> bool {
        let now = self.now();
        let is_new = !Arc::ptr_eq(held, &now);
        *held = now;
        is_new
    }

    /// Puts others in force. The metrics that they name have to be those that the server runs with.
    pub fn replace(&self, rules: Arc<AlertRules>) {
        let old = std::mem::replace(&mut *self.0.write(), rules.clone());
        let gone = old.alerts.iter().filter(|alert| rules.alert(&alert.name).is_none());
        gone.for_each(|alert| fires_gauge(&alert.name).set(0.0));
    }
}

/// Sets the gauges of all alerts by what fires.
pub fn set_gauges(rules: &AlertRules, firing: &[Firing]) {
    let set = |name: &str, fires: bool| fires_gauge(name).set(if fires { 1.0 } else { 0.0 });
    for alert in &rules.alerts {
        set(&alert.name, firing.iter().any(|firing| firing.name == alert.name));
    }
    set(SCHEMA_DRIFT, firing.iter().any(drift::is_of_drift));
}

/// Says of an alert whether it fires.
fn fires_gauge(name: &str) -> Gauge {
    metrics::gauge!("floodmark_alerts_firing", "name" => name.to_owned())
}
