//! What was removed by the rules is explained, and nothing else is.

use floodmark::{
    domain::time::{DAY, MINUTE, Millis, now_ms},
    store::{
        Stores,
        chain::FoundAs,
        forget::{DataSubject, forget},
        retention::{TooOld, date_of},
    },
};

use super::{filled, look, named, open, whole, write};
use crate::{
    backend::{Backend, node},
    contract::contract,
    support::batches::{Event, START, event, seal},
};

contract!(
    a_person_who_is_forgotten_is_explained_and_leaves_nothing_to_compare,
    what_retention_removes_is_explained_and_nothing_else,
    what_is_gone_for_its_age_leaves_only_hashes,
    who_is_forgotten_takes_no_row_of_another_off_the_chain,
);

async fn a_person_who_is_forgotten_is_explained_and_leaves_nothing_to_compare(backend: Backend) {
    let store = filled(&backend, 8).await;
    let theirs = backend.events().await;
    let theirs: Vec<&Event> =
        theirs.iter().filter(|it| it.user.as_deref() == Some("user-3")).collect();
    forget(&store, &DataSubject::User("user-3".to_owned()), START).await.unwrap().unwrap();
    let left = backend.events().await.len() as u64;
    let found = look(&store).await;
    whole(&found, left);
    assert_eq!(found.2.forgotten, 4_000 - left);
    assert!(theirs.len() > 20 && found.2.forgotten >= theirs.len() as u64);
    // Their ids are in no place any more, nor is a seed by which the digests of their batch were made.
    let ids = match &backend {
        Backend::Sqlite(dir) => {
            let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
            let mut select = db.prepare("SELECT places FROM chain").unwrap();
            let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
            rows.map(|row| String::from_utf8_lossy(&row.unwrap()).into_owned()).collect::<String>()
        }
        Backend::Postgres(postgres) => {
            let rows = postgres.sql("SELECT encode(places, 'escape') FROM chain").await;
            rows.into_iter().map(|row| row[0].clone()).collect::<String>()
        }
    };
    assert!(ids.contains("event-1008"));
    for event in theirs {
        // What follows an id is no digit: it is the type of the next row.
        let is_there = ids
            .match_indices(&event.id)
            .any(|(at, id)| !ids[at + id.len()..].starts_with(|next: char| next.is_ascii_digit()));
        assert!(!is_there, "{}", event.id);
    }
    // A row that is gone besides, of the same day and type, is no forgotten one.
    backend.run("DELETE FROM events WHERE id = 'event-2003'").await;
    let (_, _, verdict) = look(&store).await;
    assert_eq!(named(&verdict.findings), [(FoundAs::Missing, "event-2003", Some((5, 4)))]);
    backend
        .run("UPDATE removed_rows SET rows = rows - 1 WHERE reason = 'person' AND type = 'page_view'")
        .await;
    let (_, _, verdict) = look(&store).await;
    assert_eq!(verdict.different, 2, "one more was taken off the chain than was forgotten");
    assert_eq!(verdict.taken_off.into_iter().collect::<Vec<_>>(), [(START.div_euclid(DAY), 1)]);
}

async fn who_is_forgotten_takes_no_row_of_another_off_the_chain(backend: Backend) {
    let store = open(&backend, true).await;
    let of = |user: &str| -> Vec<Event> {
        let theirs = |n| Event { user: Some(user.to_owned()), session: None, ..event(n) };
        (0..20).map(theirs).collect()
    };
    // The same times, types and ids.
    write(&store, &seal(node(1), 1, &of("bert"))).await;
    write(&store, &seal(node(1), 2, &of("anna"))).await;
    forget(&store, &DataSubject::User("anna".to_owned()), START).await.unwrap().unwrap();
    let found = look(&store).await;
    whole(&found, 20);
    assert_eq!(found.2.forgotten, 20);
    // What is left of her batch does not say more than the day.
    let day = START.div_euclid(DAY) * DAY;
    assert!(day < START, "midnight tells nothing apart");
    for at in [day, day + DAY - 1] {
        let links = store.chain.chain_links(Some((at, at + 1))).await.unwrap();
        assert_eq!(links.batches, 1);
    }
}

/// Forty events of each of the last four days, today included; batch `n` has those of a day.
async fn by_day(backend: &Backend) -> Stores {
    let store = open(backend, true).await;
    for (seq, back) in (0..4).rev().enumerate() {
        let seq = seq as u64 + 1;
        let first = seq * 40;
        let day = now_ms().div_euclid(DAY) - back;
        let moved = |n| Event { time: day * DAY + (n - first) as Millis * MINUTE, ..event(n) };
        let events: Vec<Event> = (first..first + 40).map(moved).collect();
        write(&store, &seal(node(1), seq, &events)).await;
    }
    store
}

async fn remove(store: &Stores, old: &TooOld) {
    while !store.retention.remove_some(old).await.unwrap().done {}
}

fn rules(all: i64, by_type: &[(&str, i64)]) -> TooOld {
    let today = now_ms().div_euclid(DAY);
    let by_type = by_type.iter().map(|(kind, back)| ((*kind).to_owned(), today - back)).collect();
    TooOld { all: Some(today - all), by_type }
}

async fn what_retention_removes_is_explained_and_nothing_else(backend: Backend) {
    let store = by_day(&backend).await;
    whole(&look(&store).await, 160);
    // A day as a whole, and errors of the next two.
    remove(&store, &rules(2, &[("error", 0)])).await;
    let left = backend.events().await.len() as u64;
    let found = look(&store).await;
    whole(&found, left);
    assert_eq!(found.2.retained, 160 - left);
    // Event 121 of the day after is no error, and event 81 was one.
    backend.run("DELETE FROM events WHERE id = 'event-84'").await;
    let (_, _, verdict) = look(&store).await;
    assert_eq!(named(&verdict.findings), [(FoundAs::Missing, "event-84", Some((2, 5)))]);
    // Where others of its day and type went by the rules, which one it was can't be told.
    backend.run("UPDATE removed_rows SET rows = rows - 1 WHERE type = 'error' AND rows > 0").await;
    let (_, _, verdict) = look(&store).await;
    let today = now_ms().div_euclid(DAY);
    let unexplained: Vec<_> = verdict.unexplained.into_iter().collect();
    let error = |back: i64| ((today - back, "error".to_owned()), 1);
    assert_eq!(unexplained, [error(2), error(1)]);
    assert_eq!(verdict.different, 3);
    if let Backend::Postgres(_) = &backend {
        // A day that was taken out and is not counted yet explains nothing, so the answer says so.
        assert!(!look(&store).await.1.is_moving);
        let name = date_of(today - 1).replace('-', "");
        backend.run(&format!("CREATE TABLE events_{name}_gone (a int)")).await;
        assert!(look(&store).await.1.is_moving);
    }
}

async fn what_is_gone_for_its_age_leaves_only_hashes(backend: Backend) {
    let store = by_day(&backend).await;
    let old = rules(1, &[]);
    let before = old.all.unwrap() * DAY;
    remove(&store, &old).await;
    assert_eq!(store.chain.thin_chain(before).await.unwrap(), 0, "they were written just now");
    backend.run(&format!("UPDATE chain SET written_at = written_at - {}", 3 * DAY)).await;
    // A file of the archive has rows of the second day.
    let (date, at) = (date_of(before / DAY - 1), before - DAY);
    let file = format!(
        "INSERT INTO archive_files VALUES ('x', '{date}', 'a', 'kept', 1, 1, {at}, {at}, '', 0)"
    );
    backend.run(&file).await;
    assert_eq!(store.chain.thin_chain(before).await.unwrap(), 1);
    backend.run("DELETE FROM archive_files").await;
    assert_eq!(store.chain.thin_chain(before).await.unwrap(), 1);
    assert_eq!(store.chain.thin_chain(before).await.unwrap(), 0);
    let found = look(&store).await;
    whole(&found, 80);
    assert_eq!((found.0.rows, found.2.retained), (160, 80));
    backend.run("UPDATE chain SET keys = NULL, places = NULL WHERE seq = 3").await;
    let (_, _, verdict) = look(&store).await;
    // Nothing was removed of that day: the rows are there, and so is the hole in the chain.
    assert_eq!(verdict.taken_off.into_iter().collect::<Vec<_>>(), [(before / DAY, 40)]);
}
