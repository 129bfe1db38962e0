//! Tests of how ledger rows are added up.

use super::*;
use crate::domain::delta::DeltaSum;

fn row(seq: i64, minutes: std::ops::Range<i64>) -> LedgerRow {
    let mut sum = DeltaSum::default();
    minutes.for_each(|minute| sum.count("page_view", minute * MINUTE + 59_000));
    let delta = sum.finish();
    let (delta, visitors) = (delta.encode_cells(), delta.encode_visitors());
    LedgerRow { seq, sealed_at: seq * 10, events: 1, delta, visitors, shape: None }
}

fn lane(folded: i64, stored: i64) -> FoldLane {
    let node = NodeId::nil();
    FoldLane { node, lane: 1, folded, stored, broken_down: folded, sketched: folded }
}

#[test]
fn a_fold_stops_at_each_limit_and_moves_on_by_one_row_at_least() {
    let all = FoldLimits::default();
    for (limits, taken) in [
        (all, 3),
        (FoldLimits { rows: 2, ..all }, 2),
        (FoldLimits { bytes: 1, ..all }, 1),
        (FoldLimits { cells: 10, ..all }, 2),
        (FoldLimits { rows: 0, bytes: 0, cells: 0, ..all }, 1),
    ] {
        let mut fold = Fold::new(limits);
        let rows = [row(5, 0..6), row(9, 4..10), row(13, 0..1)];
        fold.add(&lane(1, 13), &rows);
        let outcome = fold.outcome(0);
        assert_eq!((outcome.rows, outcome.done), (taken, taken == 3), "{limits:?}");
        assert_eq!(fold.heads[0].to, 1 + 4 * taken as i64);
        assert_eq!((fold.heads[0].from, fold.heads[0].since), (1, Some(50)));
        assert_eq!(fold.room().is_some(), taken == 3);
    }
}

#[test]
fn sums_are_by_minute_and_in_order() {
    let mut fold = Fold::new(FoldLimits::default());
    fold.add(&lane(0, 5), &[row(1, 8..11), row(5, 9..10)]);
    let key = "c:page_view".to_owned();
    let at = |minute, value| (key.clone(), minute * MINUTE, value);
    assert_eq!(fold.sums(), [at(8, 1), at(9, 2), at(10, 1)]);
}

#[test]
fn a_lane_without_rows_is_folded_to_its_end() {
    let mut fold = Fold::new(FoldLimits::default());
    fold.add(&lane(1, 9), &[]);
    assert_eq!((fold.heads[0].to, fold.heads[0].since), (9, None));
    assert_eq!(fold.outcome(0), Folded::nothing(true));
}

#[test]
fn a_row_of_another_version_stops_its_lane_only() {
    let mut fold = Fold::new(FoldLimits::default());
    let mut foreign = row(5, 0..1);
    foreign.delta[0] = 99;
    fold.add(&lane(0, 9), &[row(1, 0..1), foreign, row(9, 0..1)]);
    fold.add(&FoldLane { lane: 2, ..lane(0, 6) }, &[row(2, 0..1), row(6, 0..1)]);
    let outcome = fold.outcome(0);
    assert_eq!((outcome.rows, outcome.done), (3, true), "no reason to try at once again");
    assert!(outcome.unreadable.unwrap().contains("batch 5 of node"));
    assert_eq!(fold.heads.iter().map(|head| head.to).collect::<Vec<_>>(), [1, 6]);
    assert_eq!(fold.sums()[0].2, 3);
}

#[test]
fn nothing_is_known_before_the_first_batch_or_past_what_is_folded() {
    assert!(!Known::default().covers(0, 1));
    let known = Known { since: Some(100), until: None };
    assert!(known.covers(100, 1_000) && !known.covers(99, 1_000));
    let known = Known { until: Some(500), ..known };
    assert!(known.covers(100, 500) && !known.covers(100, 501));
}

#[test]
fn all_counts_and_nothing_else_start_alike() {
    let start = Summed::AllCounts.key();
    assert!(Series::Count("a".into()).to_string().starts_with(&start));
    assert!(!Series::revenue().to_string().starts_with(&start));
}
