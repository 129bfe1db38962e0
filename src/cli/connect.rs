//! Opens the stores that a configuration names, for commands that talk to them without running a
//! server.

use crate::{
    config::Config,
    domain::time::BusinessZone,
    live,
    store::{self, Stores},
};

/// The store: PostgreSQL where `postgres.url` is set, else SQLite in the data dir.
pub async fn stores(config: &Config) -> Result<Stores, String> {
    store::open(config).await.map_err(|e| e.to_string())
}

/// Brings the store's schema up to date. Returns in words what was done.
pub async fn migrate(config: &Config) -> Result<String, String> {
    let store = stores(config).await?.info;
    store.check().await.map_err(|e| e.to_string())?;
    let applied = store.migrate().await.map_err(|e| e.to_string())?;
    Ok(match applied.is_empty() {
        true => format!("{}: the schema was up to date already", store.name()),
        false => format!("{}: applied {}", store.name(), applied.join(", ")),
    })
}

/// Counts the live counters again from the ledger. Returns in words what was done.
pub async fn rebuild(config: &Config) -> Result<String, String> {
    if config.redis.urls.is_empty() {
        return Ok("the counters live in the server's process, which counts them anew from \
                   the ledger at each start: nothing to do"
            .to_owned());
    }
    let ledger = stores(config).await?.ledger;
    let zone = BusinessZone::named(&config.timezone)?;
    live::rebuild(config, ledger, zone).await.map_err(|e| e.to_string())?;
    Ok("the counters in Redis are what the ledger says".to_owned())
}
