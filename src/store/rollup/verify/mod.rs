//! Whether a day is what its events say: its rows, counted again, against the ledger and the rollups, by minute
//! and series. All is read in one view of the store, so servers go on meanwhile.
//!
//! ```text
//!  rows ──counted by the rules of now──> sums ─┐
//!  ledger ──────────────────────────────> sums ─┼─> compared, minute by minute and series by series
//!  rollups + what is not folded yet ────> sums ─┘
//! ```
//!
//! What `[retention]` and `floodmark forget` removed, and what the store refused, is known by number: so many
//! rows may be missing of that day and type, and no more. The ledger drops rows that are folded, so it is
//! compared from the minute on from which it has all. Breakdowns and sketches are not compared.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::{
    domain::{
        aggregate::OVERFLOW,
        delta::{Delta, Series},
        metric::MetricSet,
        time::{DAY, MINUTE, Millis, bucket},
    },
    sink::SinkError,
    store::{
        retention::UtcDay,
        rollup::remake::{RemakeAsked, Remaking},
    },
};

/// The most differences that are listed; all are counted.
pub const MAX_DIFFERENCES: usize = 100;

/// Sums by minute (Unix ms) and series.
pub type MinuteSums = BTreeMap<(Millis, String), i64>;

/// Which day is read.
#[derive(Clone)]
pub struct DayAsked {
    /// The day, and the rules by which its rows are counted.
    pub day: RemakeAsked,
    /// Whether its rows are counted, too: that takes far longer than all else.
    pub with_rows: bool,
}

/// All sums of a day, each as one part of the store has it.
#[derive(Debug, Default)]
pub struct StoredDay {
    /// Events of the day among the rows.
    pub events: u64,
    /// What the rows add up to; `None` where they were not asked for.
    pub rows: Option<MinuteSums>,
    /// What the ledger adds up to.
    pub ledger: MinuteSums,
    /// From this minute on (Unix ms), no row of the ledger was dropped that counts there.
    pub ledger_from: Millis,
    /// What the rollups have, with what is not folded into them yet.
    pub rollups: MinuteSums,
    /// Minutes before this one (Unix ms) were let go of.
    pub rollups_from: Millis,
    /// How many rows were removed, by day (UTC) and type; an empty type stands for all.
    pub removed: BTreeMap<(UtcDay, String), u64>,
    /// Rows that the store has refused, of batches that count in the day.
    pub poisoned: u64,
    /// Rows of the ledger that can't be read.
    pub unreadable: Vec<String>,
    /// Whether rows of the day are being removed, and are not counted as removed yet.
    pub is_moving: bool,
}

/// Reads days.
#[async_trait]
pub trait DayReader: Send + Sync + 'static {
    /// All sums of a day, in one view of the store.
    ///
    /// # Errors
    /// The store can't be read.
    async fn read_day(&self, asked: &DayAsked) -> Result<StoredDay, SinkError>;

    /// The days (UTC) of which the ledger or the rollups have anything, ascending.
    async fn days(&self) -> Result<BTreeSet<UtcDay>, SinkError>;
}

/// A minute and series in which the parts differ. What is `None` is not known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumDifference {
    /// The minute, Unix ms.
    pub minute: Millis,
    /// The series, as the rollups have it.
    pub series: String,
    /// What the rows add up to.
    pub rows: Option<i64>,
    /// What the ledger adds up to.
    pub ledger: Option<i64>,
    /// What the rollups have.
    pub rollups: Option<i64>,
    /// What the live counters have.
    pub live: Option<i64>,
}

/// What came of the comparison of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayVerdict {
    /// Sums that were compared.
    pub sums: u64,
    /// Those of them in which the ledger took part.
    pub with_ledger: u64,
    /// The differences, by minute and series; the first [`MAX_DIFFERENCES`].
    pub differences: Vec<SumDifference>,
    /// All of them.
    pub different: u64,
    /// Rows that are missing and known to be removed or refused.
    pub explained_rows: u64,
    /// Minutes of which such rows are missing: there, rows can't be compared to the cent.
    pub explained_minutes: u64,
    /// Series that no rule of now makes: their rows can't be counted again.
    pub without_rule: BTreeSet<String>,
}

/// Puts together what a store reads of a day.
pub(crate) struct DayReading {
    asked: DayAsked,
    sums: StoredDay,
}

impl DayReading {
    /// Nothing is read yet. `is_moving` says whether rows are being removed meanwhile.
    pub fn new(asked: &DayAsked, is_moving: bool) -> DayReading {
        let sums = StoredDay {
            is_moving,
            ledger_from: Millis::MIN,
            rollups_from: Millis::MIN,
            ..StoredDay::default()
        };
        DayReading { asked: asked.clone(), sums }
    }

    /// Notes the last second (Unix ms) that dropped rows of the ledger counted in, of all lanes; and whether
    /// there are some of which that is not known.
    pub fn dropped(&mut self, last_second: Option<Millis>, is_unknown: bool) {
        self.sums.ledger_from = match (is_unknown, last_second) {
            (true, _) => Millis::MAX,
            (false, Some(last)) => bucket(last, MINUTE) + MINUTE,
            (false, None) => Millis::MIN,
        };
    }

    /// Notes before when rollups were let go of.
    pub fn let_go(&mut self, before: Option<Millis>) {
        self.sums.rollups_from = before.unwrap_or(Millis::MIN);
    }

    /// Adds a row of the ledger. `name` says which one it is.
    pub fn ledger_row(
        &mut self,
        name: impl FnOnce() -> String,
        delta: &[u8],
        is_folded: bool,
        poisoned: u64,
    ) {
        self.sums.poisoned += poisoned;
        let delta = match Delta::decode(delta, None) {
            Ok(delta) => delta,
            Err(e) => return self.sums.unreadable.push(format!("{}: {e}", name())),
        };
        let (from, to) = (self.asked.day.from, self.asked.day.to);
        for (at, series, value) in delta.cells() {
            let minute = bucket(at, MINUTE);
            if (from..to).contains(&minute) {
                let key = (minute, series.to_string());
                if !is_folded {
                    add(&mut self.sums.rollups, key.clone(), value);
                }
                add(&mut self.sums.ledger, key, value);
            }
        }
    }

    /// Adds a sum of the rollups.
    pub fn rolled_up(&mut self, series: String, minute: Millis, value: i64) {
        add(&mut self.sums.rollups, (minute, series), value);
    }

    /// Adds rows that were removed.
    pub fn removed(&mut self, day: &str, kind: String, rows: u64) {
        let date = day.parse::<jiff::civil::Date>();
        let start = date.and_then(|date| date.in_tz("UTC"));
        let Ok(start) = start else { return };
        let day = start.timestamp().as_millisecond().div_euclid(DAY);
        *self.sums.removed.entry((day, kind)).or_default() += rows;
    }

    /// What counts the rows, once all else is read: it has to know which types have counters of their own.
    pub fn counting(&self) -> Option<Remaking> {
        let counted: BTreeSet<&String> =
            self.sums.rollups.keys().chain(self.sums.ledger.keys()).map(|(_, it)| it).collect();
        let counted: Vec<String> = counted.into_iter().cloned().collect();
        self.asked.with_rows.then(|| Remaking::new(&self.asked.day, &counted))
    }

    /// All sums. `counted` has all rows.
    pub fn finish(self, counted: Option<Remaking>) -> StoredDay {
        let mut sums = self.sums;
        if let Some(made) = counted.map(Remaking::finish) {
            sums.events = made.told().events;
            let rows = made.sums.into_iter();
            sums.rows =
                Some(rows.map(|(series, minute, value)| ((minute, series), value)).collect());
        }
        sums
    }
}

fn add(sums: &mut MinuteSums, key: (Millis, String), value: i64) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(value);
}

/// The series that the rules of now make, beside those of event types.
struct CountedNow<'a> {
    metric_set: &'a MetricSet,
    series: BTreeSet<Series>,
}

impl CountedNow<'_> {
    fn new(metric_set: &MetricSet) -> CountedNow<'_> {
        let names = metric_set.metrics().iter().map(|metric| metric.name.as_str());
        let series = names.flat_map(|name| metric_set.parts(name).series).collect();
        CountedNow { metric_set, series }
    }

    fn makes(&self, key: &str) -> bool {
        match Series::parse(key) {
            Some(Series::Count(_)) => true,
            Some(Series::Money(metric, _)) => self.metric_set.metric(&metric).is_some(),
            Some(series) => self.series.contains(&series),
            None => false,
        }
    }
}

impl StoredDay {
    /// Compares all parts.
    pub fn compare(&self, metric_set: &MetricSet) -> DayVerdict {
        let counted = CountedNow::new(metric_set);
        let mut verdict = DayVerdict::default();
        let mut budget = Budget { removed: self.removed.clone(), poisoned: self.poisoned };
        let all: BTreeSet<&(Millis, String)> = (self.rows.iter().flat_map(|rows| rows.keys()))
            .chain(self.ledger.keys())
            .chain(self.rollups.keys())
            .collect();
        let all: Vec<SumDifference> =
            all.into_iter().map(|key| self.at(key, &counted, &mut verdict)).collect();
        for minute in all.chunk_by(|a, b| a.minute == b.minute) {
            let missing = missing(minute);
            let is_explained = missing.as_ref().is_some_and(|missing| budget.pays(missing));
            if let Some(missing) = missing.filter(|_| is_explained) {
                verdict.explained_rows += missing.rows();
                verdict.explained_minutes += 1;
            }
            for sum in minute {
                // Where rows are known to be missing, the others still have to agree.
                let rows = sum.rows.filter(|_| !is_explained);
                let known: Vec<i64> =
                    [rows, sum.ledger, sum.rollups].into_iter().flatten().collect();
                verdict.sums += u64::from(known.len() > 1);
                verdict.with_ledger += u64::from(sum.ledger.is_some());
                if known.windows(2).any(|pair| pair[0] != pair[1]) {
                    verdict.differ(sum.clone());
                }
            }
        }
        verdict
    }

    fn at(
        &self,
        key: &(Millis, String),
        counted: &CountedNow<'_>,
        verdict: &mut DayVerdict,
    ) -> SumDifference {
        let of = |sums: &MinuteSums| sums.get(key).copied().unwrap_or(0);
        let has_rule = counted.makes(&key.1);
        if !has_rule {
            verdict.without_rule.insert(key.1.clone());
        }
        SumDifference {
            minute: key.0,
            series: key.1.clone(),
            rows: self.rows.as_ref().filter(|_| has_rule).map(of),
            ledger: (key.0 >= self.ledger_from).then(|| of(&self.ledger)),
            rollups: (key.0 >= self.rollups_from).then(|| of(&self.rollups)),
            live: None,
        }
    }
}

impl DayVerdict {
    /// Notes a difference.
    pub fn differ(&mut self, found: SumDifference) {
        self.different += 1;
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(found);
        }
    }
}

/// How many rows a minute lacks.
struct MissingRows {
    day: UtcDay,
    by_type: BTreeMap<String, u64>,
}

impl MissingRows {
    fn rows(&self) -> u64 {
        self.by_type.values().sum()
    }
}

/// The rows that a minute lacks, by the events that were counted there; `None` where it lacks none, or has
/// some that were not counted.
fn missing(minute: &[SumDifference]) -> Option<MissingRows> {
    let mut missing =
        MissingRows { day: minute.first()?.minute.div_euclid(DAY), by_type: BTreeMap::new() };
    let mut of_filters = 0;
    for sum in minute {
        let (Some(rows), Some(counted)) = (sum.rows, sum.rollups.or(sum.ledger)) else { continue };
        let lacks = counted.saturating_sub(rows);
        match Series::parse(&sum.series) {
            Some(Series::Count(kind)) if lacks != 0 => {
                missing.by_type.insert(kind, u64::try_from(lacks).ok()?);
            }
            // Events of bots are in no counter of a type, only in metrics that ask for them.
            Some(Series::Matching(_)) if lacks > 0 => of_filters = of_filters.max(lacks as u64),
            _ => {}
        }
    }
    if missing.by_type.is_empty() && of_filters > 0 {
        missing.by_type.insert(OVERFLOW.to_owned(), of_filters);
    }
    (!missing.by_type.is_empty()).then_some(missing)
}

/// How many rows may still be missing.
struct Budget {
    removed: BTreeMap<(UtcDay, String), u64>,
    poisoned: u64,
}

impl Budget {
    /// Whether so many rows may be missing. What is paid can't be paid again.
    fn pays(&mut self, missing: &MissingRows) -> bool {
        let before = (self.removed.clone(), self.poisoned);
        for (kind, rows) in &missing.by_type {
            let mut left = *rows;
            for ((day, of), budget) in &mut self.removed {
                let fits = *of == *kind || of.is_empty() || kind == OVERFLOW;
                if *day == missing.day && fits {
                    let paid = left.min(*budget);
                    (left, *budget) = (left - paid, *budget - paid);
                }
            }
            let paid = left.min(self.poisoned);
            self.poisoned -= paid;
            if left > paid {
                (self.removed, self.poisoned) = before;
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
