//! Alerts at work: one node of all evaluates the rules once a second and tells the webhooks;
//! every node shows what the store knows of it.
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
//! - A change is recorded with its notices in one transaction before anybody is told, so a
//!   webhook hears of it once; the notifier takes a notice by compare-and-set before it sends.
//! - Where the store can't be written, a change is told from memory and recorded later. A
//!   node that dies before that has told what nobody knows: it may be told again.
//! - How one alert is looked at ([`watched`]) does not depend on when: the actor looks at the
//!   numbers of now, [`backtest`] at those of the past.

mod actor;
mod backtest;
mod lease;
mod notifier;
mod payload;
mod watched;

pub use actor::{AlertActor, AlertSetup, Resign};
pub use backtest::Backtest;
pub use lease::{Leading, LeaseHolder};
pub use notifier::{Direct, Notifier};
pub use payload::{Payload, signature};
