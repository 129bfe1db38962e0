//! A delta: what some events add to the counters. It is computed once, when a batch is
//! sealed, and then travels unchanged to the ledger, to the live store and (merged by
//! tick) to the viewers. Deltas form a commutative sum: merging in any order gives the
//! same result, and the delta of all rows is the sum of the deltas of their batches.

use std::fmt;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use crate::domain::{
    time::{MINUTE, Millis, SECOND, bucket},
    top::{Top, TopSum},
};

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Series {
    /// Events of one type; the value is a number of events.
    Count(String),
    /// The sum of a property, a money metric (`revenue`) in the base currency; the value is
    /// in 1/10,000.
    Sum(String),
    /// Events that a count metric with filters matches; the value is a number of events.
    Matching(String),
    /// The part of a money metric that came in one currency (metric, code), in 1/10,000 of
    /// that currency.
    Money(String, String),
}

impl Series {
    /// Amounts of purchases, in the base currency.
    pub fn revenue() -> Series {
        Series::Sum("revenue".to_owned())
    }

    /// Reads what `Display` writes: the key of the series in Redis and in the rollups.
    pub fn parse(text: &str) -> Option<Series> {
        match text.split_once(':')? {
            ("c", name) => Some(Series::Count(name.to_owned())),
            ("s", name) => Some(Series::Sum(name.to_owned())),
            ("n", name) => Some(Series::Matching(name.to_owned())),
            ("m", money) => {
                let (currency, name) = money.split_once(':')?;
                Some(Series::Money(name.to_owned(), currency.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Series::Count(name) => write!(f, "c:{name}"),
            Series::Sum(name) => write!(f, "s:{name}"),
            Series::Matching(name) => write!(f, "n:{name}"),
            Series::Money(name, currency) => write!(f, "m:{currency}:{name}"),
        }
    }
}

/// Who is active, as a 128-bit hash of the session id (or the user id): long enough that
/// two visitors of one shop never share it by chance.
pub type Visitor = u128;

/// The span that distinct values are noted by: every time zone's midnight falls on one.
pub const QUARTER_HOUR: Millis = 15 * MINUTE;

/// Increments by second of event time, the most frequent values of properties by minute,
/// and who and what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Events counted.
    pub events: u64,
    /// The series that `cells` refer to by index.
    series: Vec<Series>,
    /// (second since 1970, index into `series`, increment), ascending, no zero increments.
    cells: Vec<(i64, u32, i64)>,
    /// What `tops` and `distinct` refer to by index.
    names: Vec<String>,
    /// (minute since 1970, index of the breakdown's name, values), ascending.
    tops: Vec<(i64, u32, Top)>,
    /// (quarter of an hour since 1970, index of the metric's name, hash), ascending.
    distinct: Vec<(i64, u32, u64)>,
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

const VERSION: u8 = 2;
/// Without `names`, `tops` and `distinct`.
const VERSION_1: u8 = 1;

/// What a delta holds but for its visitors, as it is encoded.
type Cells = (u64, Vec<Series>, Vec<(i64, u32, i64)>);
type Noted = (Vec<String>, Vec<(i64, u32, Top)>, Vec<(i64, u32, u64)>);

impl Delta {
    /// Nothing to add.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    /// Every increment: (start of the second in Unix ms, series, value).
    pub fn cells(&self) -> impl Iterator<Item = (Millis, &Series, i64)> {
        self.cells.iter().map(|&(second, series, value)| {
            (second.saturating_mul(SECOND), &self.series[series as usize], value)
        })
    }

    /// The most frequent values: (start of the minute in Unix ms, breakdown, values).
    pub fn tops(&self) -> impl Iterator<Item = (Millis, &str, &Top)> {
        let name = |index: u32| self.names[index as usize].as_str();
        self.tops
            .iter()
            .map(move |(minute, index, top)| (minute.saturating_mul(MINUTE), name(*index), top))
    }

    /// What distinct metrics saw: (start of the quarter of an hour in Unix ms, metric, hash).
    pub fn distinct(&self) -> impl Iterator<Item = (Millis, &str, u64)> {
        let name = |index: u32| self.names[index as usize].as_str();
        let at = |quarter: i64| quarter.saturating_mul(QUARTER_HOUR);
        self.distinct.iter().map(move |&(quarter, index, hash)| (at(quarter), name(index), hash))
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

    /// All but the visitors, encoded: one version byte, then postcard. What the ledger
    /// keeps for rebuilding counters.
    pub fn encode_cells(&self) -> Vec<u8> {
        let cells = (self.events, &self.series, &self.cells);
        encode(&(cells, (&self.names, &self.tops, &self.distinct)))
    }

    /// The visitors, encoded. Kept apart from the cells: they are many, and only the last
    /// few minutes of them matter.
    pub fn encode_visitors(&self) -> Vec<u8> {
        encode(&self.visitors)
    }

    /// Reads back what [`Delta::encode_cells`] wrote and, where at hand, what
    /// [`Delta::encode_visitors`] wrote.
    pub fn decode(cells: &[u8], visitors: Option<&[u8]>) -> Result<Delta, DeltaError> {
        let ((events, series, cells), (names, tops, distinct)): (Cells, Noted) = match cells.first()
        {
            Some(&VERSION_1) => (decode(VERSION_1, cells)?, Noted::default()),
            _ => decode(VERSION, cells)?,
        };
        let known = |index: u32, len: usize| (index as usize) < len;
        let whole = cells.iter().all(|cell| known(cell.1, series.len()))
            && tops.iter().all(|top| known(top.1, names.len()))
            && distinct.iter().all(|seen| known(seen.1, names.len()));
        if !whole {
            return Err(DeltaError::Malformed(postcard::Error::DeserializeBadEncoding));
        }
        let visitors = match visitors {
            Some([VERSION_1, body @ ..]) => postcard::from_bytes(body)?,
            Some(bytes) => decode(VERSION, bytes)?,
            None => Vec::new(),
        };
        Ok(Delta { events, series, cells, names, tops, distinct, visitors })
    }
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(body, vec![VERSION]).expect("plain data always encodes")
}

fn decode<'a, T: Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<T, DeltaError> {
    match bytes.split_first() {
        Some((&found, body)) if found == version => Ok(postcard::from_bytes(body)?),
        Some((&found, _)) => Err(DeltaError::Version(found)),
        None => Err(DeltaError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
    }
}

/// Adds up increments; [`DeltaSum::finish`] gives the delta.
#[derive(Debug, Default)]
pub struct DeltaSum {
    events: u64,
    series: Vec<Series>,
    cells: HashMap<(i64, u32), i64>,
    names: Vec<String>,
    tops: HashMap<(i64, u32), TopSum>,
    distinct: HashSet<(i64, u32, u64)>,
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
    pub fn sum(&mut self, series: &Series, at: Millis, value: i64) {
        let index = match self.series.iter().position(|known| known == series) {
            Some(index) => index as u32,
            None => self.push(series.clone()),
        };
        self.add(index, at, value);
    }

    /// Adds `value` (1/10,000 of the currency) to what came of a money metric in it.
    pub fn money(&mut self, metric: &str, currency: &str, at: Millis, value: i64) {
        let known =
            |series: &Series| matches!(series, Series::Money(m, c) if m == metric && c == currency);
        let index = match self.series.iter().position(known) {
            Some(index) => index as u32,
            None => self.push(Series::Money(metric.to_owned(), currency.to_owned())),
        };
        self.add(index, at, value);
    }

    /// Adds `n` occurrences of `value` to the breakdown `name` at `at` (Unix ms).
    pub fn top(&mut self, name: &str, at: Millis, value: &str, n: u64) {
        let index = self.name(name);
        self.tops.entry((bucket(at, MINUTE) / MINUTE, index)).or_default().add(value, n);
    }

    /// Notes that the distinct metric `name` saw what hashes to `hash` at `at` (Unix ms).
    pub fn distinct(&mut self, name: &str, at: Millis, hash: u64) {
        let index = self.name(name);
        self.distinct.insert((bucket(at, QUARTER_HOUR) / QUARTER_HOUR, index, hash));
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
        let name: Vec<u32> = delta.names.iter().map(|name| self.name(name)).collect();
        for (minute, index, top) in &delta.tops {
            self.tops.entry((*minute, name[*index as usize])).or_default().add_all(top);
        }
        for &(quarter, index, hash) in &delta.distinct {
            self.distinct.insert((quarter, name[index as usize], hash));
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
        let (series, rank) = sorted(sum.series);
        let mut cells: Vec<_> = sum
            .cells
            .into_iter()
            .filter(|&(_, value)| value != 0)
            .map(|((second, series), value)| (second, rank[series as usize], value))
            .collect();
        cells.sort_unstable();
        let (names, rank) = sorted(sum.names);
        let mut tops: Vec<_> = sum
            .tops
            .into_iter()
            .map(|((minute, name), top)| (minute, rank[name as usize], top.finish()))
            .collect();
        tops.sort_unstable_by_key(|top| (top.0, top.1));
        let mut distinct: Vec<_> = sum
            .distinct
            .into_iter()
            .map(|(quarter, name, hash)| (quarter, rank[name as usize], hash))
            .collect();
        distinct.sort_unstable();
        let mut visitors: Vec<_> = sum.visitors.into_iter().collect();
        visitors.sort_unstable();
        Delta { events: sum.events, series, cells, names, tops, distinct, visitors }
    }

    fn name(&mut self, name: &str) -> u32 {
        let known = self.names.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }) as u32
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

/// Sorts a list, and says for each old place the new one.
fn sorted<T: Ord>(list: Vec<T>) -> (Vec<T>, Vec<u32>) {
    let mut order: Vec<(T, usize)> = list.into_iter().zip(0..).collect();
    order.sort();
    let mut rank = vec![0u32; order.len()];
    for (new, (_, old)) in order.iter().enumerate() {
        rank[*old] = new as u32;
    }
    (order.into_iter().map(|(item, _)| item).collect(), rank)
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
                sum.sum(&Series::revenue(), at, value);
                sum.money("revenue", "EUR", at, value);
                sum.top("error/code", at, &format!("{value}"), 1);
                sum.distinct("sessions", at, visitor as u64);
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
        fn a_series_is_read_as_it_is_written(name in "[a-z:. ]{1,9}", currency in "[A-Z]{3}") {
            for series in [
                Series::Count(name.clone()),
                Series::Sum(name.clone()),
                Series::Matching(name.clone()),
                Series::Money(name.clone(), currency.clone()),
            ] {
                prop_assert_eq!(Series::parse(&series.to_string()), Some(series));
            }
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

    #[test]
    fn a_delta_of_version_1_is_still_read() {
        let series = vec![Series::Count("error".into())];
        let old = postcard::to_extend(&(1u64, series, vec![(60i64, 0u32, 1i64)]), vec![1]);
        let visitors = postcard::to_extend(&vec![(7u128, 60_000i64)], vec![1]);
        let delta = Delta::decode(&old.unwrap(), Some(&visitors.unwrap())).unwrap();
        let mut sum = DeltaSum::default();
        sum.count("error", 60_000);
        sum.seen(7, 60_000);
        assert_eq!(delta, sum.finish());
    }
}
