//! Time series: a number for each bucket of a span of time. Seconds of the last hour and minutes
//! of the last 24 hours come from the mirror, and older minutes from the rollups. A baseline comes
//! from [`Baselines`] where it lies in the hours around now, else from the rollups.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    domain::{
        delta::Series,
        metric::{MetricSeries, SeriesSums, Value},
        time::{BusinessZone, MINUTE, Millis, bucket},
    },
    live::counters::{Counters, MINUTES_KEPT},
    numbers::{
        Baselines, Interval, Mirror, Past, Shift, Sums, Unavailable, What,
        compared::{Compared, is_in_progress},
        current::is_none,
        different::DifferentValues,
        what::BucketValue,
    },
    store::rollup::Summed,
};

/// What a time series is asked for: buckets from the one at `from` to the one that ends at `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesQuery {
    /// What is counted.
    pub what: What,
    /// How wide a bucket is.
    pub interval: Interval,
    /// Start of the first bucket, Unix ms.
    pub from: Millis,
    /// End of the last, Unix ms.
    pub to: Millis,
    /// `Some` for a baseline: what was counted on another day, at the timestamps of this one.
    pub baseline: Option<Shift>,
}

impl SeriesQuery {
    /// Where the buckets start, followed by where the last one ends.
    pub fn starts(&self, zone: &BusinessZone) -> Vec<Millis> {
        self.interval.starts(self.from, self.to, zone)
    }
}

/// One entry of a time series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Where the bucket starts, Unix ms.
    pub timestamp: Millis,
    /// What was counted in it; null where a ratio divides by nothing, or a baseline is not
    /// known.
    pub count: Value,
    /// Whether the bucket goes on: what it counted is not all of it yet. Left out of all others.
    #[serde(rename = "inProgress", skip_serializing_if = "std::ops::Not::not")]
    pub in_progress: bool,
    /// How many events of the bucket the metric leaves out, since it can't add them: see
    /// [`MetricSet::left_out`]. Left out where there are none.
    #[serde(rename = "leftOut", skip_serializing_if = "is_none")]
    pub left_out: u64,
    /// Whether `count` is an estimate, since different values are known by sketches. Left out of exact ones.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// The standard error of an estimate, in the unit of `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
}

/// Answers queries for time series. A clone answers from the same places.
#[derive(Clone)]
pub struct TimeSeries {
    pub(super) mirror: Mirror,
    pub(super) past: Past,
    baselines: Baselines,
}

impl TimeSeries {
    /// Answers from these three places.
    pub fn new(mirror: Mirror, past: Past, baselines: Baselines) -> TimeSeries {
        TimeSeries { mirror, past, baselines }
    }

    /// The buckets of `query` at `now` (Unix ms), oldest first, empty ones included.
    ///
    /// # Errors
    /// The store does not answer in time. It is asked only for what is not in memory.
    pub async fn points(
        &self,
        query: &SeriesQuery,
        now: Millis,
    ) -> Result<Vec<Point>, Unavailable> {
        let starts = query.starts(self.mirror.zone());
        let values = match (&query.what, query.baseline) {
            (What::ActiveUsers, _) => self.visitors(query, &starts, now).await?,
            (_, Some(_)) => self.shifted(query, &starts, now).await?,
            (_, None) => self.counted(query, &starts, now).await?,
        };
        let values = self.settled(query, &starts, values, now).await?;
        let points = starts.windows(2).zip(values);
        let point = |(pair, told): (&[Millis], BucketValue)| Point {
            timestamp: pair[0],
            count: told.value,
            in_progress: is_in_progress(pair, now),
            left_out: told.left_out,
            approximate: told.error > 0.0,
            error: told.rounded_error(),
        };
        Ok(points.map(point).collect())
    }

    /// The same buckets, with 0 where the type had a counter of its own on the bucket's day. It has it for a
    /// whole day or not at all, so an overflow was then of other types.
    async fn settled(
        &self,
        query: &SeriesQuery,
        starts: &[Millis],
        mut values: Vec<BucketValue>,
        now: Millis,
    ) -> Result<Vec<BucketValue>, Unavailable> {
        let zone = self.mirror.zone();
        let day_of =
            |at: Millis| zone.day_of(query.baseline.map_or(at, |shift| shift.then(at, zone)));
        let doubtful: Vec<usize> =
            (0..values.len()).filter(|at| values[*at].may_overflow).collect();
        let (Some(first), Some(last)) = (doubtful.first(), doubtful.last()) else {
            return Ok(values);
        };
        let span = (day_of(starts[*first]).start, day_of(starts[*last]).end);
        let by_day = SeriesQuery { interval: Interval::Day, baseline: None, ..query.clone() };
        let days = Interval::Day.starts(span.0, span.1, zone);
        let counted = self.counted(&by_day, &days, now).await?;
        for at in doubtful {
            let day = day_of(starts[at]);
            let is_within = starts[at + 1] - starts[at] <= day.end - day.start;
            let has_counter = days
                .iter()
                .zip(&counted)
                .any(|(start, told)| *start == day.start && told.has_some());
            if is_within && has_counter {
                values[at].value = Value::Count(0);
            }
        }
        Ok(values)
    }

    /// The value of each bucket. Its older part comes from the rollups, its newer part from the
    /// mirror.
    async fn counted(
        &self,
        query: &SeriesQuery,
        starts: &[Millis],
        now: Millis,
    ) -> Result<Vec<BucketValue>, Unavailable> {
        let metric_set = self.mirror.metric_set();
        let mut older = vec![RollupSums::default(); starts.len() - 1];
        // From here on the mirror answers, and before it the rollups. The mirror's oldest minute
        // is left to the rollups, since the mirror may have only a part of it.
        let mirrored = match query.interval {
            Interval::Second => query.from,
            _ => bucket(now - MINUTES_KEPT, MINUTE) + MINUTE,
        };
        if query.interval != Interval::Second {
            for part in summed(&query.what.parts(metric_set)) {
                let found = self.before(mirrored, &part, starts).await?;
                older.iter_mut().zip(found).for_each(|(sums, n)| sums.add(&part, n));
            }
        }
        let different = self.different(query, starts, now).await?;
        let counters = self.mirror.counters();
        let buckets = older.iter().zip(starts.windows(2)).zip(&different);
        // Of a second that went before its time nothing is known.
        let gone = match query.interval {
            Interval::Second => counters.seconds_from(),
            _ => Millis::MIN,
        };
        let value = |((older, pair), different): ((&RollupSums, &[Millis]), &DifferentValues)| {
            if pair[0] < gone {
                return BucketValue::UNKNOWN;
            }
            let newer = Sums::new(&*counters, pair[0].max(mirrored), pair[1]);
            different.told(&query.what, metric_set, &Both { older, newer })
        };
        Ok(buckets.map(value).collect())
    }

    /// The part before `end` of each bucket between two `starts`, from the rollups. Asks the
    /// store only where there is such a part.
    async fn before(
        &self,
        end: Millis,
        summed: &Summed,
        starts: &[Millis],
    ) -> Result<Vec<i64>, Unavailable> {
        let buckets = starts.windows(2).map(|pair| (pair[0], pair[1].min(end)));
        let old: Vec<_> = buckets.take_while(|(from, to)| from < to).collect();
        let mut sums = vec![0; starts.len().saturating_sub(1)];
        if !old.is_empty() {
            let found = self.past.sums(&old, summed).await?;
            sums.iter_mut().zip(found).for_each(|(sum, found)| *sum = found.unwrap_or(0));
        }
        Ok(sums)
    }

    /// Each bucket as it was on another day; unknown where any part of it is not known.
    async fn shifted(
        &self,
        query: &SeriesQuery,
        starts: &[Millis],
        now: Millis,
    ) -> Result<Vec<BucketValue>, Unavailable> {
        let Some(shift) = query.baseline else { return Ok(Vec::new()) };
        let (what, compared) = (&query.what, &Compared::all(starts, now));
        let metric_set = self.mirror.metric_set();
        let mut buckets = vec![Some(RollupSums::default()); compared.len()];
        for part in summed(&what.parts(metric_set)) {
            let found = self.baseline(shift, &part, compared).await?;
            for (bucket, found) in buckets.iter_mut().zip(found) {
                match (bucket.as_mut(), found) {
                    (Some(sums), Some(n)) => sums.add(&part, n),
                    _ => *bucket = None,
                }
            }
        }
        let different = self.different(query, starts, now).await?;
        let value = |(sums, different): (&Option<RollupSums>, &DifferentValues)| match sums {
            Some(sums) => different.told(what, metric_set, sums),
            None => BucketValue::UNKNOWN,
        };
        Ok(buckets.iter().zip(&different).map(value).collect())
    }

    /// The baseline of each bucket; `None` where it is not known. From
    /// memory where it lies near now, else from the rollups.
    async fn baseline(
        &self,
        shift: Shift,
        summed: &Summed,
        compared: &[Compared],
    ) -> Result<Vec<Option<i64>>, Unavailable> {
        let near = compared.iter().map(|&Compared { from, to, .. }| match summed {
            Summed::One(series) => self.baselines.sum(series, shift, from, to).map(Some),
            Summed::AllCounts => self.baselines.events(shift, from, to).map(Some),
        });
        if let Some(sums) = near.collect() {
            return Ok(sums);
        }
        let zone = self.mirror.zone();
        let spans: Vec<_> = compared.iter().map(|it| it.then(zone, shift)).collect();
        // `known` is read before the sums. What is folded between the two reads is then missing
        // from `known` only, which is safe: it claims less than the sums have.
        let known = self.past.known().await?;
        let sums = self.past.sums(&spans, summed).await?;
        // Events that were imported from before the first batch count as they are. So where there were some,
        // there were none of this series.
        let has_doubt =
            sums.iter().zip(&spans).any(|(it, span)| it.is_none() && !known.covers(span.0, span.1));
        let events = match has_doubt {
            true => self.past.sums(&spans, &Summed::AllCounts).await?,
            false => vec![None; spans.len()],
        };
        let told = |(&(from, to), sum): (&(Millis, Millis), Option<i64>), events: Option<i64>| {
            let began_within = known.since.is_some_and(|since| from < since && since < to);
            let folded = known.until.is_none_or(|until| to <= until);
            match sum {
                _ if began_within || !folded => None,
                Some(sum) => Some(sum),
                None => (events.is_some() || known.covers(from, to)).then_some(0),
            }
        };
        let sums = spans.iter().zip(sums).zip(events);
        Ok(sums.map(|(sum, events)| told(sum, events)).collect())
    }
}

/// The sums that the rollups are asked for, to compute a number from these parts.
pub(super) fn summed(parts: &MetricSeries) -> Vec<Summed> {
    let mut summed: Vec<Summed> = parts.series.iter().cloned().map(Summed::One).collect();
    summed.extend(parts.all_events.then_some(Summed::AllCounts));
    summed
}

/// The sums of one bucket, from the rollups or from a baseline.
#[derive(Clone, Debug, Default)]
pub(super) struct RollupSums {
    events: i64,
    series: BTreeMap<Series, i64>,
}

impl RollupSums {
    /// Adds what was asked for.
    pub fn add(&mut self, part: &Summed, n: i64) {
        let sum = match part {
            Summed::One(series) => self.series.entry(series.clone()).or_default(),
            Summed::AllCounts => &mut self.events,
        };
        *sum = sum.saturating_add(n);
    }
}

impl SeriesSums for RollupSums {
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

/// One bucket: the part that the rollups have, and the part that the mirror has.
pub(super) struct Both<'a> {
    /// What the rollups have.
    pub older: &'a RollupSums,
    /// What the mirror has.
    pub newer: Sums<'a, Counters>,
}

impl SeriesSums for Both<'_> {
    fn series(&self, series: &Series) -> i64 {
        self.older.series(series).saturating_add(self.newer.series(series))
    }

    fn all_events(&self) -> i64 {
        self.older.all_events().saturating_add(self.newer.all_events())
    }

    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}
