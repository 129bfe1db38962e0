//! Tests of the behaviour that every store must have, run against each of them.

use floodmark::{
    domain::{
        batch::{Batch, BatchId, DeadLetter},
        row::Row,
        time::SECOND,
    },
    store::{Missing, StoreTotals, Written},
};

use crate::{
    backend::{Backend, delta_of, ledger_total, node},
    parts::a_batch_that_comes_in_parts_is_whole_before_the_next,
    support::{
        batches::{Event, START, batch, dead_letter, event},
        ledger::sum_of,
    },
};

macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Backend::sqlite()).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Backend::postgres()).await;
                }
            )+
        }
    };
}

pub(crate) use contract;

contract!(
    every_event_is_stored_once,
    rows_of_before_source_and_dialect_are_stored_with_those_of_today,
    a_replay_changes_nothing,
    a_replay_on_many_lanes_at_once_changes_nothing,
    the_ledger_is_the_sum_of_the_rows,
    the_ledger_is_summed_since_a_moment,
    dead_letters_are_kept_with_their_batch,
    a_refused_event_with_an_id_that_is_sent_again_is_one_dead_letter,
    lanes_with_the_same_dead_letters_do_not_stand_in_each_others_way,
    a_restart_keeps_everything,
    a_void_batch_moves_its_lane_on,
    a_reader_does_not_wait_for_writers,
    only_the_next_batch_of_a_lane_is_taken,
    a_batch_that_comes_in_parts_is_whole_before_the_next,
    a_replay_is_compared_with_what_is_stored,
    what_is_missing_is_noted_and_the_next_batch_follows,
);

pub(crate) fn stored(events: u64) -> Written {
    Written::Stored { events, poisoned: 0 }
}

async fn every_event_is_stored_once(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=6 {
        let written = store.batches.write(&batch(node(1), seq, 100)).await.unwrap();
        assert_eq!(written, stored(100));
    }
    let events = backend.events().await;
    assert_eq!(events.len(), 600);
    for (n, found) in events.iter().enumerate() {
        let sent = event(n as u64);
        assert_eq!(
            (&found.id, found.time, &found.kind, &found.user, &found.session),
            (&sent.id, sent.time, &sent.kind, &sent.user, &sent.session)
        );
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(json(&found.properties), json(&sent.properties));
    }
    store.info.check().await.unwrap();
}

async fn rows_of_before_source_and_dialect_are_stored_with_those_of_today(backend: Backend) {
    let store = backend.open().await;
    let mut rows = Vec::new();
    for (id, source) in [("new", Some("web")), ("old", None)] {
        let event = Event::at(START, id);
        let mut row = Vec::new();
        Row { source, dialect: source.map(|_| "native"), ..event.row() }.encode(&mut row);
        if source.is_none() {
            // An earlier version wrote seven fields: no source and no dialect.
            row.truncate(row.len() - 8);
            row[..2].copy_from_slice(&7i16.to_be_bytes());
        }
        rows.push(row);
    }
    // Each chunk has one form; small and large ones go different ways to COPY.
    rows[1] = rows[1].repeat(2_000);
    let mut batch = batch(node(1), 1, 0);
    (batch.events, batch.rows) = (2_001, rows.into_iter().map(Into::into).collect());
    assert_eq!(store.batches.write(&batch).await.unwrap(), stored(2_001));
    let sources = backend.sources().await;
    assert_eq!(sources, [("web native".to_owned(), 1), ("- -".to_owned(), 2_000)]);
}

async fn a_replay_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    let mut first = batch(node(1), 1, 50);
    first.dead_letters.push(dead_letter(1));
    for seq in [1, 5] {
        let mut batch = batch(node(1), seq, 50);
        batch.dead_letters = first.dead_letters.clone();
        assert_eq!(store.batches.write(&batch).await.unwrap(), stored(50));
    }
    // These are the last batch of the lane and one before it. Batches of another lane and another
    // node are not affected.
    for seq in [5, 1] {
        let again = store.batches.write(&batch(node(1), seq, 50)).await.unwrap();
        assert_eq!(again, Written::AlreadyStored);
    }
    assert_eq!(store.batches.write(&batch(node(1), 2, 50)).await.unwrap(), stored(50));
    assert_eq!(store.batches.write(&batch(node(2), 1, 50)).await.unwrap(), stored(50));
    let totals = store.info.totals().await.unwrap();
    let expected = StoreTotals { events: 200, dead_letters: 2, ledger_events: 200 };
    assert_eq!(totals, expected);
}

async fn a_replay_on_many_lanes_at_once_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    // Three writers write every batch at the same time, as happens after a lost answer.
    let mut written = 0;
    for round in 0..4u64 {
        let writes = (1..=4).flat_map(|lane| [round * 4 + lane; 3]).map(|seq| {
            let store = store.clone();
            tokio::spawn(
                async move { store.batches.write(&batch(node(1), seq, 30)).await.unwrap() },
            )
        });
        for write in futures_util::future::join_all(writes).await {
            written += u64::from(write.unwrap() == stored(30));
        }
    }
    assert_eq!(written, 16);
    assert_eq!(store.info.totals().await.unwrap().events, 16 * 30);
    let events = backend.events().await;
    assert_eq!(ledger_total(&store).await, delta_of(&events));
}

async fn the_ledger_is_the_sum_of_the_rows(backend: Backend) {
    let store = backend.open().await;
    for seq in 1..=9 {
        for n in 1..=2 {
            store.batches.write(&batch(node(n), seq, 40 + seq)).await.unwrap();
        }
    }
    let events = backend.events().await;
    assert_eq!(ledger_total(&store).await, delta_of(&events));

    let ledger = sum_of(&*store.ledger, 0, 0).await.unwrap();
    for (lane, last) in [(0, 8), (1, 9), (2, 6), (3, 7)] {
        for n in 1..=2 {
            assert_eq!(ledger.lanes[lane].last.get(&node(n)), Some(&last), "lane {lane}");
        }
        assert_eq!(ledger.lanes[lane].last.len(), 2);
    }
    let one = batch(node(2), 7, 47);
    assert_eq!(store.ledger.delta(one.id).await.unwrap(), Some((*one.delta).clone()));
    let mut none = one.id;
    none.seq = 10;
    assert_eq!(store.ledger.delta(none).await.unwrap(), None);
}

async fn the_ledger_is_summed_since_a_moment(backend: Backend) {
    let store = backend.open().await;
    // 100 events span 9.7 s: batches 1 to 8 begin at 0 s, 9.7 s, 19.4 s, …
    let batches: Vec<Batch> = (1..=8).map(|seq| batch(node(1), seq, 100)).collect();
    for batch in &batches {
        store.batches.write(batch).await.unwrap();
    }
    let last_second = |batch: &Batch| batch.delta.span().unwrap().1;
    let since = last_second(&batches[2]);
    let visitors_since = batches[6].sealed_at;
    let ledger = sum_of(&*store.ledger, since, visitors_since).await.unwrap();
    let events: u64 = ledger.lanes.iter().map(|lane| lane.delta.events).sum();
    assert_eq!(events, 600, "batches 3 to 8");
    // Lane 3 has batches 3 and 7, and the visitors of 7 only; lane 1 has no visitors.
    assert_eq!(ledger.lanes[3].delta.visitors(), batches[6].delta.visitors());
    assert!(ledger.lanes[1].delta.visitors().is_empty());

    // A millisecond later batch 3 is too old; the last batch of every lane stays.
    let ledger = sum_of(&*store.ledger, since + SECOND, START * 2).await.unwrap();
    let events: u64 = ledger.lanes.iter().map(|lane| lane.delta.events).sum();
    assert_eq!(events, 500);
    assert_eq!(ledger.lanes[3].last[&node(1)], 7);

    // If only the visitors of a batch are asked for, its cells are not returned.
    let ledger = sum_of(&*store.ledger, START * 2, 0).await.unwrap();
    assert_eq!(ledger.lanes[0].delta.cells().count(), 0);
    assert_eq!(ledger.lanes[0].delta.events, 0);
    assert!(!ledger.lanes[0].delta.visitors().is_empty());
}

async fn dead_letters_are_kept_with_their_batch(backend: Backend) {
    let store = backend.open().await;
    let mut first = batch(node(1), 1, 10);
    first.dead_letters = (0..3).map(dead_letter).collect();
    // This batch has refused events only.
    let mut second = Batch::void(first.id);
    second.id.seq = 2;
    second.dead_letters = vec![dead_letter(9)];
    assert_eq!(store.batches.write(&first).await.unwrap(), stored(10));
    assert_eq!(store.batches.write(&second).await.unwrap(), stored(0));
    let letters = backend.dead_letters().await;
    let found: Vec<_> = letters.iter().map(|letter| (letter.0, &*letter.1)).collect();
    assert_eq!(found, [1, 1, 1, 2].map(|seq| (seq, "invalid_type")).to_vec());
    assert!(letters[3].2.starts_with("{\"n\":9, \"nul\":\""), "{letters:?}");
    assert!(letters[3].2.ends_with("ü"), "{letters:?}");
}

async fn a_refused_event_with_an_id_that_is_sent_again_is_one_dead_letter(backend: Backend) {
    let store = backend.open().await;
    let letter = |raw: &str, n: u64| DeadLetter {
        raw: raw.to_owned(),
        digest: raw.contains("id").then(|| DeadLetter::digest_of(raw.as_bytes())),
        ..dead_letter(n)
    };
    let identified = r#"{"id":"a","type":7}"#;
    let others = [r#"{"id":"a","type":8}"#, r#"{"id":7,"type":7}"#, r#"{"type":7}"#, "{"];
    // The same event comes again: in the same batch, in a later batch of another lane, and from
    // another node.
    for (node, seq) in [(node(1), 1), (node(1), 2), (node(2), 1)] {
        let mut batch = batch(node, seq, 10);
        batch.dead_letters = vec![letter(identified, seq), letter(identified, 9)];
        batch.dead_letters.extend(others.map(|raw| letter(raw, seq)));
        assert_eq!(store.batches.write(&batch).await.unwrap(), stored(10));
    }
    let letters = backend.dead_letters().await;
    let count = |raw: &str| letters.iter().filter(|letter| letter.2 == raw).count();
    assert_eq!(count(identified), 2, "one a node");
    // The same id with other bytes is another event. Events without an id can't be compared, so
    // each is kept.
    assert_eq!(others.map(count), [2, 2, 3, 3]);
}

async fn lanes_with_the_same_dead_letters_do_not_stand_in_each_others_way(backend: Backend) {
    let store = backend.open().await;
    for round in 0..4u64 {
        let letter = |n| {
            let raw = format!(r#"{{"id":"{n}","type":{round}}}"#);
            let digest = Some(DeadLetter::digest_of(raw.as_bytes()));
            DeadLetter { raw, digest, ..dead_letter(n) }
        };
        let letters: Vec<_> = (0..2_000).map(letter).collect();
        let writes = (1..=4).map(|lane| {
            let mut batch = Batch::void(batch(node(1), round * 4 + lane, 1).id);
            batch.dead_letters = letters.clone();
            if lane % 2 == 0 {
                batch.dead_letters.reverse();
            }
            let store = store.clone();
            tokio::spawn(async move { store.batches.write(&batch).await })
        });
        for written in futures_util::future::join_all(writes).await {
            assert_eq!(written.unwrap().unwrap(), stored(0));
        }
    }
    assert_eq!(store.info.totals().await.unwrap().dead_letters, 4 * 2_000);
}

async fn a_restart_keeps_everything(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&batch(node(1), 1, 20)).await.unwrap();
    store.batches.write(&batch(node(1), 2, 20)).await.unwrap();
    let before = ledger_total(&store).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(ledger_total(&store).await, before);
    let again = store.batches.write(&batch(node(1), 2, 20)).await.unwrap();
    assert_eq!(again, Written::AlreadyStored);
    assert_eq!(store.batches.write(&batch(node(1), 3, 20)).await.unwrap(), stored(20));
    assert_eq!(store.info.totals().await.unwrap().events, 60);
}

async fn a_void_batch_moves_its_lane_on(backend: Backend) {
    let store = backend.open().await;
    let void = |seq| Batch::void(batch(node(1), seq, 1).id);
    assert_eq!(store.batches.write(&void(1)).await.unwrap(), stored(0));
    assert_eq!(store.batches.write(&void(1)).await.unwrap(), Written::AlreadyStored);
    assert_eq!(store.batches.write(&void(5)).await.unwrap(), stored(0));
    let ledger = sum_of(&*store.ledger, 0, 0).await.unwrap();
    assert_eq!(ledger.lanes[1].last[&node(1)], 5);
    assert!(ledger.lanes[1].delta.is_empty());
}

async fn a_reader_does_not_wait_for_writers(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&batch(node(1), 1, 20)).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for seq in 2..=60 {
                store.batches.write(&batch(node(1), seq, 50)).await.unwrap();
            }
        })
    };
    // A read sees the ledger at a single moment, so its heads and sums agree.
    while !writer.is_finished() {
        let ledger = sum_of(&*store.ledger, 0, 0).await.unwrap();
        for (lane, sum) in ledger.lanes.iter().enumerate() {
            let last = sum.last.get(&node(1)).copied().unwrap_or(0);
            let batches = (1..=last).filter(|seq| seq % 4 == lane as u64).count() as u64;
            let first = if lane == 1 { 20 } else { 50 };
            let events = batches.saturating_sub(1) * 50 + if batches > 0 { first } else { 0 };
            assert_eq!(sum.delta.events, events);
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

/// Batch `seq` of a run of node 1, which follows on `after`.
pub(crate) fn of_run(run: u128, seq: u64, after: Option<(u128, u64)>) -> Batch {
    let id = |run, seq| BatchId { run: node(run), seq };
    let after = after.map(|(run, seq)| id(run, seq));
    Batch { id: id(run, seq), after, ..batch(node(1), seq, 10) }
}

async fn only_the_next_batch_of_a_lane_is_taken(backend: Backend) {
    let store = backend.open().await;
    let write = async |batch: Batch| store.batches.write(&batch).await.unwrap();
    assert_eq!(write(of_run(1, 5, Some((1, 1)))).await, Written::Gap);
    assert_eq!(write(of_run(1, 1, None)).await, stored(10));
    assert_eq!(write(of_run(1, 9, Some((1, 5)))).await, Written::Gap);
    assert_eq!(write(of_run(1, 5, Some((1, 1)))).await, stored(10));
    // Two runs go on from the same batch: a data dir was copied.
    assert_eq!(write(of_run(2, 9, Some((1, 5)))).await, stored(10));
    assert_eq!(write(of_run(3, 9, Some((1, 5)))).await, stored(10));
    assert_eq!(write(of_run(4, 13, Some((1, 9)))).await, Written::Gap, "run 1 has no batch 9");
    assert_eq!(write(of_run(2, 9, Some((1, 5)))).await, Written::AlreadyStored);
    let heads = async |run| store.batches.heads(node(run)).await.unwrap().map(|head| head.seq);
    assert_eq!(heads(1).await, [0, 5, 0, 0]);
    assert_eq!(heads(3).await, [0, 9, 0, 0]);
    assert_eq!(store.info.totals().await.unwrap().events, 40);
}

async fn a_replay_is_compared_with_what_is_stored(backend: Backend) {
    let store = backend.open().await;
    let whole = batch(node(1), 1, 20);
    assert_eq!(store.batches.write(&whole).await.unwrap(), stored(20));
    let part = Batch { after: None, ..batch(node(1), 1, 10) };
    let differs =
        Written::Differs { events: 20, whole_events: 20, delta: whole.delta.encode_cells() };
    assert_eq!(store.batches.write(&part).await.unwrap(), differs);
    // A batch whose bytes a damaged disk has lost says nothing of what is stored.
    let void = Batch::void(whole.id);
    assert_eq!(store.batches.write(&void).await.unwrap(), Written::AlreadyStored);
    assert_eq!(store.info.totals().await.unwrap().events, 20);
}

async fn what_is_missing_is_noted_and_the_next_batch_follows(backend: Backend) {
    let store = backend.open().await;
    store.batches.write(&batch(node(1), 1, 10)).await.unwrap();
    let id = |seq| BatchId { run: node(1), seq };
    let missing = Missing { node: node(7), first: id(5), last: id(13), events: Some(30) };
    for _ in 0..2 {
        store.batches.skip(&missing, None, 0).await.unwrap();
    }
    assert_eq!(missing.batches(), 3);
    assert_eq!(store.batches.write(&batch(node(1), 17, 10)).await.unwrap(), stored(10));
    assert_eq!(store.batches.missing(node(7)).await.unwrap(), [missing]);
    assert_eq!(store.batches.missing(node(8)).await.unwrap(), []);
}
