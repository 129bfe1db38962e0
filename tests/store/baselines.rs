//! Baselines (the same span of time an hour, a day or a week before), read from real stores.

use floodmark::{
    domain::{
        batch::{Batch, BatchId},
        delta::{DeltaSum, Series},
        time::{BusinessZone, DAY, HOUR, MINUTE, Millis, bucket, parse_rfc3339},
    },
    numbers::baseline::{BASELINE_AFTER, BASELINE_BEFORE, Baselines, Shift},
    store::{Stores, rollup::FoldLimits},
};

use crate::{
    backend::{Backend, node},
    contract::contract,
    support::batches::{Event, START, seal},
};

contract!(
    the_same_moment_is_found_where_the_clock_turns,
    a_shop_on_its_first_day_has_no_baseline,
    what_was_imported_whole_is_a_baseline,
);

fn utc(now: Millis) -> Baselines {
    Baselines::new(BusinessZone::named("UTC").unwrap(), now)
}

fn views() -> Series {
    Series::Count("page_view".into())
}

async fn write(store: &Stores, seq: u64, sealed_at: Millis, events: &[Event]) {
    let mut batch = seal(node(1), seq, events);
    batch.sealed_at = sealed_at;
    store.batches.write(&batch).await.unwrap();
    while !store.rollups.fold(FoldLimits::default()).await.unwrap().done {}
}

/// A batch in which every minute from `from` to `to` has a revenue equal to the number of that
/// minute since 1970.
fn numbered(seq: u64, from: Millis, to: Millis) -> Batch {
    let mut sum = DeltaSum::default();
    for minute in (from..to).step_by(MINUTE as usize) {
        sum.sum(&Series::revenue(), minute, minute / MINUTE);
    }
    let mut batch = Batch::void(BatchId { run: node(1), seq });
    batch.delta = sum.finish().into();
    batch
}

async fn the_same_moment_is_found_where_the_clock_turns(backend: Backend) {
    let store = backend.open().await;
    let zone = BusinessZone::named("Europe/Berlin").unwrap();
    let turns =
        ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"].map(|at| parse_rfc3339(at).unwrap());
    let long_ago = turns[0] - 20 * DAY;
    write(&store, 1, long_ago, &[Event::at(long_ago, "first")]).await;
    for (n, turn) in turns.into_iter().enumerate() {
        store
            .batches
            .write(&numbered(2 + n as u64, turn - 10 * DAY, turn + 10 * DAY))
            .await
            .unwrap();
    }
    while !store.rollups.fold(FoldLimits::default()).await.unwrap().done {}

    let revenue = Series::revenue();
    let mut hours = [0; 4];
    for turn in turns {
        // The moments are three hours apart, around the change of the clocks, and a day and a week
        // after it.
        for now in (turn - 6 * HOUR..turn + 8 * DAY).step_by(3 * HOUR as usize) {
            let now = now + 17 * MINUTE + 3;
            let baselines = Baselines::new(zone.clone(), now);
            baselines.refresh(&*store.rollups, now).await.unwrap();
            for shift in Shift::HELD {
                let (from, to) = (now - BASELINE_BEFORE, now + BASELINE_AFTER);
                let first = bucket(from, MINUTE) + MINUTE;
                let mut sum = 0;
                for minute in (first..to).step_by(MINUTE as usize) {
                    let days = if shift == Shift::Yesterday { 1 } else { 7 };
                    let then = zone.same_moment(minute, days);
                    let found = baselines.minute(&revenue, shift, minute + 59_999);
                    assert_eq!(found, Some(then / MINUTE), "{shift:?} of {minute}");
                    sum += then / MINUTE;
                    // How far back the baseline lies: the day before may have 23, 24 or 25 hours.
                    hours[((minute - then) / HOUR % 24 + 1) as usize % 4] += 1;
                }
                assert_eq!(baselines.sum(&revenue, shift, from, to), Some(sum));
            }
        }
    }
    assert!(hours[0] > 0 && hours[1] > 0 && hours[2] > 0, "{hours:?}");
}

async fn a_shop_on_its_first_day_has_no_baseline(backend: Backend) {
    let store = backend.open().await;
    let baselines = utc(START);
    let views_at = |shift, at| baselines.minute(&views(), shift, at);
    assert_eq!(views_at(Shift::Yesterday, START), None, "nothing was read");
    baselines.refresh(&*store.rollups, START).await.unwrap();
    assert_eq!(views_at(Shift::Yesterday, START), None, "nothing was taken in");

    // The shop opens, and a phone that was offline sends events of yesterday and of a week ago.
    let late = [START - 7 * DAY, START - DAY, START].map(|at| Event::at(at, format!("{at}")));
    write(&store, 1, START, &late).await;
    baselines.refresh(&*store.rollups, START).await.unwrap();
    for shift in Shift::HELD {
        assert_eq!(views_at(shift, START), None, "{shift:?}");
        assert_eq!(baselines.sum(&views(), shift, START - HOUR, START + HOUR), None);
    }

    // A day later the first day is known from the opening on, also its minutes without events.
    let now = START + DAY + HOUR;
    baselines.refresh(&*store.rollups, now).await.unwrap();
    assert_eq!(views_at(Shift::Yesterday, START + DAY), Some(1));
    assert_eq!(views_at(Shift::Yesterday, START + DAY + MINUTE), Some(0));
    assert_eq!(views_at(Shift::Yesterday, START + DAY - MINUTE), None);
    assert_eq!(baselines.events(Shift::Yesterday, START + DAY, now), Some(1));
    assert_eq!(baselines.events(Shift::Yesterday, START + DAY - MINUTE, now), None);
    assert_eq!(baselines.minute(&Series::revenue(), Shift::Yesterday, now), Some(0));
    assert_eq!(views_at(Shift::LastWeek, START + DAY), None);
    // This span is too far from now to be kept in memory.
    assert_eq!(views_at(Shift::Yesterday, now + DAY), None);
    assert_eq!(baselines.sum(&views(), Shift::Yesterday, 0, Millis::MAX), None);

    // A batch that is not folded yet may hold events from its closing on, so nothing after that is
    // known.
    let mut waits = seal(node(2), 1, &[Event::at(START + HOUR, "waits")]);
    waits.sealed_at = START + HOUR + MINUTE;
    store.batches.write(&waits).await.unwrap();
    baselines.refresh(&*store.rollups, now).await.unwrap();
    assert_eq!(views_at(Shift::Yesterday, now), Some(0));
    assert_eq!(views_at(Shift::Yesterday, now + MINUTE), None);
    while !store.rollups.fold(FoldLimits::default()).await.unwrap().done {}
    baselines.refresh(&*store.rollups, now).await.unwrap();
    assert_eq!(views_at(Shift::Yesterday, now), Some(1));
    assert_eq!(views_at(Shift::Yesterday, now + MINUTE), Some(0));
}

async fn what_was_imported_whole_is_a_baseline(backend: Backend) {
    let store = backend.open().await;
    // On its first day the shop sends the log of the day before: a page view every minute from
    // 06:00 to 09:00.
    let yesterday = START - DAY;
    let log: Vec<Event> = (-120..60)
        .map(|minute| Event::at(yesterday + minute * MINUTE, format!("{minute}")))
        .collect();
    write(&store, 1, START, &log).await;
    let baselines = utc(START);
    baselines.refresh(&*store.rollups, START).await.unwrap();
    let sum = |from, to| baselines.sum(&views(), Shift::Yesterday, START + from, START + to);
    assert_eq!(sum(-HOUR, HOUR), Some(120));
    assert_eq!(sum(0, HOUR + MINUTE), None, "the log ends before");
}

#[tokio::test]
async fn a_store_that_is_down_leaves_what_was_read() {
    let Backend::Postgres(mut postgres) = Backend::postgres() else { unreachable!() };
    let mut config = floodmark::config::Config::default();
    config.postgres.url = postgres.url();
    let store = floodmark::store::open(&config).await.unwrap();
    write(&store, 1, START - DAY, &[Event::at(START - DAY, "1")]).await;
    let baselines = utc(START - 1);
    assert_eq!(baselines.stale().unwrap().since, START - 1);
    baselines.refresh(&*store.rollups, START).await.unwrap();
    assert_eq!(baselines.stale(), None);

    postgres.stop_immediate();
    for later in [MINUTE, 2 * MINUTE] {
        baselines.refresh(&*store.rollups, START + later).await.unwrap_err();
        assert_eq!(baselines.stale().unwrap().since, START, "when it was read last");
    }
    assert_eq!(baselines.minute(&views(), Shift::Yesterday, START), Some(1));
    assert_eq!(baselines.minute(&views(), Shift::Yesterday, START + HOUR), Some(0));

    postgres.start_again();
    while baselines.refresh(&*store.rollups, START + HOUR).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(baselines.stale(), None);
}
