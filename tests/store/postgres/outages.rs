//! Outages of Postgres: it crashes, stops answering, takes no writes, or has lost its tables.

use std::time::Duration;

use floodmark::store::Written;

use super::{kind, open, open_impatient, write_until_stored};
use crate::{
    backend::{Backend, delta_of, ledger_total, node},
    support::{batches::batch, postgres::Postgres},
};
use floodmark::sink::SinkErrorKind;

#[tokio::test]
async fn a_crash_of_the_server_loses_and_doubles_nothing() {
    let mut postgres = Postgres::start();
    let store = open(postgres.url()).await;
    let first = store.batches.write(&batch(node(1), 4, 200)).await;
    first.unwrap();
    let lanes = (1..=4u64).map(|lane| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..25 {
                write_until_stored(&store, &batch(node(1), round * 4 + lane, 200)).await;
            }
        })
    });
    let lanes: Vec<_> = lanes.collect();
    // The server crashes twice while batches are written. The moment does not matter: the sums must
    // be exact.
    for _ in 0..2 {
        let before = store_events(&postgres).await;
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if store_events(&postgres).await > before + 1_000 {
                break;
            }
        }
        postgres.stop_immediate();
        assert_eq!(store.info.check().await.unwrap_err().kind, SinkErrorKind::Unavailable);
        postgres.start_again();
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    let backend = Backend::Postgres(postgres);
    let events = backend.events().await;
    assert_eq!(events.len(), 100 * 200);
    assert_eq!(ledger_total(&store).await, delta_of(&events));
}

async fn store_events(postgres: &Postgres) -> u64 {
    let rows = postgres.sql("SELECT coalesce(sum(events), 0) FROM ledger").await;
    rows[0][0].parse().unwrap()
}

#[tokio::test]
async fn a_store_opens_while_its_server_is_down() {
    let mut postgres = Postgres::start();
    postgres.stop_immediate();
    let store = open(postgres.url()).await;
    assert_eq!(store.info.check().await.unwrap_err().kind, SinkErrorKind::Unavailable);
    let sealed = batch(node(1), 1, 10);
    assert_eq!(kind(store.batches.write(&sealed).await), SinkErrorKind::Unavailable);
    postgres.start_again();
    store.info.check().await.unwrap();
    let stored = Written::Stored { events: 10, poisoned: 0 };
    assert_eq!(store.batches.write(&sealed).await.unwrap(), stored);
}

#[tokio::test]
async fn a_stopped_server_is_noticed_and_its_late_commit_counts_once() {
    let postgres = Postgres::start();
    let store = open_impatient(postgres.url()).await;
    store.batches.write(&batch(node(1), 1, 50)).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for seq in 2..=60 {
                write_until_stored(&store, &batch(node(1), seq, 50)).await;
            }
        })
    };
    while store_events(&postgres).await < 400 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    postgres.pause();
    let error = store.info.check().await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Unavailable, "{error}");
    postgres.resume();
    writer.await.unwrap();
    let totals = store.info.totals().await.unwrap();
    assert_eq!((totals.events, totals.ledger_events), (3_000, 3_000));
}

#[tokio::test]
async fn a_read_only_server_is_told_apart_and_left_behind() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    store.batches.write(&batch(node(1), 1, 10)).await.unwrap();
    set_read_only(&postgres, true).await;
    let error = store.batches.write(&batch(node(1), 2, 10)).await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::ReadOnly, "{error}");
    let error = store.info.check().await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::ReadOnly, "{error}");
    // The store can still be read, also by a server that starts now.
    let fresh = open(postgres.url()).await;
    assert_eq!(ledger_total(&fresh).await.events, 10);
    assert_eq!(kind(fresh.batches.write(&batch(node(1), 2, 10)).await), SinkErrorKind::ReadOnly);
    set_read_only(&postgres, false).await;
    store.info.check().await.unwrap();
    store.batches.write(&batch(node(1), 2, 10)).await.unwrap();
}

async fn set_read_only(postgres: &Postgres, on: bool) {
    postgres.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}")).await;
    postgres.sql("SELECT pg_reload_conf()").await;
    let wanted = if on { "on" } else { "off" };
    // A new connection may still begin with the old setting for a moment.
    while postgres.sql("SHOW default_transaction_read_only").await != [[wanted]] {}
}

#[tokio::test]
async fn nothing_is_written_to_a_database_that_has_become_anothers() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    write_until_stored(&store, &batch(node(1), 4, 10)).await;
    let own = postgres.sql("SELECT id FROM installation").await;
    // Another database answers behind the address, and the connections stay, as behind a pooler.
    postgres.sql("UPDATE installation SET id = gen_random_uuid()").await;
    for _ in 0..2 {
        let refused = store.batches.write(&batch(node(1), 8, 10)).await;
        assert_eq!(kind(refused), SinkErrorKind::Foreign);
    }
    assert_eq!(store.info.claim().await.unwrap_err().kind, SinkErrorKind::Foreign);
    assert_eq!(store_events(&postgres).await, 10);
    postgres.sql(&format!("UPDATE installation SET id = '{}'", own[0][0])).await;
    let written = store.batches.write(&batch(node(1), 8, 10)).await;
    assert_eq!(written.unwrap(), Written::Stored { events: 10, poisoned: 0 });
}

#[tokio::test]
async fn the_schema_is_made_again_and_a_foreign_one_refused() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    store.batches.write(&batch(node(1), 1, 10)).await.unwrap();
    // All tables are dropped while the store is in use. The store notices that, and makes them
    // again.
    postgres
        .sql(
            "DROP TABLE events, ledger, ledger_heads, dead_letters, rollups, fold_heads,
                        alerts, notifications, marks, leases, missing_batches, orders, order_events, imported_ids,
                        schema_minutes, schema_hours,
                        schema_properties, breakdown_rollups, sketch_rollups, rebuilt_days, archive_files, chain, history_forgotten,
                        spared_minutes,
                        removed_rows, store_sizes, forgotten, forget_work, installation,
                        access_head, access_identities, access_audit,
                        refinery_schema_history",
        )
        .await;
    assert_eq!(kind(store.batches.write(&batch(node(1), 2, 10)).await), SinkErrorKind::Schema);
    store.batches.write(&batch(node(1), 2, 10)).await.unwrap();
    // A later version of Floodmark has added something: this version goes on.
    postgres.sql("INSERT INTO refinery_schema_history VALUES (998, 'coupons', '', '1')").await;
    let beside = open(postgres.url()).await;
    beside.batches.write(&batch(node(1), 3, 10)).await.unwrap();
    // And this one has changed what was there.
    postgres.sql("INSERT INTO refinery_schema_history VALUES (999, 'breaking_it', '', '1')").await;
    let old = open(postgres.url()).await;
    let error = old.batches.write(&batch(node(1), 4, 10)).await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Schema, "{error}");
    assert!(error.message.contains("V999__breaking_it"), "{error}");
}
