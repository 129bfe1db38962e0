//! What an event of one type adds to the counters. A plan is followed for every event, so all
//! that can be known beforehand is: which properties to pick, in one walk through the event,
//! and which steps to take. A step is an enum and not a boxed trait, so that following one
//! costs a jump and no allocation.

use std::borrow::Cow;

use super::{
    breakdown::{Breakdown, MISSING},
    filter::{Filter, Takes, all},
    kind::{AddAmount, Addend, AmountFault, DistinctNoted, Step},
    left_out::{LeaveOut, LeftOut},
    metric_set::Metric,
    spec::MetricSpec,
};
use crate::domain::{
    bot, currency::Rates, delta::DeltaSum, event::Note, properties::pick, row::Row,
};

/// The picked properties of one event; `None` for one that is absent or no scalar.
pub(super) type Picked<'a> = Vec<Option<Cow<'a, str>>>;

/// The steps for one event type, and the properties that they look at.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    wanted: Wanted,
    /// For events of people.
    steps: Vec<Filtered>,
    /// For events that a bot sent.
    bot_steps: Vec<Filtered>,
    /// One of the steps refuses or notes events that it can't count.
    checks: bool,
    /// Breakdowns, which count people.
    breakdowns: Vec<ByValue>,
}

/// The names of the top-level properties that a plan picks. Its steps mean them by their place
/// here, so each is looked for once, however many steps want it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(Vec<String>);

/// How the events of a plan are counted by a breakdown.
#[derive(Clone, Debug)]
struct ByValue {
    /// The breakdown's name.
    name: String,
    /// The place of the property among the wanted ones.
    property: usize,
    /// Where events without a value are counted.
    missing: String,
    /// What is added up by value beside their number.
    sums: Vec<SumByValue>,
}

/// How a metric of kind `sum` is added up by value.
#[derive(Clone, Debug)]
struct SumByValue {
    /// The breakdown of the sum.
    name: String,
    /// Where events without a value add to.
    missing: String,
    /// The metric's own filters.
    filters: Vec<Filter>,
    /// What an event adds.
    addend: AddAmount,
}

/// A step that is taken for events that pass some filters.
#[derive(Clone, Debug)]
struct Filtered {
    /// All of them must pass.
    filters: Vec<Filter>,
    step: Step,
}

/// Where the steps of a plan add to.
#[derive(Debug)]
pub struct Tally<'a> {
    /// The sums of the open batch.
    pub sum: &'a mut DeltaSum,
    /// What money in other currencies is worth.
    pub rates: &'a Rates,
    /// What distinct metrics have seen already.
    pub noted: &'a mut DistinctNoted,
}

/// An event as a step sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The event itself.
    pub row: &'a Row<'a>,
    /// Its picked properties.
    pub picked: &'a [Option<Cow<'a, str>>],
}

/// An event at the door, as a step sees it that may refuse it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered<'a> {
    /// Its type.
    pub kind: &'a str,
    /// All of its properties, raw JSON.
    pub properties: &'a str,
    /// The picked ones.
    pub picked: &'a [Option<Cow<'a, str>>],
    /// What the picked ones are called.
    pub wanted: &'a Wanted,
}

impl Wanted {
    /// The place of a property, which is added where it is new.
    pub fn place(&mut self, property: &str) -> usize {
        self.0.iter().position(|known| known == property).unwrap_or_else(|| {
            self.0.push(property.to_owned());
            self.0.len() - 1
        })
    }

    /// The name of the property at a place.
    pub fn name(&self, place: usize) -> &str {
        &self.0[place]
    }
}

impl Plan {
    /// Adds what a metric writes for each event of the plan's type, if it writes anything. The
    /// metric was compiled from this spec.
    pub(super) fn add_metric(&mut self, spec: &MetricSpec, metric: &Metric) {
        let Some(step) = metric.definition.step(spec, &mut self.wanted) else { return };
        let wanted = &mut self.wanted;
        let filters = Filter::read_all(spec, |property| wanted.place(property));
        let filters = filters.expect("the filters were checked when the metric was compiled");
        let takes = Takes::read(spec).expect("it was read when the metric was compiled");
        self.checks |= step.checks();
        let filtered = Filtered { filters, step };
        if takes.bots {
            self.bot_steps.push(filtered.clone());
        }
        if takes.people {
            self.steps.push(filtered);
        }
    }

    /// Adds what a ratio notes for each event of the plan's type that it leaves out. These are its operands,
    /// as far as they take events of this type (`kind`), each with its spec.
    pub(super) fn add_ratio(
        &mut self,
        left_out: &LeftOut,
        operands: &[(&MetricSpec, &Metric)],
        kind: &str,
    ) {
        for (bots, steps) in [(false, &mut self.steps), (true, &mut self.bot_steps)] {
            if let Some(step) = LeaveOut::new(left_out, operands, kind, bots, &mut self.wanted) {
                steps.push(Filtered { filters: Vec::new(), step: Step::Ratio(step) });
            }
        }
    }

    /// Adds a breakdown of events of the plan's type. Each spec has its metric at the same place.
    pub(super) fn add_breakdown(
        &mut self,
        breakdown: &Breakdown,
        specs: &[MetricSpec],
        metrics: &[Metric],
    ) {
        let wanted = &mut self.wanted;
        let property = wanted.place(&breakdown.property);
        let mut sums = Vec::new();
        for sum in &breakdown.sums {
            let found = specs.iter().zip(metrics).find(|(spec, _)| spec.name == *sum);
            let Some((spec, metric)) = found else { continue };
            let Some(Step::Sum(addend)) = metric.definition.step(spec, wanted) else { continue };
            let filters = Filter::read_all(spec, |property| wanted.place(property));
            let filters = filters.expect("the filters were checked when the metric was compiled");
            let tallied = breakdown.summed(sum);
            let (name, missing) = (tallied.values, tallied.missing);
            sums.push(SumByValue { name, missing, filters, addend });
        }
        let (name, missing) = (breakdown.name.clone(), breakdown.missing());
        self.breakdowns.push(ByValue { name, property, missing, sums });
    }

    /// Adds what one event is to be counted as; `is_bot` says whether a bot sent it.
    pub fn follow(&self, row: &Row<'_>, is_bot: bool, tally: &mut Tally<'_>) {
        let picked = self.pick(row.properties);
        let seen = Seen { row, picked: &picked };
        for Filtered { filters, step } in self.steps_for(is_bot) {
            if all(filters, &picked) {
                step.add(seen, tally);
            }
        }
        if is_bot {
            return;
        }
        for ByValue { name, property, missing, sums } in &self.breakdowns {
            let value = picked[*property].as_deref();
            let mut add = |name: &str, missing: &str, n: u64| match value {
                Some(value) => tally.sum.top(name, row.time, value, n),
                None => tally.sum.top(missing, row.time, MISSING, n),
            };
            add(name, missing, 1);
            for SumByValue { name, missing, filters, addend } in sums {
                if all(filters, &picked)
                    && let Addend::Added(amount, _) = addend.addend(seen, tally.rates)
                    && let Ok(units @ 1..) = u64::try_from(amount.0)
                {
                    add(name, missing, units);
                }
            }
        }
    }

    /// Whether every metric that would count an event can. This is asked at the door, so that
    /// an event is either refused or counted by all of its metrics.
    ///
    /// # Errors
    /// An amount of money is missing or absurd.
    pub fn check(
        &self,
        kind: &str,
        properties: &str,
        notes: &mut Vec<Note>,
    ) -> Result<(), AmountFault> {
        // Most types have nothing to check, and their properties are then not read here.
        if !self.checks {
            return Ok(());
        }
        let picked = self.pick(properties);
        let offered = Offered { kind, properties, picked: &picked, wanted: &self.wanted };
        for Filtered { filters, step } in self.steps_for(bot::is_labelled(kind, properties)) {
            if step.checks() && all(filters, &picked) {
                step.check(offered, notes)?;
            }
        }
        Ok(())
    }

    fn steps_for(&self, is_bot: bool) -> &[Filtered] {
        if is_bot { &self.bot_steps } else { &self.steps }
    }

    fn pick<'a>(&self, properties: &'a str) -> Picked<'a> {
        if self.wanted.0.is_empty() { Vec::new() } else { pick(properties, &self.wanted.0) }
    }
}
