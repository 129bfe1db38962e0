//! How stored events are read for an export: all of a stretch of time, slice by slice, the oldest first.
//!
//! ```text
//!   from                                                              until
//!    |- slice 1 -|---- 2 ----|---- 3 ----| …  ──>
//!                 each is read whole, in any order; its reader sorts it
//! ```
//!
//! A slice is as long as makes some megabytes of rows, whatever the traffic was, so an export needs the same
//! memory for a day as for a year. A millisecond with more rows than that, as an import makes them that knows
//! dates only, is read page by page in the order of keys.

use std::{fmt, sync::Arc, time::Duration};

use crate::domain::{
    event_filter::EventFilter,
    row::Row,
    time::{HOUR, LATEST, Millis},
};

/// The bytes of rows that a slice should have.
const USUAL_BYTES: usize = 4 << 20;
/// The most bytes of rows of a slice. One that has more is given up, and a shorter one is read.
pub(crate) const MOST_BYTES: usize = 8 << 20;
/// The most rows of a slice, which says the same to the store.
const MOST_ROWS: usize = 40_000;
/// The rows of a page within a millisecond.
const PAGE_ROWS: usize = 4_000;
/// By how much a slice grows at most after one that had little.
const GROWTH: Millis = 8;
/// A slice that took longer, as where few rows of many pass the filter, is followed by a shorter one.
pub(crate) const SLOW: Duration = Duration::from_millis(1_000);

/// Which events are exported.
#[derive(Clone, Debug)]
pub struct ExportAsked {
    /// Which events.
    pub filter: Arc<EventFilter>,
    /// The first moment of event time, Unix ms.
    pub from: Millis,
    /// Where it ends; this moment does not belong to it.
    pub until: Millis,
    /// Only events behind this one.
    pub after: Option<ExportKey>,
}

/// What tells an event from all others, and puts exported events in order. As a text it is
/// `TIMESTAMP~RECEIVED~TYPE~ID`, which can be made of any row that was exported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExportKey {
    /// Event time, Unix ms.
    pub time: Millis,
    /// Its id.
    pub id: String,
    /// Its type: ids are told apart by type.
    pub kind: String,
    /// When the server received it, Unix ms: an id may come again once it is forgotten.
    pub received_at: Millis,
}

impl ExportKey {
    /// The key of a row.
    pub fn of(row: &Row<'_>) -> ExportKey {
        let (id, kind) = (row.id.to_owned(), row.kind.to_owned());
        ExportKey { time: row.time, id, kind, received_at: row.received_at }
    }

    /// Reads the text of a key.
    pub fn parse(text: &str) -> Option<ExportKey> {
        let mut parts = text.splitn(4, '~');
        let moment = |text: &str| text.parse().ok().filter(|at| (0..=LATEST).contains(at));
        let (time, received_at) = (moment(parts.next()?)?, moment(parts.next()?)?);
        let (kind, id) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let is_ours = !kind.is_empty() && !id.is_empty() && !text.contains('\0');
        is_ours.then_some(ExportKey { time, id, kind, received_at })
    }

    /// Whether a row lies behind it.
    pub fn is_before(&self, row: &Row<'_>) -> bool {
        order(row) > (self.time, self.id.as_str(), self.kind.as_str(), self.received_at)
    }
}

impl fmt::Display for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~{}~{}", self.time, self.received_at, self.kind, self.id)
    }
}

/// By what exported rows are put in order.
pub fn order<'a>(row: &Row<'a>) -> (Millis, &'a str, &'a str, Millis) {
    (row.time, row.id, row.kind, row.received_at)
}

/// Rows of a slice, encoded ([`crate::domain::row`]), in any order. All of them lie before those of the next
/// slice. Some may be refused by the filter, or lie before [`ExportAsked::after`].
pub type ExportSlice = Vec<u8>;

/// What is to be read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExportPart {
    /// All rows of a stretch of event time `[from, until)`, in any order.
    Stretch { from: Millis, until: Millis },
    /// The first rows of one millisecond, behind a key, in the order of keys.
    Page { at: Millis, after: Option<ExportKey> },
}

impl ExportPart {
    /// The stretch of event time in which its rows lie.
    pub fn stretch(&self) -> (Millis, Millis) {
        match self {
            ExportPart::Stretch { from, until } => (*from, *until),
            ExportPart::Page { at, .. } => (*at, at + 1),
        }
    }

    /// The most rows that are read of it. As many mean that there may be more.
    pub fn limit(&self) -> usize {
        match self {
            ExportPart::Stretch { .. } => MOST_ROWS,
            ExportPart::Page { .. } => PAGE_ROWS,
        }
    }
}

/// How much was read of a part.
#[derive(Debug, Default)]
pub(crate) struct PartRead {
    /// Rows; as many as [`ExportPart::limit`] where there are too many.
    pub rows: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Of a page: the last row.
    pub last: Option<ExportKey>,
    /// How long that took.
    pub took: Duration,
}

impl PartRead {
    /// A stretch that has too much.
    pub fn too_much() -> PartRead {
        PartRead { rows: MOST_ROWS, ..PartRead::default() }
    }
}

/// How far an export has come.
pub(crate) struct ExportWalk {
    /// Everything before it was read.
    at: Millis,
    until: Millis,
    /// The next slice.
    length: Millis,
    /// Within the millisecond `at`: the last row that was read.
    page: Option<Option<ExportKey>>,
}

impl ExportWalk {
    /// At its beginning.
    pub fn new(asked: &ExportAsked) -> ExportWalk {
        let at = asked.after.as_ref().map_or(asked.from, |key| key.time.max(asked.from));
        ExportWalk { at, until: asked.until, length: HOUR, page: None }
    }

    /// Passes over a time in which there is no event, up to `first` (Unix ms).
    pub fn begin_at(&mut self, first: Millis) {
        self.at = self.at.max(first);
    }

    /// What is to be read next; `None` at the end.
    pub fn next(&self) -> Option<ExportPart> {
        if self.at >= self.until {
            return None;
        }
        Some(match &self.page {
            Some(after) => ExportPart::Page { at: self.at, after: after.clone() },
            None => {
                let until = self.at.saturating_add(self.length).min(self.until);
                ExportPart::Stretch { from: self.at, until }
            }
        })
    }

    /// Takes what was read of a part. Answers whether these rows are to be kept: those of a stretch that has
    /// too much are not.
    pub fn took(&mut self, part: &ExportPart, read: PartRead) -> bool {
        let PartRead { rows, bytes, last, took } = read;
        let is_cut = rows >= part.limit();
        match part {
            ExportPart::Page { .. } if is_cut => self.page = Some(last),
            ExportPart::Page { .. } => (self.at, self.page) = (self.at + 1, None),
            ExportPart::Stretch { from, until } if is_cut || bytes > MOST_BYTES => {
                if until - from == 1 {
                    self.page = Some(None);
                } else {
                    self.length = ((until - from) / GROWTH).max(1);
                }
                return false;
            }
            ExportPart::Stretch { from, until } => {
                self.at = *until;
                let full = (rows * 2).max(1) as f64 / MOST_ROWS as f64;
                let full = full.max(bytes as f64 / USUAL_BYTES as f64);
                let most = if took > SLOW { 0.5 } else { GROWTH as f64 };
                let times = (1.0 / full).min(most);
                self.length = (((until - from) as f64 * times) as Millis).max(1);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(time: Millis, id: &str) -> ExportKey {
        ExportKey { time, id: id.to_owned(), kind: "add to cart".to_owned(), received_at: 7 }
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        for id in ["1", "a~b", "ü", "~"] {
            assert_eq!(ExportKey::parse(&key(5, id).to_string()), Some(key(5, id)));
        }
        for wrong in ["", "5", "5~7~a", "x~7~a~b", "5~-7~a~b", "5~7~~b", "5~7~a~", "5~7~a~\0"] {
            assert_eq!(ExportKey::parse(wrong), None, "{wrong}");
        }
    }

    /// What a store answers: rows of a part, by their keys.
    fn read(events: &[ExportKey], part: &ExportPart) -> Vec<ExportKey> {
        let (from, until) = part.stretch();
        let first = match part {
            ExportPart::Page { after: Some(after), .. } => {
                events.partition_point(|key| key <= after)
            }
            _ => events.partition_point(|key| key.time < from),
        };
        let within = events[first..].iter().take_while(|key| key.time < until);
        within.take(part.limit()).cloned().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Every event comes once and in order, however they lie in time.
        #[test]
        fn all_are_read_once(
            crowds in proptest::collection::vec((0..5_000_000_i64, 1..800_usize), 0..12),
            bytes in prop_oneof![Just(100_usize), Just(3_000)],
            dense in proptest::option::of(0..5_000_000_i64),
        ) {
            let crowds = crowds.into_iter().chain(dense.map(|at| (at, MOST_ROWS + 2_500)));
            let events = crowds.enumerate().flat_map(|(n, (at, rows))| {
                (0..rows).map(move |row| key(at, &format!("{n}-{row:06}")))
            });
            let mut events: Vec<ExportKey> = events.collect();
            events.sort();
            let (from, until) = (1_000, 4_900_000);
            let asked = ExportAsked { filter: Arc::default(), from, until, after: None };
            let mut walk = ExportWalk::new(&asked);
            let (mut all, mut steps) = (Vec::new(), 0);
            while let Some(part) = walk.next() {
                let rows = read(&events, &part);
                let last = rows.last().cloned();
                let (count, took) = (rows.len(), Duration::ZERO);
                if walk.took(&part, PartRead { rows: count, bytes: count * bytes, last, took }) {
                    prop_assert!(rows.len() <= MOST_ROWS);
                    all.extend(rows);
                }
                steps += 1;
                prop_assert!(steps < 2_000, "it gets on");
            }
            events.retain(|key| (from..until).contains(&key.time));
            prop_assert_eq!(all, events);
        }
    }
}
