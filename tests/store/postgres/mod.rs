//! What only Postgres has: partitions, rows that it refuses, outages, credentials, TLS and
//! PgBouncer.

mod connections;
mod outages;
mod partitions;
mod poison;

use std::{sync::Arc, time::Duration};

use floodmark::{
    config::Config,
    domain::batch::Batch,
    store::{self, Store, StoreErrorKind, Written},
};

fn config(url: String) -> Config {
    let mut config = Config::default();
    config.postgres.url = url;
    config
}

async fn open(url: String) -> Arc<dyn Store> {
    store::open(&config(url)).await.expect("the store opens")
}

/// Opens a store that notices silence soon.
async fn open_impatient(url: String) -> Arc<dyn Store> {
    let mut config = config(url);
    config.postgres.connect_timeout_ms = 500;
    config.postgres.statement_timeout_ms = 1_000;
    store::open(&config).await.expect("the store opens")
}

/// Writes as a sink's writer does: again and again, until it is stored.
async fn write_until_stored(store: &dyn Store, batch: &Batch) -> Written {
    loop {
        match store.write(batch).await {
            Ok(written) => return written,
            Err(e) => {
                assert_eq!(e.kind, StoreErrorKind::Unavailable, "{e}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn kind(result: Result<Written, store::StoreError>) -> StoreErrorKind {
    result.expect_err("no write").kind
}
