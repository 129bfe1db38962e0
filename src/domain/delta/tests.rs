//! The laws of deltas: they may be merged in any order, what is encoded is decoded again, and
//! bytes that are no delta never panic.

use proptest::prelude::*;

use super::*;

fn deltas() -> impl Strategy<Value = Delta> {
    let event = (0..4u8, 0..5_000_000i64, 0..6u128, -50..50i64);
    proptest::collection::vec(event, 0..40).prop_map(|events| {
        let mut sum = DeltaSum::default();
        for (kind, at, visitor, value) in events {
            sum.count(&format!("type{kind}"), at);
            sum.sum(&Series::revenue(), at, value);
            sum.money("revenue", "EUR", at, value);
            sum.top("error/code", at, &format!("{value}"), 1);
            sum.distinct("sessions", at, visitor as u64);
            match kind {
                0 => sum.seen_user(visitor, at),
                1 => {
                    sum.linked(UserLink { user: visitor, session: value.unsigned_abs().into(), at })
                }
                _ => sum.seen(visitor, at),
            }
        }
        sum.finish()
    })
}

fn total(deltas: &[&Delta]) -> Delta {
    let mut sum = DeltaSum::default();
    deltas.iter().for_each(|delta| sum.merge(delta));
    // Series that cancelled out to no cell at all are not told apart.
    let mut sum = sum.finish();
    let used: Vec<u32> = sum.cells.iter().map(|cell| cell.1).collect();
    let kept: Vec<u32> = (0..sum.series.len() as u32).filter(|i| used.contains(i)).collect();
    sum.cells.iter_mut().for_each(|cell| {
        cell.1 = kept.iter().position(|i| *i == cell.1).expect("kept") as u32;
    });
    sum.series = kept.iter().map(|i| sum.series[*i as usize].clone()).collect();
    sum
}

proptest! {
    #[test]
    fn merging_is_a_commutative_sum(a in deltas(), b in deltas(), c in deltas()) {
        let ab = total(&[&a, &b]);
        prop_assert_eq!(&ab, &total(&[&b, &a]));
        let left = total(&[&ab, &c]);
        let right = total(&[&a, &total(&[&b, &c])]);
        prop_assert_eq!(left, right);
    }

    #[test]
    fn encode_and_decode_are_inverse(delta in deltas()) {
        let back = Delta::decode(&delta.encode_cells(), Some(&delta.encode_visitors()));
        prop_assert_eq!(back.unwrap(), delta);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Delta::decode(&bytes, Some(&bytes));
    }
}

#[test]
fn a_delta_of_version_1_is_still_read() {
    let series = vec![Series::Count("error".into())];
    let old = postcard::to_extend(&(1u64, series, vec![(60i64, 0u32, 1i64)]), vec![1]);
    let visitors = postcard::to_extend(&vec![(7u128, 60_000i64)], vec![1]);
    let delta = Delta::decode(&old.unwrap(), Some(&visitors.unwrap())).unwrap();
    let mut sum = DeltaSum::default();
    sum.count("error", 60_000);
    sum.seen(7, 60_000);
    assert_eq!(delta, sum.finish());
}

/// What stands behind the visitors is passed over by a version that reads no more than these, and where
/// nobody is known to be a user, nothing stands there.
#[test]
fn visitors_are_read_by_the_version_before() {
    let mut sum = DeltaSum::default();
    sum.seen(9, 60_000);
    let plain = sum.finish();
    sum.merge(&plain);
    sum.linked(UserLink { user: 7, session: 9, at: 60_000 });
    let linked = sum.finish();
    for delta in [&plain, &linked] {
        let bytes = delta.encode_visitors();
        let (read, _) = decode::<Vec<(Visitor, Millis)>>(VERSION, &bytes).unwrap();
        assert_eq!(read, [(9, 60_000)]);
    }
    assert!(plain.encode_visitors().len() < linked.encode_visitors().len());
}
