//! The rollups of a day made anew from its events, on both stores: what was damaged is as it was before, to the
//! cent; killed at any point it is the one or the other; late events are in the day once.

use std::{collections::BTreeMap, pin::pin};

use floodmark::{
    config::Config,
    domain::{
        delta::QUARTER_HOUR,
        time::{DAY, HOUR, MINUTE, Millis},
    },
    store::{
        Stores,
        breakdowns::TopsAsked,
        rollup::remake::{RemakeAsked, remake},
        sketches::{Distinguished, SketchesAsked},
    },
};

use crate::{
    backend::{Backend, node},
    contract::contract,
    rollups::{SMALL, fold_all, killed_after},
    support::batches::{Event, START, event, seal},
};

contract!(
    what_was_damaged_is_as_it_was,
    killed_at_any_point_it_is_all_or_nothing,
    late_events_are_in_the_day_once,
    a_day_whose_events_are_gone_stays_as_it_is,
    a_day_before_the_sketches_is_known_afterwards,
);

/// Midnight before [`START`].
const MIDNIGHT: Millis = START - 8 * HOUR;

/// Batch `seq` of events that are 23 s apart; one in fifty comes a day late.
fn spread(of: u128, seq: u64, size: u64) -> floodmark::domain::batch::Batch {
    let events: Vec<Event> = ((seq - 1) * size..seq * size)
        .map(|n| {
            let late = if n % 50 == 7 { DAY } else { 0 };
            let time = START + n as Millis * 23_003 - late;
            Event { time, id: format!("{of}-{n}"), ..event(n) }
        })
        .collect();
    seal(node(of), seq, &events)
}

fn asked() -> RemakeAsked {
    RemakeAsked {
        from: MIDNIGHT,
        to: MIDNIGHT + DAY,
        metric_set: Config::default().rules.metric_set,
        max_types: 200,
        archived: None,
    }
}

/// All that the rollups say of three days.
#[derive(Debug, PartialEq)]
struct Said {
    sums: BTreeMap<(Millis, String), i64>,
    breakdowns: Vec<(String, BTreeMap<String, u64>, u64)>,
    different: Vec<Vec<f64>>,
}

async fn said(store: &Stores) -> Said {
    let (from, to) = (MIDNIGHT - DAY, MIDNIGHT + 2 * DAY);
    let minutes = store.rollups.minutes(from, to, None).await.unwrap();
    let sum = |(at, series, value): (Millis, floodmark::domain::delta::Series, i64)| {
        ((at, series.to_string()), value)
    };
    let mut breakdowns = Vec::new();
    for name in ["page_view/path", "error/code", "error/gateway/none", "purchase/country/none"] {
        for hour in (from..to).step_by(HOUR as usize) {
            let asked = TopsAsked { breakdown: name.to_owned(), ..TopsAsked::default() };
            let stretch = vec![(hour, hour + HOUR)];
            for asked in [
                TopsAsked { minutes: stretch.clone(), ..asked.clone() },
                TopsAsked { quarters: stretch, ..asked },
            ] {
                let top = store.breakdowns.sum(&asked).await.unwrap().finish();
                let counts = top.iter().map(|(value, n)| (value.to_owned(), n)).collect();
                breakdowns.push((name.to_owned(), counts, top.error()));
            }
        }
    }
    let every = |span: Millis| -> Vec<(Millis, Millis)> {
        (from..to).step_by(span as usize).map(|at| (at, at + span)).collect()
    };
    let mut different = Vec::new();
    for (what, span, by_minute) in [
        (Distinguished::Visitors, MINUTE, true),
        (Distinguished::Visitors, QUARTER_HOUR, false),
        (Distinguished::Visitors, DAY, false),
        (Distinguished::Metric("sessions".to_owned()), QUARTER_HOUR, false),
        (Distinguished::Metric("sessions".to_owned()), DAY, false),
    ] {
        let asked = SketchesAsked { what, stretches: every(span), by_minute };
        let found = store.sketches.different(&asked).await.unwrap();
        different.push(found.iter().map(|estimate| estimate.count).collect());
    }
    Said { sums: minutes.into_iter().map(sum).collect(), breakdowns, different }
}

/// Damages the rollups of the day, of each kind a part.
async fn damage(backend: &Backend) {
    let (noon, evening) = (MIDNIGHT + 12 * HOUR, MIDNIGHT + 18 * HOUR);
    let within = |column: &str| format!("{column} >= {noon} AND {column} < {evening}");
    backend
        .run(&format!(
            "UPDATE rollups SET value = value + 7 WHERE {0};
             DELETE FROM rollups WHERE {0} AND series = 's:revenue';
             INSERT INTO rollups (series, minute, value) VALUES ('c:made_up', {noon}, 5);
             DELETE FROM breakdown_rollups WHERE {1} AND span = 60000;
             UPDATE breakdown_rollups SET breakdown = 'made/up' WHERE {1} AND breakdown = 'error/code';
             DELETE FROM sketch_rollups WHERE {1}",
            within("minute"),
            within("at"),
        ))
        .await;
}

async fn filled(backend: &Backend) -> Stores {
    let store = backend.open().await;
    for seq in 1..=16 {
        store.batches.write(&spread(1, seq, 250)).await.unwrap();
    }
    fold_all(&store, SMALL).await;
    store
}

async fn what_was_damaged_is_as_it_was(backend: Backend) {
    let store = filled(&backend).await;
    store.sketches.add_up_days(&[(MIDNIGHT, MIDNIGHT + DAY)]).await.unwrap();
    let before = said(&store).await;
    damage(&backend).await;
    assert_ne!(said(&store).await, before);
    let made = remake(&store, &asked()).await.unwrap();
    let after = said(&store).await;
    assert_eq!(after.sums, before.sums);
    assert_eq!(after, before);
    let of_day = |event: &&Event| (MIDNIGHT..MIDNIGHT + DAY).contains(&event.time);
    let events = backend.events().await;
    assert_eq!(made.events, events.iter().filter(of_day).count() as u64);
    assert!(made.events > 2_000 && made.sums > 2_000 && made.sketches > 1_000, "{made:?}");
    // What comes late is folded onto it, and the day is added up again.
    store.batches.write(&spread(2, 1, 50)).await.unwrap();
    fold_all(&store, SMALL).await;
    let late = said(&store).await;
    assert_ne!(late.sums, before.sums);
    store.sketches.add_up_days(&[(MIDNIGHT, MIDNIGHT + DAY)]).await.unwrap();
    remake(&store, &asked()).await.unwrap();
    assert_eq!(said(&store).await, late);
}

async fn killed_at_any_point_it_is_all_or_nothing(backend: Backend) {
    let store = filled(&backend).await;
    let whole = said(&store).await;
    damage(&backend).await;
    let damaged = said(&store).await;
    let (asked, mut mended) = (asked(), 0);
    for polls in 0..60 {
        killed_after(polls, pin!(store.remake.try_remake(&asked))).await;
        // What was cut may still be under way in the store, as with a connection that broke.
        let sums = store.rollups.minutes(MIDNIGHT, MIDNIGHT + DAY, None).await.unwrap();
        let now = said(&store).await;
        let again = store.rollups.minutes(MIDNIGHT, MIDNIGHT + DAY, None).await.unwrap();
        if sums != again {
            continue;
        }
        assert!(now == whole || now == damaged, "after {polls} polls");
        mended += usize::from(now == whole);
        if mended > 2 {
            break;
        }
    }
    remake(&store, &asked).await.unwrap();
    assert_eq!(said(&store).await, whole);
}

async fn late_events_are_in_the_day_once(backend: Backend) {
    let store = filled(&backend).await;
    damage(&backend).await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for seq in 1..=30 {
                store.batches.write(&spread(2, seq, 40)).await.unwrap();
                store.rollups.fold(SMALL).await.unwrap();
            }
        })
    };
    let asked = asked();
    // Each try is against what the writer does meanwhile; the last one finds it at rest.
    for _ in 0..10 {
        store.remake.try_remake(&asked).await.unwrap();
    }
    writer.await.unwrap();
    remake(&store, &asked).await.unwrap();
    fold_all(&store, SMALL).await;
    let found = said(&store).await;
    let fresh = Backend::sqlite();
    let other = filled(&fresh).await;
    for seq in 1..=30 {
        other.batches.write(&spread(2, seq, 40)).await.unwrap();
    }
    fold_all(&other, SMALL).await;
    assert_eq!(found.sums, said(&other).await.sums);
}

async fn a_day_whose_events_are_gone_stays_as_it_is(backend: Backend) {
    let store = filled(&backend).await;
    let before = said(&store).await;
    backend
        .run(
            "CREATE TABLE IF NOT EXISTS removed_rows
                 (day TEXT, type TEXT, reason TEXT, rows BIGINT, removed_at BIGINT);
             INSERT INTO removed_rows (day, type, reason, rows, removed_at)
                 VALUES ('2026-11-27', '', 'age', 9, 0)",
        )
        .await;
    let refused = remake(&store, &asked()).await.unwrap_err();
    assert!(refused.message.contains("were removed"), "{refused}");
    assert_eq!(said(&store).await, before);
    let day_before = RemakeAsked { from: MIDNIGHT - DAY, to: MIDNIGHT, ..asked() };
    assert!(remake(&store, &day_before).await.unwrap().events > 0);
    assert_eq!(said(&store).await, before);
}

async fn a_day_before_the_sketches_is_known_afterwards(backend: Backend) {
    let store = filled(&backend).await;
    let whole = said(&store).await;
    // So it is after an upgrade that comes once the ledger has let the first batches go.
    let last = spread(1, 16, 250).delta.span().unwrap().1;
    assert!(store.rollups.drop_folded(last, 0, 100).await.unwrap() > 10);
    let without = "DELETE FROM sketch_rollups; UPDATE fold_heads SET sketches = 0";
    backend.run(without).await;
    fold_all(&store, SMALL).await;
    let day = (MIDNIGHT, MIDNIGHT + DAY);
    let covers = async || store.sketches.sketched_since().await.unwrap().covers(day.0, day.1);
    assert!(!covers().await);
    remake(&store, &asked()).await.unwrap();
    assert!(covers().await);
    assert_eq!(said(&store).await.different[2][1], whole.different[2][1]);
}
