//! What is still to come in a day, from what was there by now and from days of before.
//!
//! Of each day of before it is known what had come by this moment of the day, and what came afterwards. Both are taken
//! as logarithms, each against the mean of its weekday, and what came afterwards is told by two things: how far the day
//! was from its weekday by then, and how far the seven days before it were. The slopes come from the days themselves
//! (least squares, drawn towards 0), and so does the error, so that an interval of 80 % is as wide as such days have
//! made it. Young days weigh more: one loses half of its weight in four weeks.

use crate::domain::student::{above, as_normal, of_normal};

/// Marks of a day: one at the beginning of each quarter of an hour by the clock on the wall, and one at its end.
pub const MARKS: usize = 97;
/// The fewest days of before.
const FEWEST_DAYS: usize = 14;
/// The fewest days of the same weekday.
const FEWEST_SAME: usize = 2;
/// In so many days a day loses half of its weight.
const HALF_LIFE: f64 = 28.0;
/// An error of a logarithm that is as good as none.
const SURE: f64 = 1e-9;
/// Days that tell what a weekday is like.
pub const PATTERN_DAYS: u32 = 56;
/// How strongly slopes are drawn to 0: as so many days of which nothing is known do it.
const PULL: f64 = 4.0;

/// A day of before. What it counts is in the unit of its metric.
#[derive(Clone, Debug, PartialEq)]
pub struct PastDay {
    /// How many days before the one that is told of: 1 or more.
    pub age: u32,
    /// 0 (Monday) to 6.
    pub weekday: usize,
    /// What had come by each of its [`MARKS`].
    pub by: Vec<f64>,
}

impl PastDay {
    /// What had come by a moment, in quarters of an hour since the day began.
    fn by(&self, quarters: f64) -> f64 {
        let at = (quarters.max(0.0) as usize).min(MARKS - 2);
        let part = (quarters - at as f64).clamp(0.0, 1.0);
        self.by[at] + (self.by[at + 1] - self.by[at]) * part
    }

    fn total(&self) -> f64 {
        self.by[MARKS - 1]
    }

    fn weight(&self) -> f64 {
        0.5_f64.powf(f64::from(self.age) / HALF_LIFE)
    }
}

/// What is still to come, as a distribution: its logarithm is about normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coming {
    /// The mean of the logarithm.
    mean: f64,
    /// The standard error of the logarithm.
    error: f64,
    /// What was added before the logarithm was taken, since nothing may have come.
    grain: f64,
    /// By how many days more than it needed the error was estimated.
    freedom: f64,
}

impl Coming {
    /// What comes at most with the probability that the standard normal distribution has below `normal`: half of the
    /// time at most what 0 gives, in 80 % of cases between what -1.2816 and 1.2816 give.
    pub fn at(&self, normal: f64) -> f64 {
        ((self.mean + of_normal(normal, self.freedom) * self.error).exp() - self.grain).max(0.0)
    }

    /// How probable it is that at least so much comes, 0 to 1.
    pub fn reaches(&self, amount: f64) -> f64 {
        if amount <= 0.0 {
            return 1.0;
        }
        let off = (amount + self.grain).ln() - self.mean;
        // Where days never differ, it is known what comes.
        if self.error < SURE {
            return if off <= SURE { 1.0 } else { 0.0 };
        }
        above(as_normal(off / self.error, self.freedom))
    }

    /// `None` where the days say nothing that can be reckoned with.
    fn if_told(self) -> Option<Coming> {
        let is_told = self.mean.is_finite() && self.error.is_finite() && self.freedom.is_finite();
        is_told.then_some(self)
    }

    /// A part of it, 0 to 1.
    pub fn scaled(&self, part: f64) -> Coming {
        let part = part.max(f64::MIN_POSITIVE);
        Coming { mean: self.mean + part.ln(), grain: self.grain * part, ..*self }
    }

    /// What comes in two stretches of time that follow each other: the logarithm of the sum has the mean and error
    /// that a log-normal distribution with the sums of both means and variances has (Fenton and Wilkinson).
    pub fn and(&self, later: &Coming) -> Coming {
        let moments = |it: &Coming| {
            let mean = (it.mean + it.error * it.error / 2.0).exp();
            (mean, mean * mean * ((it.error * it.error).exp() - 1.0))
        };
        let ((first, first_variance), (second, second_variance)) = (moments(self), moments(later));
        let (mean, variance) = (first + second, first_variance + second_variance);
        let error = (1.0 + variance / (mean * mean)).ln();
        Coming {
            mean: mean.ln() - error / 2.0,
            error: error.sqrt(),
            grain: self.grain + later.grain,
            freedom: self.freedom.min(later.freedom),
        }
    }
}

/// What a usual day of this weekday has between two moments, in quarters of an hour since it began. `None` where too
/// few such days are known, or they had nothing.
pub fn usual(days: &[PastDay], weekday: usize, (from, to): (f64, f64)) -> Option<f64> {
    let same = || days.iter().filter(|day| day.weekday == weekday);
    let weights: f64 = same().map(PastDay::weight).sum();
    let sum: f64 = same().map(|day| day.weight() * (day.by(to) - day.by(from))).sum();
    let is_enough = same().count() >= FEWEST_SAME && same().any(|day| day.total() > 0.0);
    is_enough.then(|| sum / weights)
}

/// What will come in a day from one moment to another, in quarters of an hour since it began, where `so_far` has come
/// by the first. `None` where there are too few days to tell.
pub fn rest(
    days: &[PastDay],
    weekday: usize,
    (now, to): (f64, f64),
    so_far: f64,
) -> Option<Coming> {
    let level = Level::of(days, weekday)?;
    let log = |value: f64| (value.max(0.0) + level.grain).ln();
    let by = |day: &PastDay| log(day.by(now));
    let after = |day: &PastDay| log(day.by(to) - day.by(now));
    let (by_means, after_means) = (means(days, by), means(days, after));
    let row = |day: &PastDay| KnownDay {
        told_by: [by(day) - by_means[day.weekday], level.before(days, day.age)],
        told: after(day) - after_means[day.weekday],
        weight: day.weight(),
    };
    let today = [log(so_far) - by_means[weekday], level.before(days, 0)];
    // Each weekday has a mean of its own.
    let line = Regression::through(&days.iter().map(row).collect::<Vec<_>>(), 9.0, 1.0)?;
    line.coming(today, after_means[weekday], same_day_error(days, weekday), level.grain).if_told()
}

/// What a day of before came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayTotal {
    /// How many days before the one that is told of: 1 or more.
    pub age: u32,
    /// 0 (Monday) to 6.
    pub weekday: usize,
    /// In the unit of its metric.
    pub total: f64,
}

/// What will come in whole days: the first has `weekday`, and there are `count` of them. It is told by the usual days of
/// eight weeks, and how wrong that is by what would have been told at each day of before: so the error has in it how
/// levels drift. `None` where there are too few days to tell. `days` are sorted by their age.
pub fn days_ahead(days: &[DayTotal], weekday: usize, count: usize) -> Option<Coming> {
    let (now, grain) = (Outlook::at(days, 0)?, mean(days) / 1000.0);
    let expected = now.expected(weekday, count)?;
    let known: Vec<KnownDay> = days
        .iter()
        .filter_map(|first| {
            let then = Outlook::at(days, first.age)?;
            let told = then.expected(first.weekday, count)?;
            let end = first.age.checked_sub(count as u32)?;
            let came = days.iter().filter(|day| day.age <= first.age && day.age > end);
            let came: Vec<f64> = came.map(|day| day.total).collect();
            (came.len() == count).then(|| KnownDay {
                told_by: [0.0, then.level],
                told: ((came.iter().sum::<f64>().max(0.0) + grain) / (told + grain)).ln(),
                weight: 1.0,
            })
        })
        .collect();
    // Stretches that share days tell less than others.
    let line = Regression::through(&known, 1.0, count as f64)?;
    line.coming([0.0, now.level], (expected + grain).ln(), 0.0, grain).if_told()
}

/// What could be told of days ahead at some day.
struct Outlook {
    /// The mean of each weekday in the eight weeks before; `None` where there was none.
    usual: [Option<f64>; 7],
    /// How far the last seven days were from these, as a logarithm.
    level: f64,
}

impl Outlook {
    fn at(days: &[DayTotal], age: u32) -> Option<Outlook> {
        let before = days.iter().filter(|day| day.age > age && day.age <= age + PATTERN_DAYS);
        let (mut sums, mut weights, mut count) = ([0.0; 7], [0.0; 7], 0);
        for day in before.clone() {
            let weight = 0.5_f64.powf(f64::from(day.age - age) / HALF_LIFE);
            sums[day.weekday] += weight * day.total;
            weights[day.weekday] += weight;
            count += 1;
        }
        if count < FEWEST_DAYS {
            return None;
        }
        let usual = std::array::from_fn(|at| (weights[at] > 0.0).then(|| sums[at] / weights[at]));
        let last = before.filter(|day| day.age <= age + 7);
        let both = last.fold((0.0, 0.0), |(came, told), day| {
            (came + day.total, told + usual[day.weekday].unwrap_or_default())
        });
        let level = if both.0 > 0.0 && both.1 > 0.0 { (both.0 / both.1).ln() } else { 0.0 };
        Some(Outlook { usual, level })
    }

    fn expected(&self, first: usize, count: usize) -> Option<f64> {
        (0..count)
            .map(|at| self.usual[(first + at) % 7])
            .sum::<Option<f64>>()
            .filter(|it| *it > 0.0)
    }
}

fn mean(days: &[DayTotal]) -> f64 {
    days.iter().map(|day| day.total).sum::<f64>() / (days.len() as f64).max(1.0)
}

/// How far days are from their weekdays.
struct Level {
    /// The mean logarithm of each weekday's whole.
    means: [f64; 7],
    grain: f64,
}

impl Level {
    /// `None` where there are too few days, or nothing came in them.
    fn of(days: &[PastDay], weekday: usize) -> Option<Level> {
        let same = days.iter().filter(|day| day.weekday == weekday).count();
        if days.len() < FEWEST_DAYS || same < FEWEST_SAME {
            return None;
        }
        let grain = grain(days)?;
        // Where more is given back than sold, a day comes to less than nothing.
        Some(Level { means: means(days, |day| (day.total().max(0.0) + grain).ln()), grain })
    }

    /// How far the seven days before one of this age were from their weekdays, in the mean.
    fn before(&self, days: &[PastDay], age: u32) -> f64 {
        let near = days.iter().filter(|day| day.age > age && day.age <= age + 7);
        let log = |day: &PastDay| (day.total().max(0.0) + self.grain).ln();
        let off = near.map(|day| log(day) - self.means[day.weekday]);
        let off: Vec<f64> = off.collect();
        off.iter().sum::<f64>() / (off.len() as f64).max(1.0)
    }
}

/// By how much the mean of a weekday is off, as a part of a day's variance.
fn same_day_error(days: &[PastDay], weekday: usize) -> f64 {
    let weights = || days.iter().filter(|day| day.weekday == weekday).map(PastDay::weight);
    let sum: f64 = weights().sum();
    weights().map(|weight| weight * weight).sum::<f64>() / (sum * sum)
}

/// The weighted mean of each weekday.
fn means(days: &[PastDay], of: impl Fn(&PastDay) -> f64) -> [f64; 7] {
    let (mut sums, mut weights) = ([0.0; 7], [0.0; 7]);
    for day in days {
        sums[day.weekday] += day.weight() * of(day);
        weights[day.weekday] += day.weight();
    }
    std::array::from_fn(|at| if weights[at] > 0.0 { sums[at] / weights[at] } else { 0.0 })
}

/// What one event adds, about: how much quarters of an hour that follow each other differ, for what they have. Where
/// nothing came it is too little to tell.
fn grain(days: &[PastDay]) -> Option<f64> {
    let (mut squares, mut sum) = (0.0, 0.0);
    for day in days {
        let added: Vec<f64> = day.by.windows(2).map(|pair| pair[1] - pair[0]).collect();
        squares += added.windows(2).map(|pair| (pair[0] - pair[1]).powi(2) / 2.0).sum::<f64>();
        sum += day.total();
    }
    (sum > 0.0 && squares > 0.0).then(|| squares / sum)
}

/// A day, or some, of which it is known what came afterwards.
struct KnownDay {
    /// What it is told by: how far the day was by then, and how far the days before it were.
    told_by: [f64; 2],
    /// How far off was what came.
    told: f64,
    weight: f64,
}

/// What came, told by how far off the days were: slopes, and how far off it is.
struct Regression {
    slopes: [f64; 2],
    variance: f64,
    freedom: f64,
}

impl Regression {
    /// Least squares, drawn to 0. `fitted` numbers were taken from the same days, and `overlap` of them share a day.
    fn through(known: &[KnownDay], fitted: f64, overlap: f64) -> Option<Regression> {
        let sum =
            |of: &dyn Fn(&KnownDay) -> f64| known.iter().map(|it| it.weight * of(it)).sum::<f64>();
        let weights = sum(&|_| 1.0);
        if weights <= 0.0 {
            return None;
        }
        let part = |a: usize, b: usize| sum(&|it| it.told_by[a] * it.told_by[b]);
        let pull = 1.0 + PULL / weights.max(1.0);
        let (xx, yy, xy) = (part(0, 0) * pull, part(1, 1) * pull, part(0, 1));
        let (xz, yz) = (sum(&|it| it.told_by[0] * it.told), sum(&|it| it.told_by[1] * it.told));
        let whole = xx * yy - xy * xy;
        let slopes = match (whole > 0.0, yy > 0.0) {
            (true, _) => [(xz * yy - yz * xy) / whole, (yz * xx - xz * xy) / whole],
            (false, true) => [0.0, yz / yy],
            (false, false) => [0.0, 0.0],
        };
        let off = |it: &KnownDay| it.told - slopes[0] * it.told_by[0] - slopes[1] * it.told_by[1];
        let squares = sum(&|it| off(it).powi(2)) / weights;
        let effective = weights * weights / sum(&|it| it.weight) / overlap;
        let freedom = (effective - fitted).max(3.0);
        Some(Regression { slopes, variance: squares * (effective / freedom).max(1.0), freedom })
    }

    fn coming(&self, told_by: [f64; 2], mean: f64, more: f64, grain: f64) -> Coming {
        let told = self.slopes[0] * told_by[0] + self.slopes[1] * told_by[1];
        let error = (self.variance * (1.0 + more)).sqrt();
        Coming { mean: mean + told, error, grain, freedom: self.freedom }
    }
}
