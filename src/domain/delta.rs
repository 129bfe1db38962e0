//! A delta: what some events add to the counters. It is computed once, when a batch is
//! sealed, and then travels unchanged to the ledger, to the live store and (merged by
//! tick) to the viewers. Deltas form a commutative sum: merging in any order gives the
//! same result, and the delta of all rows is the sum of the deltas of their batches.

use std::fmt;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::domain::time::{Millis, SECOND};

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Series {
    /// Events of one type; the value is a number of events.
    Count(String),
    /// The sum of a money metric (`revenue`); the value is in 1/10,000.
    Sum(String),
}

impl Series {
    /// The one sum there is so far: amounts of purchases.
    pub fn revenue() -> Series {
        Series::Sum("revenue".to_owned())
    }

    /// Reads what `Display` writes: the key of the series in Redis and in the rollups.
    pub fn parse(text: &str) -> Option<Series> {
        match text.split_once(':')? {
            ("c", name) => Some(Series::Count(name.to_owned())),
            ("s", name) => Some(Series::Sum(name.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Series::Count(name) => write!(f, "c:{name}"),
            Series::Sum(name) => write!(f, "s:{name}"),
        }
    }
}

/// Who is active, as a 128-bit hash of the session id (or the user id): long enough that
/// two visitors of one shop never share it by chance.
pub type Visitor = u128;

/// Increments by second of event time, and the visitors seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Events counted.
    pub events: u64,
    /// The series that `cells` refer to by index.
    series: Vec<Series>,
    /// (second since 1970, index into `series`, increment), ascending, no zero increments.
    cells: Vec<(i64, u32, i64)>,
    /// (visitor, time of its last event in Unix ms), ascending.
    visitors: Vec<(Visitor, Millis)>,
}

/// An encoded delta that this version can't read.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Written by another version.
    #[error("delta of unknown version {0}")]
    Version(u8),
    /// Not a delta.
    #[error("malformed delta: {0}")]
    Malformed(#[from] postcard::Error),
}

const VERSION: u8 = 1;

impl Delta {
    /// Nothing to add.
    pub fn is_empty(&self) -> bool {
        self.events == 0 && self.cells.is_empty() && self.visitors.is_empty()
    }

    /// Every increment: (start of the second in Unix ms, series, value).
    pub fn cells(&self) -> impl Iterator<Item = (Millis, &Series, i64)> {
        self.cells.iter().map(|&(second, series, value)| {
            (second.saturating_mul(SECOND), &self.series[series as usize], value)
        })
    }

    /// Visitors with the time of their last event.
    pub fn visitors(&self) -> &[(Visitor, Millis)] {
        &self.visitors
    }

    /// First and last second touched, Unix ms; `None` without cells.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        let (first, last) = (self.cells.first()?, self.cells.last()?);
        Some((first.0.saturating_mul(SECOND), last.0.saturating_mul(SECOND)))
    }

    /// Events and cells, encoded: one version byte, then postcard. What the ledger keeps
    /// for rebuilding counters.
    pub fn encode_cells(&self) -> Vec<u8> {
        encode(&(self.events, &self.series, &self.cells))
    }

    /// The visitors, encoded. Kept apart from the cells: they are many, and only the last
    /// few minutes of them matter.
    pub fn encode_visitors(&self) -> Vec<u8> {
        encode(&self.visitors)
    }

    /// Reads back what [`Delta::encode_cells`] wrote and, where at hand, what
    /// [`Delta::encode_visitors`] wrote.
    pub fn decode(cells: &[u8], visitors: Option<&[u8]>) -> Result<Delta, DeltaError> {
        let (events, series, cells): (u64, Vec<Series>, Vec<(i64, u32, i64)>) = decode(cells)?;
        if cells.iter().any(|cell| cell.1 as usize >= series.len()) {
            return Err(DeltaError::Malformed(postcard::Error::DeserializeBadEncoding));
        }
        let visitors = visitors.map(decode).transpose()?.unwrap_or_default();
        Ok(Delta { events, series, cells, visitors })
    }
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(body, vec![VERSION]).expect("plain data always encodes")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DeltaError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
        Some((&version, _)) => Err(DeltaError::Version(version)),
        None => Err(DeltaError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
    }
}

/// Adds up increments; [`DeltaSum::finish`] gives the delta.
#[derive(Debug, Default)]
pub struct DeltaSum {
    events: u64,
    series: Vec<Series>,
    cells: HashMap<(i64, u32), i64>,
    visitors: HashMap<Visitor, Millis>,
}

impl DeltaSum {
    /// Adds an event of type `kind` at `at` (Unix ms).
    pub fn count(&mut self, kind: &str, at: Millis) {
        self.events += 1;
        let known = |series: &Series| matches!(series, Series::Count(name) if name == kind);
        let index = match self.series.iter().position(known) {
            Some(index) => index as u32,
            None => self.push(Series::Count(kind.to_owned())),
        };
        self.add(index, at, 1);
    }

    /// Adds `value` (1/10,000) to the sum `series` at `at` (Unix ms).
    pub fn sum(&mut self, series: Series, at: Millis, value: i64) {
        let index = match self.series.iter().position(|known| *known == series) {
            Some(index) => index as u32,
            None => self.push(series),
        };
        self.add(index, at, value);
    }

    /// Notes that `visitor` was there at `at` (Unix ms).
    pub fn seen(&mut self, visitor: Visitor, at: Millis) {
        let last = self.visitors.entry(visitor).or_insert(at);
        *last = at.max(*last);
    }

    /// Adds a whole delta.
    pub fn merge(&mut self, delta: &Delta) {
        self.events += delta.events;
        let index: Vec<u32> = delta
            .series
            .iter()
            .map(|series| {
                let known = self.series.iter().position(|known| known == series);
                known.map_or_else(|| self.push(series.clone()), |index| index as u32)
            })
            .collect();
        for &(second, series, value) in &delta.cells {
            self.add(index[series as usize], second * SECOND, value);
        }
        for &(visitor, at) in &delta.visitors {
            self.seen(visitor, at);
        }
    }

    /// Events added so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The sum, in its one canonical order; leaves an empty sum behind.
    pub fn finish(&mut self) -> Delta {
        let sum = std::mem::take(self);
        let mut order: Vec<u32> = (0..sum.series.len() as u32).collect();
        order.sort_by(|a, b| sum.series[*a as usize].cmp(&sum.series[*b as usize]));
        let mut rank = vec![0u32; order.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        let mut cells: Vec<_> = sum
            .cells
            .into_iter()
            .filter(|&(_, value)| value != 0)
            .map(|((second, series), value)| (second, rank[series as usize], value))
            .collect();
        cells.sort_unstable();
        let mut visitors: Vec<_> = sum.visitors.into_iter().collect();
        visitors.sort_unstable();
        let mut series = sum.series;
        series.sort();
        Delta { events: sum.events, series, cells, visitors }
    }

    fn push(&mut self, series: Series) -> u32 {
        self.series.push(series);
        (self.series.len() - 1) as u32
    }

    fn add(&mut self, series: u32, at: Millis, value: i64) {
        let cell = self.cells.entry((at.div_euclid(SECOND), series)).or_insert(0);
        *cell = cell.saturating_add(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deltas() -> impl Strategy<Value = Delta> {
        let event = (0..4u8, 0..5_000_000i64, 0..6u128, -50..50i64);
        proptest::collection::vec(event, 0..40).prop_map(|events| {
            let mut sum = DeltaSum::default();
            for (kind, at, visitor, value) in events {
                sum.count(&format!("type{kind}"), at);
                sum.sum(Series::revenue(), at, value);
                sum.seen(visitor, at);
            }
            sum.finish()
        })
    }

    fn total(deltas: &[&Delta]) -> Delta {
        let mut sum = DeltaSum::default();
        deltas.iter().for_each(|delta| sum.merge(delta));
        // Series that cancelled out to no cell at all are not told apart.
        let mut sum = sum.finish();
        let used: Vec<u32> = sum.cells.iter().map(|cell| cell.1).collect();
        let kept: Vec<u32> = (0..sum.series.len() as u32).filter(|i| used.contains(i)).collect();
        sum.cells.iter_mut().for_each(|cell| {
            cell.1 = kept.iter().position(|i| *i == cell.1).expect("kept") as u32;
        });
        sum.series = kept.iter().map(|i| sum.series[*i as usize].clone()).collect();
        sum
    }

    proptest! {
        #[test]
        fn merging_is_a_commutative_sum(a in deltas(), b in deltas(), c in deltas()) {
            let ab = total(&[&a, &b]);
            prop_assert_eq!(&ab, &total(&[&b, &a]));
            let left = total(&[&ab, &c]);
            let right = total(&[&a, &total(&[&b, &c])]);
            prop_assert_eq!(left, right);
        }

        #[test]
        fn encode_and_decode_are_inverse(delta in deltas()) {
            let back = Delta::decode(&delta.encode_cells(), Some(&delta.encode_visitors()));
            prop_assert_eq!(back.unwrap(), delta);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Delta::decode(&bytes, Some(&bytes));
        }
    }
}
