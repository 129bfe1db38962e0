//! One answer of several searches, where the events of a span lie in several places.

use std::cmp::Ordering;

use super::{EventSearch, FoundEvent, SearchEnd, SearchedEvents, in_order};

/// What each place is to be asked for, so that [`merged`] can answer: what an earlier answer has given at its last
/// key may have come from any of them.
pub fn of_one_place(asked: &EventSearch) -> EventSearch {
    let given = asked.after.as_ref().map_or(0, |end| end.given);
    let after = asked.after.clone().map(|end| SearchEnd { given: 0, ..end });
    EventSearch { after, limit: asked.limit + given + 1, ..asked.clone() }
}

/// Up to where a place was looked through: before the events of its last key, or up to one of them.
struct LookedUpTo<'a> {
    end: &'a SearchEnd,
    last: Option<&'a FoundEvent>,
}

impl LookedUpTo<'_> {
    /// How an event lies to it. What is equal was looked at.
    fn compare(&self, event: &FoundEvent, newest_first: bool) -> Ordering {
        let keys = (event.time, &event.id).cmp(&(self.end.time, &self.end.id));
        let keys = if newest_first { keys.reverse() } else { keys };
        // An end without an event lies before all events of its key.
        keys.then_with(|| {
            self.last.map_or(Ordering::Greater, |last| in_order(event, last, newest_first))
        })
    }
}

/// The events of all places, in order. A replica that is behind has rows for a moment that are in the archive
/// already, so what two places have is one event; what one place has twice is two.
fn union(places: &[SearchedEvents], newest_first: bool) -> Vec<FoundEvent> {
    let mut all: Vec<(usize, &FoundEvent)> = Vec::new();
    for (at, place) in places.iter().enumerate() {
        all.extend(place.events.iter().map(|event| (at, event)));
    }
    all.sort_by(|a, b| in_order(a.1, b.1, newest_first));
    let mut events = Vec::new();
    for same in all.chunk_by(|a, b| in_order(a.1, b.1, newest_first).is_eq()) {
        let of = |at: usize| same.iter().filter(|it| it.0 == at).count();
        let times = (0..places.len()).map(of).max().unwrap_or(0);
        events.extend(same.iter().take(times).map(|it| it.1.clone()));
    }
    events
}

/// The answer to `asked`, of what the places have answered to [`of_one_place`].
pub fn merged(asked: &EventSearch, places: Vec<SearchedEvents>) -> SearchedEvents {
    let newest_first = asked.newest_first;
    let looked: Vec<LookedUpTo<'_>> = places
        .iter()
        .filter_map(|place| {
            let end = place.next.as_ref()?;
            let last = place.events.last().filter(|last| end.given > 0 && last.is_at(end));
            Some(LookedUpTo { end, last })
        })
        .collect();
    let within =
        |event: &FoundEvent| looked.iter().all(|it| it.compare(event, newest_first).is_le());
    let mut events = union(&places, newest_first);
    events.retain(within);
    let before = asked.after.clone().unwrap_or_default();
    let is_before = |event: &FoundEvent| before.given > 0 && event.is_at(&before);
    let skipped = events.iter().take_while(|it| is_before(it)).count().min(before.given);
    events.drain(..skipped);
    let given_at = |end: SearchEnd, events: &[FoundEvent]| {
        let found = events.iter().filter(|event| event.is_at(&end)).count();
        let same = before.given > 0 && (end.time, &end.id) == (before.time, &before.id);
        let given = found + if same { skipped } else { 0 };
        SearchEnd { given, ..end }
    };
    if events.len() > asked.limit {
        events.truncate(asked.limit);
        let last = events.last().expect("a page has one event at least");
        let end = SearchEnd { time: last.time, id: last.id.clone(), given: 0 };
        let end = given_at(end, &events);
        return SearchedEvents { searched_to: end.time, next: Some(end), events };
    }
    let first = looked.iter().map(|it| it.end).min_by(|a, b| {
        let order = (a.time, &a.id).cmp(&(b.time, &b.id));
        if newest_first { order.reverse() } else { order }
    });
    match first {
        None => {
            let edges = places.iter().map(|place| place.searched_to);
            let edge = if newest_first { edges.max() } else { edges.min() };
            SearchedEvents { events, next: None, searched_to: edge.unwrap_or(asked.from) }
        }
        Some(end) => {
            let end = given_at(SearchEnd { given: 0, ..end.clone() }, &events);
            SearchedEvents { searched_to: end.time, next: Some(end), events }
        }
    }
}
