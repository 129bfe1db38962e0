//! What is compared, what is explained by removed rows, and what is not.

use super::*;
use crate::config::Config;

const MINUTE_1: Millis = 1_795_766_400_000;
const MINUTE_2: Millis = MINUTE_1 + MINUTE;

fn sums(cells: &[(Millis, &str, i64)]) -> MinuteSums {
    cells.iter().map(|(at, series, value)| ((*at, (*series).to_owned()), *value)).collect()
}

/// A day whose parts agree.
fn day() -> StoredDay {
    let all = sums(&[
        (MINUTE_1, "c:purchase", 3),
        (MINUTE_1, "s:revenue", 599_700),
        (MINUTE_2, "c:purchase", 2),
        (MINUTE_2, "c:page_view", 40),
        (MINUTE_2, "n:bots", 1),
    ]);
    StoredDay {
        rows: Some(all.clone()),
        ledger: all.clone(),
        rollups: all,
        ledger_from: Millis::MIN,
        rollups_from: Millis::MIN,
        ..StoredDay::default()
    }
}

fn compared(day: &StoredDay) -> DayVerdict {
    day.compare(&Config::default().rules.metric_set)
}

fn change(sums: &mut MinuteSums, at: Millis, series: &str, by: i64) {
    *sums.entry((at, series.to_owned())).or_default() += by;
}

fn removed(day: &mut StoredDay, kind: &str, rows: u64) {
    day.removed.insert((MINUTE_1.div_euclid(DAY), kind.to_owned()), rows);
}

#[test]
fn any_part_that_differs_is_named_with_the_values_of_each() {
    let verdict = compared(&day());
    assert_eq!((verdict.sums, verdict.with_ledger, verdict.different), (5, 5, 0));
    for part in 0..3 {
        let mut day = day();
        let sums = match part {
            0 => day.rows.as_mut().unwrap(),
            1 => &mut day.ledger,
            _ => &mut day.rollups,
        };
        change(sums, MINUTE_1, "s:revenue", -1);
        let verdict = compared(&day);
        let [found] = &verdict.differences[..] else { panic!("{verdict:?}") };
        assert_eq!((found.minute, found.series.as_str()), (MINUTE_1, "s:revenue"));
        let values = [found.rows, found.ledger, found.rollups];
        let expected = |at| Some(if at == part { 599_699 } else { 599_700 });
        assert_eq!(values, [0, 1, 2].map(expected));
    }
    let mut more = day();
    change(&mut more.rollups, MINUTE_2, "c:made_up", 1);
    assert_eq!(compared(&more).differences[0].rows, Some(0));
}

#[test]
fn removed_rows_explain_so_many_and_of_their_type_only() {
    let mut gone = day();
    let rows = gone.rows.as_mut().unwrap();
    change(rows, MINUTE_1, "c:purchase", -1);
    change(rows, MINUTE_1, "s:revenue", -199_900);
    assert_eq!(compared(&gone).different, 2);
    removed(&mut gone, "page_view", 9);
    assert_eq!(compared(&gone).different, 2);
    removed(&mut gone, "purchase", 1);
    let verdict = compared(&gone);
    assert_eq!((verdict.different, verdict.explained_rows, verdict.explained_minutes), (0, 1, 1));
    // What is explained in one minute is not explained again in another.
    change(gone.rows.as_mut().unwrap(), MINUTE_2, "c:purchase", -1);
    assert_eq!(compared(&gone).different, 1);
    removed(&mut gone, "", 1);
    assert_eq!(compared(&gone).different, 0);
    // The ledger and the rollups still have to agree, there too.
    change(&mut gone.rollups, MINUTE_1, "s:revenue", 1);
    assert_eq!(compared(&gone).different, 1);
}

#[test]
fn a_row_that_was_added_or_changed_is_never_explained() {
    let mut more = day();
    removed(&mut more, "", 100);
    more.poisoned = 100;
    change(more.rows.as_mut().unwrap(), MINUTE_1, "c:purchase", 1);
    assert_eq!(compared(&more).different, 1);
    let mut changed = day();
    removed(&mut changed, "", 100);
    change(changed.rows.as_mut().unwrap(), MINUTE_1, "s:revenue", -1);
    assert_eq!(compared(&changed).different, 1);
}

#[test]
fn refused_rows_and_those_of_bots_are_explained_by_their_number() {
    let mut refused = day();
    change(refused.rows.as_mut().unwrap(), MINUTE_2, "c:page_view", -2);
    refused.poisoned = 1;
    assert_eq!(compared(&refused).different, 1);
    refused.poisoned = 2;
    assert_eq!(compared(&refused).different, 0);
    let mut bots = day();
    change(bots.rows.as_mut().unwrap(), MINUTE_2, "n:bots", -1);
    assert_eq!(compared(&bots).different, 1);
    removed(&mut bots, "page_view", 1);
    assert_eq!(compared(&bots).different, 0);
}

#[test]
fn what_was_dropped_or_has_no_rule_is_not_compared_and_is_said() {
    let mut dropped = day();
    dropped.ledger = sums(&[(MINUTE_2, "c:purchase", 2), (MINUTE_2, "c:page_view", 40)]);
    dropped.ledger_from = MINUTE_2;
    let verdict = compared(&dropped);
    assert_eq!(verdict.different, 1, "a row of the ledger is missing: {verdict:?}");
    assert_eq!(verdict.differences[0].series, "n:bots");
    change(&mut dropped.ledger, MINUTE_2, "n:bots", 1);
    let verdict = compared(&dropped);
    assert_eq!((verdict.different, verdict.sums, verdict.with_ledger), (0, 5, 3));
    for sums in [&mut dropped.ledger, &mut dropped.rollups] {
        change(sums, MINUTE_2, "n:of_an_old_rule", 4);
    }
    let verdict = compared(&dropped);
    assert_eq!(verdict.different, 0);
    assert!(verdict.without_rule.contains("n:of_an_old_rule"));
}
