//! How stored events are searched: slice by slice of event time, for as long as a search may take.
//!
//! ```text
//!   from                                                         until
//!    |  …            |----- slice 4 -----|--- 3 ---|- 2 -|1|  <── the newest first
//!                    ^ the search has looked up to here
//! ```
//!
//! No store has an index on the time of events, which would cost a third of the insert rate; but each finds a
//! stretch of time without one. So a slice is read whole and put in order. A slice that was read quickly is
//! followed by a longer one: a search for something rare gets over a quiet year in a few steps. One that takes
//! too long is given up, and a shorter one is tried.
//!
//! The order of events is that of their key, time and id. Whoever goes on after a key gets no event twice and
//! none too few, whatever has come since: what is new lies before the key or after it.

mod merged;

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, Instant},
};

pub use merged::{merged, of_one_place};

use crate::domain::{
    event_filter::EventFilter,
    row::Row,
    time::{Millis, SECOND},
};

/// How long one search may take. It then answers what it has found.
pub const SEARCH_FOR: Duration = Duration::from_millis(100);
/// How long a slice may take, but for the first: that one takes what it needs, so that each search gets on.
const SLICE_FOR: Duration = Duration::from_millis(50);
/// What is left of a search when no further slice is begun.
const TOO_LITTLE: Duration = Duration::from_millis(2);
/// A slice that took less is followed by a longer one.
const QUICK: Duration = Duration::from_millis(5);
/// A slice that took more is followed by a shorter one.
const SLOW: Duration = Duration::from_millis(25);
/// By how much a slice grows after a quick one, and shrinks after one that was given up.
const STEP: Millis = 8;
/// The least events that are read of a slice, where it has them: what a store reads may still be refused by
/// the filter.
const LEAST_READ: usize = 200;

/// What is searched.
#[derive(Clone, Debug)]
pub struct EventSearch {
    /// Which events.
    pub filter: Arc<EventFilter>,
    /// The first moment of event time, Unix ms.
    pub from: Millis,
    /// Where it ends; this moment does not belong to it.
    pub until: Millis,
    /// Whether the newest come first, or the oldest.
    pub newest_first: bool,
    /// Where an earlier search has ended.
    pub after: Option<SearchEnd>,
    /// The most events of an answer.
    pub limit: usize,
    /// The present, Unix ms: next to no events lie after it.
    pub now: Millis,
}

/// Where a search has ended, so that another one goes on there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchEnd {
    /// The time of the last event, or the moment up to which everything was looked at.
    pub time: Millis,
    /// The id of the last event; empty for none.
    pub id: String,
    /// How many events with this time and id were given. Ids are told apart by type, so several may have one.
    pub given: usize,
}

/// What a search has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchedEvents {
    /// The events in the order that was asked for.
    pub events: Vec<FoundEvent>,
    /// Where another search goes on; `None` where all was looked at.
    pub next: Option<SearchEnd>,
    /// Up to which moment (Unix ms) it was looked.
    pub searched_to: Millis,
}

/// A whole event as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundEvent {
    /// Event time, Unix ms.
    pub time: Millis,
    /// When the server received it, Unix ms.
    pub received_at: Millis,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its user.
    pub user: Option<String>,
    /// Its session.
    pub session: Option<String>,
    /// Its properties, a JSON object. Of an event that a search has found they are without secrets.
    pub properties: String,
    /// Who sent it; `None` in rows of before that was kept.
    pub source: Option<String>,
    /// The format that it came in; `None` likewise.
    pub dialect: Option<String>,
}

impl FoundEvent {
    /// The event of a row.
    pub fn of(row: &Row<'_>) -> FoundEvent {
        FoundEvent {
            time: row.time,
            received_at: row.received_at,
            id: row.id.to_owned(),
            kind: row.kind.to_owned(),
            user: row.user_id.map(str::to_owned),
            session: row.session_id.map(str::to_owned),
            properties: row.properties.to_owned(),
            source: row.source.map(str::to_owned),
            dialect: row.dialect.map(str::to_owned),
        }
    }

    /// The row of the event.
    pub fn row(&self) -> Row<'_> {
        Row {
            time: self.time,
            received_at: self.received_at,
            id: &self.id,
            kind: &self.kind,
            user_id: self.user.as_deref(),
            session_id: self.session.as_deref(),
            properties: &self.properties,
            source: self.source.as_deref(),
            dialect: self.dialect.as_deref(),
        }
    }

    fn is_at(&self, end: &SearchEnd) -> bool {
        (self.time, &self.id) == (end.time, &end.id)
    }

    /// Whether it lies after an end, or at it.
    fn is_after(&self, end: &SearchEnd, newest_first: bool) -> bool {
        let key = (self.time, self.id.as_str()).cmp(&(end.time, end.id.as_str()));
        if newest_first { key.is_le() } else { key.is_ge() }
    }
}

/// A slice of time that is to be read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSlice {
    /// Its first moment, Unix ms.
    pub from: Millis,
    /// Its end.
    pub until: Millis,
    /// Only events at this end or after it, in the order of the search.
    pub after: Option<SearchEnd>,
    /// The most events that are read of it: the first in the order of the search.
    pub limit: usize,
    /// How long it may take to read it; `None` for as long as a chart may.
    pub within: Option<Duration>,
}

/// Events of a slice that may pass the filter.
pub enum SliceRead {
    /// The first of them, in any order. As many as the limit of the slice mean that there may be more.
    Events(Vec<FoundEvent>),
    /// Reading it took too long.
    TooLong,
}

/// Keeps the first events of a slice, of those that a store comes upon in any order.
pub struct FirstEvents<'a> {
    slice: &'a EventSlice,
    newest_first: bool,
    events: Vec<FoundEvent>,
}

impl<'a> FirstEvents<'a> {
    /// None yet.
    pub fn new(slice: &'a EventSlice, newest_first: bool) -> FirstEvents<'a> {
        FirstEvents { slice, newest_first, events: Vec::new() }
    }

    /// Takes one more.
    pub fn push(&mut self, event: FoundEvent) {
        if self.slice.after.as_ref().is_none_or(|end| event.is_after(end, self.newest_first)) {
            self.events.push(event);
        }
        if self.events.len() >= 4 * self.slice.limit {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.events.sort_by(|a, b| in_order(a, b, self.newest_first));
        self.events.truncate(self.slice.limit);
    }

    /// The first of all.
    pub fn finish(mut self) -> SliceRead {
        self.cut();
        SliceRead::Events(self.events)
    }
}

/// A search under way. A store reads the slices that it names.
pub struct SearchWalk<'a> {
    asked: &'a EventSearch,
    started: Instant,
    sliced: Instant,
    /// Everything on one side of it was looked at: what is newer, or what is older where the oldest come first.
    edge: Millis,
    /// How long the next slice is, but for the time to come.
    length: Millis,
    after: Option<SearchEnd>,
    is_first: bool,
    found: Vec<FoundEvent>,
}

impl<'a> SearchWalk<'a> {
    /// At the beginning of a search.
    pub fn new(asked: &'a EventSearch) -> SearchWalk<'a> {
        let (from, until, after) = (asked.from, asked.until, &asked.after);
        let edge = match asked.newest_first {
            true => after.as_ref().map_or(until, |end| until.min(end.time.saturating_add(1))),
            false => after.as_ref().map_or(from, |end| from.max(end.time)),
        };
        let (started, sliced) = (Instant::now(), Instant::now());
        let (length, after, found) = (SECOND, after.clone(), Vec::new());
        SearchWalk { asked, started, sliced, edge, length, after, is_first: true, found }
    }

    /// The slice that is to be read next; `None` where the search is over.
    pub fn next_slice(&mut self) -> Option<EventSlice> {
        let left = SEARCH_FOR.saturating_sub(self.started.elapsed());
        let is_over = !self.is_first && left < TOO_LITTLE;
        if self.is_full() || self.is_at_end() || is_over {
            return None;
        }
        self.sliced = Instant::now();
        let EventSearch { from, until, now, .. } = *self.asked;
        let (from, until) = match self.asked.newest_first {
            // The time to come has next to no events, so it is one slice with the last second.
            true if self.edge > now => ((now - SECOND).max(from), self.edge),
            true => (self.edge.saturating_sub(self.length).max(from), self.edge),
            false => (self.edge, self.edge.saturating_add(self.length).min(until)),
        };
        let missing = self.asked.limit + 1 - self.found.len();
        let given = self.after.as_ref().map_or(0, |end| end.given);
        Some(EventSlice {
            from,
            until,
            after: self.after.clone(),
            limit: (missing + given).max(LEAST_READ),
            within: (!self.is_first).then(|| left.min(SLICE_FOR)),
        })
    }

    /// Takes what was read of a slice.
    pub fn take(&mut self, slice: &EventSlice, read: SliceRead) {
        let took = self.sliced.elapsed();
        let newest_first = self.asked.newest_first;
        let SliceRead::Events(mut events) = read else {
            self.length = ((slice.until - slice.from) / STEP).max(1);
            return;
        };
        self.is_first = false;
        events.sort_by(|a, b| in_order(a, b, newest_first));
        let is_cut = events.len() >= slice.limit;
        let last = events.last().map(|last| (last.time, last.id.clone()));
        let end = self.look_at(events, slice.after.as_ref(), last.filter(|_| is_cut));
        if let Some(end) = end {
            self.edge = if newest_first { end.time + 1 } else { end.time };
            self.after = Some(end);
            return;
        }
        self.after = None;
        self.edge = if newest_first { slice.from } else { slice.until };
        if took < QUICK {
            self.length = self.length.saturating_mul(STEP);
        } else if took > SLOW {
            self.length = (self.length / 2).max(1);
        }
    }

    /// Takes those events that pass and were not given before. Where only the events up to the key `last` were
    /// read, that is the end, with how many events at it have passed.
    fn look_at(
        &mut self,
        events: Vec<FoundEvent>,
        after: Option<&SearchEnd>,
        last: Option<(Millis, String)>,
    ) -> Option<SearchEnd> {
        let mut given = after.map_or(0, |end| end.given);
        let mut end = last.map(|(time, id)| SearchEnd { time, id, given: 0 });
        for mut event in events {
            let Some(shown) = self.asked.filter.shown(&event.row()) else { continue };
            event.properties = shown.into_owned();
            if let Some(end) = end.as_mut().filter(|end| event.is_at(end)) {
                end.given += 1;
            }
            if given > 0 && after.is_some_and(|end| event.is_at(end)) {
                given -= 1;
            } else if !self.is_full() {
                self.found.push(event);
            }
        }
        end
    }

    /// What was found.
    pub fn finish(mut self) -> SearchedEvents {
        let EventSearch { from, until, newest_first, limit, .. } = *self.asked;
        if self.is_full() {
            self.found.truncate(limit);
            let next = self.found.last().map(|last| self.end_at(last));
            let searched_to = next.as_ref().map_or(self.edge, |end| end.time);
            return SearchedEvents { events: self.found, next, searched_to };
        }
        let edge = if newest_first { self.edge.max(from) } else { self.edge.min(until) };
        if self.is_at_end() {
            return SearchedEvents { events: self.found, next: None, searched_to: edge };
        }
        // An end without an id lies before all events of its time.
        let at_edge = SearchEnd { time: edge, ..SearchEnd::default() };
        let next = self.after.unwrap_or(at_edge);
        SearchedEvents { searched_to: next.time, next: Some(next), events: self.found }
    }

    /// The end of a page whose last event this is.
    fn end_at(&self, last: &FoundEvent) -> SearchEnd {
        let mut end = SearchEnd { time: last.time, id: last.id.clone(), given: 0 };
        let before = self.asked.after.as_ref().filter(|before| last.is_at(before));
        let found = self.found.iter().filter(|event| event.is_at(&end)).count();
        end.given = found + before.map_or(0, |before| before.given);
        end
    }

    fn is_full(&self) -> bool {
        // One more than asked for tells that there are more.
        self.found.len() > self.asked.limit
    }

    fn is_at_end(&self) -> bool {
        match self.asked.newest_first {
            true => self.edge <= self.asked.from,
            false => self.edge >= self.asked.until,
        }
    }
}

/// Events of one key are told apart by their type and by when they were received.
fn in_order(a: &FoundEvent, b: &FoundEvent, newest_first: bool) -> Ordering {
    let by_key = (a.time, &a.id).cmp(&(b.time, &b.id));
    let by_key = if newest_first { by_key.reverse() } else { by_key };
    by_key.then_with(|| (&a.kind, a.received_at).cmp(&(&b.kind, b.received_at)))
}

#[cfg(test)]
mod tests;
