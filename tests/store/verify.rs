//! Whether a day is what its events say, on both stores: nothing differs in what was written, also while
//! writers and folds go on; each planted fault is found in its minute and series, with the values of each part;
//! what was removed by the rules is explained, and nothing else.

use floodmark::{
    config::Config,
    domain::time::{DAY, HOUR, MINUTE, Millis, bucket},
    store::{
        Stores,
        forget::{DataSubject, forget},
        rollup::{
            remake::RemakeAsked,
            verify::{DayAsked, DayVerdict, StoredDay},
        },
    },
};

use crate::{
    backend::{Backend, node},
    contract::contract,
    rollups::{SMALL, fold_all},
    support::batches::{START, batch},
};

contract!(
    what_was_written_agrees_folded_or_not,
    each_planted_fault_is_found_where_it_is,
    what_was_dropped_or_removed_is_explained_and_nothing_else,
    a_day_agrees_while_it_is_written_and_folded,
);

/// Midnight before [`START`].
const MIDNIGHT: Millis = START - 8 * HOUR;

async fn read(store: &Stores) -> (StoredDay, DayVerdict) {
    let rules = Config::default().rules.metric_set;
    let (from, to) = (MIDNIGHT, MIDNIGHT + DAY);
    let day = RemakeAsked { from, to, metric_set: rules.clone(), max_types: 200, archived: None };
    let sums = store.days.read_day(&DayAsked { day, with_rows: true }).await.unwrap();
    let verdict = sums.compare(&rules);
    (sums, verdict)
}

async fn filled(backend: &Backend, batches: u64) -> Stores {
    let store = backend.open().await;
    for seq in 1..=batches {
        store.batches.write(&batch(node(1), seq, 500)).await.unwrap();
    }
    store
}

/// The minute of the tenth event of batch `seq`.
fn minute_of(seq: Millis) -> Millis {
    bucket(START + ((seq - 1) * 500 + 10) * 97, MINUTE)
}

async fn what_was_written_agrees_folded_or_not(backend: Backend) {
    let store = filled(&backend, 8).await;
    let (sums, unfolded) = read(&store).await;
    assert_eq!((unfolded.different, sums.events), (0, 4_000));
    assert!(unfolded.sums > 40 && unfolded.with_ledger == unfolded.sums, "{unfolded:?}");
    store.rollups.fold(SMALL).await.unwrap();
    assert_eq!(read(&store).await.1, unfolded);
    fold_all(&store, SMALL).await;
    assert_eq!(read(&store).await.1, unfolded);
    let days = store.days.days().await.unwrap();
    assert_eq!(days.into_iter().collect::<Vec<_>>(), [START.div_euclid(DAY)]);
}

async fn each_planted_fault_is_found_where_it_is(backend: Backend) {
    let store = filled(&backend, 8).await;
    fold_all(&store, SMALL).await;
    let at = minute_of(3);
    // The series that differ, all of them in that minute, and the values of the first.
    let found = async |what: &str| {
        let verdict = read(&store).await.1;
        assert!(verdict.differences.iter().all(|it| it.minute == at), "{what}: {verdict:?}");
        let series: Vec<String> = verdict.differences.iter().map(|it| it.series.clone()).collect();
        let first = verdict.differences.first();
        (series, first.map(|it| [it.rows, it.ledger, it.rollups].map(|value| value.unwrap())))
    };
    // One row is changed: event 1008 is a purchase of 8.08 USD, in batch 3.
    let price = |from: &str, to: &str| {
        match &backend {
        Backend::Sqlite(_) => format!(
            "UPDATE events SET properties = replace(properties, '\"amount\": {from},', '\"amount\": {to},')
             WHERE id = 'event-1008'"
        ),
        Backend::Postgres(_) => format!(
            "UPDATE events SET properties = jsonb_set(properties, '{{amount}}', '{to}')
             WHERE id = 'event-1008'"
        ),
    }
    };
    backend.run(&price("8.08", "8.07")).await;
    let (series, values) = found("changed").await;
    assert_eq!(series, ["m:USD:revenue", "s:revenue"]);
    let [rows, ledger, rollups] = values.unwrap();
    assert_eq!((rows + 100, ledger), (ledger, rollups));
    backend.run(&price("8.07", "8.08")).await;
    assert_eq!(found("put back").await.0, [""; 0]);
    // One row is added. Event 1011 is a page view.
    let columns = "time, received_at, id, type, user_id, session_id, properties, source, dialect";
    let selected = columns.replace(" id,", " 'made-up',");
    let add = format!(
        "INSERT INTO events ({columns}) SELECT {selected} FROM events WHERE id = 'event-1011'"
    );
    backend.run(&add).await;
    let (series, values) = found("added").await;
    assert_eq!(series[0], "c:page_view");
    let [rows, ledger, rollups] = values.unwrap();
    assert_eq!((rows - 1, ledger), (ledger, rollups));
    backend.run("DELETE FROM events WHERE id = 'made-up'").await;
    // One minute of the rollups is altered.
    let alter =
        format!("UPDATE rollups SET value = value + 1 WHERE series = 'c:error' AND minute = {at}");
    backend.run(&alter).await;
    let (series, values) = found("altered").await;
    assert_eq!(series, ["c:error"]);
    let [rows, ledger, rollups] = values.unwrap();
    assert_eq!((rows, ledger), (ledger, rollups - 1));
    backend.run(&alter.replace("+ 1", "- 1")).await;
    // One row is removed, and nobody has noted it.
    backend.run("DELETE FROM events WHERE id = 'event-1011'").await;
    let (series, values) = found("removed").await;
    assert_eq!(series[0], "c:page_view");
    let [rows, ledger, rollups] = values.unwrap();
    assert_eq!((rows + 1, ledger), (ledger, rollups));
    assert_eq!(read(&store).await.1.explained_rows, 0);
    // One row of the ledger gets the numbers of another, and then none that can be read.
    let before = read(&store).await.1;
    let delta =
        "UPDATE ledger SET delta = (SELECT l.delta FROM ledger l WHERE l.seq = 7) WHERE seq = 6";
    backend.run(delta).await;
    let verdict = read(&store).await.1;
    let altered: Vec<_> = verdict.differences.iter().filter(|it| it.rows == it.rollups).collect();
    assert!(altered.len() > 3 && altered.iter().all(|it| it.ledger != it.rows), "{verdict:?}");
    assert!(verdict.different > before.different);
    let empty = match &backend {
        Backend::Sqlite(_) => "x''",
        Backend::Postgres(_) => "''::bytea",
    };
    backend.run(&format!("UPDATE ledger SET delta = {empty} WHERE seq = 6")).await;
    let (sums, _) = read(&store).await;
    let [named] = &sums.unreadable[..] else { panic!("{:?}", sums.unreadable) };
    assert!(named.starts_with("batch 6 of run 00000000-"), "{named}");
}

async fn what_was_dropped_or_removed_is_explained_and_nothing_else(backend: Backend) {
    let store = filled(&backend, 8).await;
    fold_all(&store, SMALL).await;
    // The ledger lets the first batches go.
    let last = batch(node(1), 3, 500).delta.span().unwrap().1;
    assert!(store.rollups.drop_folded(last + 1, 0, 100).await.unwrap() > 0);
    let (sums, verdict) = read(&store).await;
    assert!(
        sums.ledger_from > minute_of(1) && sums.ledger_from <= minute_of(8),
        "{}",
        sums.ledger_from
    );
    assert!(verdict.with_ledger > 0 && verdict.with_ledger < verdict.sums);
    assert_eq!(verdict.different, 0, "{verdict:?}");
    // Somebody is forgotten: that is known by number.
    let person = DataSubject::User("user-3".to_owned());
    forget(&store, &person, START).await.unwrap().unwrap();
    let (_, verdict) = read(&store).await;
    assert_eq!(verdict.different, 0, "{verdict:?}");
    assert!(verdict.explained_rows > 20 && verdict.explained_minutes > 2, "{verdict:?}");
    // One row more than that is not.
    backend.run("DELETE FROM events WHERE id = 'event-2003'").await;
    let (_, verdict) = read(&store).await;
    assert!(verdict.different > 0);
    assert!(verdict.differences.iter().any(|it| it.series == "c:page_view"), "{verdict:?}");
}

async fn a_day_agrees_while_it_is_written_and_folded(backend: Backend) {
    let store = filled(&backend, 4).await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for seq in 5..=24 {
                store.batches.write(&batch(node(1), seq, 200)).await.unwrap();
                store.rollups.fold(SMALL).await.unwrap();
            }
        })
    };
    let mut looks = 0;
    while !writer.is_finished() || looks == 0 {
        let (_, verdict) = read(&store).await;
        assert_eq!(verdict.different, 0, "{verdict:?}");
        looks += 1;
    }
    writer.await.unwrap();
    assert_eq!(read(&store).await.1.different, 0);
}
