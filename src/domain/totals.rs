//! The sums of one bucket of time, as the mirror of the counters holds thousands of them.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{delta::Series, metric::SeriesSums, money::Amount};

/// The sums of one bucket, by series. Thousands of buckets have the same series, so the names
/// are shared between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<Arc<Series>, i64>);

impl Totals {
    /// Adds to one series.
    pub fn add(&mut self, series: &Series, value: i64) {
        self.add_shared(series, value, |series| Arc::new(series.clone()));
    }

    /// Adds to one series. Where the series is new in this bucket, `share` returns the shared
    /// copy of it that the bucket is to hold.
    pub fn add_shared(
        &mut self,
        series: &Series,
        value: i64,
        share: impl FnOnce(&Series) -> Arc<Series>,
    ) {
        match self.0.get_mut(series) {
            Some(sum) => *sum = sum.saturating_add(value),
            None => {
                self.0.insert(share(series), value);
            }
        }
    }

    /// Forgets one series.
    pub fn clear(&mut self, series: &Series) {
        self.0.remove(series);
    }

    /// Adds all series of another bucket.
    pub fn merge(&mut self, other: &Totals) {
        other
            .0
            .iter()
            .for_each(|(series, value)| self.add_shared(series, *value, |_| series.clone()));
    }

    /// How many series it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every series with its sum, in the order of [`Series`].
    pub fn iter(&self) -> impl Iterator<Item = (&Series, i64)> {
        self.0.iter().map(|(series, value)| (&**series, *value))
    }

    /// (event type, events), by name.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().filter_map(|(series, value)| match &**series {
            Series::Count(kind) => Some((kind.as_str(), *value as u64)),
            _ => None,
        })
    }

    /// Events of one type.
    pub fn count(&self, kind: &str) -> u64 {
        self.counts().find(|(name, _)| *name == kind).map_or(0, |(_, n)| n)
    }

    /// Events of all types.
    pub fn events(&self) -> u64 {
        self.counts().map(|(_, n)| n).sum()
    }

    /// The sum of a money metric.
    pub fn sum(&self, metric: &str) -> Amount {
        let found = self.0.iter().find_map(|(series, value)| match &**series {
            Series::Sum(name) if name == metric => Some(*value),
            _ => None,
        });
        Amount(found.unwrap_or(0))
    }

    /// Money metrics by the currency that amounts came in: metric, code, sum.
    pub fn currencies(&self) -> BTreeMap<String, BTreeMap<String, Amount>> {
        let mut all: BTreeMap<String, BTreeMap<String, Amount>> = BTreeMap::new();
        for (series, value) in &self.0 {
            if let Series::Money(metric, code) = &**series {
                all.entry(metric.clone()).or_default().insert(code.clone(), Amount(*value));
            }
        }
        all
    }

    /// Revenue.
    pub fn revenue(&self) -> Amount {
        self.sum("revenue")
    }
}

impl SeriesSums for Totals {
    fn series(&self, series: &Series) -> i64 {
        self.0.get(series).copied().unwrap_or(0)
    }

    fn all_events(&self) -> i64 {
        self.events() as i64
    }

    /// Distinct values are not in the sums.
    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}
