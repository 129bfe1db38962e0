//! Tests of what only Postgres has: partitions, refused rows, outages, credentials, TLS and
//! PgBouncer.

mod citus;
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
    // No data dir, so that nothing that lies in the working folder matters.
    let mut config = Config { data_dir: "/nonexistent".into(), ..Config::default() };
    config.postgres.url = url;
    // What the store is opened with has passed the check of every configuration, as in the server.
    config.check().expect("a configuration that can be used");
    config
}

async fn open(url: String) -> Stores {
    store::open(&config(url)).await.expect("the store opens")
}

/// Opens a store with short timeouts, so that it soon notices a server that does not answer.
async fn open_impatient(url: String) -> Stores {
    let mut config = config(url);
    config.postgres.connect_timeout_ms = 500;
    config.postgres.statement_timeout_ms = 1_000;
    store::open(&config).await.expect("the store opens")
}

/// Writes a batch as the writer of a lane does: again and again, until it is stored.
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
