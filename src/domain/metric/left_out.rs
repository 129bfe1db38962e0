//! What a ratio leaves out. An amount in a currency without a rate is not in the sum of the amounts, so its
//! order must not be in the number of orders by which that sum is divided: two orders, of 10 USD and of
//! 10 GBP without a rate, make 10 USD an order on average, and not 5. The same is true of a sum whose
//! property is there and is no number.
//!
//! So a ratio notes, for each event that one of its sums can't add, what the event adds to each other sum
//! that the ratio reads. Such notes are series of their own, by which the ratio is put right when it is read:
//!
//! ```text
//!  event      ─ 10 GBP ─>  c:purchase + 1                 (s:revenue gets nothing)
//!  the ratio  ──────────>  n:average_order_value/c:purchase + 1    n:average_order_value/left_out + 1
//!  read                    s:revenue / (c:purchase - n:average_order_value/c:purchase)
//! ```
//!
//! No name of a metric has a slash, so these series have no other's name. Notes are added up like any other
//! series, so the value is right for each span of time, in the rollups too.

use super::{
    filter::{Filter, Takes, all},
    kind::{AddAmount, Addend, Count, Definition, MetricKind, StepOf},
    metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
    plan::{Seen, Tally, Wanted},
    spec::MetricSpec,
};
use crate::domain::delta::Series;

/// The series that counts the events which a sum or a ratio leaves out.
pub(super) fn series(metric: &str) -> Series {
    Series::Matching(format!("{metric}/left_out"))
}

/// Where a ratio notes what it leaves out.
#[derive(Clone, Debug)]
pub(super) struct LeftOut {
    /// The number of events.
    events: Series,
    /// For each series that the ratio reads, where the part of it is noted that is left out.
    parts: Vec<(Series, Series)>,
    /// The same for the number of all events.
    all_events: Option<Series>,
}

impl LeftOut {
    /// That of the ratio `name` of the metrics at these places. `None` where none of them is a sum, since
    /// only a sum may be unable to take an event.
    pub fn of(name: &str, operands: &[usize], earlier: &[Metric]) -> Option<LeftOut> {
        let known = MetricSet { metrics: earlier.to_vec(), ..MetricSet::default() };
        let mut read = MetricSeries::default();
        known.add_parts(operands, &mut read);
        let sums = read.series.iter().filter(|series| matches!(series, Series::Sum(_))).count();
        // An event that is left out has added nothing to the sum that could not take it. Where there is only
        // one sum, nothing is to be taken from it.
        let is_changed = |series: &Series| match series {
            Series::Sum(_) => sums > 1,
            Series::Count(_) => true,
            // The number of events that a sum leaves out is no part of the ratio.
            Series::Matching(name) => !name.contains('/'),
            Series::Money(..) => false,
        };
        let noted = |part: &str| Series::Matching(format!("{name}/{part}"));
        let mut parts: Vec<(Series, Series)> = read
            .series
            .into_iter()
            .filter(is_changed)
            .map(|series| (series.clone(), noted(&series.to_string())))
            .collect();
        parts.sort();
        parts.dedup();
        let all_events = read.all_events.then(|| noted("*"));
        (sums > 0).then(|| LeftOut { events: series(name), parts, all_events })
    }

    /// How many events are left out.
    pub fn events(&self, sums: &impl SeriesSums) -> i64 {
        sums.series(&self.events)
    }

    /// Adds the series in which it is noted.
    pub fn add_parts(&self, parts: &mut MetricSeries) {
        let noted = self.parts.iter().map(|(_, noted)| noted);
        parts.series.extend(noted.chain(&self.all_events).chain([&self.events]).cloned());
    }

    /// Where the part of a series is noted that is left out.
    fn noted(&self, series: &Series) -> Option<&Series> {
        self.parts.iter().find(|(known, _)| known == series).map(|(_, noted)| noted)
    }
}

/// Sums without the events that a ratio leaves out.
pub(super) struct Without<'a, S> {
    left_out: Option<&'a LeftOut>,
    sums: &'a S,
}

impl<'a, S: SeriesSums> Without<'a, S> {
    /// These sums without what is left out; `None` is nothing.
    pub fn new(left_out: Option<&'a LeftOut>, sums: &'a S) -> Without<'a, S> {
        Without { left_out, sums }
    }

    fn noted(&self, series: Option<&Series>) -> i64 {
        series.map_or(0, |series| self.sums.series(series))
    }
}

impl<S: SeriesSums> SeriesSums for Without<'_, S> {
    fn series(&self, series: &Series) -> i64 {
        let noted = self.left_out.and_then(|left_out| left_out.noted(series));
        self.sums.series(series).saturating_sub(self.noted(noted))
    }

    fn all_events(&self) -> i64 {
        let noted = self.left_out.and_then(|left_out| left_out.all_events.as_ref());
        self.sums.all_events().saturating_sub(self.noted(noted))
    }

    /// One value may be of several events, so it can't be told which of them would be missing.
    fn distinct(&self, metric: &str) -> Option<i64> {
        self.sums.distinct(metric)
    }
}

/// Notes an event that a ratio leaves out.
#[derive(Clone, Debug)]
pub(super) struct LeaveOut {
    events: Series,
    operands: Vec<Operand>,
}

/// What an event adds to one of the series that a ratio reads.
#[derive(Clone, Debug)]
struct Operand {
    /// All of them must pass.
    filters: Vec<Filter>,
    adds: Adds,
    /// Where it is noted; `None` where it never has to be.
    noted: Option<Series>,
}

#[derive(Clone, Debug)]
enum Adds {
    /// It counts the event.
    One,
    /// It adds a property of it.
    Amount(AddAmount),
}

impl LeaveOut {
    /// That of the operands that take events of the type `kind` of people, or `bots`; `None` where none of
    /// them is a sum.
    pub fn new(
        left_out: &LeftOut,
        operands: &[(&MetricSpec, &Metric)],
        kind: &str,
        bots: bool,
        wanted: &mut Wanted,
    ) -> Option<LeaveOut> {
        let mut made: Vec<Operand> = Vec::new();
        for (spec, metric) in operands {
            let takes = Takes::read(spec).expect("it was read when the metric was compiled");
            if !(if bots { takes.bots } else { takes.people }) {
                continue;
            }
            let (adds, noted) = match &metric.definition {
                Definition::Count(Count::Types(_)) => {
                    (Adds::One, left_out.noted(&Series::Count(kind.to_owned())))
                }
                Definition::Count(Count::All) => (Adds::One, left_out.all_events.as_ref()),
                Definition::Count(Count::Matching(series)) => (Adds::One, left_out.noted(series)),
                Definition::Sum(sum) => {
                    let Some(add) = sum.step(spec, wanted) else { continue };
                    let noted = left_out.noted(add.series());
                    (Adds::Amount(add), noted)
                }
                Definition::Distinct(_) | Definition::Ratio(_) | Definition::Difference(_) => {
                    continue;
                }
            };
            // Two metrics may read the same series, to which the event adds only once.
            if noted.is_some() && made.iter().any(|operand| operand.noted.as_ref() == noted) {
                continue;
            }
            let filters = Filter::read_all(spec, |property| wanted.place(property));
            let filters = filters.expect("the filters were checked when the metric was compiled");
            made.push(Operand { filters, adds, noted: noted.cloned() });
        }
        let has_sum = made.iter().any(|operand| matches!(operand.adds, Adds::Amount(_)));
        has_sum.then(|| LeaveOut { events: left_out.events.clone(), operands: made })
    }

    /// The operands that take an event.
    fn taking<'a>(&'a self, seen: Seen<'a>) -> impl Iterator<Item = &'a Operand> {
        self.operands.iter().filter(move |operand| all(&operand.filters, seen.picked))
    }
}

impl StepOf for LeaveOut {
    fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>) {
        let is_lacking = |operand: &Operand| match &operand.adds {
            Adds::One => false,
            Adds::Amount(add) => {
                let addend = add.addend(seen, tally.rates);
                matches!(addend, Addend::Unreadable | Addend::WithoutRate(..))
            }
        };
        if !self.taking(seen).any(is_lacking) {
            return;
        }
        tally.sum.sum(&self.events, seen.row.time, 1);
        for operand in self.taking(seen) {
            let Some(noted) = &operand.noted else { continue };
            let added = match &operand.adds {
                Adds::One => 1,
                Adds::Amount(add) => match add.addend(seen, tally.rates) {
                    Addend::Added(amount, _) => amount.0,
                    Addend::Absent | Addend::Unreadable | Addend::WithoutRate(..) => 0,
                },
            };
            tally.sum.sum(noted, seen.row.time, added);
        }
    }
}
