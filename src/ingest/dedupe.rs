//! The index of event ids: exact, bounded in time (`dedupe.window_s`) and in number
//! (`dedupe.max_ids`; at the limit the oldest go first).
//!
//! Ids lie in a queue in the order in which they came; a hash table holds their positions
//! in it. A UUID takes 16 bytes instead of its 36 characters, any other id its own bytes.

use std::{
    collections::{VecDeque, hash_map::RandomState},
    hash::BuildHasher,
};

use hashbrown::HashTable;
use uuid::Uuid;

use crate::domain::time::Millis;

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A UUID in its canonical form (lower case, hyphens), which it stands for exactly.
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl Key {
    fn new(id: &str) -> Key {
        let mut canonical = Uuid::encode_buffer();
        match Uuid::try_parse(id) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut canonical) == id => {
                Key::Uuid(*uuid.as_bytes())
            }
            _ => Key::Text(id.into()),
        }
    }

    /// The id as it came.
    fn text(&self) -> String {
        match self {
            Key::Uuid(bytes) => Uuid::from_bytes(*bytes).to_string(),
            Key::Text(text) => text.to_string(),
        }
    }
}

/// The ids of the window.
#[derive(Debug)]
pub struct Dedupe {
    window_ms: Millis,
    max_ids: usize,
    /// Keyed anew each start, so that nobody can prepare ids that collide.
    hasher: RandomState,
    ids: VecDeque<(Millis, Key)>,
    /// How many ids have left at the front: `ids[i]` has the position `gone + i`.
    gone: u64,
    /// Positions, hashed by their id; of each the low half, since fewer than 2^32 are there at
    /// once. A table that is full grows to twice its size, so every byte of a slot counts.
    positions: HashTable<u32>,
}

impl Dedupe {
    /// An empty index; of 2^32 ids at most.
    pub fn new(window_ms: Millis, max_ids: usize) -> Dedupe {
        Dedupe {
            window_ms,
            max_ids: max_ids.min(u32::MAX as usize),
            hasher: RandomState::new(),
            ids: VecDeque::new(),
            gone: 0,
            positions: HashTable::new(),
        }
    }

    /// Notes an id received at `at` (Unix ms). False where it was there already: then the
    /// event is a duplicate, and the index is unchanged.
    pub fn insert(&mut self, id: &str, at: Millis) -> bool {
        self.expire(at);
        let key = Key::new(id);
        let hash = self.hasher.hash_one(&key);
        let (ids, gone) = (&self.ids, self.gone as u32);
        let same = |position: &u32| ids[position.wrapping_sub(gone) as usize].1 == key;
        if self.positions.find(hash, same).is_some() {
            return false;
        }
        if self.ids.len() >= self.max_ids {
            self.forget_oldest();
        }
        let position = self.gone + self.ids.len() as u64;
        self.ids.push_back((at, key));
        let (ids, gone, hasher) = (&self.ids, self.gone as u32, &self.hasher);
        let hash_of =
            |position: &u32| hasher.hash_one(&ids[position.wrapping_sub(gone) as usize].1);
        self.positions.insert_unique(hash, position as u32, hash_of);
        true
    }

    /// Takes the `n` newest ids back: their group did not reach the disk.
    pub fn take_back(&mut self, n: usize) {
        for _ in 0..n {
            let position = self.gone + self.ids.len() as u64 - 1;
            let Some((_, key)) = self.ids.pop_back() else { return };
            self.remove(&key, position);
        }
    }

    /// Up to `limit` ids from position `from` on, all but the `newest` last ones, each with how
    /// much longer it is remembered at `now` (ms), and the position behind them; `None` where
    /// there are none.
    pub fn page(
        &self,
        from: u64,
        limit: usize,
        newest: usize,
        now: Millis,
    ) -> Option<(Vec<(Millis, String)>, u64)> {
        let begin = from.max(self.gone) - self.gone;
        let end = self.ids.len().saturating_sub(newest).min(begin as usize + limit);
        let left = |at: Millis| (self.window_ms - (now - at)).clamp(1, self.window_ms);
        let ids = self.ids.iter().take(end).skip(begin as usize);
        let page: Vec<_> = ids.map(|(at, key)| (left(*at), key.text())).collect();
        (!page.is_empty()).then(|| (page, self.gone + end as u64))
    }

    /// Forgets what has left the window at `now`.
    pub fn expire(&mut self, now: Millis) {
        while self.ids.front().is_some_and(|(at, _)| *at <= now - self.window_ms) {
            self.forget_oldest();
        }
    }

    /// Ids in the index.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// No ids in it.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How far back the index reaches at `now`, in ms: `dedupe.window_s`, or less where
    /// `dedupe.max_ids` has pushed ids out.
    pub fn window_in_force(&self, now: Millis) -> Millis {
        match self.ids.front() {
            Some((oldest, _)) if self.ids.len() >= self.max_ids => now - oldest,
            _ => self.window_ms,
        }
    }

    fn forget_oldest(&mut self) {
        let position = self.gone;
        if let Some((_, key)) = self.ids.pop_front() {
            self.gone += 1;
            self.remove(&key, position);
        }
    }

    fn remove(&mut self, key: &Key, position: u64) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.positions.find_entry(hash, |found| *found == position as u32) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_in_another_spelling_is_another_id() {
        let mut dedupe = Dedupe::new(1000, 10);
        assert!(dedupe.insert("0190a6e8-7c1f-7000-8000-000000000001", 1));
        assert!(!dedupe.insert("0190a6e8-7c1f-7000-8000-000000000001", 1));
        assert!(dedupe.insert("0190A6E8-7C1F-7000-8000-000000000001", 1));
        assert!(dedupe.insert("0190a6e87c1f70008000000000000001", 1));
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

    proptest! {
        #[test]
        fn behaves_as_a_list_of_ids_would(
            steps in proptest::collection::vec((0..40u8, 0..30i64, 0..4usize), 1..200)
        ) {
            let (window, max) = (100, 16);
            let mut dedupe = Dedupe::new(window, max);
            // Positions pass the end of 32 bits on the way.
            dedupe.gone = u64::from(u32::MAX) - 20;
            let mut model: Vec<(i64, String)> = Vec::new();
            let mut now = 0;
            for (id, pause, back) in steps {
                now += pause;
                let id = if id % 2 == 0 {
                    Uuid::from_u128(u128::from(id)).to_string()
                } else {
                    format!("id{id}")
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
                if new && back == 0 {
                    dedupe.take_back(1);
                    model.pop();
                }
                prop_assert_eq!(dedupe.len(), model.len());
                prop_assert_eq!(dedupe.positions.len(), model.len());
            }
        }
    }
}
