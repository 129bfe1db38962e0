//! Finds where a property is not what it used to be: it is missing in most events that had it before, or
//! its values have another type. Chance and the ups and downs of a day must not look like that, so
//! only properties are judged that nearly every event had, the difference has to be significant, and it
//! has to go on.

use super::{JsonType, TypeCounts};
use crate::domain::{
    alert::{Sample, of_shares},
    time::{DAY, HOUR, MINUTE, Millis},
};

/// The shortest time over which events are judged.
const SHORTEST: Millis = 2 * MINUTE;
/// The longest.
const LONGEST: Millis = DAY;
/// By how many standard errors the shares have to differ.
const SIGMA: f64 = 6.0;
/// A property is back once its share is so much of what it was.
const BACK: f64 = 0.8;

/// When a property has drifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftRule {
    /// The events that it takes on each side of the change.
    pub min_events: u64,
    /// The share that it had at least before, 0 to 1.
    pub from: f64,
    /// The part of that share that it has at most now, 0 to 1.
    pub to: f64,
}

/// The events of some time, and how many of them had the property.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stretch {
    /// When it begins, Unix ms.
    pub at: Millis,
    /// Events of the type and source.
    pub events: u64,
    /// Their values of the property.
    pub types: TypeCounts,
}

/// What is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The property as such.
    Property,
    /// Values of the type that it had.
    Type(JsonType),
}

impl Lost {
    /// How many values are as they were.
    fn hits(self, types: &TypeCounts) -> u64 {
        match self {
            Lost::Property => types.present(),
            Lost::Type(was) => types.of(was),
        }
    }
}

/// A property that has drifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// What is no more.
    pub lost: Lost,
    /// The beginning of the first stretch in which it was so, Unix ms.
    pub since: Millis,
    /// The share of events that were as usual before, 0 to 1.
    pub before: f64,
    /// The same since then.
    pub after: f64,
    /// The events since then.
    pub events: u64,
    /// The type that most values have since then; `None` where there is none.
    pub now: Option<JsonType>,
}

/// Where a property stands that has drifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it was before.
    Back,
    /// It is still not.
    Away,
    /// There are too few events to say.
    Unknown,
}

/// Looks for a drift of a property in ascending stretches up to `now` (Unix ms). What lies before
/// `first_seen`, where that is known, is no time in which it was missing.
pub fn drift_of(
    stretches: &[Stretch],
    first_seen: Option<Millis>,
    now: Millis,
    rule: &DriftRule,
) -> Option<Drift> {
    let known = first_seen.map_or(0, |first| stretches.partition_point(|it| it.at < first));
    let stretches = &stretches[known..];
    let latest = latest(stretches, now, rule)?;
    let found = lost(stretches, latest, Lost::Property, now, rule);
    found.or_else(|| {
        // The usual type is that of the time before, which the last events are no part of.
        let mut before = TypeCounts::default();
        stretches[..latest].iter().for_each(|it| before.add(&it.types));
        lost(stretches, latest, Lost::Type(before.usual()?), now, rule)
    })
}

/// Whether a property that has drifted is back. `before` is its share of then.
pub fn standing(
    stretches: &[Stretch],
    lost: Lost,
    before: f64,
    now: Millis,
    rule: &DriftRule,
) -> Standing {
    let Some(latest) = latest(stretches, now, rule) else { return Standing::Unknown };
    match share(&sample(&stretches[latest..], lost)) >= BACK * before {
        true => Standing::Back,
        false => Standing::Away,
    }
}

/// Where the last stretches begin that have enough events; `None` where a whole day has too few.
fn latest(stretches: &[Stretch], now: Millis, rule: &DriftRule) -> Option<usize> {
    let mut events = 0;
    for (place, stretch) in stretches.iter().enumerate().rev() {
        if stretch.at < now - LONGEST {
            break;
        }
        events += stretch.events;
        if events >= rule.min_events && stretch.at <= now - SHORTEST {
            return Some(place);
        }
    }
    None
}

/// The place at which the shares on both sides differ most surely, if the rule calls it a drift.
fn lost(
    stretches: &[Stretch],
    latest: usize,
    lost: Lost,
    now: Millis,
    rule: &DriftRule,
) -> Option<Drift> {
    // How many events and hits come before each stretch, so that those between two are a difference.
    let mut sums = vec![Sample { hits: 0.0, of: 0.0 }];
    for stretch in stretches {
        let last = sums[sums.len() - 1];
        let (hits, of) = (lost.hits(&stretch.types) as f64, stretch.events as f64);
        sums.push(Sample { hits: last.hits + hits, of: last.of + of });
    }
    let between = |from: usize, to: usize| Sample {
        hits: sums[to].hits - sums[from].hits,
        of: sums[to].of - sums[from].of,
    };
    let (all, enough) = (stretches.len(), rule.min_events as f64);
    let recent = share(&between(latest, all));
    let mut found: Option<(f64, usize)> = None;
    for split in (1..all).rev() {
        // A stretch without events is not the time at which it happened.
        if stretches[split].events == 0 {
            continue;
        }
        let day = stretches.partition_point(|it| it.at < stretches[split].at - LONGEST);
        let (before, day, after) = (between(0, split), between(day, split), between(split, all));
        if before.of < enough {
            continue;
        }
        // What was missing now and then is missing now and then. So both the last day and all the time
        // that is known have to say that it was always there.
        let usual = if day.of < enough { share(&before) } else { share(&day) };
        let line = rule.to * usual;
        if share(&before).min(usual) < rule.from || share(&after) > line || recent > line {
            continue;
        }
        let sigma = -of_shares(after, before);
        if sigma >= SIGMA && found.is_none_or(|(best, _)| sigma > best) {
            found = Some((sigma, split));
        }
    }
    // Where it has changed so lately that there are too few events since, it is too early to say so: a
    // longer time would mix in events of before the change. And what has changed nearly a day ago was
    // told, or is usual by now.
    let is_new = |split: usize| stretches[split].at > now - LONGEST + HOUR;
    let (_, split) = found.filter(|(_, split)| *split <= latest && is_new(*split))?;
    let mut types = TypeCounts::default();
    stretches[split..].iter().for_each(|it| types.add(&it.types));
    let after = between(split, all);
    Some(Drift {
        lost,
        since: stretches[split].at,
        before: share(&between(0, split)),
        after: share(&after),
        events: after.of as u64,
        now: types.usual(),
    })
}

fn sample(stretches: &[Stretch], lost: Lost) -> Sample {
    let hits: u64 = stretches.iter().map(|it| lost.hits(&it.types)).sum();
    let events: u64 = stretches.iter().map(|it| it.events).sum();
    Sample { hits: hits as f64, of: events as f64 }
}

fn share(sample: &Sample) -> f64 {
    if sample.of > 0.0 { sample.hits / sample.of } else { 0.0 }
}

#[cfg(test)]
mod tests;
