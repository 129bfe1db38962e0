//! The index of event ids, by which a duplicate is known. It is exact, and bounded in time
//! (`dedupe.window_s`), in number (`dedupe.max_ids`) and in memory (its share of `memory.max_bytes`):
//! at a limit the oldest ids go first.
//!
//! ```text
//!  hash tables   position ─────────┐      by the hash of the id
//!                                  v
//!  queue         front  ··· │ id, time │ ···  back      in the order in which they came
//! ```
//!
//! Ids lie in a queue in the order in which they came ([`crate::domain::ids`]), and hash tables
//! have their positions in it ([`positions`]). A UUID takes 16 bytes instead of its 36 characters,
//! and any other id its own bytes and 4 more. With its share of the tables, an id takes 30 bytes if
//! it is a UUID and 43 if it is 24 letters, where there are four million of them.
//!
//! What is held is the id with the type of its event and the space of its sender
//! ([`crate::domain::ids::known_as`]). Where an earlier version wrote an id without the type, it stands for
//! events of every type until its window is over.
//!
//! There is an index for each class of ids ([`indexes`]).

pub mod indexes;
mod positions;

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use self::positions::Positions;
use crate::domain::{
    ids::{IdQueue, Key},
    time::Millis,
};

/// The ids of the window.
#[derive(Debug)]
pub struct Dedupe {
    window_ms: Millis,
    max_ids: usize,
    max_bytes: usize,
    /// When the newest id came that a limit has pushed out, Unix ms.
    pushed_out: Millis,
    /// It has a new random key at each start, so that nobody can prepare ids that collide.
    hasher: RandomState,
    ids: IdQueue,
    positions: Positions,
    /// How many of the ids were written without the type of their event.
    untyped: usize,
}

impl Dedupe {
    /// An empty index, which takes as much memory as its ids do.
    pub fn new(window_ms: Millis, max_ids: usize) -> Dedupe {
        Dedupe::within(window_ms, max_ids, usize::MAX)
    }

    /// An empty index, which takes up to `max_bytes`. It never has more than 2^32 ids, as many as
    /// [`positions`] can tell apart.
    pub fn within(window_ms: Millis, max_ids: usize, max_bytes: usize) -> Dedupe {
        Dedupe {
            window_ms,
            max_ids: max_ids.min(u32::MAX as usize),
            max_bytes,
            pushed_out: Millis::MIN,
            hasher: RandomState::new(),
            ids: IdQueue::default(),
            positions: Positions::new(),
            untyped: 0,
        }
    }

    /// Notes an id that was received at `at` (Unix ms). `false` says that it was there already: the
    /// event is then a duplicate, and the index is unchanged.
    pub fn insert(&mut self, id: &str, at: Millis) -> bool {
        self.insert_key(Key::new(id), at)
    }

    /// Takes over the ids of a queue whose times are in order, at `now` (Unix ms).
    pub fn recover(&mut self, mut ids: IdQueue, now: Millis) {
        while let Some(at) = ids.oldest() {
            // An id that was received while the system's clock was ahead must not make the ids
            // before it expire.
            self.insert_key(ids.key(ids.front()), at.min(now));
            ids.pop_front();
        }
    }

    /// Whether an id was noted within the window that ends at `at`.
    fn knows(&mut self, key: Key<'_>, at: Millis) -> bool {
        self.expire(at);
        !self.is_empty() && self.has(self.hasher.hash_one(key), key)
    }

    /// Whether the id was noted without the type of its event.
    fn knows_untyped(&mut self, key: Key<'_>, at: Millis) -> bool {
        self.untyped > 0 && self.knows(key.untyped(), at)
    }

    /// Adds an id unless it is there. Room is made first, so that the limit is never passed.
    fn insert_key(&mut self, key: Key<'_>, at: Millis) -> bool {
        self.expire(at);
        let hash = self.hasher.hash_one(key);
        if self.has(hash, key) || self.knows_untyped(key, at) {
            return false;
        }
        if self.ids.len() >= self.max_ids {
            self.push_out();
        }
        // The queue gives memory back by the chunk, so this forgets many ids at once or none.
        while self.bytes() > self.max_bytes && !self.is_empty() {
            self.push_out();
        }
        let position = self.ids.back();
        self.ids.push_back(key, at);
        self.untyped += usize::from(key.is_untyped());
        let (ids, hasher) = (&self.ids, &self.hasher);
        let hash_of = |low| hasher.hash_one(ids.key(whole(ids, low)));
        self.positions.insert(hash, position as u32, hash_of);
        true
    }

    /// Whether a key is there; with its hash.
    fn has(&self, hash: u64, key: Key<'_>) -> bool {
        let ids = &self.ids;
        self.positions.contains(hash, |low| ids.key(whole(ids, low)) == key)
    }

    /// Removes the `n` newest ids, whose group did not reach the disk.
    pub fn take_back(&mut self, n: usize) {
        for _ in 0..n.min(self.ids.len()) {
            self.unlist(self.ids.back() - 1);
            self.ids.pop_back();
        }
    }

    /// A page of up to `limit` ids from position `from` on, each with how much longer (ms) it is
    /// remembered at `now`, and the position after them. The `newest` last ids are left out. `None`
    /// where there are no such ids.
    pub fn page(
        &self,
        from: u64,
        limit: usize,
        newest: usize,
        now: Millis,
    ) -> Option<(Vec<(Millis, String)>, u64)> {
        let begin = from.max(self.ids.front());
        let known = self.ids.front() + self.ids.len().saturating_sub(newest) as u64;
        let end = known.min(begin + limit as u64);
        let left = |at: Millis| (self.window_ms - (now - at)).clamp(1, self.window_ms);
        let one = |position| (left(self.ids.time(position)), self.ids.key(position).text());
        let page: Vec<_> = (begin..end).map(one).collect();
        (!page.is_empty()).then_some((page, end))
    }

    /// Forgets ids that have left the window at `now` (Unix ms).
    pub fn expire(&mut self, now: Millis) {
        while self.ids.oldest().is_some_and(|at| at <= now - self.window_ms) {
            self.forget_oldest();
        }
    }

    /// How many ids are in the index.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no ids in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes, at most.
    pub fn bytes(&self) -> usize {
        self.ids.bytes() + self.ids.len() * positions::BYTES
    }

    /// How far back the index reaches at `now`, in ms: `dedupe.window_s`, or less where a limit has
    /// pushed ids out.
    pub fn window_in_force(&self, now: Millis) -> Millis {
        let is_short = self.ids.len() >= self.max_ids || self.pushed_out > now - self.window_ms;
        match self.ids.oldest() {
            Some(oldest) if is_short => now - oldest,
            _ => self.window_ms,
        }
    }

    /// Forgets the oldest id before its time.
    fn push_out(&mut self) {
        self.pushed_out = self.ids.oldest().unwrap_or(self.pushed_out);
        self.forget_oldest();
    }

    /// Forgets the oldest id. It leaves the tables first: to find it there, its hash is needed,
    /// which is made of the id in the queue.
    fn forget_oldest(&mut self) {
        if !self.is_empty() {
            self.unlist(self.ids.front());
            self.ids.pop_front();
        }
    }

    /// Takes the id at a position out of the tables, while it is still in the queue.
    fn unlist(&mut self, position: u64) {
        let (ids, hasher) = (&self.ids, &self.hasher);
        let hash_of = |low| hasher.hash_one(ids.key(whole(ids, low)));
        self.positions.remove(hash_of(position as u32), position as u32, hash_of);
        self.untyped -= usize::from(self.ids.key(position).is_untyped());
    }
}

/// The position in the queue of which `low` is the low half. There is only one, since the queue is
/// shorter than 2^32.
fn whole(ids: &IdQueue, low: u32) -> u64 {
    ids.front() + u64::from(low.wrapping_sub(ids.front() as u32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::{IdSpace, known_as};

    fn of_type(id: &str, kind: &str) -> String {
        known_as(id, kind, IdSpace::Shop)
    }

    #[test]
    fn a_uuid_in_another_spelling_is_another_id() {
        let mut dedupe = Dedupe::new(1000, 10);
        assert!(dedupe.insert("0190a6e8-7c1f-7000-8000-000000000001", 1));
        assert!(!dedupe.insert("0190a6e8-7c1f-7000-8000-000000000001", 1));
        assert!(dedupe.insert("0190A6E8-7C1F-7000-8000-000000000001", 1));
        assert!(dedupe.insert("0190a6e87c1f70008000000000000001", 1));
    }

    #[test]
    fn the_same_id_on_another_type_is_another_event() {
        let mut dedupe = Dedupe::new(1000, 10);
        for id in ["o-1", "0190a6e8-7c1f-7000-8000-000000000001"] {
            assert!(dedupe.insert(&of_type(id, "purchase"), 1));
            assert!(dedupe.insert(&of_type(id, "refund"), 1));
            assert!(!dedupe.insert(&of_type(id, "purchase"), 1));
            assert!(!dedupe.insert(&of_type(id, "refund"), 1));
        }
    }

    #[test]
    fn an_id_that_was_written_without_a_type_stands_for_all_types_while_its_window_lasts() {
        let mut before = IdQueue::default();
        before.push_back(Key::new("o-1"), 1);
        let mut dedupe = Dedupe::new(1000, 10);
        dedupe.recover(before, 5);
        assert!(!dedupe.insert(&of_type("o-1", "purchase"), 500));
        assert!(!dedupe.insert(&of_type("o-1", "refund"), 500));
        assert!(dedupe.insert(&of_type("o-2", "refund"), 500));
        assert!(dedupe.insert(&of_type("o-1", "refund"), 1001));
        dedupe.take_back(1);
        assert!(dedupe.insert(&of_type("o-1", "refund"), 1001));
    }

    #[test]
    fn at_the_limit_the_oldest_go_and_the_window_shrinks() {
        let mut dedupe = Dedupe::new(1000, 2);
        assert!(dedupe.insert("a", 10));
        assert!(dedupe.insert("b", 20));
        assert_eq!(dedupe.window_in_force(30), 20);
        assert!(dedupe.insert("c", 30));
        assert!(dedupe.insert("a", 30));
        assert!(!dedupe.insert("c", 30));
        assert_eq!((dedupe.len(), dedupe.window_in_force(50)), (2, 20));
    }

    #[test]
    fn ids_of_any_length_stay_within_the_memory_of_the_index() {
        let most = 4_000;
        let mut dedupe = Dedupe::within(1000, usize::MAX, most);
        for n in 0..2_000 {
            let id = match n % 3 {
                0 => Uuid::from_u128(n as u128).to_string(),
                1 => format!("order-{n}"),
                _ => format!("{n}-{}", "x".repeat(120)),
            };
            assert!(dedupe.insert(&id, n / 10));
            assert!(!dedupe.insert(&id, n / 10), "the newest is never pushed out");
            // One more chunk is under way while an id is added.
            assert!(dedupe.bytes() <= most + 1_000, "{}", dedupe.bytes());
        }
        assert!(dedupe.len() >= 15);
        assert_eq!(dedupe.window_in_force(200), 200 - dedupe.ids.oldest().unwrap());
        dedupe.expire(2_000);
        assert_eq!((dedupe.len(), dedupe.window_in_force(2_000)), (0, 1000));
    }

    #[test]
    fn pages_hold_every_id_once_but_the_newest() {
        let mut dedupe = Dedupe::new(1000, 6);
        let uuid = Uuid::from_u128(7).to_string();
        let ids = ["a", "b", "c", &uuid, "d", "e", "f", "g"];
        (0..).zip(ids).for_each(|(at, id)| assert!(dedupe.insert(id, at)));
        let (mut from, mut all) = (0, Vec::new());
        while let Some((page, next)) = dedupe.page(from, 2, 1, 10) {
            assert!(page.len() <= 2 && next > from);
            all.extend(page);
            from = next;
        }
        let expected = [(992, "c"), (993, &uuid), (994, "d"), (995, "e"), (996, "f")];
        let all: Vec<_> = all.iter().map(|(left, id)| (*left, id.as_str())).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn at_the_limit_the_tables_stay_as_they_are() {
        // Just over half of what tables of 1,024 slots take, so that tombstones alone would double
        // them. The hashes are spread so evenly that no table comes near to being full.
        let mut dedupe = Dedupe::new(1000, 4 * 470);
        let id = |n: u32| Uuid::from_u128(u128::from(n)).to_string();
        (0..5_000).for_each(|n| assert!(dedupe.insert(&id(n), 1)));
        let slots = dedupe.positions.slots();
        (5_000..50_000).for_each(|n| assert!(dedupe.insert(&id(n), 1)));
        assert_eq!((dedupe.positions.slots(), slots), (4 * 1024, 4 * 1024));
        dedupe.expire(2_000);
        assert!(dedupe.is_empty() && dedupe.positions.slots() < slots / 8);
    }

    proptest! {
        #[test]
        fn behaves_as_a_list_of_ids_would(
            steps in proptest::collection::vec((0..60u8, 0..30i64, 0..24usize), 1..300),
            max in 1..24usize,
        ) {
            let window = 100;
            let mut dedupe = Dedupe::new(window, max);
            // On the way the positions pass the end of 32 bits.
            dedupe.ids = IdQueue::at(u64::from(u32::MAX) - 19);
            let mut model: Vec<(i64, String)> = Vec::new();
            let mut now = 0;
            for (id, pause, back) in steps {
                // Most ids come at the same time as the one before.
                now += pause.saturating_sub(15).max(0);
                let id = if id % 3 != 0 {
                    Uuid::from_u128(u128::from(id)).to_string()
                } else {
                    "i".repeat(usize::from(id))
                };
                model.retain(|(at, _)| *at > now - window);
                let new = !model.iter().any(|(_, known)| *known == id);
                if new {
                    if model.len() == max {
                        model.remove(0);
                    }
                    model.push((now, id.clone()));
                }
                prop_assert_eq!(dedupe.insert(&id, now), new);
                if back < 6 {
                    // These take back ids over more than one chunk of the queue, and all ids.
                    dedupe.take_back(back);
                    model.truncate(model.len().saturating_sub(back));
                }
                prop_assert_eq!(dedupe.len(), model.len());
                prop_assert_eq!(dedupe.positions.len(), model.len());
                let page = dedupe.page(0, usize::MAX >> 1, 0, now).unwrap_or_default().0;
                let left: Vec<_> =
                    model.iter().map(|(at, id)| (window - (now - at), id.clone())).collect();
                prop_assert_eq!(page, left);
            }
        }
    }
}
