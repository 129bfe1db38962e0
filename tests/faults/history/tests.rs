//! Each rule can be broken: a history that is right passes, and each of these fails by one rule.

use super::{Event, Framed, History, Reading, Sent, Settled, check::check, rules::Broken};
use crate::{load::Outcome, support::sums::Sums};

const DAY: &str = "2026-11-27";

fn sums(views: u64, purchases: u64) -> Sums {
    let counts = [("page_view", views), ("purchase", purchases)];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    Sums {
        counts: counts.map(|(kind, count)| (kind.to_owned(), count)).collect(),
        revenue: purchases as i64 * 50_000,
    }
}

/// Sends the events of one request; every third event is a purchase.
fn send(history: &mut History, [begun, ended]: [u64; 2], events: &[u64], outcome: Outcome) {
    for event in events {
        let (kind, amount) =
            if event.is_multiple_of(3) { ("purchase", 50_000) } else { ("page_view", 0) };
        history.events.insert(*event, Event { kind: kind.to_owned(), amount });
    }
    let (sender, events) = ("s".to_owned(), events.to_vec());
    history.sent.push(Sent { sender, begun, ended, events, outcome });
}

fn read(history: &mut History, [begun, ended]: [u64; 2], shows: Sums, behind: bool) {
    let (node, day) = ("a".to_owned(), DAY.to_owned());
    history.readings.push(Reading { node, begun, ended, day, shows, behind });
}

fn snapshot(history: &mut History, at: u64, seq: u64, totals: Sums) {
    let snapshot = Some((DAY.to_owned(), totals));
    let (viewer, adds) = ("v".to_owned(), Sums::default());
    history.frames.push(Framed { viewer, at, seq, snapshot, adds, behind: false });
}

fn delta(history: &mut History, at: u64, seq: u64, adds: Sums) {
    let viewer = "v".to_owned();
    history.frames.push(Framed { viewer, at, seq, snapshot: None, adds, behind: false });
}

/// Two requests that were answered, one that was refused and one without an answer whose events are
/// there; a node that was behind for a while; a viewer.
fn right() -> History {
    let mut history = History::default();
    send(&mut history, [10, 20], &[1, 2, 3], Outcome::Answered);
    send(&mut history, [30, 40], &[4, 5], Outcome::Refused);
    send(&mut history, [50, 90], &[6, 7], Outcome::Silent);
    // Its answer was lost, so it is sent again.
    send(&mut history, [100, 110], &[6, 7], Outcome::Answered);
    read(&mut history, [15, 25], sums(2, 1), false);
    read(&mut history, [60, 61], sums(3, 2), false);
    read(&mut history, [120, 121], sums(1, 0), true);
    read(&mut history, [5000, 5001], sums(3, 2), false);
    snapshot(&mut history, 12, 1, Sums::default());
    delta(&mut history, 30, 2, sums(2, 1));
    delta(&mut history, 112, 3, sums(1, 1));
    history.settled.push(Settled { before: 1000, at: 1200 });
    history.rows = vec![1, 2, 3, 6, 7];
    history.last = [("a", sums(3, 2)), ("v", sums(3, 2))].map(|(w, s)| (w.to_owned(), s)).into();
    history
}

/// What is wrong once the right history was changed.
fn after(change: impl FnOnce(&mut History)) -> Vec<Broken> {
    let mut history = right();
    change(&mut history);
    check(&history)
}

#[test]
fn a_history_that_keeps_the_rules_passes() {
    assert_eq!(check(&right()), []);
}

#[test]
fn an_answered_event_without_a_row_is_found() {
    let broken = after(|history| {
        history.rows.retain(|row| *row != 2);
        history.last.clear();
    });
    assert_eq!(broken, [Broken::NotStored(vec![(2, "s".to_owned())])]);
}

#[test]
fn an_event_with_two_rows_is_found() {
    let broken = after(|history| history.rows.push(7));
    assert_eq!(broken, [Broken::StoredTwice(vec![7])]);
}

#[test]
fn a_row_of_a_refused_event_is_found_and_one_that_nobody_sent() {
    let broken = after(|history| {
        history.rows.extend([5, 99]);
        history.last.clear();
    });
    assert_eq!(broken, [Broken::NeverTaken(vec![5, 99])]);
}

#[test]
fn an_event_without_an_answer_may_have_no_row() {
    let broken = after(|history| {
        send(history, [130, 140], &[10], Outcome::Silent);
    });
    assert_eq!(broken, []);
}

#[test]
fn an_event_that_is_counted_twice_is_found() {
    let (shows, rows) = (sums(4, 2), sums(3, 2));
    let broken = after(|history| {
        history.last.insert("a".to_owned(), shows.clone());
    });
    assert_eq!(broken, [Broken::CountedTwice { who: "a".to_owned(), shows, rows }]);
}

#[test]
fn an_event_that_is_not_counted_is_found() {
    let (shows, rows) = (sums(2, 2), sums(3, 2));
    let broken = after(|history| {
        history.last.insert("a".to_owned(), shows.clone());
    });
    assert_eq!(broken, [Broken::NotCounted { who: "a".to_owned(), shows, rows }]);
}

#[test]
fn totals_that_go_down_are_found_unless_they_say_that_they_are_old() {
    let down = |behind| move |history: &mut History| history.readings[2].behind = behind;
    assert_eq!(after(down(true)), []);
    let broken = after(down(false));
    let (from, to) = (sums(3, 2), sums(1, 0));
    assert_eq!(broken, [Broken::WentDown { who: "a".to_owned(), at: 121, from, to }]);
}

#[test]
fn totals_that_are_down_once_they_are_fresh_again_are_found() {
    let broken = after(|history| history.readings[3].shows = sums(2, 2));
    let is_down = |broken: &Broken| matches!(broken, Broken::WentDown { at: 5001, .. });
    assert!(broken.iter().any(is_down), "{broken:?}");
}

#[test]
fn totals_of_another_day_may_be_lower() {
    let broken = after(|history| {
        history.readings[2].behind = false;
        history.readings[2].day = "2026-11-28".to_owned();
    });
    assert_eq!(broken, []);
}

#[test]
fn a_snapshot_that_goes_down_is_found() {
    let broken = after(|history| {
        snapshot(history, 200, 4, sums(1, 1));
        delta(history, 300, 5, sums(2, 1));
    });
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(matches!(&broken[0], Broken::WentDown { at: 200, .. }), "{broken:?}");
}

#[test]
fn totals_above_what_was_sent_by_then_are_found() {
    // Events 6 and 7 are first sent at 50.
    let broken = after(|history| history.readings[0].shows = sums(3, 2));
    assert_eq!(
        broken,
        [Broken::AboveSent { who: "a".to_owned(), at: 25, shows: sums(3, 2), sent: sums(2, 1) }]
    );
}

#[test]
fn a_frame_above_what_was_sent_by_then_is_found() {
    let broken = after(|history| history.frames[1].adds = sums(3, 1));
    assert!(matches!(
        &broken[..],
        [Broken::FramesDiffer { .. }, Broken::AboveSent { at: 30, .. }, ..]
    ));
}

#[test]
fn totals_below_what_was_settled_are_found() {
    let broken = after(|history| {
        history.readings.truncate(2);
        history.readings.retain(|reading| reading.begun < 60);
        read(history, [5000, 5001], sums(3, 1), false);
    });
    assert_eq!(
        broken,
        [Broken::BelowSettled {
            who: "a".to_owned(),
            at: 5000,
            shows: sums(3, 1),
            settled: sums(3, 2),
        }]
    );
}

#[test]
fn totals_may_be_low_for_a_moment_after_all_is_settled() {
    let broken = after(|history| {
        history.readings.retain(|reading| reading.begun < 60);
        read(history, [2000, 2001], sums(3, 1), false);
    });
    assert_eq!(broken, []);
}

#[test]
fn a_missing_frame_is_found() {
    let broken = after(|history| history.frames[2].seq = 4);
    let viewer = "v".to_owned();
    assert_eq!(broken, [Broken::FrameMissing { viewer, after: Some(2), seq: 4 }]);
}

#[test]
fn a_delta_before_any_snapshot_is_found() {
    let broken = after(|history| drop(history.frames.remove(0)));
    assert!(matches!(&broken[0], Broken::FrameMissing { after: None, seq: 2, .. }), "{broken:?}");
}

#[test]
fn frames_that_add_up_to_something_else_are_found() {
    let broken = after(|history| history.frames[2].adds = sums(1, 0));
    let viewer = "v".to_owned();
    let (frames, shows) = (sums(3, 1), sums(3, 2));
    assert_eq!(broken, [Broken::FramesDiffer { viewer, frames, shows }]);
}
