//! What the chain has of rows and batches, by hand.

use uuid::Uuid;

use super::*;

const SEED_OF_TEST: ChainSeed = [7; 32];

fn id(seq: u64) -> BatchId {
    BatchId { run: Uuid::from_u128(1), seq }
}

fn rows() -> Vec<Row<'static>> {
    let ids = ["a", "b", "c", "d", "e"];
    let row = |(n, id)| Row {
        time: DAY + 1_000 * n as Millis,
        received_at: DAY,
        id,
        kind: if n % 2 == 0 { "page_view" } else { "purchase" },
        user_id: Some("anna"),
        properties: r#"{"amount":8.08}"#,
        ..Row::default()
    };
    ids.into_iter().enumerate().map(row).collect()
}

fn batch(rows: &[Row<'_>], before: Option<ChainLink>) -> ChainedBatch {
    let mut writer = ChainWriter::new(SEED_OF_TEST);
    rows.iter().for_each(|row| writer.add(row));
    writer.finish(id(8), before, Some(id(4)), 5)
}

/// Which rows the batch vouches for.
fn vouched(batch: &ChainedBatch, rows: &[Row<'_>]) -> Vec<bool> {
    let mut scratch = Vec::new();
    let places = batch.places().unwrap();
    let with_digest = rows.iter().zip(places).zip(batch.row_digests());
    with_digest
        .map(|((row, (_, key)), known)| {
            key.is_some_and(|key| digest(&key, row, &mut scratch) == known)
        })
        .collect()
}

#[test]
fn each_row_is_vouched_for_and_a_changed_one_is_not() {
    let mut rows = rows();
    let batch = batch(&rows, None);
    assert_eq!((batch.rows(), batch.times), (5, Some((DAY, DAY + 4_000))));
    assert_eq!(vouched(&batch, &rows), [true; 5]);
    rows[1].properties = r#"{"amount":8.07}"#;
    rows[4].user_id = None;
    assert_eq!(vouched(&batch, &rows), [true, false, true, true, false]);
    let equal: std::collections::BTreeSet<RowDigest> = batch.row_digests().collect();
    assert_eq!(equal.len(), 5, "each row has a key of its own");
}

#[test]
fn a_hash_is_of_all_that_a_batch_says_for_good() {
    let link = ChainLink { id: id(4), hash: [9; 32] };
    let good = batch(&rows(), Some(link));
    assert!(good.follows && good.hash == good.hashed());
    let before = ChainLink { hash: [8; 32], ..link };
    let changes: [fn(&mut ChainedBatch); 6] = [
        |it| it.id.seq += 4,
        |it| it.id.run = Uuid::from_u128(2),
        |it| it.follows = false,
        |it| it.sealed_at += 1,
        |it| it.digests.truncate(4 * DIGEST_BYTES),
        |it| it.digests[17] ^= 1,
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed);
        assert_ne!(changed.hashed(), good.hash);
    }
    assert_ne!(ChainedBatch { before: Some(before), ..good.clone() }.hashed(), good.hash);
    assert_ne!(ChainedBatch { before: None, ..good.clone() }.hashed(), good.hash);
    assert!(
        !batch(&rows(), None).follows,
        "there was a batch before it, and it is not in the chain"
    );
}

#[test]
fn what_is_forgotten_leaves_a_digest_that_nobody_can_compare() {
    let rows = rows();
    let mut batch = batch(&rows, None);
    let (keys, places) = (batch.keys.clone().unwrap(), batch.places.clone().unwrap());
    let digests = batch.digests.clone();
    let is_one = |it: &ForgettableRow<'_>| {
        (it.time, it.kind, it.id) == (DAY + 1_000, "purchase", "b") || it.id == "e"
    };
    assert_eq!(forget(&keys, &places, &digests, |it| it.time == 0), None);
    let RestOfBatch { keys, places, times } = forget(&keys, &places, &digests, is_one).unwrap();
    assert_eq!(times, (DAY, 2 * DAY - 1), "the last row's time is not told any more");
    assert!(!keys.windows(32).any(|part| part == SEED_OF_TEST));
    (batch.keys, batch.places) = (Some(keys.clone()), Some(places.clone()));
    assert_eq!(vouched(&batch, &rows), [true, false, true, true, false]);
    assert_eq!(batch.hashed(), batch.hash, "the chain holds");
    let left = batch.places().unwrap();
    let (place, key) = &left[1];
    assert_eq!((place.time, place.kind.as_str(), &place.id, key), (DAY, "purchase", &None, &None));
    // Another person of the same batch.
    let rest = forget(&keys, &places, &digests, |it| it.id == "a").unwrap();
    (batch.keys, batch.places) = (Some(rest.keys), Some(rest.places));
    assert_eq!(vouched(&batch, &rows), [false, false, true, true, false]);
}

#[test]
fn damaged_keys_and_places_are_none() {
    let good = batch(&rows(), None);
    for (keys, places) in [
        (None, good.places.clone()),
        (Some(vec![]), good.places.clone()),
        (Some(vec![b'x'; 33]), good.places.clone()),
        (Some(vec![SEED; 12]), good.places.clone()),
        (good.keys.clone(), None),
        (good.keys.clone(), Some(good.places.clone().unwrap()[1..].to_vec())),
        (good.keys.clone(), Some(vec![0])),
    ] {
        assert_eq!(ChainedBatch { keys, places, ..good.clone() }.places(), None);
    }
}
