//! What the events that were read add to the metric.

use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

use super::plan::{Half, ReadingPlan};
use crate::{
    domain::{
        access::Sight,
        aggregate::Aggregator,
        cause::{Model, Part, SampledEvent, Slice},
        delta::{Delta, DeltaSum, Series},
        metric::{Metric, MetricSet, SeriesSums},
        row::Row,
        time::Millis,
    },
    store::events::StoredEvent,
};

/// The most events of a span that are looked at.
const MOST: usize = 20_000;
/// A property is one of hits and misses alike where at least one in so many of both has it.
const SHARED: u64 = 100;

/// The events of both spans.
pub struct Sampled {
    /// What each adds, and its properties.
    pub events: Vec<SampledEvent>,
    /// How the metric changes.
    pub model: Model,
    /// The metric in the span that is asked about; `None` for a ratio of nothing.
    pub value: Option<f64>,
    /// The metric in the span before.
    pub was: Option<f64>,
    /// By what a volume of the model is multiplied for one of the metric.
    pub unit: f64,
    /// The part of the events of the span that is asked about, 0 to 1.
    pub fraction: f64,
}

/// A span's events.
struct HalfRead {
    events: Vec<SampledEvent>,
    fraction: f64,
    length: Millis,
}

/// What one event adds to a metric.
struct OneEvent<'a>(&'a Delta);

impl SeriesSums for OneEvent<'_> {
    fn series(&self, series: &Series) -> i64 {
        self.0.cells().filter(|(_, known, _)| *known == series).map(|(.., value)| value).sum()
    }

    fn all_events(&self) -> i64 {
        let counts = self.0.cells().filter(|(_, series, _)| matches!(series, Series::Count(_)));
        counts.map(|(.., value)| value).sum()
    }

    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}

impl Sampled {
    /// Reads the events of both spans, window by window of the plan. `sight` is that of who asks.
    pub fn read(
        metric_set: &std::sync::Arc<MetricSet>,
        metric: &Metric,
        sight: Sight,
        plan: &ReadingPlan,
        was: Vec<Vec<StoredEvent>>,
        now: Vec<Vec<StoredEvent>>,
    ) -> Sampled {
        let mut reader = EventSampler {
            aggregator: Aggregator::new(metric_set.clone(), usize::MAX),
            metric_set,
            metric,
            sight,
        };
        let was = reader.half(plan, Half::Was, was);
        let now = reader.half(plan, Half::Now, now);
        match metric_set.is_ratio(metric) && is_share(&was, &now) {
            true => Sampled::share(was, now),
            false => Sampled::volume(was, now, metric_set.is_ratio(metric)),
        }
    }

    /// Each hit is one of the attempts.
    fn share(was: HalfRead, now: HalfRead) -> Sampled {
        let ratio = |half: &HalfRead| {
            let sum = half.sum();
            (sum.of > 0.0).then(|| sum.hits / sum.of)
        };
        let (before, value) = (ratio(&was), ratio(&now));
        let fraction = now.fraction;
        let events = was.events.into_iter().chain(now.events);
        let mut events: Vec<SampledEvent> = events.filter(|event| event.part.of > 0.0).collect();
        keep_shared(&mut events);
        Sampled {
            events,
            model: Model::Share { rises: value > before },
            value,
            was: before,
            unit: 1.0,
            fraction,
        }
    }

    /// What comes is compared with what came, for a span of the same length; of a ratio the dividend, for as
    /// much of the divisor.
    fn volume(was: HalfRead, now: HalfRead, is_ratio: bool) -> Sampled {
        let (before, after) = (was.sum(), now.sum());
        // The sums of the whole spans, as the parts that were read suggest.
        let (all_was, all_now) = (before.hits / was.fraction, after.hits / now.fraction);
        let (per_was, per_now) = (before.of / was.fraction, after.of / now.fraction);
        let expected = match is_ratio {
            true if per_was > 0.0 => per_now / per_was,
            true => 1.0,
            false => now.length as f64 / was.length.max(1) as f64,
        };
        let (value, before_value) = match is_ratio {
            true => (
                (per_now > 0.0).then(|| all_now / per_now),
                (per_was > 0.0).then(|| all_was / per_was),
            ),
            false => (Some(all_now), Some(all_was * expected)),
        };
        let scale = expected * now.fraction / was.fraction;
        let fraction = now.fraction;
        let events = was.events.into_iter().chain(now.events);
        let mut events: Vec<SampledEvent> = events.filter(|event| event.part.hits > 0.0).collect();
        // Amounts are counted in the amount of a typical event, as chance comes by the event.
        let (sum, squares) = events.iter().fold((0.0, 0.0), |(sum, squares), event| {
            (sum + event.part.hits, squares + event.part.hits * event.part.hits)
        });
        let typical = if sum > 0.0 { squares / sum } else { 1.0 };
        for event in &mut events {
            event.part = Part { hits: event.part.hits / typical, of: 1.0 };
        }
        Sampled {
            events,
            model: Model::Volume { rises: after.hits > before.hits * scale, scale },
            value,
            was: before_value,
            unit: typical / fraction,
            fraction,
        }
    }
}

impl HalfRead {
    fn sum(&self) -> Part {
        let mut sum = Part::default();
        self.events.iter().for_each(|event| sum.add(event.part));
        sum
    }
}

/// Whether each hit is one of the attempts.
fn is_share(was: &HalfRead, now: &HalfRead) -> bool {
    was.events.iter().chain(&now.events).all(|event| {
        let Part { hits, of } = event.part;
        (0.0..=of).contains(&hits)
    })
}

/// Leaves out properties that hits have and misses have not, or the other way round: what only failures
/// have, such as a code, tells failures from successes and nothing of why there are more of them.
fn keep_shared(events: &mut [SampledEvent]) {
    let mut of_name: HashMap<&str, (u64, u64)> = HashMap::new();
    let (mut hits, mut misses) = (0, 0);
    for event in events.iter() {
        let is_hit = event.part.hits > 0.0;
        *(if is_hit { &mut hits } else { &mut misses }) += 1;
        for (name, _) in &event.values {
            let counts = of_name.entry(name).or_default();
            *(if is_hit { &mut counts.0 } else { &mut counts.1 }) += 1;
        }
    }
    let is_shared =
        |(of_hits, of_misses): (u64, u64)| of_hits * SHARED >= hits && of_misses * SHARED >= misses;
    let shared: HashSet<String> = of_name
        .into_iter()
        .filter(|(_, counts)| is_shared(*counts))
        .map(|(name, _)| name.to_owned())
        .collect();
    events.iter_mut().for_each(|event| event.values.retain(|(name, _)| shared.contains(name)));
}

struct EventSampler<'a> {
    aggregator: Aggregator,
    metric_set: &'a MetricSet,
    metric: &'a Metric,
    sight: Sight,
}

impl EventSampler<'_> {
    fn half(&mut self, plan: &ReadingPlan, span: Half, read: Vec<Vec<StoredEvent>>) -> HalfRead {
        let windows = plan.windows(span);
        let fraction = windows.fraction(&read, plan.limit(span));
        let mut all: Vec<(Slice, StoredEvent)> = Vec::new();
        for ((slice, _), events) in windows.windows.iter().zip(read) {
            all.extend(events.into_iter().map(|event| (*slice, event)));
        }
        let found = all.len();
        // Those whose ids hash lowest, so that every question gets the same ones.
        let hash = |(_, event): &(Slice, StoredEvent)| (xxh3_64(event.id.as_bytes()), event.time);
        if found > MOST {
            all.select_nth_unstable_by_key(MOST, hash);
            all.truncate(MOST);
        }
        all.sort_by_cached_key(hash);
        let kept = if found > MOST { MOST as f64 / found as f64 } else { 1.0 };
        let events = all.into_iter().filter_map(|(slice, event)| self.event(slice, event));
        HalfRead {
            events: events.collect(),
            fraction: fraction * kept,
            length: windows.span.1 - windows.span.0,
        }
    }

    /// `None` for an event that adds nothing.
    fn event(&mut self, slice: Slice, event: StoredEvent) -> Option<SampledEvent> {
        let row = Row {
            time: event.time,
            received_at: event.time,
            id: &event.id,
            kind: &event.kind,
            properties: &event.properties,
            ..Row::default()
        };
        let mut sum = DeltaSum::default();
        self.aggregator.add(&mut sum, &row);
        self.aggregator.undo();
        let delta = sum.finish();
        let sums = OneEvent(&delta);
        let part = Part {
            hits: self.metric_set.dividend(self.metric, &sums)?,
            of: self.metric_set.volume(self.metric, &sums)?,
        };
        let says_something = part.hits != 0.0 || part.of != 0.0;
        let mut values = SampledEvent::values(&event.properties, event.source.as_deref());
        values.retain(|(name, _)| self.metric_set.shows_values(self.sight, name));
        says_something.then_some(SampledEvent { slice, part, values })
    }
}
