//! The actors behind alerts. One node of all evaluates the rules once a second and tells the
//! webhooks; every node shows the alerts that are in the store. The rules themselves are in
//! [`crate::domain::alert`].
//!
//! ```text
//!  Mirror, Baselines ────> AlertActor ──record──> store: alerts, notifications
//!       (numbers)            │ lease: leads?         │
//!                            │                       │ due notices
//!                            └──Direct──────> Notifier ──POST──> webhooks
//!                              (store down)
//!  store ──every 2 s──> Alerts (beside the numbers: read by HTTP and the stream)
//! ```
//!
//! - A change (an alert fires, or is over) is recorded together with its notices in one
//!   transaction before any webhook is told, and the notifier claims a notice by compare-and-set
//!   before it sends. So a webhook hears of a change once.
//! - Where the store can't be written, webhooks are told from memory and the change is recorded
//!   later. If the node dies before that, the change is in no store, and the next leader may tell
//!   the webhooks again.
//! - Drift of schemas ([`drift`]) is looked for in the store every some seconds, by the same leader. What
//!   fires of it is recorded, told and shown like any other alert.
//! - One alert is evaluated in the same way ([`watched`]) whether the actor looks at the numbers
//!   of now or [`backtest`] at those of the past.

mod actor;
mod backtest;
mod drift;
mod in_force;
mod lease;
mod notifier;
mod payload;
mod retry_after;
mod setup;
mod survey;
mod trouble;
mod watched;
mod why;

pub use actor::{AlertActor, Resign};
pub use backtest::Backtest;
pub use in_force::RulesInForce;
pub use lease::{Leading, LeaseHolder};
pub use notifier::{Direct, Notifier};
pub use payload::{Payload, signature};
pub use setup::AlertSetup;
