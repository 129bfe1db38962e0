//! The chain of hashes, on both stores: rows come back as they were hashed, whatever their JSON; each planted fault
//! is found to its row or batch; what was removed by the rules is explained, and what was written while the chain
//! was off is told apart from what nobody has written.

mod json;
mod removed;

use std::sync::Arc;

use floodmark::{
    domain::{
        batch::{Batch, BatchId},
        time::{HOUR, Millis},
    },
    store::{
        self, Missing, Stores, Written,
        chain::{
            ChainAccount, ChainAsked, ChainBreak, ChainDay, ChainDayVerdict, ChainFinding,
            ChainLinks, FoundAs,
        },
    },
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    backend::{Backend, node},
    contract::{contract, of_run},
    support::batches::{Event, START, batch, event, seal},
};

contract!(
    any_json_comes_back_as_it_was_hashed,
    each_changed_missing_or_added_row_is_named,
    each_broken_link_is_named,
    what_is_written_while_the_chain_is_off_is_told_apart,
    a_row_that_is_refused_and_a_batch_that_is_missing_leave_a_whole_chain,
);

/// A second of 1970, and a time that is as far ahead as that is back.
const ALL: (Millis, Millis) = (1_000, START * 2);

async fn open(backend: &Backend, chain: bool) -> Stores {
    let mut config = backend.config();
    config.ledger.chain = chain;
    store::open(&config).await.unwrap()
}

async fn write(store: &Stores, batch: &Batch) {
    let written = store.batches.write(batch).await.unwrap();
    assert!(matches!(written, Written::Stored { .. }), "{written:?}");
}

async fn filled(backend: &Backend, batches: u64) -> Stores {
    let store = open(backend, true).await;
    for seq in 1..=batches {
        write(&store, &batch(node(1), seq, 500)).await;
    }
    store
}

async fn look(store: &Stores) -> (ChainLinks, ChainDay, ChainDayVerdict) {
    let links = store.chain.chain_links(None).await.unwrap();
    let outside = Arc::from(links.outside.as_slice());
    let asked = ChainAsked { from: ALL.0, to: ALL.1, outside, archived: None };
    let day = store.chain.chain_rows(&asked).await.unwrap();
    let verdict = ChainAccount::default().judge(&day);
    (links, day, verdict)
}

/// Looks, and finds the chain whole and all rows there.
#[track_caller]
fn whole((links, day, verdict): &(ChainLinks, ChainDay, ChainDayVerdict), rows: u64) {
    assert_eq!((links.broken, verdict.different), (0, 0), "{:?} {verdict:?}", links.breaks);
    assert_eq!((day.rows, day.same), (rows, rows));
}

/// An id of batch `seq` of node 1.
fn id(seq: u64) -> BatchId {
    BatchId { run: node(1), seq }
}

/// What is wrong with a row, its id, and its batch and place.
type Named<'a> = (FoundAs, &'a str, Option<(u64, usize)>);

/// Rows as they are named.
fn named(findings: &[ChainFinding]) -> Vec<Named<'_>> {
    let place = |it: &ChainFinding| it.place.map(|(batch, row)| (batch.seq, row));
    findings.iter().map(|it| (it.found, it.id.as_str(), place(it))).collect()
}

async fn any_json_comes_back_as_it_was_hashed(backend: Backend) {
    let store = open(&backend, true).await;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Cases::default(), rng);
    let strategy = json::objects();
    let events: Vec<Event> = (0..1_500)
        .map(|n| {
            let properties = strategy.new_tree(&mut runner).unwrap().current();
            assert!(serde_json::from_str::<&serde_json::value::RawValue>(&properties).is_ok());
            let user = (n % 3 == 0).then(|| format!("ü'\\{n}"));
            Event { properties, user, ..event(n) }
        })
        .collect();
    for (seq, events) in (1..).zip(events.chunks(500)) {
        let written = store.batches.write(&seal(node(1), seq, events)).await.unwrap();
        assert_eq!(written, Written::Stored { events: 500, poisoned: 0 });
    }
    whole(&look(&store).await, 1_500);
}

async fn each_changed_missing_or_added_row_is_named(backend: Backend) {
    let store = filled(&backend, 8).await;
    whole(&look(&store).await, 4_000);
    // Event 1008 is the ninth of batch 3. Each change of a column is one row, and is undone again.
    let changes = match &backend {
        Backend::Sqlite(_) => [
            (
                "properties",
                "replace(properties, '8.08', '8.07')",
                "replace(properties, '8.07', '8.08')",
            ),
            ("received_at", "received_at + 1", "received_at - 1"),
            ("time", "time + 1", "time - 1"),
            ("source", "'web'", "NULL"),
            ("type", "'refund'", "'purchase'"),
        ],
        Backend::Postgres(_) => [
            (
                "properties",
                "jsonb_set(properties, '{amount}', '8.07')",
                "jsonb_set(properties, '{amount}', '8.08')",
            ),
            ("received_at", "received_at + interval '1 us'", "received_at - interval '1 us'"),
            ("time", "time + interval '1 ms'", "time - interval '1 ms'"),
            ("source", "'web'", "NULL"),
            ("type", "'refund'", "'purchase'"),
        ],
    };
    for (column, to, back) in changes {
        backend.run(&format!("UPDATE events SET {column} = {to} WHERE id = 'event-1008'")).await;
        let (links, day, verdict) = look(&store).await;
        assert_eq!((links.broken, verdict.different, day.same), (0, 1, 3_999), "{column}");
        let expected = [(FoundAs::Changed, "event-1008", Some((3, 9)))];
        assert_eq!(named(&verdict.findings), expected, "{column}");
        assert_eq!(verdict.findings[0].time, START + 1_008 * 97);
        backend.run(&format!("UPDATE events SET {column} = {back} WHERE id = 'event-1008'")).await;
        whole(&look(&store).await, 4_000);
    }
    // One is removed, two are added: under a new id, and under one that there is.
    let columns = "time, received_at, id, type, user_id, session_id, properties, source, dialect";
    let copied = |id: &str| {
        let selected = columns.replace(" id,", &format!(" {id},"));
        format!(
            "INSERT INTO events ({columns}) SELECT {selected} FROM events WHERE id = 'event-1011'"
        )
    };
    backend.run(&copied("'made-up'")).await;
    backend.run("DELETE FROM events WHERE id = 'event-2000'").await;
    backend.run(&copied("'event-3999'")).await;
    let (links, day, verdict) = look(&store).await;
    assert_eq!((links.broken, verdict.different, day.same), (0, 3, 3_999));
    let found = named(&verdict.findings);
    let expected = [
        (FoundAs::Added, "event-3999", None),
        (FoundAs::Added, "made-up", None),
        (FoundAs::Missing, "event-2000", Some((5, 1))),
    ];
    assert_eq!(found, expected);
    // A stretch without the missing one has the two others.
    let outside = Arc::from([]);
    let to = START + 2_000 * 97;
    let asked = ChainAsked { from: START, to, outside, archived: None };
    let day = store.chain.chain_rows(&asked).await.unwrap();
    assert_eq!(named(&ChainAccount::default().judge(&day).findings), expected[..2]);
    let links = store.chain.chain_links(Some((START, to))).await.unwrap();
    assert_eq!((links.batches, links.rows), (4, 2_000));
}

async fn each_broken_link_is_named(backend: Backend) {
    let store = filled(&backend, 12).await;
    let blob = |hex: &str| match &backend {
        Backend::Sqlite(_) => format!("x'{hex}'"),
        Backend::Postgres(_) => format!("'\\x{hex}'::bytea"),
    };
    // Keys that are gone leave the rows without anybody who vouches for them.
    backend.run("CREATE TABLE kept AS SELECT * FROM chain").await;
    let restore = "DELETE FROM chain; INSERT INTO chain SELECT * FROM kept";
    let keys = format!("UPDATE chain SET keys = {} WHERE seq = 7", blob("00"));
    backend.run(&keys).await;
    let (links, day, verdict) = look(&store).await;
    assert_eq!((links.broken, day.unreadable), (0, vec![id(7)]));
    assert_eq!(verdict.different, 501, "its rows are vouched for by nobody");
    let breaks = async |sql: &str| {
        backend.run(restore).await;
        backend.run(sql).await;
        look(&store).await
    };
    let (links, day, verdict) = breaks("DELETE FROM chain WHERE seq = 6").await;
    assert_eq!(links.breaks, [ChainBreak::Lost { batch: id(10), before: id(6) }]);
    assert_eq!((verdict.different, day.outside), (0, 500), "they were received in that time");
    let (links, ..) = breaks("DELETE FROM chain WHERE seq = 12").await;
    assert_eq!(links.breaks, [ChainBreak::LastLost(id(12))]);
    let (links, ..) = breaks("UPDATE chain SET sealed_at = sealed_at + 1 WHERE seq = 5").await;
    assert_eq!(links.breaks, [ChainBreak::Changed(id(5))]);
    let hash = format!("UPDATE chain SET hash = {} WHERE seq = 5", blob(&"ab".repeat(32)));
    let (links, ..) = breaks(&hash).await;
    let differs = ChainBreak::Differs { batch: id(9), before: id(5) };
    assert!(links.breaks.contains(&differs) && links.breaks.contains(&ChainBreak::Changed(id(5))));
    assert_eq!(links.broken, 2);
    backend.run(restore).await;
    whole(&look(&store).await, 6_000);
}

async fn what_is_written_while_the_chain_is_off_is_told_apart(backend: Backend) {
    // Batches of a shop whose parts come every two hours.
    let at = |n: u64, hour: i64| -> Vec<Event> {
        let moved = |n: u64| Event { time: START + hour * HOUR + n as Millis, ..event(n) };
        (n * 10..n * 10 + 10).map(moved).collect()
    };
    let off = open(&backend, false).await;
    for (seq, hour) in [(4, 0), (8, 2)] {
        write(&off, &seal(node(1), seq, &at(seq, hour))).await;
    }
    let on = open(&backend, true).await;
    for (seq, hour) in [(12, 4), (16, 6)] {
        write(&on, &seal(node(1), seq, &at(seq, hour))).await;
    }
    let of_run_2 = |seq, hour, after| Batch {
        after: Some(BatchId { run: node(after), seq: seq - 4 }),
        ..seal(node(2), seq, &at(seq, hour))
    };
    write(&off, &of_run_2(20, 8, 1)).await;
    write(&on, &of_run_2(24, 10, 2)).await;
    write(&on, &of_run_2(28, 12, 2)).await;
    // A data dir that is new begins a chain without anything before it.
    let new = Batch { after: None, ..seal(node(3), 4, &at(50, 13)) };
    write(&on, &new).await;
    let (links, day, verdict) = look(&on).await;
    let of_2 = BatchId { run: node(2), seq: 24 };
    let gaps: Vec<BatchId> = links.gaps.iter().map(|(id, _)| *id).collect();
    assert_eq!((links.broken, links.batches, gaps), (0, 5, vec![id(12), of_2]));
    assert_eq!((verdict.different, day.same, day.outside), (0, 50, 30), "{verdict:?}");
    // Who adds a row is found where the chain was on, whatever was off before and after.
    let add = |hour: i64, name: &str| {
        let columns = "id, type, properties, time, received_at";
        let at = START + hour * HOUR;
        let moment = match &backend {
            Backend::Sqlite(_) => format!("{at}"),
            Backend::Postgres(_) => format!("to_timestamp({})", at / 1_000),
        };
        format!("INSERT INTO events ({columns}) VALUES ('{name}', 'a', '{{}}', {moment}, {moment})")
    };
    for (hour, name) in [(1, "unseen"), (5, "first"), (7, "unseen too"), (11, "second")] {
        backend.run(&add(hour, name)).await;
    }
    let (_, day, verdict) = look(&on).await;
    let found = [(FoundAs::Added, "first", None), (FoundAs::Added, "second", None)];
    assert_eq!((named(&verdict.findings), day.outside), (found.to_vec(), 32));
}

async fn a_row_that_is_refused_and_a_batch_that_is_missing_leave_a_whole_chain(backend: Backend) {
    let store = open(&backend, true).await;
    let mut events: Vec<Event> = (0..20).map(event).collect();
    events[7].properties = r#"{"amount":1e200000}"#.to_owned();
    let poisoned = u64::from(matches!(backend, Backend::Postgres(_)));
    let written = store.batches.write(&seal(node(1), 1, &events)).await.unwrap();
    assert_eq!(written, Written::Stored { events: 20 - poisoned, poisoned });
    write(&store, &of_run(1, 5, Some((1, 1)))).await;
    // Nobody has batch 9 any more.
    let missing = Missing { node: node(9), first: id(9), last: id(9), events: None };
    store.batches.skip(&missing, None, 0).await.unwrap();
    write(&store, &of_run(1, 13, Some((1, 9)))).await;
    let void = Batch::void(BatchId { run: node(1), seq: 17 });
    write(&store, &void).await;
    let found = look(&store).await;
    whole(&found, 40 - poisoned);
    let gaps: Vec<BatchId> = found.0.gaps.iter().map(|(id, _)| *id).collect();
    assert_eq!((found.0.batches, gaps), (4, vec![id(13)]));
    // A replay changes nothing.
    let again = store.batches.write(&of_run(1, 13, Some((1, 9)))).await.unwrap();
    assert_eq!(again, Written::AlreadyStored);
    assert_eq!(look(&store).await.0, found.0);
    // The first batch of the next run is missing: the chain goes on, so that all that is older is vouched for.
    let of_2 = BatchId { run: node(2), seq: 21 };
    let missing = Missing { node: node(9), first: of_2, last: of_2, events: None };
    store.batches.skip(&missing, Some(id(17)), 0).await.unwrap();
    write(&store, &of_run(2, 25, Some((2, 21)))).await;
    let links = look(&store).await.0;
    assert_eq!((links.broken, links.batches), (0, 5));
    assert!(links.outside.iter().all(|(from, _)| *from > Millis::MIN), "{:?}", links.outside);
}
