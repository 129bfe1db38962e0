//! The rules, each judged over a whole history.

use std::collections::{BTreeMap, BTreeSet};

use super::{History, Moment, add, covers, rules::Broken};
use crate::{load::Outcome, support::sums::Sums};

/// How old totals may be that don't say so (`stream.behind_after_ms`), and how long an answer may
/// take from the counters to whoever asked.
const SLACK: Moment = 2000 + 500;

/// Totals that somebody showed: a node in `/current`, or a viewer by its frames.
struct Shown {
    who: String,
    begun: Moment,
    ended: Moment,
    day: String,
    sums: Sums,
    behind: bool,
}

/// Everything that is wrong with a history; nothing, if it keeps all rules.
pub fn check(history: &History) -> Vec<Broken> {
    let mut broken = stored(history);
    let mut shown: Vec<Shown> = history
        .readings
        .iter()
        .map(|reading| Shown {
            who: reading.node.clone(),
            begun: reading.begun,
            ended: reading.ended,
            day: reading.day.clone(),
            sums: reading.shows.clone(),
            behind: reading.behind,
        })
        .collect();
    broken.extend(below_settled(history, &shown));
    let (screens, wrong) = screens(history);
    broken.extend(wrong);
    shown.extend(screens);
    broken.extend(went_down(&shown));
    broken.extend(above_sent(history, &shown));
    broken.extend(at_rest(history));
    broken
}

/// Each event that was answered with 202 has one row; others have one at most.
fn stored(history: &History) -> Vec<Broken> {
    let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
    for row in &history.rows {
        *rows.entry(*row).or_default() += 1;
    }
    let possible = possible(history);
    let answered = history.sent.iter().filter(|sent| sent.outcome == Outcome::Answered);
    let told = answered.flat_map(|sent| sent.events.iter().map(|event| (*event, &sent.sender)));
    let missing: BTreeMap<u64, &String> = told.filter(|(e, _)| !rows.contains_key(e)).collect();
    let missing: Vec<_> = missing.into_iter().map(|(e, sender)| (e, sender.clone())).collect();
    let twice: Vec<u64> = rows.iter().filter(|(_, times)| **times > 1).map(|(e, _)| *e).collect();
    let alien: Vec<u64> = rows.keys().copied().filter(|event| !possible.contains(event)).collect();
    let mut broken = Vec::new();
    broken.extend((!missing.is_empty()).then_some(Broken::NotStored(missing)));
    broken.extend((!twice.is_empty()).then_some(Broken::StoredTwice(twice)));
    broken.extend((!alien.is_empty()).then_some(Broken::NeverTaken(alien)));
    broken
}

/// The events that may be stored: of at least one request it is not known that it was refused.
fn possible(history: &History) -> BTreeSet<u64> {
    let mut possible = history.with(Outcome::Answered);
    possible.extend(history.with(Outcome::Silent));
    possible
}

/// What every viewer showed after each of its frames, and the frames that are missing.
fn screens(history: &History) -> (Vec<Shown>, Vec<Broken>) {
    let mut broken = Vec::new();
    let mut shown = Vec::new();
    let mut viewers: BTreeMap<&str, (String, Sums, u64)> = BTreeMap::new();
    for frame in &history.frames {
        let viewer = frame.viewer.as_str();
        let before = viewers.remove(viewer);
        let (day, mut sums) = match (&frame.snapshot, before) {
            (Some((day, sums)), _) => (day.clone(), sums.clone()),
            (None, Some((day, sums, seq))) => {
                if frame.seq != seq + 1 {
                    let (viewer, after) = (viewer.to_owned(), Some(seq));
                    broken.push(Broken::FrameMissing { viewer, after, seq: frame.seq });
                }
                (day, sums)
            }
            (None, None) => {
                let (viewer, seq) = (viewer.to_owned(), frame.seq);
                broken.push(Broken::FrameMissing { viewer, after: None, seq });
                continue;
            }
        };
        for (kind, count) in &frame.adds.counts {
            *sums.counts.entry(kind.clone()).or_default() += count;
        }
        sums.revenue += frame.adds.revenue;
        shown.push(Shown {
            who: viewer.to_owned(),
            begun: frame.at,
            ended: frame.at,
            day: day.clone(),
            sums: sums.clone(),
            behind: frame.behind,
        });
        viewers.insert(viewer, (day, sums, frame.seq));
    }
    for (viewer, (_, frames, _)) in viewers {
        if let Some(shows) = history.last.get(viewer).filter(|shows| **shows != frames) {
            let (viewer, shows) = (viewer.to_owned(), shows.clone());
            broken.push(Broken::FramesDiffer { viewer, frames, shows });
        }
    }
    (shown, broken)
}

/// Fresh totals of a day never go down. Those that say how old they are may be anything.
fn went_down(shown: &[Shown]) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut highest: BTreeMap<(&str, &str), &Shown> = BTreeMap::new();
    for now in shown.iter().filter(|now| !now.behind) {
        let key = (now.who.as_str(), now.day.as_str());
        if let Some(before) = highest.insert(key, now)
            && !covers(&now.sums, &before.sums)
        {
            broken.push(Broken::WentDown {
                who: now.who.clone(),
                at: now.ended,
                from: before.sums.clone(),
                to: now.sums.clone(),
            });
        }
    }
    broken
}

/// No totals are above what had been sent when they were there.
fn above_sent(history: &History, shown: &[Shown]) -> Vec<Broken> {
    let possible = possible(history);
    // Each event from the first time on that it was sent.
    let mut first: BTreeMap<u64, Moment> = BTreeMap::new();
    for sent in &history.sent {
        for event in sent.events.iter().filter(|event| possible.contains(event)) {
            let begun = first.entry(*event).or_insert(sent.begun);
            *begun = sent.begun.min(*begun);
        }
    }
    let mut order: Vec<(Moment, u64)> = first.into_iter().map(|(event, at)| (at, event)).collect();
    order.sort_unstable();
    let mut by_end: Vec<&Shown> = shown.iter().collect();
    by_end.sort_by_key(|shown| shown.ended);
    let (mut sums, mut next) = (Sums::default(), 0);
    let mut broken = Vec::new();
    for shown in by_end {
        while next < order.len() && order[next].0 <= shown.ended {
            if let Some(event) = history.events.get(&order[next].1) {
                add(&mut sums, event);
            }
            next += 1;
        }
        if !covers(&sums, &shown.sums) {
            let (who, at) = (shown.who.clone(), shown.ended);
            let (shows, sent) = (shown.sums.clone(), sums.clone());
            broken.push(Broken::AboveSent { who, at, shows, sent });
        }
    }
    broken
}

/// Fresh totals are not below what had been answered and was settled long enough before.
fn below_settled(history: &History, shown: &[Shown]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for settled in &history.settled {
        let answered = history
            .sent
            .iter()
            .filter(|sent| sent.outcome == Outcome::Answered && sent.ended < settled.before);
        let events: BTreeSet<u64> = answered.flat_map(|sent| sent.events.iter().copied()).collect();
        let least = history.sums(events);
        // The first that is below says enough.
        let below = shown.iter().find(|shown| {
            !shown.behind && shown.begun > settled.at + SLACK && !covers(&shown.sums, &least)
        });
        broken.extend(below.map(|shown| Broken::BelowSettled {
            who: shown.who.clone(),
            at: shown.begun,
            shows: shown.sums.clone(),
            settled: least,
        }));
    }
    broken
}

/// When everything rests, everybody shows what the rows add up to.
fn at_rest(history: &History) -> Vec<Broken> {
    let each: BTreeSet<u64> = history.rows.iter().copied().collect();
    let rows = history.sums(each);
    let differ = history.last.iter().filter(|(_, shows)| **shows != rows);
    differ
        .map(|(who, shows)| {
            let (who, shows, rows) = (who.clone(), shows.clone(), rows.clone());
            match covers(&rows, &shows) {
                true => Broken::NotCounted { who, shows, rows },
                false => Broken::CountedTwice { who, shows, rows },
            }
        })
        .collect()
}
