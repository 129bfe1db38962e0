//! Alerts from an event to a webhook: the real program, and a small HTTP server that takes
//! what it is told.

mod incident;
mod nodes;
mod outbox;
mod receiver;
mod store;
#[path = "../support/mod.rs"]
mod support;
