//! Days of shops that are made up: how many orders come when, and what they come to. Nothing of it knows how they are
//! told ahead.

use super::forecast::{DayTotal, MARKS, PastDay};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// How large the shops are: orders on a mean day.
pub const SIZES: [f64; 5] = [15.0, 80.0, 400.0, 2_000.0, 10_000.0];
/// Days that are there before the first is told.
pub const BEFORE: usize = 364;
/// Days by which one is told by the quarter of an hour.
const PATTERN: usize = 56;
/// Orders on Mondays to Sundays, beside a mean day.
const WEEKDAYS: [f64; 7] = [1.0, 0.95, 0.95, 1.0, 1.1, 1.25, 1.15];
/// What an order comes to in the mean is about 64: its logarithm is normal around that of 50.
const BASKET: (f64, f64) = (50.0, 0.7);

/// The days of one shop.
pub struct Shop {
    /// What each day had come to by each mark.
    days: Vec<Vec<f64>>,
}

/// Chance.
struct Dice(SmallRng);

impl Dice {
    fn part(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// Normal, around 0 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.part()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.part()).cos()
    }

    /// How many come where `mean` come in the mean (Poisson).
    fn count(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (mut count, mut left, end) = (0, self.part(), (-mean).exp());
        while left > end {
            count += 1;
            left *= self.part();
        }
        count
    }
}

/// How busy a moment of a day is: noon, evening, and a little at nine, moved by some minutes.
fn busy(quarter: f64, moved: f64, evening: f64) -> f64 {
    let hour = quarter / 4.0 + moved;
    let hill = |at: f64, wide: f64| (-((hour - at) / wide).powi(2) / 2.0).exp();
    0.08 + 0.9 * hill(12.0, 3.0) + evening * hill(20.0, 2.2) + 0.3 * hill(9.0, 1.0)
}

impl Shop {
    /// A shop of a size, with so many days after those that are there before.
    pub fn new(size: f64, days: usize, seed: u64) -> Shop {
        let mut dice = Dice(SmallRng::seed_from_u64(seed));
        let usual: f64 = (0..96).map(|quarter| busy(f64::from(quarter) + 0.5, 0.0, 1.0)).sum();
        let mut drift = 0.0;
        let day = |number: usize| {
            // The level of a day is near that of the day before; one day in 33 has an offer from ten o'clock on.
            drift = 0.7 * drift + 0.09 * dice.normal();
            let level = size * WEEKDAYS[number % 7] * f64::exp(drift + 0.07 * dice.normal());
            let has_offer = dice.part() < 0.03;
            let (moved, evening) = (0.25 * dice.normal(), (0.15 * dice.normal()).exp());
            let mut by = vec![0.0; MARKS];
            for quarter in 0..MARKS - 1 {
                let part = busy(quarter as f64 + 0.5, moved, evening) / usual;
                let more = if has_offer && quarter >= 40 { 1.5 } else { 1.0 };
                let orders = dice.count(level * part * more);
                let sum: f64 =
                    (0..orders).map(|_| BASKET.0 * (BASKET.1 * dice.normal()).exp()).sum();
                by[quarter + 1] = by[quarter] + (sum * 100.0).round() / 100.0;
            }
            by
        };
        Shop { days: (0..BEFORE + days).map(day).collect() }
    }

    /// What a day had come to by an hour, and at its end.
    pub fn by(&self, day: usize, hour: usize) -> (f64, f64) {
        let by = &self.days[BEFORE + day];
        (by[hour * 4], by[MARKS - 1])
    }

    /// The weekday of a day.
    pub fn weekday(day: usize) -> usize {
        (BEFORE + day) % 7
    }

    /// The eight weeks before a day.
    pub fn before(&self, day: usize) -> Vec<PastDay> {
        let today = BEFORE + day;
        let past = |at: usize| PastDay {
            age: (today - at) as u32,
            weekday: at % 7,
            by: self.days[at].clone(),
        };
        (today - PATTERN..today).map(past).collect()
    }

    /// What each day of the year before a day came to, the last first.
    pub fn totals(&self, day: usize) -> Vec<DayTotal> {
        let today = BEFORE + day;
        let total = |at: usize| DayTotal {
            age: (today - at) as u32,
            weekday: at % 7,
            total: self.days[at][MARKS - 1],
        };
        (today - BEFORE..today).rev().map(total).collect()
    }
}
