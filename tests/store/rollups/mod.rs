//! Rollups (sums by minute) on both stores: every ledger row is folded into them once, whatever
//! happens meanwhile, and is deleted only when nothing needs it any more.

mod actor;
mod reading;

use std::{
    collections::BTreeMap,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use actix::Actor;
use floodmark::{
    config::Config,
    domain::{
        batch::{Batch, BatchId},
        delta::{DeltaSum, Series},
        shape::SchemaLimits,
        time::{BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND, bucket, now_ms},
    },
    store::{
        Stores, Written,
        rollup::{FoldLimits, Folded, Known, Summed},
        rollup_actor::RollupActor,
    },
    telemetry::health::Health,
};

use crate::{
    backend::{Backend, ledger_total, node},
    contract::contract,
    support::{
        amount_of,
        batches::{Event, START, batch, event, seal},
        ledger::{LedgerSum, sum_of},
        pgbouncer::PgBouncer,
        postgres::{PASSWORD, USER},
    },
};

contract!(
    rollups_are_the_sums_of_the_rows,
    folders_that_race_fold_each_row_once,
    a_fold_that_is_killed_is_as_if_it_had_not_begun,
    only_what_is_folded_and_old_is_dropped,
    a_rebuild_finds_what_it_needs_after_dropping,
    what_dropped_rows_have_counted_is_in_the_rollups,
);

pub(crate) const SMALL: FoldLimits = FoldLimits {
    rows: 3,
    bytes: 1 << 20,
    cells: 50_000,
    top_bytes: 1 << 20,
    sketch_bytes: 4 << 20,
    schemas: SchemaLimits { schemas: 200, properties: 100 },
};

type Minutes = BTreeMap<(Millis, String), i64>;

async fn rollups(store: &Stores) -> Minutes {
    let found = store.rollups.minutes(0, Millis::MAX, None).await.unwrap();
    let minutes: Minutes = found
        .iter()
        .map(|(minute, series, value)| ((*minute, series.to_string()), *value))
        .collect();
    assert_eq!(minutes.len(), found.len(), "no minute twice");
    minutes
}

/// The sums that the rows of the store add up to.
async fn raw(backend: &Backend) -> Minutes {
    let mut minutes = Minutes::new();
    for event in backend.events().await {
        let minute = bucket(event.time, MINUTE);
        *minutes.entry((minute, format!("c:{}", event.kind))).or_default() += 1;
        if event.kind == "purchase" {
            let tracked = (minute, "n:orders_tracked".to_owned());
            *minutes.entry(tracked).or_default() += 1;
            let amount = amount_of(&serde_json::from_str(&event.properties).unwrap());
            for series in ["s:revenue", "m:USD:revenue"] {
                *minutes.entry((minute, series.to_owned())).or_default() += amount;
            }
        }
    }
    minutes.retain(|_, value| *value != 0);
    minutes
}

/// Folds until every ledger row is folded, also if another node holds the lock meanwhile.
pub(crate) async fn fold_all(store: &Stores, limits: FoldLimits) -> u64 {
    let mut rows = 0;
    loop {
        let folded = store.rollups.fold(limits).await.unwrap();
        rows += folded.rows;
        if folded.done && store.rollups.known().await.unwrap().until.is_none() {
            return rows;
        }
    }
}

/// Batch `seq` of `size` events. The events are 23 s apart, so that 15,000 of them span four days.
fn spread(seq: u64, size: u64, of: u128) -> Batch {
    let events: Vec<Event> = ((seq - 1) * size..seq * size)
        .map(|n| {
            let mut event = event(n);
            // One event in fifty arrives days late.
            let late = if n % 50 == 7 { 2 * DAY } else { 0 };
            event.time = START + n as Millis * 23_003 - late;
            event.id = format!("{of}-{n}");
            event
        })
        .collect();
    seal(node(of), seq, &events)
}

async fn rollups_are_the_sums_of_the_rows(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=30 {
        for of in 1..=2 {
            store.batches.write(&spread(seq, 500, of)).await.unwrap();
        }
        // Folding goes on beside the writing, and lags behind it.
        let folded = store.rollups.fold(SMALL).await.unwrap();
        assert!((1..=3).contains(&folded.rows), "{folded:?}");
    }
    assert_eq!(fold_all(&store, SMALL).await + 30 * 2, 60);
    let raw = raw(&backend).await;
    let days: Vec<Millis> = raw.keys().map(|key| bucket(key.0, DAY)).collect();
    assert!(days.last().unwrap() - days[0] >= 3 * DAY, "several days");
    assert!(raw.len() > 10_000, "{}", raw.len());
    assert_eq!(rollups(&store).await, raw);

    // No row is left to fold, and none is added twice, also after a restart.
    let store = backend.open().await;
    assert_eq!(
        store.rollups.fold(SMALL).await.unwrap(),
        Folded { rows: 0, done: true, unreadable: None, unlearnt: 0 }
    );
    assert_eq!(rollups(&store).await, raw);
}

async fn folders_that_race_fold_each_row_once(backend: Backend) {
    let stores = [backend.open().await, backend.open().await];
    let writer = {
        let store = stores[0].clone();
        tokio::spawn(async move {
            for seq in 1..=40 {
                store.batches.write(&spread(seq, 40, 1)).await.unwrap();
            }
        })
    };
    let folders: Vec<_> = stores
        .iter()
        .chain(&stores)
        .map(|store| {
            let store: Stores = store.clone();
            tokio::spawn(async move {
                let mut rows = 0;
                loop {
                    rows += store.rollups.fold(SMALL).await.unwrap().rows;
                    let stored = store.info.totals().await.unwrap().ledger_events;
                    let known = store.rollups.known().await.unwrap();
                    if stored == 40 * 40 && known.until.is_none() {
                        return rows;
                    }
                }
            })
        })
        .collect();
    writer.await.unwrap();
    let mut rows = 0;
    for folder in folders {
        rows += folder.await.unwrap();
    }
    assert_eq!(rows, 40);
    assert_eq!(rollups(&stores[0]).await, raw(&backend).await);
}

/// Polls a future this many times and then drops it, as when a task is cancelled.
pub(crate) async fn killed_after<T>(
    polls: usize,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> bool {
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(true);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| false)
    })
    .await
}

async fn a_fold_that_is_killed_is_as_if_it_had_not_begun(backend: Backend) {
    let store = backend.open().await;
    let mut killed = 0;
    for polls in 0..40 {
        store.batches.write(&spread(polls as u64 + 1, 40, 1)).await.unwrap();
        killed += usize::from(killed_after(polls, pin!(store.rollups.fold(SMALL))).await);
    }
    assert!(killed >= 2, "{killed} were killed on their way");
    fold_all(&store, SMALL).await;
    assert_eq!(rollups(&store).await, raw(&backend).await);
}

fn sealed_at(mut batch: Batch, at: Millis) -> Batch {
    batch.sealed_at = at;
    batch
}

async fn only_what_is_folded_and_old_is_dropped(backend: Backend) {
    let store = backend.open().await;
    let before = START + HOUR;
    let at = |seq, times: &[Millis]| {
        let events: Vec<Event> =
            times.iter().map(|at| Event::at(*at, format!("{seq}-{at}"))).collect();
        seal(node(1), seq, &events)
    };
    let batches = [
        at(1, &[START, START + MINUTE]),
        at(2, &[before - SECOND]),
        at(3, &[before]),                   // its last second is too young
        sealed_at(at(4, &[START]), before), // sealed too late
        sealed_at(at(5, &[START + 400 * DAY]), START), // its clock was a year ahead
        Batch::void(BatchId { run: node(1), seq: 6 }), // sealed at 0, spans nothing
        sealed_at(at(7, &[START - 30 * DAY]), START - 1), // late, and old by now
    ];
    for batch in &batches {
        store.batches.write(batch).await.unwrap();
    }
    assert_eq!(
        store.rollups.drop_folded(before, 0, 100).await.unwrap(),
        0,
        "nothing is folded yet"
    );
    fold_all(&store, SMALL).await;
    store.batches.write(&at(8, &[START])).await.unwrap(); // old, not folded

    let (rows, events) = (raw(&backend).await, store.info.totals().await.unwrap());
    assert_eq!(events.ledger_events, 8);
    // Rows are deleted in chunks; batches 1, 2, 6 and 7 may go.
    let mut dropped = Vec::new();
    for _ in 0..3 {
        dropped.push(store.rollups.drop_folded(before, 0, 3).await.unwrap());
    }
    assert_eq!(dropped, [3, 1, 0]);
    for (seq, there) in (1..=8).zip([false, false, true, true, true, false, false, true]) {
        let delta = store.ledger.delta(BatchId { run: node(1), seq }).await.unwrap();
        assert_eq!(delta.is_some(), there, "batch {seq}");
    }
    // The sums are the same as before, and the guards are still there.
    assert_eq!(store.info.totals().await.unwrap(), events);
    for batch in &batches[4..] {
        assert_eq!(store.batches.write(batch).await.unwrap(), Written::AlreadyStored);
    }
    fold_all(&store, SMALL).await;
    assert_eq!(rollups(&store).await, rows);
    assert_eq!(
        store.rollups.drop_folded(before, 0, 100).await.unwrap(),
        1,
        "the last is folded now"
    );
    assert_eq!(store.info.totals().await.unwrap(), events);
}

/// The sum of a ledger by series and minute, over all lanes.
fn by_minute(sum: &LedgerSum) -> BTreeMap<(String, Millis), i64> {
    let mut minutes = BTreeMap::new();
    for (at, series, value) in sum.lanes.iter().flat_map(|lane| lane.delta.cells()) {
        *minutes.entry((series.to_string(), bucket(at, MINUTE))).or_default() += value;
    }
    minutes
}

async fn what_dropped_rows_have_counted_is_in_the_rollups(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=40 {
        store.batches.write(&spread(seq, 100, 1)).await.unwrap();
    }
    fold_all(&store, FoldLimits::default()).await;
    store.batches.write(&spread(41, 100, 1)).await.unwrap(); // not folded
    let since = START + HOUR;
    let before = by_minute(&sum_of(&*store.ledger, since, since).await.unwrap());
    assert_eq!(
        store.rollups.drop_folded(Millis::MAX, HOUR, 100).await.unwrap(),
        0,
        "all are young"
    );
    assert_eq!(store.rollups.drop_folded(Millis::MAX, 0, 25).await.unwrap(), 25);
    for dropped in [15, 0] {
        let after = by_minute(&sum_of(&*store.ledger, since, since).await.unwrap());
        let kept = |minutes: &BTreeMap<(String, Millis), i64>| {
            minutes
                .clone()
                .into_iter()
                .filter(|((_, at), value)| *at >= since && *value != 0)
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(&after), kept(&before));
        assert_eq!(store.rollups.drop_folded(Millis::MAX, 0, 100).await.unwrap(), dropped);
    }
}

async fn a_rebuild_finds_what_it_needs_after_dropping(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=40 {
        store.batches.write(&spread(seq, 100, 1)).await.unwrap();
    }
    fold_all(&store, FoldLimits::default()).await;
    let since = START + 6 * HOUR;
    let needed = sum_of(&*store.ledger, since, since).await.unwrap();
    let dropped = store.rollups.drop_folded(since - HOUR, 0, 1_000).await.unwrap();
    assert!(dropped > 5, "{dropped}");
    let still = sum_of(&*store.ledger, since, since).await.unwrap();
    for (lane, needed) in needed.lanes.iter().enumerate() {
        assert_eq!(still.lanes[lane].delta, needed.delta);
        assert_eq!(still.lanes[lane].last, needed.last, "the guards stay for ever");
    }
    let kept: i64 = ledger_total(&store).await.events as i64;
    assert_eq!(kept, 4_000 - 100 * dropped as i64);
}
