//! The breakdowns of the minutes, within bounds.
//!
//! ```text
//!  tops     (minute, breakdown, lane) -> value, count; value, count; …
//!                                          │             │
//!  values                  each value once, with its bytes
//! ```
//!
//! What they take is known at each moment: lists and values are weighed as they come and go. At the
//! limit old minutes are shortened first: to 50 values, and where that is not enough to 25, and so on.
//! What a shortened summary lost is in its error, so answers still say how much a count may be too low.
//! A client that makes values up makes short lists of long ones: of a hundred values that came once
//! each, a summary of fifty keeps none.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashSet;

use crate::domain::{
    time::{HOUR, Millis},
    top::{SharedValues, Top},
};

/// How many values the summaries of old minutes are shortened to, step by step.
const STEPS: [usize; 6] = [50, 25, 10, 5, 2, 0];
/// The newest minutes are shortened only where all others can't be shortened further, in ms.
const SPARED: Millis = HOUR;
/// Bytes that a summary takes beside its list: its place in the tree.
const SUMMARY: usize = 112;
/// Bytes that a value takes beside its text: the counts of its owners, its place among all values,
/// and what the allocator adds.
const VALUE: usize = 80;

/// A minute (its start in Unix ms), a breakdown (its index among the names), and a lane. Each lane is
/// summed by itself, batch by batch in its order, so that what a full summary drops is the same in
/// every mirror.
type Slot = (Millis, usize, u64);

/// The breakdowns of all minutes.
#[derive(Debug)]
pub(super) struct Tops {
    /// The names of the breakdowns seen so far. They are few, since only rules make them.
    names: Vec<String>,
    tops: BTreeMap<Slot, Top>,
    values: Values,
    /// Bytes of all lists.
    lists: usize,
    /// The most bytes that all of it may take.
    limit: usize,
    shortened_to: Option<Millis>,
}

/// A copy has values of its own: who else has a value decides when its bytes are free again.
impl Clone for Tops {
    fn clone(&self) -> Tops {
        let mut copy = Tops::within(self.limit);
        copy.names = self.names.clone();
        self.iter(Millis::MIN, Millis::MAX)
            .for_each(|(minute, name, lane, top)| copy.add(minute, name, lane, top));
        copy.shortened_to = copy.shortened_to.max(self.shortened_to);
        copy
    }
}

impl Tops {
    /// None yet.
    pub(super) fn within(limit: usize) -> Tops {
        Tops {
            names: Vec::new(),
            tops: BTreeMap::new(),
            values: Values::default(),
            lists: 0,
            limit,
            shortened_to: None,
        }
    }

    /// Adds to one minute of one lane.
    pub(super) fn add(&mut self, minute: Millis, name: &str, lane: u64, top: &Top) {
        let name = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let kept = self.tops.entry((minute, name, lane)).or_default();
        let before = kept.bytes();
        kept.merge_shared(top, &mut self.values);
        self.lists = self.lists - before + kept.bytes();
        if self.bytes() > self.limit {
            self.shorten();
        }
    }

    /// Adds all of another copy, which gives its memory back meanwhile.
    pub(super) fn merge(&mut self, other: Tops) {
        let Tops { names, tops, values, shortened_to, .. } = other;
        // Its values now belong to its summaries alone, and go with them.
        drop(values);
        for ((minute, name, lane), top) in tops {
            self.add(minute, &names[name], lane, &top);
        }
        self.shortened_to = self.shortened_to.max(shortened_to);
    }

    /// Forgets one minute of one lane.
    pub(super) fn clear(&mut self, minute: Millis, name: &str, lane: u64) {
        if let Some(name) = self.names.iter().position(|known| known == name)
            && let Some(top) = self.tops.remove(&(minute, name, lane))
        {
            self.left(&top);
        }
    }

    /// Those of the minutes that start in `[from, to)` (Unix ms): (start, name, lane, values).
    pub(super) fn iter(
        &self,
        from: Millis,
        to: Millis,
    ) -> impl Iterator<Item = (Millis, &str, u64, &Top)> {
        let found = self.tops.range((from, 0, 0)..(to.max(from), 0, 0));
        found.map(|(&(minute, name, lane), top)| (minute, self.names[name].as_str(), lane, top))
    }

    /// Forgets the minutes that start before `oldest` (Unix ms).
    pub(super) fn prune(&mut self, oldest: Millis) {
        while let Some(first) = self.tops.first_entry()
            && first.key().0 < oldest
        {
            let top = first.remove();
            self.left(&top);
        }
        self.shortened_to = self.shortened_to.filter(|minute| *minute >= oldest);
    }

    /// Bytes that all of it takes.
    pub(super) fn bytes(&self) -> usize {
        self.lists + self.tops.len() * SUMMARY + self.values.bytes
    }

    /// The newest minute (Unix ms) that was shortened.
    pub(super) fn shortened_to(&self) -> Option<Millis> {
        self.shortened_to
    }

    /// Takes a summary that is no longer in the tree off the bytes.
    fn left(&mut self, top: &Top) {
        self.lists -= top.bytes();
        top.shared().for_each(|value| self.values.leave(value));
    }

    /// Makes room, an eighth of it at once, so that this is rare.
    fn shorten(&mut self) {
        let enough = self.limit / 8 * 7;
        let summaries = self.tops.len() * SUMMARY;
        let newest = self.tops.last_key_value().map_or(0, |((minute, ..), _)| *minute);
        for until in [newest - SPARED, Millis::MAX] {
            for most in STEPS {
                for (&(minute, ..), top) in self.tops.range_mut(..(until, 0, 0)) {
                    if top.len() <= most {
                        continue;
                    }
                    let before = top.bytes();
                    top.shorten(most, &mut self.values);
                    self.lists = self.lists - before + top.bytes();
                    self.shortened_to = self.shortened_to.max(Some(minute));
                    if self.lists + summaries + self.values.bytes <= enough {
                        return;
                    }
                }
            }
        }
    }
}

/// Each value once.
#[derive(Debug, Default)]
struct Values {
    known: HashSet<Arc<str>>,
    bytes: usize,
}

impl SharedValues for Values {
    fn share(&mut self, value: &str) -> Arc<str> {
        if let Some(known) = self.known.get(value) {
            return known.clone();
        }
        let value: Arc<str> = value.into();
        self.bytes += VALUE + value.len();
        self.known.insert(value.clone());
        value
    }

    fn leave(&mut self, value: &Arc<str>) {
        // One owner is the summary that lets go of it, the other one is `known`.
        if Arc::strong_count(value) == 2 && self.known.remove(value) {
            self.bytes -= VALUE + value.len();
            if self.known.capacity() > 1024 && self.known.len() < self.known.capacity() / 4 {
                self.known.shrink_to(self.known.len() * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::MINUTE;

    /// A summary of values that came `n` times each.
    fn top(values: impl Iterator<Item = String>, n: u64) -> Top {
        let mut top = Top::default();
        values.for_each(|value| top.add(&value, n));
        top
    }

    /// What the lists and values weigh, counted anew.
    fn weighed(tops: &Tops) -> usize {
        let mut values: Vec<&Arc<str>> = tops.tops.values().flat_map(Top::shared).collect();
        values.sort();
        values.dedup();
        let lists: usize = tops.tops.values().map(Top::bytes).sum();
        let values: usize = values.iter().map(|value| VALUE + value.len()).sum();
        lists + tops.tops.len() * SUMMARY + values
    }

    #[test]
    fn made_up_values_of_a_day_stay_within_the_limit_and_the_common_ones_stay() {
        // A summary here takes 21 kB, so there is room for the newest hour and some more.
        let (limit, minutes) = (4 << 20, 12 * 60);
        let mut tops = Tops::within(limit);
        for minute in 0..minutes {
            for lane in 0..2 {
                let made_up = (1..100).map(|n| format!("{minute}-{lane}-{n}-{}", "x".repeat(100)));
                let mut batch = top(made_up, 1);
                batch.add("/checkout", 500);
                tops.add(minute * MINUTE, "page_view/path", lane, &batch);
                assert!(tops.bytes() <= limit);
            }
        }
        assert_eq!(tops.bytes(), weighed(&tops));
        let shortened_to = tops.shortened_to().expect("there was no room");
        assert!((minutes - 240..minutes - 60).contains(&(shortened_to / MINUTE)));
        // The frequent value is there in each minute, too low by no more than is said.
        let whole = |top: &Top| {
            top.count("/checkout") >= 499 && top.count("/checkout") + top.error() == 500
        };
        assert!(tops.iter(0, Millis::MAX).all(|(.., top)| whole(top)));
    }

    #[test]
    fn values_that_all_minutes_have_cost_little() {
        let mut tops = Tops::within(64 << 20);
        for minute in 0..24 * 60 {
            for lane in 0..4 {
                let paths = (0..100).map(|n| format!("/product/{n}"));
                tops.add(minute * MINUTE, "page_view/path", lane, &top(paths, 3));
            }
        }
        assert!(tops.bytes() < 20 << 20, "{}", tops.bytes());
        assert_eq!((tops.bytes(), tops.shortened_to()), (weighed(&tops), None));
        tops.prune(Millis::MAX);
        assert_eq!(tops.bytes(), 0);
    }

    proptest! {
        /// Whatever comes and goes, the bytes are known.
        #[test]
        fn the_bytes_are_those_of_what_is_there(
            steps in proptest::collection::vec((0..6u8, 0..200i64, 0..4u64, 1..120usize), 1..80),
        ) {
            let mut tops = Tops::within(40_000);
            for (step, minute, lane, n) in steps {
                let name = if n % 2 == 0 { "a/b" } else { "c/d" };
                match step {
                    0 => tops.prune(minute / 4 * MINUTE),
                    1 => tops.clear(minute * MINUTE, name, lane),
                    2 => {
                        let mut other = Tops::within(40_000);
                        let values = (0..n).map(|value| value.to_string());
                        other.add(minute * MINUTE, name, lane, &top(values, 2));
                        tops.merge(other);
                    }
                    _ => {
                        let values = (0..n).map(|value| format!("{}", value * usize::from(step)));
                        tops.add(minute * MINUTE, name, lane, &top(values, 1));
                    }
                }
                prop_assert_eq!(tops.bytes(), weighed(&tops));
            }
        }
    }
}
