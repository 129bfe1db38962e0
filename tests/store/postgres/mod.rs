//! What only Postgres has: partitions, rows that it refuses, outages, credentials, TLS and
//! PgBouncer.

mod connections;
mod outages;
mod partitions;
mod poison;

use std::time::Duration;

use floodmark::{
    config::Config,
    domain::batch::Batch,
    sink::{SinkError, SinkErrorKind},
    store::{self, Stores, Written},
};

fn config(url: String) -> Config {
    let mut config = Config::default();
    config.postgres.url = url;
    config
}

async fn open(url: String) -> Stores {
    store::open(&config(url)).await.expect("the store opens")
}

/// Opens a store that notices silence soon.
async fn open_impatient(url: String) -> Stores {
    let mut config = config(url);
    config.postgres.connect_timeout_ms = 500;
    config.postgres.statement_timeout_ms = 1_000;
    store::open(&config).await.expect("the store opens")
}

/// Writes as a sink's writer does: again and again, until it is stored.
async fn write_until_stored(store: &Stores, batch: &Batch) -> Written {
    loop {
        match store.batches.write(batch).await {
            Ok(written) => return written,
            Err(e) => {
                assert_eq!(e.kind, SinkErrorKind::Unavailable, "{e}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn kind(result: Result<Written, SinkError>) -> SinkErrorKind {
    result.expect_err("no write").kind
}
