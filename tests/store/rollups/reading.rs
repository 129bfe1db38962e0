//! Reads of the rollups: sums over spans of time, and how far back these are known.

use super::*;

contract!(
    a_sum_stops_at_the_end_of_its_type,
    known_is_what_was_taken_in_and_folded,
    stretches_are_half_open_and_in_order,
);

async fn a_sum_stops_at_the_end_of_its_type(backend: Backend) {
    let store = backend.open().await;
    for (seq, value) in [(1, i64::MAX - 1), (2, 5), (3, i64::MIN + 1), (4, i64::MIN + 1)] {
        let mut batch = Batch::void(BatchId { run: node(1), seq });
        let mut sum = DeltaSum::default();
        sum.sum(&Series::revenue(), START + (seq as Millis / 3) * MINUTE, value);
        batch.delta = sum.finish().into();
        store.batches.write(&batch).await.unwrap();
        fold_all(&store, SMALL).await;
    }
    let minutes = store.rollups.minutes(START, START + HOUR, None).await.unwrap();
    let values: Vec<i64> = minutes.iter().map(|minute| minute.2).collect();
    assert_eq!(values, [i64::MAX, i64::MIN + 1]);
    let revenue = Summed::One(Series::revenue());
    let stretches = [(START, START + MINUTE), (START, START + HOUR)];
    let sums = store.rollups.sums(&stretches, &revenue).await.unwrap();
    assert_eq!(sums, [Some(i64::MAX), Some(0)]);
}

async fn known_is_what_was_taken_in_and_folded(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.rollups.known().await.unwrap(), Known::default());
    store.batches.write(&Batch::void(BatchId { run: node(1), seq: 1 })).await.unwrap();
    assert_eq!(store.rollups.known().await.unwrap(), Known::default(), "a void batch says nothing");
    fold_all(&store, SMALL).await;
    assert_eq!(store.rollups.known().await.unwrap(), Known::default());

    // The first batch of the first day holds a late event of the day before. That does not make the
    // day before known.
    let first = seal(node(1), 2, &[Event::at(START - 9 * DAY, "a"), Event::at(START, "b")]);
    store.batches.write(&first).await.unwrap();
    let waiting = Known { since: None, until: Some(START) };
    assert_eq!(store.rollups.known().await.unwrap(), waiting);
    fold_all(&store, SMALL).await;
    let known = Known { since: Some(START), until: None };
    assert_eq!(store.rollups.known().await.unwrap(), known);

    // Another node joins. The rollups are known up to the oldest batch that is not folded yet.
    store.batches.write(&sealed_at(batch(node(2), 1, 5), START + HOUR)).await.unwrap();
    store.batches.write(&sealed_at(batch(node(1), 6, 5), START + 2 * HOUR)).await.unwrap();
    let waiting = Known { until: Some(START + HOUR), ..known };
    assert_eq!(store.rollups.known().await.unwrap(), waiting);
    fold_all(&store, SMALL).await;
    assert_eq!(store.rollups.known().await.unwrap(), known);

    // Deleting ledger rows does not change which spans are known.
    assert_eq!(store.rollups.drop_folded(START + DAY, 0, 100).await.unwrap(), 4);
    assert_eq!(store.rollups.known().await.unwrap(), known);
}

async fn stretches_are_half_open_and_in_order(backend: Backend) {
    let store = backend.open().await;
    // Each of the minutes 0 to 9 has as many page views as its number, and one error.
    let mut events = Vec::new();
    for minute in 0..10 {
        for n in 0..=minute {
            let at = START + minute * MINUTE + n;
            let mut event = Event::at(at, format!("{minute}-{n}"));
            if n == 0 {
                event.kind = "error".to_owned();
            }
            events.push(event);
        }
    }
    store.batches.write(&seal(node(1), 1, &events)).await.unwrap();
    fold_all(&store, SMALL).await;
    let (views, errors) = (Series::Count("page_view".into()), Series::Count("error".into()));
    let at = |minute: i64| START + minute * MINUTE;

    let found = store.rollups.minutes(at(3), at(5), None).await.unwrap();
    let expected = [
        (at(3), errors.clone(), 1),
        (at(3), views.clone(), 3),
        (at(4), errors.clone(), 1),
        (at(4), views.clone(), 4),
    ];
    assert_eq!(found, expected);
    let none = Series::Count("none".into());
    let found =
        store.rollups.minutes(at(0), at(3), Some(&[views.clone(), none.clone()])).await.unwrap();
    assert_eq!(found, [(at(1), views.clone(), 1), (at(2), views.clone(), 2)]);
    assert_eq!(store.rollups.minutes(at(0), at(9), Some(&[])).await.unwrap(), []);

    let stretches = [(at(8), at(10)), (at(0), at(3)), (at(10), at(20)), (at(5), at(5))];
    for (summed, expected) in [
        (Summed::One(views), [Some(17), Some(3), None, None]),
        (Summed::AllCounts, [Some(19), Some(6), None, None]),
        (Summed::One(none), [None; 4]),
    ] {
        let sums = store.rollups.sums(&stretches, &summed).await.unwrap();
        assert_eq!(sums, expected, "{summed:?}");
    }
    assert_eq!(store.rollups.sums(&[], &Summed::AllCounts).await.unwrap(), []);
}
