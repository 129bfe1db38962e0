//! A queue of event ids in the order in which they came, each with its time. There are millions
//! of them, so they lie in chunks of [`CHUNK`] ids. A `Vec` that grows holds its old and its new
//! self for a moment, and keeps what it once took; this queue grows by one chunk and frees a
//! chunk as soon as its last id leaves.

use std::collections::VecDeque;

use super::{HeldId, Key, UUID};
use crate::domain::time::Millis;

/// How many ids a chunk holds. It is small in tests, which then cross many chunks.
const CHUNK: usize = if cfg!(test) { 4 } else { 4096 };

/// Up to [`CHUNK`] ids, one behind the other:
///
/// ```text
/// bytes   [ 16 bytes of a UUID | order-7 | 16 bytes of a UUID | …
/// begins    0                    16|TEXT   23                      (empty while all are UUIDs)
/// times   [ (0, 10:00:00.000), (2, 10:00:00.200), …                (ids 0 and 1 came at once)
/// kinds   [ page_view, purchase ]      kind_of [ 0, 0, 1, …        (the third is a purchase)
/// ```
#[derive(Debug)]
struct Chunk {
    ids: usize,
    bytes: Vec<u8>,
    /// Where each id begins in `bytes`, marked with [`TEXT`] where it is no UUID. It is empty as
    /// long as all ids are UUIDs, since then it follows from their length.
    begins: Vec<u32>,
    /// The first id of each run of ids with the same time, and that time (Unix ms). Ids come by
    /// the batch, so this takes less room than a time for each.
    times: Vec<(u32, Millis)>,
    /// The types that occur in this chunk, each once.
    kinds: Vec<Box<str>>,
    /// For each id the place of its type in `kinds`.
    kind_of: Vec<u16>,
}

/// The bit of a beginning that marks an id as text. Ids have 128 bytes at most, so no chunk is so
/// long that a beginning needs this bit.
const TEXT: u32 = 1 << 31;

impl Chunk {
    fn new() -> Chunk {
        Chunk {
            ids: 0,
            bytes: Vec::with_capacity(CHUNK * UUID),
            begins: Vec::new(),
            times: Vec::new(),
            kinds: Vec::new(),
            kind_of: Vec::new(),
        }
    }

    fn begin(&self, at: usize) -> usize {
        match self.begins.get(at) {
            Some(begin) => (begin & !TEXT) as usize,
            None if self.begins.is_empty() => at * UUID,
            None => self.bytes.len(), // behind the last
        }
    }

    fn key(&self, at: usize) -> Key<'_> {
        let kind = &*self.kinds[usize::from(self.kind_of[at])];
        if self.begins.get(at).is_some_and(|begin| begin & TEXT != 0) {
            let id = HeldId::Text(&self.bytes[self.begin(at)..self.begin(at + 1)]);
            return Key { id, kind };
        }
        let bytes = self.bytes[self.begin(at)..].first_chunk();
        Key { id: HeldId::Uuid(*bytes.expect("a UUID is pushed whole")), kind }
    }

    fn time(&self, at: usize) -> Millis {
        let run = self.times.partition_point(|(from, _)| *from as usize <= at);
        self.times[run - 1].1
    }

    fn push(&mut self, key: Key<'_>, time: Millis) {
        let begin = u32::try_from(self.bytes.len()).ok().filter(|begin| begin & TEXT == 0);
        let begin = begin.expect("ids are short");
        let known = self.kinds.iter().position(|kind| **kind == *key.kind);
        let kind = known.unwrap_or_else(|| {
            self.kinds.push(key.kind.into());
            self.kinds.len() - 1
        });
        // A chunk has no more types than ids, and far fewer of these than 2^16.
        self.kind_of.push(kind as u16);
        match key.id {
            HeldId::Uuid(bytes) => {
                if !self.begins.is_empty() {
                    self.begins.push(begin);
                }
                self.bytes.extend_from_slice(&bytes);
            }
            HeldId::Text(bytes) => {
                if self.begins.is_empty() {
                    self.begins.extend((0..self.ids).map(|at| (at * UUID) as u32));
                }
                self.begins.push(begin | TEXT);
                self.bytes.extend_from_slice(bytes);
            }
        }
        if self.times.last().is_none_or(|(_, last)| *last != time) {
            self.times.push((self.ids as u32, time));
        }
        self.ids += 1;
        if self.ids == CHUNK {
            self.bytes.shrink_to_fit();
            self.begins.shrink_to_fit();
            self.times.shrink_to_fit();
            self.kinds.shrink_to_fit();
            self.kind_of.shrink_to_fit();
        }
    }

    /// Bytes that it takes.
    fn size(&self) -> usize {
        size_of::<Chunk>()
            + self.bytes.capacity()
            + self.begins.capacity() * size_of::<u32>()
            + self.times.capacity() * size_of::<(u32, Millis)>()
            + self.kind_of.capacity() * size_of::<u16>()
            + self.kinds.capacity() * size_of::<Box<str>>()
            + self.kinds.iter().map(|kind| kind.len()).sum::<usize>()
    }

    fn pop(&mut self) {
        self.ids -= 1;
        self.bytes.truncate(self.begin(self.ids));
        self.begins.truncate(self.ids);
        // Types stand in the order in which they first came, so only the last may be gone with it.
        let kind = self.kind_of.pop();
        let last = self.kinds.len().checked_sub(1).map(|last| last as u16);
        if kind == last && !kind.is_some_and(|kind| self.kind_of.contains(&kind)) {
            self.kinds.pop();
        }
        if self.times.last().is_some_and(|(from, _)| *from as usize == self.ids) {
            self.times.pop();
        }
    }
}

/// The queue. The position of an id is how many ids came before it, so it never changes.
#[derive(Debug, Default)]
pub struct IdQueue {
    /// The first chunk holds the id at `front`; the others follow without a gap.
    chunks: VecDeque<Chunk>,
    front: u64,
    back: u64,
    /// What the chunks take.
    bytes: usize,
}

impl IdQueue {
    /// An empty queue whose next id has this position, a multiple of [`CHUNK`].
    #[cfg(test)]
    pub fn at(position: u64) -> IdQueue {
        assert_eq!(position % CHUNK as u64, 0, "where a chunk begins");
        IdQueue { front: position, back: position, ..IdQueue::default() }
    }

    /// The oldest id's position.
    pub fn front(&self) -> u64 {
        self.front
    }

    /// The position of the next id.
    pub fn back(&self) -> u64 {
        self.back
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        (self.back - self.front) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id at a position that is there.
    pub fn key(&self, position: u64) -> Key<'_> {
        let (chunk, at) = self.place(position);
        chunk.key(at)
    }

    /// When it came, Unix ms.
    pub fn time(&self, position: u64) -> Millis {
        let (chunk, at) = self.place(position);
        chunk.time(at)
    }

    /// When the oldest id came.
    pub fn oldest(&self) -> Option<Millis> {
        (self.front < self.back).then(|| self.time(self.front))
    }

    fn place(&self, position: u64) -> (&Chunk, usize) {
        let first = self.front / CHUNK as u64;
        let chunk = (position / CHUNK as u64 - first) as usize;
        (&self.chunks[chunk], (position % CHUNK as u64) as usize)
    }

    /// Adds the newest.
    pub fn push_back(&mut self, key: Key<'_>, time: Millis) {
        if self.chunks.back().is_none_or(|chunk| chunk.ids == CHUNK) {
            self.chunks.push_back(Chunk::new());
        }
        let chunk = self.chunks.back_mut().expect("just pushed");
        // One without ids was weighed at 0.
        let before = if chunk.ids == 0 { 0 } else { chunk.size() };
        chunk.push(key, time);
        self.bytes = self.bytes + chunk.size() - before;
        self.back += 1;
    }

    /// Takes the newest away; there has to be one.
    pub fn pop_back(&mut self) {
        if self.chunks.back().is_some_and(|chunk| chunk.ids == 0) {
            self.chunks.pop_back();
        }
        let chunk = self.chunks.back_mut().expect("there is an id");
        let before = chunk.size();
        chunk.pop();
        let after = if chunk.ids == 0 { 0 } else { chunk.size() };
        self.bytes = self.bytes + after - before;
        self.back -= 1;
    }

    /// Takes the oldest away; there has to be one.
    pub fn pop_front(&mut self) {
        self.front += 1;
        if self.front.is_multiple_of(CHUNK as u64)
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.bytes -= chunk.size();
        }
    }

    /// Bytes that the queue takes, of the ids that were popped from a chunk that is still there too.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From the oldest on: when it came, and the id as it came.
    pub fn iter(&self) -> impl Iterator<Item = (Millis, String)> + '_ {
        (self.front..self.back).map(|at| (self.time(at), self.key(at).text()))
    }

    /// The same ids in the order of their times. It differs from the order in which they came
    /// only where the clock was set back.
    pub fn sorted(self) -> IdQueue {
        let positions = self.front..self.back;
        if positions.clone().is_sorted_by_key(|at| self.time(at)) {
            return self;
        }
        let mut positions: Vec<u64> = positions.collect();
        positions.sort_by_key(|at| self.time(*at));
        let mut sorted = IdQueue::default();
        positions.iter().for_each(|at| sorted.push_back(self.key(*at), self.time(*at)));
        sorted
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::{IdSpace, known_as};

    #[test]
    fn after_a_clock_that_was_set_back_ids_are_in_order_again() {
        let mut queue = IdQueue::default();
        let uuid = Uuid::from_u128(7).to_string();
        let pushed = [(5, "late"), (1, "a"), (1, &uuid), (2, "b"), (3, "c"), (2, "d")];
        pushed.iter().for_each(|(at, id)| queue.push_back(Key::new(id), *at));
        let queue = queue.sorted();
        assert_eq!(queue.bytes(), queue.chunks.iter().map(Chunk::size).sum::<usize>());
        let sorted: Vec<_> = queue.iter().collect();
        let mut expected = pushed.map(|(at, id)| (at, id.to_owned()));
        expected.sort_by_key(|(at, _)| *at);
        assert_eq!(sorted, expected);
    }

    #[test]
    fn what_an_index_takes_has_the_types_of_its_ids_in_it() {
        let mut queue = IdQueue::default();
        let (ids, kinds) = (3 * CHUNK, ["page_view", "purchase"]);
        for n in 0..ids {
            let id = Uuid::from_u128(n as u128).to_string();
            queue.push_back(Key::new(&known_as(&id, kinds[n % 2], IdSpace::Shop)), 1);
        }
        // 16 bytes of the UUID and the place of its type for each id, and each type once in a chunk.
        let least = ids * (UUID + size_of::<u16>()) + 3 * kinds.concat().len();
        assert!(queue.bytes() >= least, "{} of {least}", queue.bytes());
    }
}
