//! How many different values a bucket has: visitors, and what metrics of kind `distinct` and those that are
//! made of them count. The store keeps sketches of them, so a number of more than some hundred is an estimate,
//! and how far it may be off is said with it. Of the day in progress the live side knows better.

use std::collections::BTreeMap;

use crate::{
    domain::{
        delta::{QUARTER_HOUR, Series},
        metric::{MetricSet, SeriesSums},
        sketch::Estimate,
        time::Millis,
    },
    live::EXACT,
    numbers::{
        Interval, SeriesQuery, TimeSeries, Unavailable, What, compared::Compared, what::BucketValue,
    },
    store::sketches::{Distinguished, SketchesAsked},
};

/// The standard error of what the live side says, once it no longer counts exactly.
const LIVE_ERROR: f64 = 0.0081;

/// The different values of one bucket, by the name of their metric. One that is not known is not there.
#[derive(Clone, Debug, Default)]
pub(super) struct DifferentValues(BTreeMap<String, Estimate>);

impl DifferentValues {
    /// What is told of a bucket with these values and sums. Its error is what the value would be off by if
    /// each estimate were off by its standard error.
    pub fn told(&self, what: &What, metric_set: &MetricSet, sums: &impl SeriesSums) -> BucketValue {
        let with = |raised: Option<&str>| {
            what.told(metric_set, &WithDifferent { sums, different: self, raised })
        };
        let told = with(None);
        let value = told.value.as_f64();
        let off = |name: &String| Some(with(Some(name)).value.as_f64()? - value?);
        let estimated = self.0.iter().filter(|(_, estimate)| estimate.error > 0.0);
        let error = estimated.filter_map(|(name, _)| off(name)).fold(0.0, f64::hypot);
        BucketValue { error, ..told }
    }
}

/// Sums of a bucket, with its different values.
struct WithDifferent<'a, S> {
    sums: &'a S,
    different: &'a DifferentValues,
    /// The metric whose number is taken too high by its standard error.
    raised: Option<&'a str>,
}

impl<S: SeriesSums> SeriesSums for WithDifferent<'_, S> {
    fn series(&self, series: &Series) -> i64 {
        self.sums.series(series)
    }

    fn all_events(&self) -> i64 {
        self.sums.all_events()
    }

    fn distinct(&self, metric: &str) -> Option<i64> {
        let estimate = self.different.0.get(metric)?;
        let more = if self.raised == Some(metric) { estimate.error.ceil() } else { 0.0 };
        Some((estimate.count + more) as i64)
    }
}

impl TimeSeries {
    /// The different values that a query needs of each bucket between two `starts`.
    pub(super) async fn different(
        &self,
        query: &SeriesQuery,
        starts: &[Millis],
        now: Millis,
    ) -> Result<Vec<DifferentValues>, Unavailable> {
        let mut buckets = vec![DifferentValues::default(); starts.len() - 1];
        for metric in query.what.parts(self.mirror.metric_set()).distinct {
            let what = Distinguished::Metric(metric.clone());
            let found = self.estimates(query, what, starts, now).await?;
            for (at, estimate) in found.into_iter().enumerate() {
                let today = self.today(query, &metric, (starts[at], starts[at + 1]));
                if let Some(estimate) = today.or(estimate) {
                    buckets[at].0.insert(metric.clone(), estimate);
                }
            }
        }
        Ok(buckets)
    }

    /// How many visitors there were in each bucket.
    pub(super) async fn visitors(
        &self,
        query: &SeriesQuery,
        starts: &[Millis],
        now: Millis,
    ) -> Result<Vec<BucketValue>, Unavailable> {
        let found = self.estimates(query, Distinguished::Visitors, starts, now).await?;
        let told = |it: Option<Estimate>| it.map_or(BucketValue::UNKNOWN, BucketValue::visitors);
        Ok(found.into_iter().map(told).collect())
    }

    /// What the live side says of today; `None` for any other bucket.
    fn today(
        &self,
        query: &SeriesQuery,
        metric: &str,
        (from, to): (Millis, Millis),
    ) -> Option<Estimate> {
        let live = self.mirror.distinct();
        let (date, values) = &*live;
        let day = self.mirror.zone().day_of(from);
        let is_whole = (day.date, day.start, day.end) == (*date, from, to);
        let is_today = query.baseline.is_none() && is_whole;
        let count = values.get(metric).filter(|_| is_today)?;
        let is_exact = *count <= EXACT as u64;
        let count = *count as f64;
        Some(Estimate { count, error: if is_exact { 0.0 } else { count * LIVE_ERROR } })
    }

    /// What the store says of each bucket; `None` where that is not known.
    async fn estimates(
        &self,
        query: &SeriesQuery,
        what: Distinguished,
        starts: &[Millis],
        now: Millis,
    ) -> Result<Vec<Option<Estimate>>, Unavailable> {
        let zone = self.mirror.zone();
        let stretches: Vec<(Millis, Millis)> = match query.baseline {
            None => starts.windows(2).map(|pair| (pair[0], pair[1])).collect(),
            Some(shift) => {
                Compared::all(starts, now).iter().map(|it| it.then(zone, shift)).collect()
            }
        };
        let by_minute = query.interval.nominal() < Interval::QuarterHour.nominal();
        let (since, known) = (self.past.sketched_since().await?, self.past.known().await?);
        // A bucket in progress is compared up to a minute, of which quarters of an hour know nothing.
        let is_kept = |&(from, to): &(Millis, Millis)| {
            let is_whole = by_minute || (from % QUARTER_HOUR == 0 && to % QUARTER_HOUR == 0);
            is_whole && since.covers(from, to)
        };
        let mut found = vec![None; stretches.len()];
        let asked: Vec<usize> =
            (0..stretches.len()).filter(|at| is_kept(&stretches[*at])).collect();
        // Where the clock was set, two hours may be compared with the same one; a question has each once.
        for part in asked.chunk_by(|a, b| stretches[*a].1 <= stretches[*b].0) {
            let stretches = part.iter().map(|at| stretches[*at]).collect();
            let asked = SketchesAsked { what: what.clone(), stretches, by_minute };
            for (at, estimate) in part.iter().zip(self.past.different(&asked).await?) {
                found[*at] = Some(estimate);
            }
        }
        if query.baseline.is_some() {
            for ((from, to), found) in stretches.iter().zip(&mut found) {
                // Nobody was there because the shop did not run yet, or it is not folded yet.
                *found = found.filter(|it| it.count > 0.0 || known.covers(*from, *to));
            }
        }
        Ok(found)
    }
}
