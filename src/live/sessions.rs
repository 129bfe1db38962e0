//! The active visitors, for the in-process live store, as far as there is room for each of them: an
//! exact set, with the time at which each visitor was last seen. (With Redis, sorted sets hold the
//! same.)
//!
//! ```text
//!  last      A: 12.7 s   B: 10.2 s   C: 11.9 s      the newest sighting of each
//!  buckets   10: [A, B]  11: [C]                    the second of an earlier or the same sighting
//! ```
//!
//! A visitor is in the map once and in one bucket once, however often it is seen, so the memory is
//! that of the visitors in the window. A touch only moves the time in the map. The bucket is put
//! right when it falls out of the window: in the example, A then moves on to bucket 12. Each such
//! move was paid for by a touch, so a touch costs O(1) amortised.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::domain::{
    delta::Visitor,
    time::{Millis, SECOND, bucket},
};

/// An exact active-visitor set.
#[derive(Debug, Default)]
pub struct ActiveSessions {
    /// When each visitor was last seen, Unix ms. Of one that is taken out ([`ActiveSessions::remove`]) it is
    /// the complement, which is below zero: such a visitor stays in its bucket, and goes with it.
    last: HashMap<Visitor, Millis>,
    /// How many are taken out.
    removed: usize,
    /// Every visitor of `last`, in the bucket of the second in which it was seen when it was put
    /// there. It may have been seen later since then, but never earlier.
    buckets: BTreeMap<Millis, Vec<Visitor>>,
    /// Sightings before this time (Unix ms) have been forgotten.
    floor: Millis,
}

impl ActiveSessions {
    /// Notes that `visitor` was seen at `at` (Unix ms), unless it was seen later already, or `at`
    /// lies in the time that is forgotten.
    pub fn touch(&mut self, visitor: Visitor, at: Millis) {
        if at < self.floor {
            return;
        }
        match self.last.get_mut(&visitor) {
            // The visitor stays in its bucket, which lies at or before its new time.
            Some(last) => {
                if *last < 0 {
                    self.removed -= 1;
                    *last = !*last;
                }
                *last = at.max(*last);
            }
            None => {
                self.last.insert(visitor, at);
                self.enqueue(visitor, at);
            }
        }
    }

    /// Takes a visitor out, and says when it was last seen; `None` where it is not there.
    pub fn remove(&mut self, visitor: Visitor) -> Option<Millis> {
        let last = self.last.get_mut(&visitor).filter(|last| **last >= self.floor.max(0))?;
        let seen = *last;
        *last = !seen;
        self.removed += 1;
        Some(seen)
    }

    /// Forgets visitors that were last seen before `since` (Unix ms), and says how many are left.
    pub fn active(&mut self, since: Millis) -> u64 {
        self.floor = self.floor.max(since);
        while let Some(oldest) = self.buckets.first_entry()
            && *oldest.key() <= self.floor
        {
            let (start, visitors) = oldest.remove_entry();
            let mut kept = Vec::new();
            for visitor in visitors {
                let Some(&last) = self.last.get(&visitor) else { continue };
                let seen = if last < 0 { !last } else { last };
                if seen < self.floor {
                    self.removed -= usize::from(last < 0);
                    self.last.remove(&visitor);
                } else if bucket(seen, SECOND) == start {
                    kept.push(visitor);
                } else {
                    self.enqueue(visitor, seen);
                }
            }
            // In the second in which `since` lies, later visitors stay. It is the last bucket to
            // look at.
            if !kept.is_empty() {
                self.buckets.insert(start, kept);
                break;
            }
        }
        // After a rush the map gives its memory back.
        if self.last.capacity() > 1024 && self.last.len() < self.last.capacity() / 4 {
            self.last.shrink_to(self.last.len() * 2);
        }
        (self.last.len() - self.removed) as u64
    }

    /// How many visitors it has room for now, with those that are taken out.
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// Each visitor with the time at which it was last seen.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Visitor, Millis)> {
        let there = self.last.iter().filter(|(_, at)| **at >= 0);
        there.map(|(visitor, at)| (*visitor, *at))
    }

    /// Puts a visitor into the bucket of a second.
    fn enqueue(&mut self, visitor: Visitor, at: Millis) {
        let start = bucket(at, SECOND);
        self.buckets.entry(start).or_default().push(visitor);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Touch(Visitor, Millis),
        Remove(Visitor),
        Active(Millis),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let touch = (0..12u128, 0..9_000i64).prop_map(|(v, at)| Step::Touch(v, at));
        let active = (0..9_000i64).prop_map(Step::Active);
        let remove = (0..12u128).prop_map(Step::Remove);
        proptest::collection::vec(prop_oneof![6 => touch, 1 => remove, 1 => active], 0..200)
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(steps in steps()) {
            let (mut sessions, mut model) = (ActiveSessions::default(), BTreeMap::new());
            let mut gone = BTreeMap::new();
            let mut floor = 0;
            for step in steps {
                match step {
                    Step::Touch(visitor, at) => {
                        sessions.touch(visitor, at);
                        if at < floor {
                            continue;
                        }
                        let at = gone.remove(&visitor).map_or(at, |before: Millis| at.max(before));
                        let last = model.entry(visitor).or_insert(at);
                        *last = at.max(*last);
                    }
                    Step::Remove(visitor) => {
                        let seen = model.remove(&visitor).filter(|last| *last >= floor);
                        prop_assert_eq!(sessions.remove(visitor), seen);
                        // Where it comes back, that it was there before is still known.
                        if let Some(last) = seen {
                            gone.insert(visitor, last);
                        }
                    }
                    Step::Active(since) => {
                        floor = since.max(floor);
                        model.retain(|_, last| *last >= floor);
                        gone.retain(|_, last| *last >= floor);
                        prop_assert_eq!(sessions.active(since), model.len() as u64);
                    }
                }
                let queued: usize = sessions.buckets.values().map(Vec::len).sum();
                prop_assert_eq!(queued, sessions.last.len());
            }
        }
    }

    #[test]
    fn memory_follows_the_window() {
        let mut sessions = ActiveSessions::default();
        for second in 0..600i64 {
            for visitor in 0..100 {
                sessions.touch(visitor, second * SECOND);
                sessions.touch(second as u128 * 1000 + visitor, second * SECOND);
            }
            sessions.active((second - 30) * SECOND);
        }
        assert!(sessions.last.len() <= 100 * 33);
        assert!(sessions.buckets.len() <= 33);
        assert_eq!(sessions.active(700 * SECOND), 0);
        assert!(sessions.buckets.is_empty() && sessions.last.capacity() <= 1024 * 2);
    }
}
