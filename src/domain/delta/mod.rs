//! A delta: what some events add to the counters. It is computed once, when a batch is
//! sealed, and then travels unchanged to the ledger, to the live store and (merged by
//! tick) to the viewers. Deltas form a commutative sum: merging in any order gives the
//! same result, and the delta of all rows is the sum of the deltas of their batches.

mod series;
mod sum;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::domain::{
    time::{MINUTE, Millis, SECOND, bucket},
    top::Top,
};

pub use self::{series::Series, sum::DeltaSum};

/// Who is active, as a 128-bit hash of the session id (or the user id): long enough that
/// two visitors of one shop never share it by chance.
pub type Visitor = u128;

/// A user was seen together with a session: both are the same visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserLink {
    /// The user.
    pub user: Visitor,
    /// The session.
    pub session: Visitor,
    /// When they were seen together, Unix ms.
    pub at: Millis,
}

/// The span that distinct values are noted by. Midnight falls on the start of such a span in
/// every time zone, so days can be put together from them.
pub const QUARTER_HOUR: Millis = 15 * MINUTE;

/// What some events add: increments by second of event time, the most frequent values of
/// properties by minute, and which visitors and distinct values were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// How many events it is of, with those that a bot sent.
    pub events: u64,
    /// The series that `cells` mean by index; each stands here once.
    series: Vec<Series>,
    /// (second since 1970, index into `series`, increment), ascending, no zero increments.
    cells: Vec<(i64, u32, i64)>,
    /// The names of breakdowns and distinct metrics that `tops` and `distinct` mean by index.
    names: Vec<String>,
    /// (minute since 1970, index of the breakdown's name, values), ascending.
    tops: Vec<(i64, u32, Top)>,
    /// (quarter of an hour since 1970, index of the metric's name, hash), ascending.
    distinct: Vec<(i64, u32, u64)>,
    /// (visitor, time of its last event in Unix ms), ascending.
    visitors: Vec<(Visitor, Millis)>,
    /// Those of `visitors` who are users that were seen without a session, ascending.
    users: Vec<Visitor>,
    /// The newest session of each user who was seen with one, ascending.
    links: Vec<UserLink>,
    /// (minute since 1970, visitor) of visitors who were seen before the minute of their last event, too,
    /// ascending.
    earlier: Vec<(i64, Visitor)>,
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

/// The version that is written.
const VERSION: u8 = 2;
/// A version that is still read: it has no `names`, `tops` and `distinct`.
const VERSION_1: u8 = 1;

/// The first part of an encoded delta: `events`, `series`, `cells`.
type Cells = (u64, Vec<Series>, Vec<(i64, u32, i64)>);
/// The second part: `names`, `tops`, `distinct`.
type Names = (Vec<String>, Vec<(i64, u32, Top)>, Vec<(i64, u32, u64)>);

/// What is kept apart: `visitors`, then `users` and `links`, then `earlier`.
type Visitors = (Vec<(Visitor, Millis)>, (Vec<Visitor>, Vec<UserLink>), Vec<(i64, Visitor)>);

impl Delta {
    /// What of it lies in `[from, to)` (Unix ms, full quarters of an hour).
    pub fn within(mut self, from: Millis, to: Millis) -> Delta {
        let is_in = |at: i64, unit: Millis| (from..to).contains(&at.saturating_mul(unit));
        self.cells.retain(|cell| is_in(cell.0, SECOND));
        self.tops.retain(|top| is_in(top.0, MINUTE));
        self.distinct.retain(|seen| is_in(seen.0, QUARTER_HOUR));
        self.visitors.retain(|(_, at)| is_in(*at, 1));
        self.links.retain(|link| is_in(link.at, 1));
        self.earlier.retain(|seen| is_in(seen.0, MINUTE));
        self
    }

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

    /// The values that distinct metrics saw: (start of the quarter of an hour in Unix ms, metric, hash).
    pub fn distinct(&self) -> impl Iterator<Item = (Millis, &str, u64)> {
        let name = |index: u32| self.names[index as usize].as_str();
        let at = |quarter: i64| quarter.saturating_mul(QUARTER_HOUR);
        self.distinct.iter().map(move |&(quarter, index, hash)| (at(quarter), name(index), hash))
    }

    /// Visitors with the time of their last event.
    pub fn visitors(&self) -> &[(Visitor, Millis)] {
        &self.visitors
    }

    /// Who was seen in which minute (its start in Unix ms).
    pub fn sightings(&self) -> impl Iterator<Item = (Millis, Visitor)> {
        let last = self.visitors.iter().map(|&(visitor, at)| (bucket(at, MINUTE), visitor));
        let earlier =
            self.earlier.iter().map(|&(minute, visitor)| (minute.saturating_mul(MINUTE), visitor));
        last.chain(earlier)
    }

    /// Whether a visitor is a user who was seen without a session.
    pub fn is_user(&self, visitor: Visitor) -> bool {
        self.users.binary_search(&visitor).is_ok()
    }

    /// The newest session of each user who was seen with one.
    pub fn links(&self) -> &[UserLink] {
        &self.links
    }

    /// How many things it holds: increments, values, visitors. Each takes 16 to 170 bytes.
    pub fn weight(&self) -> usize {
        let values: usize = self.tops.iter().map(|(_, _, top)| top.len()).sum();
        let known = self.users.len() + self.links.len() + self.earlier.len();
        let visitors = self.visitors.len() + known;
        self.cells.len() + values + self.distinct.len() + visitors
    }

    /// The bytes that it takes in memory, but for the few names in it.
    pub fn bytes(&self) -> usize {
        size_of_val(self.cells.as_slice())
            + self.tops.iter().map(|(_, _, top)| top.bytes_with_values()).sum::<usize>()
            + size_of_val(self.tops.as_slice())
            + size_of_val(self.distinct.as_slice())
            + size_of_val(self.visitors.as_slice())
            + size_of_val(self.users.as_slice())
            + size_of_val(self.links.as_slice())
            + size_of_val(self.earlier.as_slice())
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
    /// few minutes of them matter. What is known of users stands behind the visitors, and behind that who was
    /// seen earlier, where a version that knows nothing of it does not look.
    pub fn encode_visitors(&self) -> Vec<u8> {
        let users = (&self.users, &self.links);
        match (self.users.is_empty() && self.links.is_empty(), self.earlier.is_empty()) {
            (true, true) => encode(&self.visitors),
            (false, true) => encode(&(&self.visitors, users)),
            (_, false) => encode(&(&self.visitors, users, &self.earlier)),
        }
    }

    /// Reads back what [`Delta::encode_cells`] wrote and, where at hand, what
    /// [`Delta::encode_visitors`] wrote.
    pub fn decode(cells: &[u8], visitors: Option<&[u8]>) -> Result<Delta, DeltaError> {
        Ok(Delta::decode_followed(cells, visitors)?.0)
    }

    /// Like [`Delta::decode`], and gives the bytes that follow on the cells. A version that expects
    /// nothing there does not look.
    pub fn decode_followed<'a>(
        cells: &'a [u8],
        visitors: Option<&[u8]>,
    ) -> Result<(Delta, &'a [u8]), DeltaError> {
        let (((events, series, cells), (names, tops, distinct)), rest): ((Cells, Names), _) =
            match cells.first() {
                Some(&VERSION_1) => {
                    let (cells, rest) = decode(VERSION_1, cells)?;
                    ((cells, Names::default()), rest)
                }
                _ => decode(VERSION, cells)?,
            };
        let known = |index: u32, len: usize| (index as usize) < len;
        let whole = cells.iter().all(|cell| known(cell.1, series.len()))
            && tops.iter().all(|top| known(top.1, names.len()))
            && distinct.iter().all(|seen| known(seen.1, names.len()));
        if !whole {
            return Err(DeltaError::Malformed(postcard::Error::DeserializeBadEncoding));
        }
        let (visitors, (users, links), earlier) =
            visitors.map_or(Ok(Visitors::default()), decode_visitors)?;
        let delta =
            Delta { events, series, cells, names, tops, distinct, visitors, users, links, earlier };
        Ok((delta, rest))
    }
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(body, vec![VERSION]).expect("plain data always encodes")
}

/// Reads back what [`Delta::encode_visitors`] wrote, in this version or before.
fn decode_visitors(bytes: &[u8]) -> Result<Visitors, DeltaError> {
    let body = match bytes.split_first() {
        Some((&(VERSION_1 | VERSION), body)) => body,
        Some((&found, _)) => return Err(DeltaError::Version(found)),
        None => return Err(DeltaError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
    };
    let (visitors, rest) = postcard::take_from_bytes(body)?;
    if rest.is_empty() {
        return Ok((visitors, Default::default(), Vec::new()));
    }
    let (users, rest) = postcard::take_from_bytes(rest)?;
    let earlier = if rest.is_empty() { Vec::new() } else { postcard::from_bytes(rest)? };
    Ok((visitors, users, earlier))
}

fn decode<'a, T: Deserialize<'a>>(
    version: u8,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), DeltaError> {
    match bytes.split_first() {
        Some((&found, body)) if found == version => Ok(postcard::take_from_bytes(body)?),
        Some((&found, _)) => Err(DeltaError::Version(found)),
        None => Err(DeltaError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
    }
}
