//! How late events arrive. Windows of alerts are of event time, and orders that wait for a minute and a
//! half at their sender would be missing from each window that ends now: a shop whose orders are late
//! would be told that they have stopped. So it is known of each series how late its events come, and a
//! window ends where nearly all of them have arrived.
//!
//! A sender that comes back after an outage sends what it has kept at once, and the next events in time
//! again. That must not blind anybody: what counts is what came last, in each of a few short stretches.
//!
//! What is measured is the time from the second of the events to the moment at which their batch was
//! sealed, so a store or a Redis that is behind makes no event late.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::domain::{
    delta::{Delta, Series},
    time::{MINUTE, Millis, SECOND, bucket},
};

/// How late an event may be (ms) and still count as in time: what senders collect for some seconds.
const IN_TIME: Millis = 8 * SECOND;
/// Steps by which lateness is known, in ms. The last one is the latest that moves a window. What comes later
/// still is no event of now: a phone that was without a network for a day, or an import.
const STEPS: [Millis; 8] = [
    IN_TIME,
    16 * SECOND,
    32 * SECOND,
    64 * SECOND,
    128 * SECOND,
    256 * SECOND,
    512 * SECOND,
    900 * SECOND,
];
/// Arrivals are counted by stretches of this length, in ms.
const STRETCH: Millis = 5 * SECOND;
/// So many of the last stretches in which anything came say how late a series is: the one that was least
/// late.
const STRETCHES: usize = 3;
/// Older ones say nothing of now, in ms.
const KNOWN_FOR: Millis = 5 * MINUTE;
/// Within its lateness this share of the events of a stretch had come, in percent.
const ARRIVED: u64 = 90;
/// The most series of which lateness is known. Only those that are late at all are among them.
const MOST: usize = 1024;

/// How late each series is. Those that are in time are not held.
#[derive(Default)]
pub struct Lateness(Mutex<HashMap<Series, SeriesArrivals>>);

/// The last arrivals of a series: the stretch (Unix ms), and how many events came within each of [`STEPS`].
#[derive(Default)]
struct SeriesArrivals(VecDeque<(Millis, [u64; STEPS.len()])>);

impl Lateness {
    /// Notes the events of a batch that was sealed at this moment (Unix ms; 0 where that is not known).
    pub(super) fn note(&self, delta: &Delta, sealed_at: Millis) {
        if sealed_at <= 0 {
            return;
        }
        let mut late = self.0.lock();
        for (second, series, value) in delta.cells() {
            let weight = match series {
                Series::Count(_) | Series::Matching(_) => value.unsigned_abs(),
                // The sum of a second says that something of it came, and not how many.
                Series::Sum(_) => 1,
                Series::Money(..) => continue,
            };
            // An event may be of the end of its second.
            let lag = sealed_at - second - SECOND;
            let Some(step) = STEPS.iter().position(|most| lag <= *most) else { continue };
            if step == 0 && late.is_empty() {
                continue;
            }
            let has_room = late.len() < MOST;
            match late.get_mut(series) {
                Some(arrivals) => arrivals.add(sealed_at, step, weight),
                None if step > 0 && has_room => {
                    late.entry(series.clone()).or_default().add(sealed_at, step, weight);
                }
                None => {}
            }
        }
    }

    /// How late the latest of these series is at `now` (Unix ms), in ms; 0 where all are in time.
    pub fn of(&self, series: &[Series], now: Millis) -> Millis {
        let mut late = self.0.lock();
        late.retain(|_, arrivals| arrivals.forget(now));
        let each = series.iter().filter_map(|series| late.get(series)).map(SeriesArrivals::lag);
        each.max().unwrap_or(0)
    }
}

impl SeriesArrivals {
    fn add(&mut self, at: Millis, step: usize, weight: u64) {
        let stretch = bucket(at, STRETCH);
        // Batches of two nodes may come in another order than they were sealed in.
        let newest = self.0.back().map_or(Millis::MIN, |(newest, _)| *newest);
        if stretch > newest {
            self.0.push_back((stretch, [0; STEPS.len()]));
        }
        if self.0.len() > STRETCHES {
            self.0.pop_front();
        }
        if let Some((_, steps)) = self.0.back_mut() {
            steps[step] += weight;
        }
    }

    /// Forgets what is too old, and says whether any late event is left.
    fn forget(&mut self, now: Millis) -> bool {
        self.0.retain(|(stretch, _)| *stretch > now - KNOWN_FOR);
        self.0.iter().any(|(_, steps)| steps[1..].iter().any(|events| *events > 0))
    }

    /// Within how many ms nearly all events come; 0 where they are in time.
    fn lag(&self) -> Millis {
        self.0.iter().map(|(_, steps)| lag_of(steps)).min().unwrap_or(0)
    }
}

/// The same for one stretch.
fn lag_of(steps: &[u64; STEPS.len()]) -> Millis {
    let all: u64 = steps.iter().sum();
    let mut within = 0;
    let step = steps.iter().position(|events| {
        within += events;
        within * 100 >= all * ARRIVED
    });
    match step {
        None | Some(0) => 0,
        Some(step) => STEPS[step],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delta::DeltaSum;

    const NOW: Millis = 1_795_420_800_000;

    fn orders() -> Series {
        Series::Count("purchase".to_owned())
    }

    /// A batch sealed at `at` with events of these ages, in s.
    fn batch(lateness: &Lateness, at: Millis, kind: &str, ages: &[i64]) {
        let mut sum = DeltaSum::default();
        ages.iter().for_each(|age| sum.count(kind, at - age * SECOND));
        lateness.note(&sum.finish(), at);
    }

    #[test]
    fn what_is_late_is_known_by_series_and_forgotten_when_it_is_in_time_again() {
        let lateness = Lateness::default();
        for second in 0..120 {
            let at = NOW + second * SECOND;
            batch(&lateness, at, "page_view", &[0, 1, 2, 5]);
            batch(&lateness, at, "purchase", &[100]);
        }
        let now = NOW + 120 * SECOND;
        let views = Series::Count("page_view".to_owned());
        assert_eq!(lateness.of(&[orders()], now), 128 * SECOND);
        assert_eq!(lateness.of(std::slice::from_ref(&views), now), 0);
        assert_eq!(lateness.of(&[views, orders()], now), 128 * SECOND, "the latest decides");
        for second in 120..120 + 20 {
            batch(&lateness, NOW + second * SECOND, "purchase", &[1]);
        }
        assert_eq!(lateness.of(&[orders()], NOW + 140 * SECOND), 0);
        assert!(lateness.0.lock().is_empty());
    }

    #[test]
    fn a_few_late_ones_and_those_of_another_day_move_nothing() {
        let lateness = Lateness::default();
        batch(&lateness, NOW, "purchase", &[30]);
        for second in 0..60 {
            batch(&lateness, NOW + second * SECOND, "purchase", &[0; 9]);
        }
        assert_eq!(lateness.of(&[orders()], NOW + MINUTE), 0, "1 of 541 is late");
        batch(&lateness, NOW + MINUTE, "purchase", &[86_400; 900]);
        assert_eq!(lateness.of(&[orders()], NOW + MINUTE), 0, "an import is nothing of now");
        for second in 60..80 {
            batch(&lateness, NOW + second * SECOND, "purchase", &[20; 3]);
        }
        assert_eq!(lateness.of(&[orders()], NOW + 80 * SECOND), 32 * SECOND);
    }

    #[test]
    fn what_was_kept_over_an_outage_blinds_nobody() {
        let lateness = Lateness::default();
        let kept: Vec<i64> = (0..900).collect();
        for _ in 0..10 {
            batch(&lateness, NOW, "purchase", &kept);
        }
        assert_eq!(lateness.of(&[orders()], NOW), 900 * SECOND);
        batch(&lateness, NOW + STRETCH, "purchase", &[0]);
        assert_eq!(lateness.of(&[orders()], NOW + STRETCH), 0);
    }
}
