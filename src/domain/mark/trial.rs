//! Trials of [`super::effect`] on simulated shops: how often a mark without effect is said to have one, and how
//! often a fall of conversion is found. `cargo bench --bench marks` prints them, and a test runs fewer.
//!
//! A shop has the shape of the day in its visitors and, less, in its conversion; its days differ, and so do its
//! quarters of an hour, by more than chance. Seeds are fixed.

use super::effect::{EffectVerdict, MarkSide, MarkSides, judge_by_days, judge_counted};
use crate::domain::{
    alert::Operands,
    time::{DAY, MINUTE, Millis},
};

/// Orders an hour at the time of day with the most.
pub const SIZES: [f64; 5] = [30.0, 120.0, 600.0, 3_000.0, 15_000.0];
/// How long after the mark somebody looks, ms.
pub const LOOKS: [Millis; 6] = [15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 240 * MINUTE, DAY, 3 * DAY];
/// Quarters of an hour of a day.
const QUARTERS: usize = 96;
/// Days before the mark, and after it.
const DAYS: (usize, usize) = (8, 3);
/// Page views of an order.
const VIEWS: f64 = 50.0;

/// Which shops, and what happens.
#[derive(Clone, Copy, Debug)]
pub struct TrialKind {
    /// What is left of the conversion since the mark; 1 for no effect.
    pub left: f64,
    /// By how much quarters of an hour differ beyond chance, as a part.
    pub noise: f64,
    /// Whether the days before are known.
    pub has_days: bool,
}

/// What was said of one mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialSaid {
    /// For each look, whether any metric is said to have changed.
    pub any: [bool; LOOKS.len()],
    /// For each look, whether purchases per page view are said to be lower.
    pub lower: [bool; LOOKS.len()],
}

/// What was counted in a quarter of an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Quarter {
    views: f64,
    orders: f64,
    failed: f64,
    revenue: f64,
}

/// One mark of a shop of this size (orders an hour at its best), by the numbers that begin with `seed`.
pub fn trial(kind: TrialKind, size: f64, seed: u64) -> TrialSaid {
    let mut dice = TrialDice(seed);
    let quarters = shop(kind, size, &mut dice);
    let mark = DAYS.0 * QUARTERS;
    let mut said = TrialSaid::default();
    for (look, length) in LOOKS.into_iter().enumerate() {
        let since = (length / (15 * MINUTE)) as usize;
        let before = since.max(4);
        let others = if kind.has_days && since <= QUARTERS { 7 } else { 0 };
        let day = |back: usize| -> (&[Quarter], &[Quarter]) {
            let at = mark - back * QUARTERS;
            (&quarters[at - before..at], &quarters[at..at + since])
        };
        let judge = |of: fn(&Quarter) -> f64, per: Option<fn(&Quarter) -> f64>| {
            let side = |quarters: &[Quarter]| MarkSide {
                parts: Operands {
                    of: quarters.iter().map(of).sum(),
                    per: per.map(|per| quarters.iter().map(per).sum()),
                },
                length: quarters.len() as Millis * 15 * MINUTE,
            };
            let sides = |back: usize| {
                let (before, since) = day(back);
                MarkSides { before: side(before), since: side(since) }
            };
            (sides(0), (1..=others).map(sides).collect::<Vec<_>>())
        };
        let (today, days) = judge(|it| it.orders, Some(|it| it.views));
        let conversion = judge_counted(&today, &days).verdict;
        let (today, days) = judge(|it| it.failed, Some(|it| it.failed + it.orders));
        let failures = judge_counted(&today, &days).verdict;
        let mut all = vec![conversion, failures];
        if since <= QUARTERS {
            let (today, days) = judge(|it| it.orders, None);
            all.push(judge_counted(&today, &days).verdict);
            let (today, days) = judge(|it| it.revenue, None);
            all.push(judge_by_days(&today, &days).verdict);
        }
        let is_change =
            |it: &EffectVerdict| matches!(it, EffectVerdict::Higher | EffectVerdict::Lower);
        said.any[look] = all.iter().any(is_change);
        said.lower[look] = conversion == EffectVerdict::Lower;
    }
    said
}

/// What a shop counts in each quarter of an hour, from a random time of day on.
fn shop(kind: TrialKind, size: f64, dice: &mut TrialDice) -> Vec<Quarter> {
    let first = (dice.part() * QUARTERS as f64) as usize;
    let mut quarters = Vec::new();
    for day in 0..DAYS.0 + DAYS.1 {
        let of_day = (0.12 * dice.normal()).exp();
        for at in 0..QUARTERS {
            let turn = ((first + at) % QUARTERS) as f64 / QUARTERS as f64 * std::f64::consts::TAU;
            let visitors = 0.12 + 0.88 * (0.5 - 0.5 * (turn - 1.05).cos()).powf(1.3);
            let busy = size / 4.0 * visitors * of_day * (kind.noise * dice.normal()).exp();
            let left = if day < DAYS.0 { 1.0 } else { kind.left };
            let shape = 1.0 + 0.1 * (turn - 2.6).sin();
            let conversion = left * shape * (kind.noise / 2.0 * dice.normal()).exp();
            let orders = dice.count(busy * conversion);
            quarters.push(Quarter {
                views: dice.count(busy * VIEWS),
                orders,
                failed: dice.count(orders * 0.03),
                revenue: (75.0 * (orders + 0.95 * orders.sqrt() * dice.normal())).max(0.0),
            });
        }
    }
    quarters
}

/// Numbers that look like chance and are the same in every run (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators": SplitMix64).
struct TrialDice(u64);

impl TrialDice {
    /// From 0 to 1, without 0.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((mixed >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    /// Of the normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let size = (-2.0 * self.part().ln()).sqrt();
        size * (std::f64::consts::TAU * self.part()).cos()
    }

    /// Of Poisson's distribution; of large means that of the normal one with the same variance.
    fn count(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (end, mut product, mut count) = ((-mean).exp(), self.part(), 0.0);
        while product > end {
            product *= self.part();
            count += 1.0;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kind: TrialKind, trials: u64) -> Vec<TrialSaid> {
        let size = |seed: u64| SIZES[(seed % 5) as usize];
        (0..trials).map(|seed| trial(kind, size(seed), 20_261_127 + seed)).collect()
    }

    #[test]
    fn marks_without_effect_have_none_and_a_fall_is_found() {
        let kind = TrialKind { left: 1.0, noise: 0.03, has_days: true };
        let wrong = all(kind, 100).iter().filter(|said| said.any.contains(&true)).count();
        assert!(wrong <= 5, "{wrong} of 100");
        let kind = TrialKind { left: 0.8, ..kind };
        let found = all(kind, 40).iter().filter(|said| said.lower.contains(&true)).count();
        assert!(found >= 32, "{found} of 40");
    }
}
