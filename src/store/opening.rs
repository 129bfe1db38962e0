//! Opens the store of a configuration.

use std::sync::Arc;

use super::{Stores, nodes::NodeList, postgres, sqlite};
use crate::{
    config::Config,
    sink::{Installation, SinkError, SinkErrorKind},
};

/// Opens the store that the configuration names: Postgres where `postgres.url` is set,
/// else SQLite under `data_dir`. A Postgres that can't be reached right now is no error:
/// its schema is brought up to date before the first write or read.
///
/// # Errors
/// `postgres.url` makes no sense, or the SQLite file can't be opened or belongs to another
/// installation.
pub async fn open(config: &Config) -> Result<Stores, SinkError> {
    let installation = Installation::open(config)
        .map_err(|e| SinkError::new(SinkErrorKind::Other, e.to_string()))?;
    open_as(config, Arc::new(installation)).await
}

/// Opens the store as a part of `installation`.
///
/// # Errors
/// As [`open`].
pub async fn open_as(
    config: &Config,
    installation: Arc<Installation>,
) -> Result<Stores, SinkError> {
    if !config.postgres.url.is_empty() {
        let store = postgres::PostgresStore::open(&config.postgres, installation.clone())?;
        let store = Arc::new(store.with_chain(config.ledger.chain));
        let nodes: Option<Arc<dyn NodeList>> = Some(store.clone());
        return Ok(Stores { nodes, ..Stores::all_in(store, installation) });
    }
    let (dir, owner) = (config.data_dir.clone(), installation.clone());
    match tokio::task::spawn_blocking(move || sqlite::SqliteStore::open_as(&dir, owner)).await {
        Ok(store) => {
            let store = store?.with_chain(config.ledger.chain);
            Ok(Stores::all_in(Arc::new(store), installation))
        }
        Err(e) => {
            let message = format!("SQLite: the blocking task ended early: {e}");
            Err(SinkError::new(SinkErrorKind::Other, message))
        }
    }
}
