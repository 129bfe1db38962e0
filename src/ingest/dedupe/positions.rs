//! Where ids stand in the queue: hash tables of positions, split by bits of the hash.
//!
//! One large table doubles at once: it holds old and new together, and everybody waits for it.
//! A removal may leave a tombstone, and hashbrown answers a table that is full of them by
//! doubling it as well, unless half of it is free. So there are many small tables, and one
//! that is held up by its tombstones is written anew at its size.

use hashbrown::HashTable;

/// Tables; a power of two.
const SHARDS: usize = if cfg!(test) { 4 } else { 256 };

/// Of each position the low half, since fewer than 2^32 are there at once. A table that is full
/// grows to twice its size, so every byte of a slot counts.
#[derive(Debug)]
pub(super) struct Positions {
    shards: Vec<HashTable<u32>>,
}

impl Positions {
    pub(super) fn new() -> Positions {
        Positions { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }

    /// hashbrown takes the lowest bits for the slot and the topmost for its tag.
    fn shard(hash: u64) -> usize {
        (hash >> 40) as usize % SHARDS
    }

    pub(super) fn contains(&self, hash: u64, same: impl Fn(u32) -> bool) -> bool {
        self.shards[Self::shard(hash)].find(hash, |position| same(*position)).is_some()
    }

    /// Adds a position that is not there. `hash_of` gives the hash of one that is.
    pub(super) fn insert(&mut self, hash: u64, position: u32, hash_of: impl Fn(u32) -> u64) {
        let shard = &mut self.shards[Self::shard(hash)];
        let most = most(shard);
        // Room neither in free slots, nor so many ids that it is time to grow: tombstones.
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

/// Positions that a table takes without growing, had it no tombstones: hashbrown fills it to 7/8.
fn most(shard: &HashTable<u32>) -> usize {
    shard.num_buckets() / 8 * 7
}

fn resize(shard: &mut HashTable<u32>, room: usize, hash_of: &impl Fn(u32) -> u64) {
    let old = std::mem::replace(shard, HashTable::with_capacity(room));
    for position in old {
        shard.insert_unique(hash_of(position), position, |position| hash_of(*position));
    }
}
