//! The stores that a configuration names, for the commands that talk to them without a
//! server around.

use std::sync::Arc;

use crate::{config::Config, live::LiveStore, store::Store};

/// The store: PostgreSQL where `postgres.url` is set, else SQLite in the data dir.
pub async fn store(_config: &Config) -> Result<Arc<dyn Store>, String> {
    Err("not part of this build".to_owned())
}

/// The live side: Redis where `redis.urls` are set, else this process.
pub async fn live(_config: &Config) -> Result<Arc<dyn LiveStore>, String> {
    Err("not part of this build".to_owned())
}

/// Brings the store's schema up to date; says in words what was done.
pub async fn migrate(_config: &Config) -> Result<String, String> {
    Err("not part of this build".to_owned())
}

/// Counts the live counters anew from the ledger; says in words what was done.
pub async fn rebuild(_config: &Config) -> Result<String, String> {
    Err("not part of this build".to_owned())
}
