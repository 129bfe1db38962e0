//! Finds the position of an id in the queue: hash tables of positions, one for each value of some
//! bits of the hash.
//!
//! One large table would double at once. While it does, it has the old and the new table in memory,
//! and every request waits. Further, a removal may leave a tombstone, and hashbrown doubles a table
//! that is full of tombstones too, unless half of it is free. So there are many small tables, and a
//! table that is full only because of tombstones is written anew at its size.

use hashbrown::HashTable;

/// Bytes that a position takes, at most: a slot has 5, and 7 of 16 are taken in a table that has just
/// grown.
pub(super) const BYTES: usize = 12;

/// How many tables there are; a power of two.
const SHARDS: usize = if cfg!(test) { 4 } else { 256 };

/// The tables. They hold the low half of each position, which is enough since fewer than 2^32 ids
/// are there at once. A full table grows to twice its size, so every byte of a slot counts.
#[derive(Debug)]
pub(super) struct Positions {
    shards: Vec<HashTable<u32>>,
}

impl Positions {
    pub(super) fn new() -> Positions {
        Positions { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }

    /// The table of a hash, by bits from its middle: hashbrown takes the lowest bits for the slot
    /// and the topmost for its tag.
    fn shard(hash: u64) -> usize {
        (hash >> 40) as usize % SHARDS
    }

    /// Whether a position is there that `same` recognises, among those with this hash.
    pub(super) fn contains(&self, hash: u64, same: impl Fn(u32) -> bool) -> bool {
        self.shards[Self::shard(hash)].find(hash, |position| same(*position)).is_some()
    }

    /// Adds a position that is not there yet. `hash_of` gives the hash of one that is there.
    pub(super) fn insert(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        let shard = &mut self.shards[Self::shard(hash)];
        let most = most(shard);
        // There is no free slot, and yet there are too few ids for it to be time to grow. So
        // tombstones fill the table.
        if shard.len() == shard.capacity() && shard.len() < most / 4 * 3 {
            resize(shard, most, &hash_of);
        }
        shard.insert_unique(hash, position, |position| hash_of(*position));
    }

    /// Removes a position. A table that is nearly empty afterwards gives memory back.
    pub(super) fn remove(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        let shard = &mut self.shards[Self::shard(hash)];
        if let Ok(entry) = shard.find_entry(hash, |found| *found == position) {
            entry.remove();
        }
        if shard.len() < most(shard) / 8 {
            let room = shard.len() * 2;
            resize(shard, room, &hash_of);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }

    /// Slots of all tables, taken or not.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.shards.iter().map(HashTable::num_buckets).sum()
    }
}

/// How many positions a table without tombstones takes before it grows: hashbrown fills 7/8 of it.
fn most(shard: &HashTable<u32>) -> usize {
    shard.num_buckets() / 8 * 7
}

/// Writes a table anew with room for `room` positions.
fn resize(shard: &mut HashTable<u32>, room: usize, hash_of: &impl Fn(u32) -> u64) {
    let old = std::mem::replace(shard, HashTable::with_capacity(room));
    for position in old {
        shard.insert_unique(hash_of(position), position, |position| hash_of(*position));
    }
}
