//! Distinct values by business day and metric, for the in-process live store. Up to [`EXACT`]
//! values they are counted exactly, and above that by a HyperLogLog. (With Redis, sets and its own
//! HyperLogLogs do the same.)

use std::{collections::BTreeMap, hash::BuildHasherDefault};

use hashbrown::HashSet;
use hyperloglogplus::{HyperLogLog, HyperLogLogPlus};
use jiff::civil::Date;
use xxhash_rust::xxh3::Xxh3Default;

/// How many values of a day and metric are kept one by one.
pub const EXACT: usize = 16_384;
/// The binary logarithm of the number of registers. The standard error is
/// 1.04 / sqrt(2^14) = 0.8 %.
const PRECISION: u8 = 14;
/// Days kept: today, the day before (clocks of nodes differ, events come late), and the
/// next (events may be dated a little ahead).
const DAYS: usize = 3;

/// The last few business days.
#[derive(Default)]
pub struct DistinctDays(BTreeMap<Date, BTreeMap<String, Distinct>>);

impl DistinctDays {
    /// Notes that `metric` saw a value with this hash on this day. A day before those that are kept
    /// is passed over.
    pub fn note(&mut self, day: Date, metric: &str, hash: u64) {
        if self.0.len() >= DAYS && self.0.keys().next().is_some_and(|oldest| day < *oldest) {
            return;
        }
        let metrics = self.0.entry(day).or_default();
        match metrics.get_mut(metric) {
            Some(distinct) => distinct.note(hash),
            None => metrics.entry(metric.to_owned()).or_default().note(hash),
        }
        while self.0.len() > DAYS {
            self.0.pop_first();
        }
    }

    /// How many different values each metric saw on this day, by metric.
    pub fn counts(&mut self, day: Date) -> BTreeMap<String, u64> {
        let Some(metrics) = self.0.get_mut(&day) else { return BTreeMap::new() };
        metrics.iter_mut().map(|(metric, distinct)| (metric.clone(), distinct.count())).collect()
    }
}

type Sketch = HyperLogLogPlus<u64, BuildHasherDefault<Xxh3Default>>;

/// The values of one day and metric.
enum Distinct {
    Exact(HashSet<u64>),
    Sketch(Box<Sketch>),
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Exact(HashSet::new())
    }
}

impl Distinct {
    fn note(&mut self, hash: u64) {
        match self {
            Distinct::Exact(seen) => {
                seen.insert(hash);
                // Once only: from then on the sketch takes the values.
                if seen.len() > EXACT {
                    let mut sketch = Sketch::new(PRECISION, BuildHasherDefault::default())
                        .expect("the precision is one that HyperLogLog++ has");
                    seen.iter().for_each(|hash| sketch.insert(hash));
                    *self = Distinct::Sketch(Box::new(sketch));
                }
            }
            Distinct::Sketch(sketch) => sketch.insert(&hash),
        }
    }

    fn count(&mut self) -> u64 {
        match self {
            Distinct::Exact(seen) => seen.len() as u64,
            Distinct::Sketch(sketch) => sketch.count().round() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn day(day: i8) -> Date {
        jiff::civil::date(2026, 11, day)
    }

    fn count(days: &mut DistinctDays, of: i8) -> u64 {
        days.counts(day(of)).get("sessions").copied().unwrap_or(0)
    }

    #[test]
    fn few_are_exact_and_many_are_near() {
        let mut days = DistinctDays::default();
        let note = |days: &mut DistinctDays, n: u64| {
            for _ in 0..2 {
                days.note(day(27), "sessions", xxh3_64(&n.to_be_bytes()));
            }
        };
        (0..EXACT as u64).for_each(|n| note(&mut days, n));
        assert_eq!(count(&mut days, 27), EXACT as u64);
        (0..200_000).for_each(|n| note(&mut days, n));
        let near = count(&mut days, 27) as f64 / 200_000.0;
        assert!((0.97..1.03).contains(&near), "{near}");
    }

    #[test]
    fn old_days_make_room() {
        let mut days = DistinctDays::default();
        (24..28).for_each(|of| days.note(day(of), "sessions", 1));
        days.note(day(20), "sessions", 1);
        assert_eq!((count(&mut days, 24), count(&mut days, 20)), (0, 0));
        assert_eq!((count(&mut days, 25), count(&mut days, 27)), (1, 1));
    }
}
