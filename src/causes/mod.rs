//! Answers why a metric has changed: reads some of the events of both spans from the store, and lets
//! [`crate::domain::cause`] find what accounts for the difference.
//!
//! ```text
//!  metric, two spans ─> [plan] which moments to read ─> store ─> [sample] what each event adds
//!       ─> domain::cause ─> Explanation
//! ```
//!
//! The store has every event of every node, so the answer is the same on each of them. Where a span has more
//! events than may be read, moments that are spread evenly over it are read whole, and of their events those
//! whose ids hash lowest: the same question gets the same events.

mod plan;
mod sample;
pub mod spans;

use std::sync::Arc;

use serde::Serialize;

use self::{
    plan::{Half, ReadingPlan},
    sample::Sampled,
    spans::Moments,
};
use crate::{
    domain::{
        access::Sight,
        cause::{Cause, NamedCause, Tuning, causes_of, leaves_of},
        metric::{Metric, MetricSet},
        time::Millis,
    },
    sink::SinkError,
    store::{
        Rollups,
        events::EventReader,
        retention::{Retention, gone_of},
    },
};

/// Finds causes. A clone is the same.
#[derive(Clone)]
pub struct Explainer {
    events: Arc<dyn EventReader>,
    rollups: Arc<dyn Rollups>,
    retention: Arc<dyn Retention>,
    metric_set: Arc<MetricSet>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct CauseQuery {
    /// The name of a metric.
    pub metric: String,
    /// The span that is asked about, `[from, to)`, Unix ms.
    pub now: Moments,
    /// The span that it is compared with.
    pub was: Moments,
    /// What the one who asks may see.
    pub sight: Sight,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CauseFault {
    /// There is no metric of this name.
    #[error("there is no metric {0:?}")]
    Unknown(String),
    /// The metric is none of which single events add something.
    #[error("{0} counts different values: only counts, sums and ratios of them have causes")]
    NoSum(String),
    /// Rows that it takes were removed.
    #[error("{0}")]
    Gone(String),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] SinkError),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The metric.
    pub metric: String,
    /// The span that was asked about.
    pub from: Millis,
    /// Its end.
    pub to: Millis,
    /// The span that it was compared with.
    pub baseline: ComparedSpan,
    /// The metric in the span; `None` for a ratio of nothing.
    pub value: Option<f64>,
    /// The metric in the span before: of a count or a sum, what it would be over a span of this length.
    pub was: Option<f64>,
    /// What accounts for the difference, the largest part first.
    pub causes: Vec<NamedCause>,
    /// What was looked at.
    pub searched: Searched,
    /// Whether the change is alike everywhere.
    pub general: bool,
}

/// A span that another one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedSpan {
    /// Its beginning, Unix ms.
    pub from: Millis,
    /// Its end.
    pub to: Millis,
}

/// What was looked at for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Searched {
    /// Events of both spans.
    pub events: usize,
    /// Properties.
    pub properties: usize,
}

impl Explainer {
    /// Reads events from `events`; `rollups` says how many there are, and `retention` which are gone.
    pub fn new(
        events: Arc<dyn EventReader>,
        rollups: Arc<dyn Rollups>,
        retention: Arc<dyn Retention>,
        metric_set: Arc<MetricSet>,
    ) -> Explainer {
        Explainer { events, rollups, retention, metric_set }
    }

    /// Finds out why a metric has changed.
    ///
    /// # Errors
    /// There is no such metric, it is no sum, rows of the spans are gone, or the store can't be read.
    pub async fn explain(&self, query: &CauseQuery) -> Result<Explanation, CauseFault> {
        let Some(metric) = self.metric_set.metric(&query.metric) else {
            return Err(CauseFault::Unknown(query.metric.clone()));
        };
        if self.metric_set.is_by_day_only(metric) {
            return Err(CauseFault::NoSum(query.metric.clone()));
        }
        let plan = ReadingPlan::make(&*self.rollups, metric, query).await?;
        let was = self.events.events(&plan.asked(Half::Was)).await?;
        let now = self.events.events(&plan.asked(Half::Now)).await?;
        // Asked last: rows that are removed while they are read are noted by then.
        let kinds = plan.asked(Half::Now).kinds;
        let spans = [query.was, query.now];
        if let Some(words) = gone_of(&*self.retention, &spans, kinds.as_deref()).await? {
            return Err(CauseFault::Gone(words));
        }
        let (metric_set, metric, query) = (self.metric_set.clone(), metric.clone(), query.clone());
        // It takes some tens of ms, for which no other request should wait.
        let answer = tokio::task::spawn_blocking(move || {
            let sampled = Sampled::read(&metric_set, &metric, query.sight, &plan, was, now);
            answer(&metric, &query, sampled)
        });
        let panicked = |e: tokio::task::JoinError| {
            SinkError::new(crate::sink::SinkErrorKind::Other, format!("the search has ended: {e}"))
        };
        Ok(answer.await.map_err(panicked)?)
    }
}

fn answer(metric: &Metric, query: &CauseQuery, sampled: Sampled) -> Explanation {
    let leaves = leaves_of(&sampled.events, &metric.properties, sampled.model);
    let found = causes_of(&leaves, sampled.model, &Tuning::default());
    let named = |cause: Cause| NamedCause {
        conditions: cause
            .conditions
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        value: rounded(cause.value * sampled.unit),
        was: rounded(cause.was * sampled.unit),
        events: (cause.events / sampled.fraction).round() as u64,
        share: rounded(cause.share),
        confidence: rounded(cause.confidence),
    };
    Explanation {
        metric: metric.name.clone(),
        from: query.now.0,
        to: query.now.1,
        baseline: ComparedSpan { from: query.was.0, to: query.was.1 },
        value: sampled.value.map(rounded),
        was: sampled.was.map(rounded),
        causes: found.causes.into_iter().map(named).collect(),
        searched: Searched { events: sampled.events.len(), properties: leaves.searched },
        general: found.general,
    }
}

/// Four digits behind the point, which is more than a sample tells.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests;
