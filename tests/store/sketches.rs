//! How many different visitors and values there were, on both stores: as many as the rows have, whatever is
//! killed meanwhile, and what an earlier version has folded without sketches is caught up with.

use std::{collections::BTreeSet, pin::pin};

use floodmark::{
    domain::{
        delta::QUARTER_HOUR,
        time::{DAY, HOUR, MINUTE, Millis, SECOND},
    },
    store::{
        Stores,
        rollup::FoldLimits,
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
    what_is_known_is_what_the_rows_have,
    a_fold_that_is_killed_loses_nobody,
    what_was_folded_without_sketches_is_caught_up_with,
    minutes_go_and_days_stay,
);

/// Midnight before [`START`].
const MIDNIGHT: Millis = START - 8 * HOUR;

/// Batch `seq` of events that are 23 s apart; one in fifty comes a day late.
fn spread(seq: u64, size: u64) -> floodmark::domain::batch::Batch {
    let events: Vec<Event> = ((seq - 1) * size..seq * size)
        .map(|n| {
            let late = if n % 50 == 7 { DAY } else { 0 };
            Event { time: START + n as Millis * 23_003 - late, ..event(n) }
        })
        .collect();
    seal(node(1), seq, &events)
}

fn days() -> Vec<(Millis, Millis)> {
    (-2..3).rev().map(|day| (MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY)).collect()
}

fn every(span: Millis, from: Millis, to: Millis) -> Vec<(Millis, Millis)> {
    (from..to).step_by(span as usize).map(|at| (at, at + span)).collect()
}

async fn known(
    store: &Stores,
    what: Distinguished,
    stretches: &[(Millis, Millis)],
    by_minute: bool,
) -> Vec<usize> {
    let asked = SketchesAsked { what, stretches: stretches.to_vec(), by_minute };
    let found = store.sketches.different(&asked).await.unwrap();
    found.iter().map(|estimate| estimate.count as usize).collect()
}

fn sessions() -> Distinguished {
    Distinguished::Metric("sessions".to_owned())
}

/// The visitors of some events: their sessions, and the users who are there without one only.
fn visitors_of(events: &[&Event]) -> usize {
    let of = |has_session: bool| {
        let some = events.iter().filter(move |event| event.session.is_some() == has_session);
        some.filter_map(|event| event.user.as_deref()).collect::<BTreeSet<_>>()
    };
    let sessions: BTreeSet<_> = events.iter().filter_map(|it| it.session.as_deref()).collect();
    sessions.len() + of(false).difference(&of(true)).count()
}

fn sessions_of(events: &[&Event]) -> usize {
    let views = events.iter().filter(|event| event.kind == "page_view");
    let who = views.filter_map(|event| event.session.as_deref().or(event.user.as_deref()));
    who.collect::<BTreeSet<_>>().len()
}

async fn assert_known(store: &Stores, backend: &Backend) {
    let events = backend.events().await;
    let exact = |stretches: &[(Millis, Millis)], of: fn(&[&Event]) -> usize| -> Vec<usize> {
        let within = |(from, to): &(Millis, Millis)| {
            let some = events.iter().filter(|event| (*from..*to).contains(&event.time));
            of(&some.collect::<Vec<_>>())
        };
        stretches.iter().map(within).collect()
    };
    for stretches in [
        every(DAY, MIDNIGHT - DAY, MIDNIGHT + 2 * DAY),
        every(HOUR, MIDNIGHT - DAY, MIDNIGHT + 2 * DAY),
        every(QUARTER_HOUR, START, START + 6 * HOUR),
        vec![(MIDNIGHT - DAY, MIDNIGHT + 2 * DAY)],
        vec![(START - 3 * HOUR, START + 3 * HOUR)],
    ] {
        let found = known(store, Distinguished::Visitors, &stretches, false).await;
        assert_eq!(found, exact(&stretches, visitors_of));
        assert!(found.iter().sum::<usize>() > 0);
        let found = known(store, sessions(), &stretches, false).await;
        assert_eq!(found, exact(&stretches, sessions_of));
    }
    for span in [MINUTE, 5 * MINUTE] {
        let stretches = every(span, START, START + 2 * HOUR);
        let found = known(store, Distinguished::Visitors, &stretches, true).await;
        assert_eq!(found, exact(&stretches, visitors_of));
    }
}

async fn what_is_known_is_what_the_rows_have(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=16 {
        store.batches.write(&spread(seq, 300)).await.unwrap();
        if seq % 5 == 0 {
            fold_all(&store, SMALL).await;
        }
        // The days are added up in between, so what comes after that has to get into their sums.
        if seq == 10 {
            store.sketches.add_up_days(&days()).await.unwrap();
        }
    }
    fold_all(&store, SMALL).await;
    assert_known(&store, &backend).await;
    store.sketches.add_up_days(&days()).await.unwrap();
    assert_known(&store, &backend).await;
    assert_eq!(store.sketches.sketched_since().await.unwrap().complete, None);
}

async fn a_fold_that_is_killed_loses_nobody(backend: Backend) {
    let store = backend.open().await;
    for polls in 0..40 {
        store.batches.write(&spread(polls as u64 + 1, 40)).await.unwrap();
        killed_after(polls, pin!(store.rollups.fold(SMALL))).await;
    }
    fold_all(&store, SMALL).await;
    assert_known(&store, &backend).await;
}

async fn what_was_folded_without_sketches_is_caught_up_with(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=20 {
        store.batches.write(&spread(seq, 60)).await.unwrap();
    }
    fold_all(&store, SMALL).await;
    let minutes = store.rollups.minutes(0, i64::MAX, None).await.unwrap();
    // So an earlier version leaves it, which knows nothing of sketches.
    let without = "DELETE FROM sketch_rollups; UPDATE fold_heads SET sketches = 0";
    backend.run(without).await;
    let all = [(MIDNIGHT - DAY, MIDNIGHT + 2 * DAY)];
    assert_eq!(known(&store, sessions(), &all, false).await, [0]);
    let later = START + 9 * DAY;
    assert_eq!(store.rollups.drop_folded(later, 0, 100).await.unwrap(), 0, "they are needed still");
    let folded = store.rollups.fold(FoldLimits::default()).await.unwrap();
    assert_eq!(folded.rows, 0, "all were in the rollups before");
    fold_all(&store, SMALL).await;
    assert_known(&store, &backend).await;
    assert_eq!(store.rollups.minutes(0, i64::MAX, None).await.unwrap(), minutes);
    // Rows that it has dropped can't be caught up with, and it is said since when nothing lacks.
    let last = spread(8, 60).delta.span().unwrap().1;
    assert_eq!(store.rollups.drop_folded(last + SECOND, 0, 100).await.unwrap(), 8);
    assert_eq!(store.sketches.sketched_since().await.unwrap().complete, None);
    backend.run(without).await;
    for _ in 0..2 {
        let since = store.sketches.sketched_since().await.unwrap();
        assert_eq!(since.complete, Some(last + SECOND));
        assert!(!since.covers(last, last + HOUR) && since.covers(last + SECOND, last + HOUR));
        fold_all(&store, SMALL).await;
    }
}

async fn minutes_go_and_days_stay(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=4 {
        store.batches.write(&spread(seq, 300)).await.unwrap();
    }
    fold_all(&store, SMALL).await;
    let stretches = every(MINUTE, START, START + 2 * HOUR);
    let whole = known(&store, Distinguished::Visitors, &stretches, true).await;
    store.breakdowns.forget_minutes(START + HOUR, &[]).await.unwrap();
    let left = known(&store, Distinguished::Visitors, &stretches, true).await;
    assert_eq!((&left[..60], &left[60..]), (&[0; 60][..], &whole[60..]));
    let hours = every(HOUR, START, START + 2 * HOUR);
    assert!(known(&store, Distinguished::Visitors, &hours, false).await.iter().all(|n| *n > 20));
}
