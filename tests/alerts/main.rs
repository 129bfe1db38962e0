//! Alerts from an event to a webhook: the real program, and a small HTTP server that receives the
//! notifications.

mod black_friday;
mod drift;
mod handover;
mod incident;
mod marks;
mod nodes;
mod open_shop;
mod outbox;
mod receiver;
mod store;
mod stream;
#[path = "../support/mod.rs"]
mod support;
