//! The kinds of metrics, one a file. A file has all that is special about its kind: which keys
//! it takes, what it checks, what it writes when a batch is sealed, and how it is read.
//!
//! To add a kind:
//! 1. A file here, with a type that implements [`MetricKind`].
//! 2. A line in the list below.
//! 3. Where it takes a new key: the key in `spec.rs` and in `check_fields` of `compile.rs`.
//! 4. `docs/METRICS.md` and `config/default.toml`: its line in the lists of kinds.
//!
//! The list becomes three enums: the name of a kind, its definition, its step. The compiler
//! resolves every call, so nothing is boxed and nothing is looked up while events come in.

mod count;
mod difference;
mod distinct;
mod ratio;
mod sum;

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

pub(super) use self::{
    count::Count,
    sum::{AddAmount, Addend, CURRENCY},
};
pub use self::{
    distinct::DistinctNoted,
    sum::{AmountFault, currency_sent},
};
use super::{
    metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
    plan::{Offered, Seen, Tally, Wanted},
    spec::{MetricSpec, Names},
    value::{Unit, Value},
};
use crate::domain::event::Note;

/// What every kind of metric says about itself.
pub(super) trait MetricKind: Sized {
    /// Keys that it needs.
    const NEEDS: &'static [&'static str];
    /// Keys that it may have.
    const MAY_HAVE: &'static [&'static str];
    /// Whether it divides. A quotient can't be added up, so no other metric is made of it.
    const DIVIDES: bool = false;
    /// What it does for an event; [`Infallible`] for a kind that is only read.
    type Step: StepOf;

    /// Compiles a metric of this kind, after those that stand before it, and says what its
    /// value is. The keys are there, and each by itself is fine.
    fn compile(spec: &MetricSpec, earlier: &[Metric]) -> Result<(Self, Unit), String>;

    /// What it does for each event that passes its filters; `None` where that is nothing.
    fn step(&self, spec: &MetricSpec, wanted: &mut Wanted) -> Option<Self::Step>;

    /// Its sum in 1/10,000, whatever its unit, so that metrics can be added up; `None` where it
    /// is not known, and for a quotient.
    fn units(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128>;

    /// Its value.
    fn value(&self, unit: Unit, metric_set: &MetricSet, sums: &impl SeriesSums) -> Value {
        Value::from_units(self.units(metric_set, sums), unit)
    }

    /// How much it is judged by, in 1/10,000: see [`MetricSet::volume`].
    fn volume(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        self.units(metric_set, sums)
    }

    /// What a quotient divides, in 1/10,000; of any other kind its sum.
    fn dividend(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        self.units(metric_set, sums)
    }

    /// See [`MetricSet::left_out`].
    fn left_out(&self, _: &MetricSet, _: &impl SeriesSums) -> i64 {
        0
    }

    /// See [`MetricSet::is_counted`].
    fn is_counted(&self, metric_set: &MetricSet) -> bool;

    /// See [`MetricSet::is_by_day_only`].
    fn is_by_day_only(&self, metric_set: &MetricSet) -> bool;

    /// Adds the sums that it is made of.
    fn add_parts(&self, metric_set: &MetricSet, parts: &mut MetricSeries);
}

/// What a kind does for an event.
pub(super) trait StepOf {
    /// Adds the event, which has passed the metric's filters.
    fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>);

    /// Whether it refuses events that it can't count.
    fn checks(&self) -> bool {
        false
    }

    /// Refuses an event at the door that it can't count, or notes that it leaves it out.
    fn check(&self, _: Offered<'_>, _: &mut Vec<Note>) -> Result<(), AmountFault> {
        Ok(())
    }
}

/// The step of a kind that is only read. There is no value of this type.
impl StepOf for Infallible {
    fn add(&self, _: Seen<'_>, _: &mut Tally<'_>) {
        match *self {}
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($definition:ty)),+ $(,)?) => {
        /// What a metric does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $kind),+ }

        /// A compiled metric, but for its name and unit.
        #[derive(Clone, Debug)]
        pub(super) enum Definition { $($(#[$doc])* $kind($definition)),+ }

        /// What a metric does for an event.
        #[derive(Clone, Debug)]
        pub(super) enum Step { $($(#[$doc])* $kind(<$definition as MetricKind>::Step)),+ }

        /// The keys that a kind needs, and those that it may have.
        pub(super) fn fields(kind: Kind) -> (&'static [&'static str], &'static [&'static str]) {
            match kind {
                $(Kind::$kind => {
                    (<$definition as MetricKind>::NEEDS, <$definition as MetricKind>::MAY_HAVE)
                })+
            }
        }

        impl Definition {
            /// See [`MetricKind::compile`].
            pub fn compile(
                spec: &MetricSpec,
                earlier: &[Metric],
            ) -> Result<(Definition, Unit), String> {
                match spec.kind {
                    $(Kind::$kind => <$definition as MetricKind>::compile(spec, earlier)
                        .map(|(definition, unit)| (Definition::$kind(definition), unit)),)+
                }
            }

            /// See [`MetricKind::step`].
            pub fn step(&self, spec: &MetricSpec, wanted: &mut Wanted) -> Option<Step> {
                match self { $(Definition::$kind(it) => it.step(spec, wanted).map(Step::$kind)),+ }
            }

            /// See [`MetricKind::units`].
            pub fn units(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
                match self { $(Definition::$kind(it) => it.units(metric_set, sums)),+ }
            }

            /// See [`MetricKind::value`].
            pub fn value(&self, unit: Unit, metric_set: &MetricSet, sums: &impl SeriesSums) -> Value {
                match self { $(Definition::$kind(it) => it.value(unit, metric_set, sums)),+ }
            }

            /// See [`MetricKind::volume`].
            pub fn volume(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
                match self { $(Definition::$kind(it) => it.volume(metric_set, sums)),+ }
            }

            /// See [`MetricKind::dividend`].
            pub fn dividend(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
                match self { $(Definition::$kind(it) => it.dividend(metric_set, sums)),+ }
            }

            /// See [`MetricKind::left_out`].
            pub fn left_out(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> i64 {
                match self { $(Definition::$kind(it) => it.left_out(metric_set, sums)),+ }
            }

            /// See [`MetricKind::DIVIDES`].
            pub fn divides(&self) -> bool {
                match self { $(Definition::$kind(_) => <$definition as MetricKind>::DIVIDES),+ }
            }

            /// See [`MetricSet::is_counted`].
            pub fn is_counted(&self, metric_set: &MetricSet) -> bool {
                match self { $(Definition::$kind(it) => it.is_counted(metric_set)),+ }
            }

            /// See [`MetricSet::is_by_day_only`].
            pub fn is_by_day_only(&self, metric_set: &MetricSet) -> bool {
                match self { $(Definition::$kind(it) => it.is_by_day_only(metric_set)),+ }
            }

            /// See [`MetricKind::add_parts`].
            pub fn add_parts(&self, metric_set: &MetricSet, parts: &mut MetricSeries) {
                match self { $(Definition::$kind(it) => it.add_parts(metric_set, parts)),+ }
            }
        }

        impl Step {
            /// See [`StepOf::add`].
            pub fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>) {
                match self { $(Step::$kind(it) => it.add(seen, tally)),+ }
            }

            /// See [`StepOf::checks`].
            pub fn checks(&self) -> bool {
                match self { $(Step::$kind(it) => it.checks()),+ }
            }

            /// See [`StepOf::check`].
            pub fn check(
                &self,
                offered: Offered<'_>,
                notes: &mut Vec<Note>,
            ) -> Result<(), AmountFault> {
                match self { $(Step::$kind(it) => it.check(offered, notes)),+ }
            }
        }
    };
}

kinds! {
    /// Counts events.
    Count(count::Count),
    /// Adds up a numeric property.
    Sum(sum::Sum),
    /// Counts different values, by business day.
    Distinct(distinct::Distinct),
    /// Divides metrics by metrics.
    Ratio(ratio::Ratio),
    /// Takes metrics from metrics.
    Difference(difference::Difference),
}

/// The places of the metrics that the metric `name` is made of.
fn places(name: &str, of: &Names, earlier: &[Metric]) -> Result<Vec<usize>, String> {
    let find = |other: &String| match earlier.iter().position(|known| known.name == *other) {
        Some(place) if earlier[place].definition.divides() => {
            Err(format!("{other:?} is a ratio, which can't be added up"))
        }
        Some(place) => Ok(place),
        None => Err(format!("no metric {other:?} stands before {name:?}")),
    };
    of.0.iter().map(find).collect()
}

/// The unit of the sum of metrics, of which there is at least one.
fn common_unit(name: &str, places: &[usize], earlier: &[Metric]) -> Result<Unit, String> {
    let first = earlier[places[0]].unit;
    match places.iter().all(|place| earlier[*place].unit == first) {
        true => Ok(first),
        false => Err(format!("{name:?} adds up money and numbers")),
    }
}

/// A number of events as units of 1/10,000.
fn whole(count: i64) -> i128 {
    i128::from(count) * i128::from(crate::domain::money::UNITS_PER_WHOLE)
}
