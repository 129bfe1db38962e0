//! Partitions of `events`: there is one for each day, made in advance or when an event needs it.

use floodmark::domain::{
    batch::Batch,
    time::{DAY, Millis, now_ms},
};

use super::open;
use crate::{
    backend::{delta_of, ledger_total, node},
    support::{
        batches::{Event, batch, seal},
        postgres::Postgres,
    },
};

async fn partitions(postgres: &Postgres) -> Vec<(String, u64)> {
    let rows = postgres
        .sql("SELECT tableoid::regclass, count(*) FROM events GROUP BY tableoid ORDER BY tableoid::regclass::text")
        .await;
    rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

fn partition(at: Millis) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap();
    at.strftime("events_%Y%m%d").to_string()
}

/// A query of one day reads one partition, whatever the time zone of the session, and uses the BRIN
/// index if that pays.
async fn reading_a_day_reads_one_table(postgres: &Postgres, now: Millis) {
    let day = now - now.rem_euclid(DAY);
    let (from, to) = (day / 1000, (day + DAY) / 1000);
    let plan = postgres
        .sql(&format!(
            "SET enable_seqscan = off; EXPLAIN SELECT count(*) FROM events
             WHERE time >= to_timestamp({from}) AND time < to_timestamp({to})"
        ))
        .await
        .concat()
        .join("\n");
    let literal = postgres
        .sql(&format!(
            "EXPLAIN SELECT count(*) FROM events WHERE time >= '{0} 00:00+00' AND time < '{1} 00:00+00'",
            jiff::Timestamp::from_millisecond(day).unwrap().strftime("%F"),
            jiff::Timestamp::from_millisecond(day + DAY).unwrap().strftime("%F"),
        ))
        .await
        .concat()
        .join("\n");
    for plan in [&plan, &literal] {
        assert_eq!(
            plan.matches("Scan on events_").count() - plan.matches("Index Scan").count(),
            1,
            "{plan}"
        );
        assert!(plan.contains(&format!(" on {}", partition(now))), "{plan}");
    }
    assert!(plan.contains("Bitmap Index Scan"), "{plan}");
}

#[tokio::test]
async fn events_lie_in_daily_partitions() {
    let postgres = Postgres::start();
    let store = open(postgres.url()).await;
    let now = now_ms();
    let days = [-500, -401, -399, -30, -1, 0, 1, 6, 30, 3_000];
    let events: Vec<Event> =
        days.iter().map(|day| Event::at(now + day * DAY, format!("{day}"))).collect();
    store.batches.write(&seal(node(1), 1, &events)).await.unwrap();

    let mut expected: Vec<_> =
        days[2..8].iter().map(|day| (partition(now + day * DAY), 1)).collect();
    expected.sort();
    expected.push(("events_default".to_owned(), 4));
    assert_eq!(partitions(&postgres).await, expected);

    // The partitions of tomorrow and of the day after are made in advance, and are empty.
    let ahead = partition(now + 2 * DAY);
    let found = postgres.sql(&format!("SELECT to_regclass('{ahead}') IS NOT NULL")).await;
    assert_eq!(found[0][0], "t");

    reading_a_day_reads_one_table(&postgres, now).await;

    // This is what `\d+ events` lists: one partition for each day, from midnight to midnight in
    // UTC.
    let listed = postgres
        .sql(
            "SET timezone = 'UTC';
             SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass",
        )
        .await;
    let midnight = |at: Millis| {
        let at = jiff::Timestamp::from_millisecond(at).unwrap();
        at.strftime("%F 00:00:00+00").to_string()
    };
    for of in [-399, -30, -1, 0, 1, 2, 6].map(|days| now + days * DAY) {
        let bounds = format!("FOR VALUES FROM ('{}') TO ('{}')", midnight(of), midnight(of + DAY));
        assert!(listed.contains(&vec![partition(of), bounds]), "{of}: {listed:?}");
    }
    assert!(listed.contains(&vec!["events_default".to_owned(), "DEFAULT".to_owned()]));
    assert_eq!(listed.len(), 8, "{listed:?}");
    assert_eq!(ledger_total(&store).await, delta_of(&events));
}

#[tokio::test]
async fn nodes_make_the_same_partitions_at_once() {
    let postgres = Postgres::start();
    let now = now_ms();
    // The nodes also race to make the tables, since nothing exists yet.
    let nodes = (1..=4).map(|n| {
        let url = postgres.url();
        tokio::spawn(async move {
            let store = open(url).await;
            for seq in 1..=4 {
                let days = (0..12).map(|day| now - (seq as Millis * 10 + day) * DAY);
                let events: Vec<Event> = days.map(|at| Event::at(at, format!("{at}"))).collect();
                store.batches.write(&seal(node(n), seq, &events)).await.unwrap();
            }
        })
    });
    for node in futures_util::future::join_all(nodes).await {
        node.unwrap();
    }
    let partitions = partitions(&postgres).await;
    let total: u64 = partitions.iter().map(|partition| partition.1).sum();
    assert_eq!(total, 4 * 4 * 12);
    assert_eq!(partitions.len(), 42);
    assert!(partitions.iter().all(|partition| partition.0 != "events_default"));
}

#[tokio::test]
async fn rows_in_the_default_partition_move_when_their_day_is_made() {
    let postgres = Postgres::start();
    let now = now_ms();
    let store = open(postgres.url()).await;
    store.batches.write(&Batch::void(batch(node(1), 1, 1).id)).await.unwrap();
    let insert = |day: Millis| {
        format!(
            "INSERT INTO events VALUES (to_timestamp({}), now(), 'x', 'y', NULL, NULL, '{{}}')",
            (now + day * DAY) / 1000
        )
    };
    postgres.sql(&insert(-9)).await;
    // The partition of a day that an operator has detached is not made again: late events of that
    // day go to the default partition.
    let aside = partition(now - 5 * DAY);
    postgres.sql(&format!("CREATE TABLE {aside} (LIKE events)")).await;
    let events = [-9, -5].map(|day| Event::at(now + day * DAY, format!("{day}")));
    store.batches.write(&seal(node(1), 2, &events)).await.unwrap();
    assert_eq!(
        partitions(&postgres).await,
        [(partition(now - 9 * DAY), 2), ("events_default".to_owned(), 1)]
    );
}
