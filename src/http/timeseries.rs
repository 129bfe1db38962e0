//! `GET /api/analytics/timeseries`: minutes of the last 24 hours and seconds of the last hour
//! from the mirror, what is older and baselines from the rollups.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    broadcast::LiveView,
    domain::{
        delta::Series,
        metric::{Measures, Parts, Source, Value},
        time::{MINUTE, Millis, bucket},
    },
    http::{
        current::no_store,
        error::ApiError,
        history::History,
        query::{Interval, Query, What},
        scope::View,
    },
    live::state::{MINUTES_KEPT, Totals},
    store::rollup::Summed,
};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/timeseries", timeseries);
}

async fn timeseries(
    request: HttpRequest,
    view: web::Data<LiveView>,
    history: web::Data<History>,
) -> Result<HttpResponse, ApiError> {
    let now = view.now();
    let query = Query::parse(request.query_string(), now, view.zone(), view.measures())?;
    Ok(no_store().json(answer(&query, now, &view, &history).await?))
}

/// One entry of a time series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Where the bucket starts, Unix ms.
    pub timestamp: Millis,
    /// What was counted in it; null where a ratio divides by nothing, or a baseline is not
    /// known.
    pub count: Value,
}

async fn answer(
    query: &Query,
    now: Millis,
    view: &LiveView,
    history: &History,
) -> Result<Vec<Point>, ApiError> {
    let starts = query.starts(view.zone());
    let measures = view.measures();
    let parts = query.what.parts(measures);
    let mut buckets = vec![Some(Sums::default()); starts.len() - 1];
    if let Some(shift) = query.baseline {
        for part in summed(&parts) {
            let found = history.baseline(view.zone(), shift, &part, &starts).await?;
            add(&mut buckets, &part, found);
        }
    } else {
        // The oldest minute that the mirror has as a whole.
        let mirrored = bucket(now - MINUTES_KEPT, MINUTE) + MINUTE;
        if query.interval != Interval::Second {
            for part in summed(&parts) {
                let found = history.before(mirrored, &part, &starts).await?;
                add(&mut buckets, &part, found.into_iter().map(Some).collect());
            }
        }
        let state = view.state();
        for (sums, pair) in buckets.iter_mut().flatten().zip(starts.windows(2)) {
            let from =
                if query.interval == Interval::Second { pair[0] } else { pair[0].max(mirrored) };
            for (_, totals) in state.range(from, pair[1], pair[1] - pair[0]) {
                sums.add_all(&totals);
            }
        }
    }
    let value = |sums: &Option<Sums>| match sums {
        Some(sums) => query.what.value(measures, sums),
        None => Value::Unknown,
    };
    let points = starts.iter().zip(&buckets);
    Ok(points.map(|(start, sums)| Point { timestamp: *start, count: value(sums) }).collect())
}

/// What the rollups are asked for.
fn summed(parts: &Parts) -> Vec<Summed> {
    let mut summed: Vec<Summed> = parts.series.iter().cloned().map(Summed::One).collect();
    summed.extend(parts.all_events.then_some(Summed::AllCounts));
    summed
}

/// Adds one part to each bucket; where it is not known, the bucket is not.
fn add(buckets: &mut [Option<Sums>], part: &Summed, found: Vec<Option<i64>>) {
    for (bucket, found) in buckets.iter_mut().zip(found) {
        match (bucket.as_mut(), found) {
            (Some(sums), Some(n)) => match part {
                Summed::One(series) => sums.add(series, n),
                Summed::AllCounts => sums.events = sums.events.saturating_add(n),
            },
            _ => *bucket = None,
        }
    }
}

impl What {
    fn parts(&self, measures: &Measures) -> Parts {
        match self {
            What::Type(kind) => {
                Parts { series: vec![Series::Count(kind.clone())], all_events: false }
            }
            What::Metric(name) => measures.parts(name),
        }
    }

    fn value(&self, measures: &Measures, sums: &Sums) -> Value {
        match self {
            What::Type(kind) => Value::Count(sums.series(&Series::Count(kind.clone()))),
            What::Metric(name) => {
                measures.metric(name).map_or(Value::Unknown, |metric| measures.value(metric, sums))
            }
        }
    }
}

/// The sums of one bucket, from the rollups and from the mirror.
#[derive(Clone, Debug, Default)]
struct Sums {
    events: i64,
    series: BTreeMap<Series, i64>,
}

impl Sums {
    fn add(&mut self, series: &Series, n: i64) {
        let sum = self.series.entry(series.clone()).or_default();
        *sum = sum.saturating_add(n);
    }

    fn add_all(&mut self, totals: &Totals) {
        totals.iter().for_each(|(series, n)| self.add(series, n));
        self.events = self.events.saturating_add(totals.all_events());
    }
}

impl Source for Sums {
    fn series(&self, series: &Series) -> i64 {
        self.series.get(series).copied().unwrap_or(0)
    }

    fn all_events(&self) -> i64 {
        self.events
    }

    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}
