//! What marks have done to the numbers: the sums before and since, of this day and of those before it, and what
//! the statistics say of them ([`crate::domain::mark::effect`]).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    domain::{
        alert::Operands,
        mark::{
            Mark,
            effect::{
                APART, EffectVerdict, JUDGED, JudgedEffect, MarkSide, MarkSides, MarkWindows,
                MetricEffect, OTHER_DAYS, judge_by_days, judge_counted,
            },
        },
        metric::{Metric, MetricSeries, MetricSet, SeriesSums, Unit},
        time::{HOUR, MINUTE, Millis, SECOND, bucket},
    },
    live::counters::MINUTES_KEPT,
    numbers::{
        Mirror, Past, Sums, Unavailable,
        series::{Both, RollupSums, summed},
    },
};

/// How long an effect is given again while more is coming in.
const OPEN_FOR: Duration = Duration::from_secs(20);
/// The same once nothing more belongs to it. Events may still come late.
const CLOSED_FOR: Duration = Duration::from_secs(600);
/// How many effects are kept.
const MAX_EFFECTS: usize = 500;
/// How many effects are computed at a time.
const MAX_COMPUTING: usize = 2;

/// What a mark has done.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkEffect {
    /// The effect on each metric.
    pub metrics: Vec<MetricEffect>,
}

/// Computes effects, and keeps them for a while. A clone is the same.
#[derive(Clone)]
pub struct MarkEffects {
    mirror: Mirror,
    past: Past,
    /// The currency of amounts, such as `EUR`.
    currency: String,
    kept: Arc<Mutex<KeptEffects>>,
    /// Those who compute. They read the store, so there are few at a time; who finds an effect does not wait
    /// for them.
    computing: Arc<Semaphore>,
}

/// The times of the marks before and after one, as far as they bound what is looked at, Unix ms.
type MarkBounds = (Option<Millis>, Option<Millis>);

/// The effects that are kept, at most [`MAX_EFFECTS`], each with the moment up to which it is given again. With
/// another mark before or after it, an effect is another.
#[derive(Default)]
struct KeptEffects(HashMap<(String, MarkBounds), (Instant, MarkEffect)>);

impl KeptEffects {
    fn find(&self, key: &(String, MarkBounds), now: Instant) -> Option<MarkEffect> {
        let (_, effect) = self.0.get(key).filter(|(until, _)| *until > now)?;
        Some(effect.clone())
    }

    /// Keeps one. Where there is no room, that which ends first goes.
    fn keep(&mut self, key: (String, MarkBounds), until: Instant, effect: MarkEffect) {
        if self.0.len() >= MAX_EFFECTS && !self.0.contains_key(&key) {
            let first = self.0.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.0.remove(&first);
            }
        }
        self.0.insert(key, (until, effect));
    }
}

/// A metric, by what it is divided, and whether chance is known.
struct JudgedMetric<'a> {
    metric: &'a Metric,
    per: Option<&'a Metric>,
    is_ratio: bool,
    is_counted: bool,
}

impl<'a> JudgedMetric<'a> {
    /// Those that the configuration has and that are known by the minute.
    fn all(metric_set: &'a MetricSet) -> Vec<JudgedMetric<'a>> {
        let by_minute = |name: &str| {
            metric_set.metric(name).filter(|metric| !metric_set.is_by_day_only(metric))
        };
        let found = JUDGED.iter().filter_map(|(name, per)| {
            let metric = by_minute(name)?;
            let per = match per {
                Some(per) => Some(by_minute(per)?),
                None => None,
            };
            let is_ratio = per.is_some() || metric_set.is_ratio(metric);
            let is_counted = [Some(metric), per].into_iter().flatten();
            let is_counted = is_counted.into_iter().all(|it| metric_set.is_counted(it));
            Some(JudgedMetric { metric, per, is_ratio, is_counted })
        });
        found.collect()
    }

    fn parts(&self, metric_set: &MetricSet) -> MetricSeries {
        let mut parts = metric_set.parts(&self.metric.name);
        if let Some(per) = self.per {
            parts.series.extend(metric_set.parts(&per.name).series);
            parts.series.sort();
            parts.series.dedup();
        }
        // A day without any event is one on which nothing is known.
        parts.all_events = true;
        parts
    }

    fn operands(&self, metric_set: &MetricSet, sums: &impl SeriesSums) -> Option<Operands> {
        let of = Operands::read(metric_set, self.metric, sums)?;
        match self.per {
            None => Some(of),
            Some(per) => {
                let per = Operands::read(metric_set, per, sums)?.of;
                Some(Operands { of: of.of, per: Some(per) })
            }
        }
    }
}

impl MarkEffects {
    /// Reads the numbers of the mirror and, of before, of the store.
    pub fn new(mirror: Mirror, past: Past, currency: String) -> MarkEffects {
        let computing = Arc::new(Semaphore::new(MAX_COMPUTING));
        MarkEffects { mirror, past, currency, kept: Arc::default(), computing }
    }

    /// The currency of amounts, such as `EUR`.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// The effect of a mark. `others` are the marks around it, which bound what is looked at.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn of(&self, mark: &Mark, others: &[Mark]) -> Result<MarkEffect, Unavailable> {
        let bounds = bounds(mark, others);
        let key = (mark.id.clone(), bounds);
        let find = || self.kept.lock().find(&key, Instant::now());
        if let Some(effect) = find() {
            return Ok(effect);
        }
        let _computing = self.computing.acquire().await.expect("nothing closes it");
        // Somebody may have computed it meanwhile.
        if let Some(effect) = find() {
            return Ok(effect);
        }
        let began = Instant::now();
        let now = self.mirror.now();
        let metric_set = self.mirror.metric_set();
        let (mut metrics, mut is_open) = (Vec::new(), false);
        for judged in JudgedMetric::all(metric_set) {
            let late = self.mirror.lateness().of(&judged.parts(metric_set).series, now);
            let end = now - SECOND - late;
            let windows = MarkWindows::of(mark.time, end, bounds, judged.is_ratio);
            is_open |= windows.is_none_or(|windows| windows.since.1 > end - 2 * MINUTE);
            metrics.push(self.judge(&judged, windows, now).await?);
        }
        let effect = MarkEffect { metrics };
        let lasts = if is_open { OPEN_FOR } else { CLOSED_FOR };
        self.kept.lock().keep(key, began + lasts, effect.clone());
        Ok(effect)
    }

    async fn judge(
        &self,
        judged: &JudgedMetric<'_>,
        windows: Option<MarkWindows>,
        now: Millis,
    ) -> Result<MetricEffect, Unavailable> {
        let Some(windows) = windows else {
            return Ok(told(judged, JudgedEffect::UNKNOWN, None));
        };
        let zone = self.mirror.zone();
        let days = if windows.has_other_days() { OTHER_DAYS } else { 0 };
        // The oldest first, as the store reads them.
        let shifted = |back: u16| {
            let then = |at: Millis| if back == 0 { at } else { zone.same_moment(at, back) };
            [windows.before, windows.since].map(|(from, to)| (then(from), then(to)))
        };
        let spans: Vec<(Millis, Millis)> = (0..=days).rev().flat_map(shifted).collect();
        let found = self.read(judged, &spans, now).await?;
        let side = |at: usize| {
            let length = spans[at].1 - spans[at].0;
            found[at].map(|parts| MarkSide { parts, length })
        };
        let sides = |day: usize| {
            let (before, since) = (side(2 * day)?, side(2 * day + 1)?);
            Some(MarkSides { before, since })
        };
        let others: Vec<MarkSides> = (0..usize::from(days)).filter_map(sides).collect();
        let Some(today) = sides(usize::from(days)) else {
            return Ok(told(judged, JudgedEffect::UNKNOWN, None));
        };
        let result = match judged.is_counted {
            true => judge_counted(&today, &others),
            false => judge_by_days(&today, &others),
        };
        Ok(told(judged, result, Some(today.since)))
    }

    /// The metric in each span; `None` where nothing is known of it.
    async fn read(
        &self,
        judged: &JudgedMetric<'_>,
        spans: &[(Millis, Millis)],
        now: Millis,
    ) -> Result<Vec<Option<Operands>>, Unavailable> {
        let metric_set = self.mirror.metric_set();
        // As for time series: the mirror's oldest minute is left to the rollups, since the mirror may have only
        // a part of it.
        let mirrored = bucket(now - MINUTES_KEPT, MINUTE) + MINUTE;
        let old: Vec<usize> = (0..spans.len()).filter(|at| spans[*at].0 < mirrored).collect();
        let asked: Vec<_> =
            old.iter().map(|at| (spans[*at].0, spans[*at].1.min(mirrored))).collect();
        let mut older = vec![RollupSums::default(); spans.len()];
        if !asked.is_empty() {
            for part in summed(&judged.parts(metric_set)) {
                let found = self.past.sums(&asked, &part).await?;
                old.iter().zip(found).for_each(|(at, sum)| older[*at].add(&part, sum.unwrap_or(0)));
            }
        }
        let known = match asked.is_empty() {
            true => None,
            false => self.past.known().await?.since,
        };
        let counters = self.mirror.counters();
        let operands = |(older, (from, to)): (&RollupSums, &(Millis, Millis))| {
            let sums = Both { older, newer: Sums::new(&*counters, (*from).max(mirrored), *to) };
            // The shop began within the span, or not before it.
            let began_within = known.is_some_and(|since| *from < since && since < *to);
            if sums.all_events() == 0 || began_within {
                return None;
            }
            judged.operands(metric_set, &sums)
        };
        Ok(older.iter().zip(spans).map(operands).collect())
    }
}

/// When other marks begin or end before and after, as far as that is far enough to be told apart; and the end of
/// a stretch. What a sale has done goes back at its end, so an end changes numbers as a begin does.
fn bounds(mark: &Mark, others: &[Mark]) -> MarkBounds {
    let others = || others.iter().filter(|other| other.id != mark.id);
    let times = || others().flat_map(|other| [Some(other.time), other.until]).flatten();
    let earlier = times().filter(|time| *time <= mark.time - APART).max();
    let later = times().filter(|time| *time >= mark.time + APART).min();
    let until = mark.until.filter(|until| *until >= mark.time + APART);
    (earlier, [later, until].into_iter().flatten().min())
}

fn told(judged: &JudgedMetric<'_>, result: JudgedEffect, since: Option<MarkSide>) -> MetricEffect {
    let JudgedEffect { value, was, sigma, verdict } = result;
    // So much an hour, where nothing else is divided by.
    let hourly = if judged.is_ratio { 1.0 } else { HOUR as f64 };
    let unit = if judged.is_ratio { Unit::Ratio } else { judged.metric.unit };
    let difference = since.zip(was).map(|(since, was)| {
        let per = since.parts.per.unwrap_or(since.length as f64);
        since.parts.of - was * per
    });
    MetricEffect {
        metric: judged.metric.name.clone(),
        per: judged.per.map(|per| per.name.clone()),
        unit,
        value: value.map(|it| it * hourly),
        was: was.map(|it| it * hourly),
        // Of a rise from zero there is no share.
        change: value.zip(was).filter(|(_, was)| *was > 0.0).map(|(value, was)| value / was - 1.0),
        difference,
        sigma,
        verdict,
    }
}

impl MarkEffect {
    /// The metrics of which anything is known, and whether any has an effect.
    pub fn verdict(&self) -> EffectVerdict {
        let all = || self.metrics.iter().map(|it| it.verdict);
        let found = all().find(|it| matches!(it, EffectVerdict::Higher | EffectVerdict::Lower));
        found
            .or_else(|| all().find(|it| *it == EffectVerdict::None))
            .unwrap_or(EffectVerdict::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = 1_795_521_600_000;

    #[test]
    fn other_marks_bound_a_mark_by_their_begin_and_by_their_end() {
        let mark = |id: &str, time, until| Mark { id: id.into(), time, until, ..Mark::default() };
        let deploy = mark("deploy", NOON, None);
        let over = mark("over", NOON - 5 * HOUR, Some(NOON - HOUR));
        let lasting = mark("lasting", NOON - 6 * HOUR, Some(NOON + HOUR));
        let near = mark("near", NOON - 2 * MINUTE, Some(NOON + 2 * MINUTE));
        let around = [deploy.clone(), over, lasting, near];
        assert_eq!(bounds(&deploy, &around), (Some(NOON - HOUR), Some(NOON + HOUR)));
        assert_eq!(bounds(&deploy, &around[..1]), (None, None));
    }

    #[test]
    fn a_full_cache_lets_go_of_what_ends_first() {
        let now = Instant::now();
        let mut kept = KeptEffects::default();
        let key = |n: usize| (n.to_string(), (None, None));
        let effect = MarkEffect { metrics: Vec::new() };
        for n in 0..=MAX_EFFECTS {
            kept.keep(key(n), now + Duration::from_secs(1 + n as u64), effect.clone());
        }
        assert_eq!((kept.0.len(), kept.find(&key(0), now)), (MAX_EFFECTS, None));
        assert_eq!(kept.find(&key(MAX_EFFECTS), now), Some(effect));
        let with_another = (MAX_EFFECTS.to_string(), (Some(NOON), None));
        assert_eq!(kept.find(&with_another, now), None, "another bound is another effect");
    }
}
