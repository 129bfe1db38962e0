//! Rows that are too old go, and nothing else: on both stores, to the row, beside whoever writes.

use std::collections::BTreeMap;

use floodmark::{
    domain::time::{DAY, MINUTE, Millis, now_ms},
    store::{
        Stores, Written,
        retention::{RemovalReason, TooOld, Trimmed, UtcDay, date_of, gone_of},
        rollup::FoldLimits,
    },
};

use crate::{
    backend::{Backend, delta_of, ledger_total, node},
    contract::contract,
    support::batches::{Event, event, seal},
};

contract!(
    what_is_too_old_goes_and_nothing_else,
    what_comes_late_for_a_day_that_is_gone_goes_too,
    rules_that_change_are_followed,
    a_question_about_rows_that_are_gone_is_told_so,
    rollups_letters_and_alerts_go_by_age,
);

fn today() -> UtcDay {
    now_ms().div_euclid(DAY)
}

/// Forty events of each of the last `days` days, today included, of all types; a batch has those of a day.
async fn plant(store: &Stores, days: i64) -> Vec<Event> {
    let mut all = Vec::new();
    for (seq, back) in (0..days).rev().enumerate() {
        let first = seq as u64 * 40;
        let events: Vec<Event> = (first..first + 40)
            .map(|n| {
                let time = (today() - back) * DAY + (n - first) as Millis * MINUTE;
                Event { time, ..event(n) }
            })
            .collect();
        let written = store.batches.write(&seal(node(1), seq as u64 + 1, &events)).await;
        assert_eq!(written.unwrap(), Written::Stored { events: 40, poisoned: 0 });
        all.extend(events);
    }
    all
}

fn rules(all: Option<UtcDay>, by_type: &[(&str, UtcDay)]) -> TooOld {
    let by_type = by_type.iter().map(|(kind, day)| ((*kind).to_owned(), *day)).collect();
    TooOld { all, by_type }
}

/// Removes all that is too old. Returns how much, by date, type and reason.
async fn remove(store: &Stores, old: &TooOld) -> BTreeMap<(String, String, &'static str), u64> {
    let mut removed = BTreeMap::new();
    loop {
        let step = store.retention.remove_some(old).await.unwrap();
        for (day, kind, reason, rows) in step.removed {
            *removed.entry((date_of(day), kind, reason.name())).or_default() += rows;
        }
        if step.done {
            removed.retain(|_, rows| *rows > 0);
            return removed;
        }
    }
}

/// What rules say of events, counted.
fn expected(old: &TooOld, events: &[Event]) -> BTreeMap<(String, String, &'static str), u64> {
    let mut counts = BTreeMap::new();
    for event in events {
        let day = event.time.div_euclid(DAY);
        let Some(reason) = old.reason(day, &event.kind) else { continue };
        let kind = if reason == RemovalReason::Age { "" } else { event.kind.as_str() };
        *counts.entry((date_of(day), kind.to_owned(), reason.name())).or_default() += 1;
    }
    counts
}

/// What the store says was removed.
async fn noted(store: &Stores) -> BTreeMap<(String, String, &'static str), u64> {
    let removed = store.retention.removed(0, Millis::MAX).await.unwrap();
    let counts = removed.into_iter().map(|it| ((it.day, it.kind, it.reason.name()), it.rows));
    counts.filter(|(_, rows)| *rows > 0).collect()
}

fn ids<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<String> {
    let mut ids: Vec<String> = events.into_iter().map(|event| event.id.clone()).collect();
    ids.sort();
    ids
}

async fn what_is_too_old_goes_and_nothing_else(backend: Backend) {
    let store = backend.open().await;
    let mut all = plant(&store, 8).await;
    // An event of long ago, from a client with a wrong clock: Postgres has it in the default partition.
    let odd = vec![Event { time: 5 * DAY + 7, ..event(999) }];
    store.batches.write(&seal(node(2), 1, &odd)).await.unwrap();
    all.extend(odd);
    let old = rules(Some(today() - 5), &[("page_view", today() - 2), ("error", today() - 4)]);
    let due = store.retention.due(&old).await.unwrap();
    let due: BTreeMap<_, _> =
        due.into_iter().map(|it| ((it.day, it.kind, it.reason.name()), it.rows)).collect();
    assert_eq!(due, expected(&old, &all), "the dry run");
    assert_eq!(backend.events().await.len(), all.len(), "which changes nothing");

    let (ledger, removed) = (ledger_total(&store).await, remove(&store, &old).await);
    assert_eq!(removed, expected(&old, &all));
    assert_eq!(noted(&store).await, removed);
    let stays = |event: &&Event| old.reason(event.time.div_euclid(DAY), &event.kind).is_none();
    let rows = backend.events().await;
    assert_eq!(ids(&rows), ids(all.iter().filter(stays)));
    assert_eq!(ledger_total(&store).await, ledger, "what was counted stays");
    assert!(store.retention.due(&old).await.unwrap().is_empty());
    assert_eq!(remove(&store, &old).await, BTreeMap::new(), "there is nothing left");

    // A batch of removed rows that comes again is known, and the next one follows.
    let again = store.batches.write(&seal(node(1), 1, &all[..40])).await.unwrap();
    assert_eq!(again, Written::AlreadyStored);
    let next = seal(node(1), 9, &[Event { time: now_ms(), ..event(5_000) }]);
    let next = floodmark::domain::batch::Batch { after: Some(seal(node(1), 5, &[]).id), ..next };
    assert_eq!(
        store.batches.write(&next).await.unwrap(),
        Written::Stored { events: 1, poisoned: 0 }
    );
    assert_eq!(store.batches.missing(node(1)).await.unwrap(), [], "no batch counts as missing");
    // What is left is found by time.
    let kept = &rows[0];
    let asked = floodmark::store::events::EventsAsked {
        windows: vec![(kept.time, kept.time + 1)],
        kinds: None,
        limit: 10,
    };
    assert_eq!(store.events.events(&asked).await.unwrap()[0][0].id, kept.id);
}

async fn what_comes_late_for_a_day_that_is_gone_goes_too(backend: Backend) {
    let store = backend.open().await;
    plant(&store, 5).await;
    let old = rules(Some(today() - 2), &[]);
    remove(&store, &old).await;
    let late = vec![Event { time: (today() - 4) * DAY + 5, ..event(7_000) }];
    store.batches.write(&seal(node(2), 1, &late)).await.unwrap();
    assert!(backend.events().await.iter().any(|it| it.id == late[0].id), "it is stored");
    let day = (date_of(today() - 4), String::new(), "age");
    assert_eq!(remove(&store, &old).await, BTreeMap::from([(day.clone(), 1)]));
    assert_eq!(noted(&store).await[&day], 41);
    assert_eq!(backend.events().await.len(), 3 * 40);
}

async fn rules_that_change_are_followed(backend: Backend) {
    let store = backend.open().await;
    let all = plant(&store, 7).await;
    let mut gone = 0;
    for old in [
        rules(None, &[("error", today() - 3)]),
        rules(None, &[("error", today() - 1)]),
        rules(Some(today() - 3), &[("error", today() - 1), ("purchase", today())]),
    ] {
        gone += remove(&store, &old).await.values().sum::<u64>();
        let rows = backend.events().await;
        assert_eq!(rows.len() as u64 + gone, all.len() as u64);
        let left = rows.iter().find(|it| old.reason(it.time.div_euclid(DAY), &it.kind).is_some());
        assert!(left.is_none(), "{old:?} leaves {left:?}");
    }
    let last = rules(Some(today() - 3), &[("error", today() - 1), ("purchase", today())]);
    let stays = |event: &&Event| last.reason(event.time.div_euclid(DAY), &event.kind).is_none();
    assert_eq!(ids(&backend.events().await), ids(all.iter().filter(stays)));
}

async fn a_question_about_rows_that_are_gone_is_told_so(backend: Backend) {
    let store = backend.open().await;
    plant(&store, 6).await;
    remove(&store, &rules(Some(today() - 4), &[("page_view", today() - 2)])).await;
    let gone = |back: i64, kinds: Option<&'static str>| {
        let store = store.clone();
        async move {
            let kinds = kinds.map(|kind| vec![kind.to_owned()]);
            let at = (today() - back) * DAY;
            let spans = [(at + 5, at + 6)];
            gone_of(&*store.retention, &spans, kinds.as_deref()).await.unwrap()
        }
    };
    let words = gone(5, None).await.expect("the day is gone");
    assert!(words.contains(&date_of(today() - 5)) && words.contains("[retention]"), "{words}");
    assert!(gone(5, Some("purchase")).await.is_some(), "with every type");
    assert!(gone(3, Some("page_view")).await.unwrap().contains("of type page_view"));
    assert_eq!(gone(3, Some("purchase")).await, None);
    assert_eq!(gone(1, None).await, None);
}

async fn rollups_letters_and_alerts_go_by_age(backend: Backend) {
    let store = backend.open().await;
    let events = plant(&store, 5).await;
    let mut batch = seal(node(2), 1, &[]);
    batch.dead_letters = (0..6)
        .map(|n| floodmark::domain::batch::DeadLetter {
            received_at: (today() - n) * DAY + 5,
            ..crate::support::batches::dead_letter(n as u64)
        })
        .collect();
    store.batches.write(&batch).await.unwrap();
    while !store.rollups.fold(FoldLimits::default()).await.unwrap().done {}
    let alert = |id: &str, cleared: &str| {
        format!(
            "INSERT INTO alerts VALUES ('{id}', '{id}', 5, {cleared}, '{{}}');
             INSERT INTO notifications VALUES ('n-{id}', '{id}', 'fired', 'w', '', 5, 5, 1, 6, NULL);"
        )
    };
    let (before, now) = ((today() - 2) * DAY, now_ms());
    let sql = [
        alert("old", &(before - 5).to_string()),
        alert("new", &now.to_string()),
        alert("on", "NULL"),
    ];
    backend.run(&sql.concat()).await;
    for what in [Trimmed::Rollups, Trimmed::DeadLetters, Trimmed::Alerts] {
        while store.retention.trim(what, before).await.unwrap() > 0 {}
    }
    let minutes = store.rollups.minutes(0, Millis::MAX, None).await.unwrap();
    let counted: i64 = minutes
        .iter()
        .filter(|(_, series, _)| series.to_string().starts_with("c:"))
        .map(|(_, _, value)| value)
        .sum();
    assert_eq!(counted, events.iter().filter(|event| event.time >= before).count() as i64);
    assert!(minutes.iter().all(|(minute, ..)| *minute >= before));
    assert!(store.rollups.known().await.unwrap().since >= Some(before));
    assert_eq!(store.breakdowns.since().await.unwrap().complete, Some(before));
    assert_eq!(backend.dead_letters().await.len(), 3, "of today and two days before");
    assert_eq!(store.info.totals().await.unwrap().events, events.len() as u64, "rows stay");
    for table in ["alerts", "notifications"] {
        assert_eq!(count(&backend, table).await, 2, "{table}");
    }
    assert_eq!(delta_of(&backend.events().await), ledger_total(&store).await);
}

async fn count(backend: &Backend, table: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {table}");
    match backend {
        Backend::Sqlite(dir) => {
            let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
            db.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
        }
        Backend::Postgres(postgres) => postgres.sql(&sql).await[0][0].parse().unwrap(),
    }
}

/// Late events of a day come all the time while its types are removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_a_day_is_copied_is_there_once() {
    let backend = Backend::postgres();
    let store = backend.open().await;
    let day = today() - 3;
    let of = move |seq: u64, events: u64| -> Vec<Event> {
        let first = seq * 10_000;
        let at = move |n: u64| day * DAY + (n % 80_000_000) as Millis;
        (first..first + events).map(|n| Event { time: at(n), ..event(n) }).collect()
    };
    for seq in 1..=40 {
        store.batches.write(&seal(node(1), seq, &of(seq, 500))).await.unwrap();
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..4u64)
        .map(|lane| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let mut sent = Vec::new();
                for round in 0.. {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let seq = 1_000 + round * 4 + lane;
                    let events = of(seq, 20);
                    let mut batch = seal(node(9), seq, &events);
                    batch.after = (round > 0).then(|| seal(node(9), seq - 4, &[]).id);
                    let stored = Written::Stored { events: 20, poisoned: 0 };
                    assert_eq!(store.batches.write(&batch).await.unwrap(), stored);
                    sent.extend(events);
                }
                sent
            })
        })
        .collect();
    let old = rules(None, &[("page_view", today() - 1)]);
    let removed = remove(&store, &old).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut all: Vec<Event> = (1..=40).flat_map(|seq| of(seq, 500)).collect();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    let rows = backend.events().await;
    let gone: u64 = removed.values().sum();
    assert_eq!(rows.len() as u64 + gone, all.len() as u64, "each row once, or removed");
    let stays = |event: &&Event| event.kind != "page_view";
    assert_eq!(ids(rows.iter().filter(stays)), ids(all.iter().filter(stays)));
    assert!(gone >= 12_000, "{gone}");
    let Backend::Postgres(postgres) = &backend else { unreachable!() };
    let left = "SELECT tgname::text FROM pg_trigger WHERE tgname = 'keep_late' UNION ALL
                SELECT relname::text FROM pg_class WHERE relname ~ '^events.*_(copy|gone)$'";
    assert_eq!(postgres.sql(left).await, [[""; 1]; 0], "nothing of the work is left");
}

/// What a kill between two transactions leaves is finished or taken back.
#[tokio::test]
async fn what_a_kill_has_left_is_finished() {
    let backend = Backend::postgres();
    let store = backend.open().await;
    let all = plant(&store, 6).await;
    let Backend::Postgres(postgres) = &backend else { unreachable!() };
    let name = |back: i64| format!("events_{}", date_of(today() - back).replace('-', ""));
    // One day was detached and not counted, another was being copied.
    let (gone, copied) = (name(5), name(3));
    let sql = format!(
        "ALTER TABLE events DETACH PARTITION {gone}; ALTER TABLE {gone} RENAME TO {gone}_gone;
         INSERT INTO removed_rows VALUES ('{}', '', 'age', 0, 5, NULL);
         CREATE TABLE {copied}_copy (LIKE events INCLUDING ALL);
         INSERT INTO {copied}_copy SELECT * FROM {copied} LIMIT 7;
         CREATE TRIGGER keep_late AFTER INSERT ON {copied} FOR EACH ROW
             EXECUTE FUNCTION keep_late_event('{copied}_copy')",
        date_of(today() - 5)
    );
    postgres.sql(&sql).await;
    let old = rules(Some(today() - 4), &[("error", today() - 2)]);
    let removed = remove(&store, &old).await;
    assert_eq!(removed, expected(&old, &all));
    assert_eq!(noted(&store).await, removed);
    let stays = |event: &&Event| old.reason(event.time.div_euclid(DAY), &event.kind).is_none();
    assert_eq!(ids(&backend.events().await), ids(all.iter().filter(stays)));
}
