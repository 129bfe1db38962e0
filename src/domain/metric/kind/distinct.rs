//! `distinct`: how many different values a property has, by business day. A batch can't hold
//! the number, since two batches may hold the same value. So it notes the values themselves,
//! as hashes, and the live side counts them in sets.

use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_64;

use super::{MetricKind, StepOf, whole};
use crate::domain::{
    delta::QUARTER_HOUR,
    metric::{
        metric_set::{Metric, MetricSeries, MetricSet, SeriesSums},
        plan::{Seen, Tally, Wanted},
        spec::MetricSpec,
        value::Unit,
    },
    time::{Millis, bucket},
};

/// Distinct values that this node remembers having noted; beyond, it forgets them all and
/// notes them again, which changes no number. As many as a hash table of 2^19 places takes
/// (seven of eight), 9 MB: one more would double it.
const MAX_NOTED: usize = (1 << 19) / 8 * 7;

/// A metric that is asked for by its name.
#[derive(Clone, Debug)]
pub(in super::super) struct Distinct(String);

/// Notes an event's value.
#[derive(Clone, Debug)]
pub(in super::super) struct Note {
    metric: String,
    who: Who,
}

/// What a distinct metric tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// `sessionId`, or `userId` where there is none: as active users are told apart.
    Visitor,
    /// `userId`.
    User,
    /// A picked property.
    Property(usize),
}

/// What distinct metrics have seen, so that a value is noted once a quarter of an hour and not
/// once a batch: the quarter's start, and a hash of metric and value.
#[derive(Debug, Default)]
pub struct DistinctNoted(HashSet<(Millis, u64)>);

impl DistinctNoted {
    /// Forgets all: what was noted is noted again.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn is_new(&mut self, metric: &str, hash: u64, at: Millis) -> bool {
        if self.0.len() >= MAX_NOTED {
            self.0.clear();
        }
        self.0.insert((bucket(at, QUARTER_HOUR), hash ^ xxh3_64(metric.as_bytes())))
    }
}

impl MetricKind for Distinct {
    const NEEDS: &'static [&'static str] = &["event", "property"];
    const MAY_HAVE: &'static [&'static str] = &["where"];
    type Step = Note;

    fn compile(spec: &MetricSpec, _: &[Metric]) -> Result<(Distinct, Unit), String> {
        Ok((Distinct(spec.name.clone()), Unit::Count))
    }

    fn step(&self, spec: &MetricSpec, wanted: &mut Wanted) -> Option<Note> {
        let who = match spec.property.as_deref()? {
            "sessionId" => Who::Visitor,
            "userId" => Who::User,
            property => Who::Property(wanted.place(property)),
        };
        Some(Note { metric: self.0.clone(), who })
    }

    fn units(&self, _: &MetricSet, sums: &impl SeriesSums) -> Option<i128> {
        sums.distinct(&self.0).map(whole)
    }

    /// Different values are no independent events: chance moves their number by another law.
    fn is_counted(&self, _: &MetricSet) -> bool {
        false
    }

    fn is_by_day_only(&self, _: &MetricSet) -> bool {
        true
    }

    /// It is made of sets, and not of sums.
    fn add_parts(&self, _: &MetricSet, parts: &mut MetricSeries) {
        parts.distinct.push(self.0.clone());
    }
}

impl StepOf for Note {
    fn add(&self, seen: Seen<'_>, tally: &mut Tally<'_>) {
        let who = match self.who {
            Who::Visitor => seen.row.visitor(),
            Who::User => seen.row.user_id,
            Who::Property(property) => seen.picked[property].as_deref(),
        };
        let Some(hash) = who.map(|who| xxh3_64(who.as_bytes())) else { return };
        if tally.noted.is_new(&self.metric, hash, seen.row.time) {
            tally.sum.distinct(&self.metric, seen.row.time, hash);
        }
    }
}
