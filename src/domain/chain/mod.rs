//! The chain of hashes: what a store has said of each row when it was written, and of each batch in its lane.
//!
//! ```text
//!  a row's digest   = first 16 bytes of SHA-256(key of the row, canonical form of the row)
//!  a batch's hash   = SHA-256(hash of the batch before, the batch's identity, digests of its rows)
//!
//!  keys of a batch:   seed ──SHA-256──> one key a row
//!  after a row of it was forgotten:     the keys of the others, and no seed
//! ```
//!
//! A digest without a key would say what somebody has bought to whoever guesses it and compares. With its key it
//! says no more than the row beside it; once the key is gone it says nothing, and the batch's hash still holds.

pub mod canonical;
pub mod places;

use sha2::{Digest, Sha256};

use self::places::{PlacesWriter, RowPlace};
use crate::domain::{
    batch::BatchId,
    row::Row,
    time::{DAY, Millis},
};

/// Bytes of a row's digest.
pub const DIGEST_BYTES: usize = 16;
/// Bytes of a row's key.
const KEY_BYTES: usize = 16;
/// What `keys` begins with where a seed follows, or the key of each row.
const SEED: u8 = b's';
const EACH: u8 = b'k';
/// The key of a row that was forgotten: no key.
const NO_KEY: [u8; KEY_BYTES] = [0; KEY_BYTES];

/// A row's digest.
pub type RowDigest = [u8; DIGEST_BYTES];
/// A row's key.
pub type RowKey = [u8; KEY_BYTES];
/// What the keys of a batch are made of: random, and new for each attempt to write it.
pub type ChainSeed = [u8; 32];
/// A batch's hash.
pub type BatchHash = [u8; 32];

/// A batch of the chain, as the next one in its lane names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// Which batch.
    pub id: BatchId,
    /// Its hash.
    pub hash: BatchHash,
}

/// What the chain has of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedBatch {
    /// Which batch.
    pub id: BatchId,
    /// The one before it in the chain of its lane; `None` where the chain begins with it.
    pub before: Option<ChainLink>,
    /// Whether that is also the batch before it in its lane: none was stored between them.
    pub follows: bool,
    /// When it was sealed, Unix ms.
    pub sealed_at: Millis,
    /// The first and the last event time of its rows, Unix ms; `None` where it has none.
    pub times: Option<(Millis, Millis)>,
    /// The digests of its rows, one behind the other.
    pub digests: Vec<u8>,
    /// By what these were made; `None` where all of its rows were removed for their age.
    pub keys: Option<Vec<u8>>,
    /// Where its rows are found ([`places`]); `None` as above.
    pub places: Option<Vec<u8>>,
    /// The hash of the batch.
    pub hash: BatchHash,
}

impl ChainedBatch {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.digests.len() / DIGEST_BYTES
    }

    /// The digests of its rows.
    pub fn row_digests(&self) -> impl Iterator<Item = RowDigest> {
        self.digests.as_chunks().0.iter().copied()
    }

    /// What its hash has to be.
    pub fn hashed(&self) -> BatchHash {
        let mut hasher = Sha256::new();
        hasher.update(b"floodmark batch 1");
        hasher.update(self.before.map_or([0; 32], |before| before.hash));
        hasher.update(self.id.run);
        hasher.update(self.id.seq.to_be_bytes());
        hasher.update([u8::from(self.follows)]);
        hasher.update(self.sealed_at.to_be_bytes());
        hasher.update((self.digests.len() as u64).to_be_bytes());
        hasher.update(&self.digests);
        hasher.finalize().into()
    }

    /// The place and the key of each row; a key is `None` where the row was forgotten. `None` for all where they
    /// are gone, or are not what a store writes.
    pub fn places(&self) -> Option<Vec<(RowPlace, Option<RowKey>)>> {
        let places = places::read(self.places.as_deref()?)?;
        let keys = RowKeys::of(self.keys.as_deref()?)?;
        if places.len() != self.rows() {
            return None;
        }
        let with_key = |(n, place): (usize, RowPlace)| {
            let key = keys.key(n).filter(|_| place.id.is_some());
            (place, key)
        };
        Some(places.into_iter().enumerate().map(with_key).collect())
    }
}

/// The keys of a batch's rows.
enum RowKeys<'a> {
    Seed(&'a ChainSeed),
    Each(&'a [RowKey]),
}

impl<'a> RowKeys<'a> {
    fn of(keys: &'a [u8]) -> Option<RowKeys<'a>> {
        match keys.split_first()? {
            (&SEED, seed) => Some(RowKeys::Seed(seed.try_into().ok()?)),
            (&EACH, keys) => Some(RowKeys::Each(keys.as_chunks().0)),
            _ => None,
        }
    }

    fn key(&self, n: usize) -> Option<RowKey> {
        match self {
            RowKeys::Seed(seed) => {
                let two = two_keys(seed, n as u64 / 2);
                Some(two.as_chunks().0[n % 2])
            }
            RowKeys::Each(keys) => keys.get(n).copied().filter(|key| *key != NO_KEY),
        }
    }
}

/// The keys of two rows: one SHA-256 makes both.
fn two_keys(seed: &ChainSeed, pair: u64) -> [u8; 2 * KEY_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(b"floodmark keys 1");
    hasher.update(seed);
    hasher.update(pair.to_be_bytes());
    hasher.finalize().into()
}

/// The digest of a row under its key. `scratch` is room for its canonical form.
pub fn digest(key: &RowKey, row: &Row<'_>, scratch: &mut Vec<u8>) -> RowDigest {
    scratch.clear();
    canonical::write(row, scratch);
    digest_of_form(key, scratch)
}

/// The digest under its key of a row whose canonical form this is.
pub fn digest_of_form(key: &RowKey, form: &[u8]) -> RowDigest {
    let mut hasher = Sha256::new();
    hasher.update(key);
    hasher.update(form);
    let hash: [u8; 32] = hasher.finalize().into();
    *hash.first_chunk().expect("16 of 32 bytes")
}

/// Takes up the rows of a batch as they are written.
pub struct ChainWriter {
    seed: ChainSeed,
    /// The keys of the row after the last one and its neighbour.
    two: [u8; 2 * KEY_BYTES],
    times: Option<(Millis, Millis)>,
    places: PlacesWriter,
    digests: Vec<u8>,
    scratch: Vec<u8>,
}

impl ChainWriter {
    /// For a batch whose keys come from this seed.
    pub fn new(seed: ChainSeed) -> ChainWriter {
        ChainWriter {
            seed,
            two: [0; 2 * KEY_BYTES],
            times: None,
            places: PlacesWriter::default(),
            digests: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a row that the store takes.
    pub fn add(&mut self, row: &Row<'_>) {
        let n = self.digests.len() / DIGEST_BYTES;
        if n.is_multiple_of(2) {
            self.two = two_keys(&self.seed, n as u64 / 2);
        }
        let key = &self.two.as_chunks().0[n % 2];
        self.digests.extend_from_slice(&digest(key, row, &mut self.scratch));
        self.places.add(row.time, row.kind, Some(row.id));
        let times = self.times.get_or_insert((row.time, row.time));
        *times = (times.0.min(row.time), times.1.max(row.time));
    }

    /// The batch: what the lane's chain has before it, the batch before it in the lane, and when it was sealed.
    pub fn finish(
        self,
        id: BatchId,
        before: Option<ChainLink>,
        after: Option<BatchId>,
        sealed_at: Millis,
    ) -> ChainedBatch {
        let mut keys = vec![SEED];
        keys.extend_from_slice(&self.seed);
        let mut batch = ChainedBatch {
            id,
            before,
            follows: before.map(|before| before.id) == after,
            sealed_at,
            times: self.times,
            digests: self.digests,
            keys: Some(keys),
            places: Some(self.places.finish()),
            hash: [0; 32],
        };
        batch.hash = batch.hashed();
        batch
    }
}

/// A row of a batch that may be forgotten.
#[derive(Clone, Copy, Debug)]
pub struct ForgettableRow<'a> {
    /// Event time, Unix ms.
    pub time: Millis,
    /// Its type.
    pub kind: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its key; `None` where the batch has none for it.
    pub key: Option<RowKey>,
    /// Its digest.
    pub digest: RowDigest,
}

/// What is left of a batch once rows of it were forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestOfBatch {
    /// Its keys.
    pub keys: Vec<u8>,
    /// Its places.
    pub places: Vec<u8>,
    /// Its first and last time (Unix ms), as [`ChainedBatch::times`]. Of rows that were forgotten these are the first
    /// and the last moment of their day (UTC), so that they don't say when exactly somebody was there.
    pub times: (Millis, Millis),
}

/// Forgets rows of a batch: their keys, their ids and the times of their days go, and their digests say nothing
/// from then on. `is_one` is asked once of each row that was not forgotten. `None` where there is none of these rows.
pub fn forget(
    keys: &[u8],
    places: &[u8],
    digests: &[u8],
    mut is_one: impl FnMut(&ForgettableRow<'_>) -> bool,
) -> Option<RestOfBatch> {
    let (rows, keys) = (places::read(places)?, RowKeys::of(keys)?);
    let digests = digests.as_chunks().0;
    let (mut writer, mut kept) = (PlacesWriter::default(), vec![EACH]);
    let (mut forgotten, mut times) = (false, None::<(Millis, Millis)>);
    for (n, RowPlace { time, kind, id }) in rows.iter().enumerate() {
        let (time, key) = (*time, keys.key(n));
        let digest = digests.get(n).copied().unwrap_or_default();
        let stays = |id: &&str| !is_one(&ForgettableRow { time, kind, id, key, digest });
        let left = id.as_deref().filter(stays);
        forgotten |= id.is_some() && left.is_none();
        writer.add(time, kind, left);
        let key = key.filter(|_| left.is_some());
        kept.extend_from_slice(&key.unwrap_or(NO_KEY));
        let (first, last) = match left {
            Some(_) => (time, time),
            None => (day_of(time) * DAY, day_of(time) * DAY + (DAY - 1)),
        };
        let of_all = times.get_or_insert((first, last));
        *of_all = (of_all.0.min(first), of_all.1.max(last));
    }
    let times = times.filter(|_| forgotten)?;
    Some(RestOfBatch { keys: kept, places: writer.finish(), times })
}

/// The day (UTC) of a moment, counted from 1970-01-01.
pub fn day_of(at: Millis) -> i64 {
    at.div_euclid(DAY)
}

#[cfg(test)]
mod tests;
