//! The pace of targets: what a metric has come to, should have by now, and will end at. What is there comes from the
//! mirror and the rollups ([`TimeSeries`]); what usual days are like is held in memory ([`history`]).

mod history;
mod told;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Mutex;

use self::{history::History, told::Telling};
use crate::{
    domain::{
        metric::Unit,
        occasion::Occasions,
        pace::{MetricTarget, Targets},
        time::Millis,
    },
    numbers::{Interval, Mirror, Past, TimeSeries, Unavailable},
};

/// How a target is doing. Amounts are in the unit of the metric; moments are Unix ms.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetPace {
    /// The name of the target.
    pub target: String,
    /// What people read.
    pub title: String,
    /// The metric.
    pub metric: String,
    /// The unit of its values.
    pub unit: Unit,
    /// `day`, `week`, `month`, or an occasion.
    pub span: String,
    /// `usual`, `straight`, or an occasion.
    pub curve: String,
    /// The start of the span.
    pub from: Millis,
    /// Its end.
    pub to: Millis,
    /// Of which moment the answer is.
    pub as_of: Millis,
    /// What the metric is to come to.
    pub amount: f64,
    /// What it has come to.
    pub value: f64,
    /// What it should have come to; null where the curve is not known.
    pub should: Option<f64>,
    /// Where it will end; null where that is not known.
    pub forecast: Option<PaceForecast>,
    /// Why something is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// The way there, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<PacePoint>>,
}

/// What a metric will come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PaceForecast {
    /// As likely more as less.
    pub value: f64,
    /// In one case of ten it is less.
    pub low: f64,
    /// In one case of ten it is more.
    pub high: f64,
    /// How likely the target is reached, 0 to 1.
    pub chance: f64,
}

/// A moment of the span.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PacePoint {
    /// Unix ms.
    pub timestamp: Millis,
    /// What should have come by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub should: Option<f64>,
    /// What had come by then; left out of what is still to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What will have come by then, and in one case of ten less, in one of ten more.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub expected: Option<PaceExpected>,
}

/// What will have come by a moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PaceExpected {
    /// As likely more as less.
    pub expected: f64,
    /// In one case of ten it is less.
    pub low: f64,
    /// In one case of ten it is more.
    pub high: f64,
}

/// What was read of each target last.
#[derive(Default)]
struct ReadHistories {
    by_target: HashMap<String, Arc<History>>,
    /// When the store did not answer last, and why: those who waited meanwhile are told so, too, and do not each ask it.
    failed: Option<(Instant, Unavailable)>,
}

/// For so long a store that did not answer is not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Tells the pace of targets.
pub struct PaceReader {
    targets: Targets,
    occasions: Occasions,
    mirror: Mirror,
    series: TimeSeries,
    past: Past,
    /// Held while a history is read, so that the same is not asked twice at a time.
    read: Mutex<ReadHistories>,
}

impl PaceReader {
    /// Tells of these targets.
    pub fn new(
        (targets, occasions): (Targets, Occasions),
        mirror: Mirror,
        series: TimeSeries,
        past: Past,
    ) -> PaceReader {
        PaceReader { targets, occasions, mirror, series, past, read: Mutex::default() }
    }

    /// The targets.
    pub fn targets(&self) -> &[MetricTarget] {
        self.targets.all()
    }

    /// How a target is doing now.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn pace(
        &self,
        target: &MetricTarget,
        with_points: bool,
    ) -> Result<TargetPace, Unavailable> {
        let (now, zone) = (self.mirror.now(), self.mirror.zone());
        let span = target.span.around(now, zone);
        let history = self.history(target, span, now).await?;
        let start = zone.day_of(now).start;
        let today = self.read(&target.metric, Interval::QuarterHour, start, now, now).await?;
        let metric = self.mirror.metric_set().metric(&target.metric);
        let unit = metric.map(|metric| metric.unit).unwrap_or_default();
        Ok(Telling::new((target, unit), &history, &today, span, now, zone).pace(with_points))
    }

    /// What the days before are like.
    async fn history(
        &self,
        target: &MetricTarget,
        span: (Millis, Millis),
        now: Millis,
    ) -> Result<Arc<History>, Unavailable> {
        let today = self.mirror.zone().day_of(now).start;
        let mut read = self.read.lock().await;
        let known = read.by_target.get(&target.name);
        if let Some(history) = known.filter(|it| it.is_good(span.0, today, now)) {
            return Ok(history.clone());
        }
        if let Some((_, why)) = read.failed.as_ref().filter(|(at, _)| at.elapsed() < ASK_AGAIN) {
            return Err(why.clone());
        }
        let history = self.read_history(target, span, now).await.map(Arc::new);
        match &history {
            Ok(history) => _ = read.by_target.insert(target.name.clone(), history.clone()),
            Err(why) => read.failed = Some((Instant::now(), why.clone())),
        }
        history
    }
}
