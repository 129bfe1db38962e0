//! Alerts at work: one node of all evaluates the rules once a second and tells the webhooks;
//! every node shows what the store knows of it.
//!
//! ```text
//!  LiveView, Baselines ──> AlertActor ──record──> store: alerts, notifications
//!       (numbers)            │ lease: leads?         │
//!                            │                       │ due notices
//!                            └──Direct──────> Notifier ──POST──> webhooks
//!                              (store down)
//!  store ──every 2 s──> Alerts (of the fan-out: read by HTTP and the stream)
//! ```
//!
//! - A change is recorded with its notices in one transaction before anybody is told, so a
//!   webhook hears of it once; the notifier takes a notice by compare-and-set before it sends.
//! - Where the store can't be written, a change is told from memory and recorded later. A
//!   node that dies before that has told what nobody knows: it may be told again.

mod actor;
mod lease;
mod notifier;
mod numbers;
mod payload;

pub use actor::{AlertActor, Parts, Resign};
pub use lease::{Leading, LeaseHolder};
pub use notifier::{Direct, Notifier};
pub use numbers::{LiveNumbers, past_shift};
pub use payload::{Payload, signature};
