//! What the alert actor starts with.

use std::sync::Arc;

use actix::Addr;

use super::{LeaseHolder, Notifier, RulesInForce};
use crate::{
    causes::Explainer,
    config::SchemasConfig,
    numbers::{Baselines, Mirror},
    store::{alerts::AlertLog, schemas::Schemas},
};

/// What the alert actor works with.
pub struct AlertSetup {
    /// The alerts and webhooks.
    pub in_force: RulesInForce,
    /// The numbers of all nodes; also holds what is shown of the alerts.
    pub mirror: Mirror,
    /// What was counted yesterday and last week.
    pub baselines: Baselines,
    /// Finds out why an alert fires.
    pub explainer: Explainer,
    /// The part of the store that keeps alerts and notices.
    pub log: Arc<dyn AlertLog>,
    /// The lease by which one node of all leads.
    pub lease: LeaseHolder,
    /// The actor that tells the webhooks.
    pub notifier: Addr<Notifier>,
    /// The currency of money, such as `EUR`.
    pub currency: String,
    /// How drift of schemas is looked for.
    pub drift: SchemasConfig,
    /// The part of the store that knows which properties events have.
    pub schemas: Arc<dyn Schemas>,
}
