//! The most frequent values of a stream, in bounded room: a Misra-Gries summary in its
//! mergeable form.
//!
//! Up to [`CAPACITY`] different values the counts are exact. Beyond, the smallest counts
//! are shaved off: every count that is left is too low by at most [`Top::error`], never
//! too high, and that error is at most N / (CAPACITY + 1) of the N events summed, however
//! they were merged. A value that is missing was seen at most that often.
//!
//! Source: P. K. Agarwal et al., "Mergeable Summaries", PODS 2012, section 3.

use std::{borrow::Cow, sync::Arc};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How many values a summary keeps. The script `live/redis/scripts/apply.lua` is given the same
/// number, since it merges summaries too and must get the same results.
pub const CAPACITY: usize = 100;

/// Longest value kept, in bytes. Longer ones are cut, and end with a mark and a hash of the whole value, so
/// that two values that begin alike are not counted as one.
pub const MAX_VALUE: usize = 128;

/// The mark of a value that was cut: it stands between the beginning and the hash.
const CUT: &str = "…#";

/// Digits of the hash.
const HASH: usize = 16;

/// Counts of the most frequent values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// In the order of the values; at most [`CAPACITY`] of them after [`Top::trim`]. It is a
    /// list because a mirror has thousands of these, and in a tree a value takes twice the room.
    #[serde(with = "as_map")]
    counts: Vec<(Arc<str>, u64)>,
    /// How much was taken off each count so far.
    shaved: u64,
}

impl Top {
    /// Adds `n` occurrences of `value`. Grows until [`Top::trim`].
    pub fn add(&mut self, value: &str, n: u64) {
        self.add_shared(value, n, |value| value.into());
    }

    fn add_shared(&mut self, value: &str, n: u64, share: impl FnOnce(&str) -> Arc<str>) {
        let value = &*cut(value);
        match self.find(value) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(n),
            Err(at) => self.counts.insert(at, (share(value), n)),
        }
    }

    /// Where a value is, or belongs.
    fn find(&self, value: &str) -> Result<usize, usize> {
        self.counts.binary_search_by(|(known, _)| (**known).cmp(value))
    }

    /// Adds all counts of another summary, and trims.
    pub fn merge(&mut self, other: &Top) {
        self.merge_shared(other, &mut ());
    }

    /// Adds all counts of another summary, and trims. The values are those of `values`.
    pub fn merge_shared(&mut self, other: &Top, values: &mut impl SharedValues) {
        for (value, n) in other.iter() {
            self.add_shared(value, n, |value| values.share(value));
        }
        self.shaved = self.shaved.saturating_add(other.shaved);
        self.shorten(CAPACITY, values);
    }

    /// Shaves down to [`CAPACITY`] values.
    pub fn trim(&mut self) {
        self.shorten(CAPACITY, &mut ());
    }

    /// Shaves down to `most` values, which are those of `values`, and gives their room back.
    pub fn shorten(&mut self, most: usize, values: &mut impl SharedValues) {
        if self.counts.len() <= most {
            return;
        }
        let mut counts: Vec<u64> = self.counts.iter().map(|(_, count)| *count).collect();
        let (_, &mut shave, _) = counts.select_nth_unstable_by(most, |a, b| b.cmp(a));
        self.counts.retain_mut(|(value, count)| {
            *count = count.saturating_sub(shave);
            if *count == 0 {
                values.leave(value);
            }
            *count > 0
        });
        self.counts.shrink_to_fit();
        self.shaved = self.shaved.saturating_add(shave);
    }

    /// The values, as they are shared.
    pub fn shared(&self) -> impl Iterator<Item = &Arc<str>> {
        self.counts.iter().map(|(value, _)| value)
    }

    /// Bytes of the list, without the values.
    pub fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<(Arc<str>, u64)>()
    }

    /// Bytes of the list with values that are nobody else's.
    pub fn bytes_with_values(&self) -> usize {
        self.counts.iter().map(|(value, _)| value.len() + VALUE_BYTES).sum()
    }

    /// How many different values are kept.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no value is kept.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// By how much a count may be too low.
    pub fn error(&self) -> u64 {
        self.shaved
    }

    /// (value, count), by value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(value, count)| (&**value, *count))
    }

    /// The count of one value, 0 where it is not there.
    pub fn count(&self, value: &str) -> u64 {
        self.find(&cut(value)).map_or(0, |at| self.counts[at].1)
    }

    /// The `n` largest counts with their values, largest first. Equal counts are in the order of
    /// the values.
    pub fn largest(&self, n: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(n);
        all
    }
}

/// The counts of many summaries in one answer. A summary has room for [`CAPACITY`] values, and an answer for
/// as many as all its summaries have together, up to [`ANSWER_ROOM`]: so nothing is lost where none of the
/// summaries was crowded.
#[derive(Debug, Default)]
pub struct TopAnswer {
    counts: HashMap<String, u64>,
    shaved: u64,
}

/// How many values an answer adds up: those of 250 full summaries that have none in common. Beyond, it is
/// shaved down to half of them, which its error tells of.
const ANSWER_ROOM: usize = 250 * CAPACITY;

/// How many values an answer gives back. They are the largest, with the counts that were added up.
pub const ANSWERED: usize = 10 * CAPACITY;

impl TopAnswer {
    /// Adds a summary.
    pub fn add(&mut self, top: &Top) {
        for (value, n) in top.iter() {
            let count = self.counts.entry_ref(value).or_default();
            *count = count.saturating_add(n);
        }
        self.shaved = self.shaved.saturating_add(top.shaved);
        if self.counts.len() > ANSWER_ROOM {
            let mut counts: Vec<u64> = self.counts.values().copied().collect();
            let (_, &mut shave, _) =
                counts.select_nth_unstable_by(ANSWER_ROOM / 2, |a, b| b.cmp(a));
            self.counts.retain(|_, count| {
                *count = count.saturating_sub(shave);
                *count > 0
            });
            self.shaved = self.shaved.saturating_add(shave);
        }
    }

    /// The [`ANSWERED`] largest counts. Each is too low by at most [`Top::error`], and never too high; of
    /// equal ones at the end, those stay whose values come first.
    pub fn finish(self) -> Top {
        let mut all: Vec<_> = self.counts.into_iter().collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(ANSWERED);
        all.sort_unstable();
        let counts = all.into_iter().map(|(value, n)| (value.into(), n)).collect();
        Top { counts, shaved: self.shaved }
    }
}

/// Where summaries have their values from that they share with others.
pub trait SharedValues {
    /// The shared copy of a value.
    fn share(&mut self, value: &str) -> Arc<str>;

    /// Is told of a value that a summary is about to let go of.
    fn leave(&mut self, value: &Arc<str>);
}

/// Nothing is shared: each summary has its own copy of a value.
impl SharedValues for () {
    fn share(&mut self, value: &str) -> Arc<str> {
        value.into()
    }

    fn leave(&mut self, _: &Arc<str>) {}
}

/// Counts that are being added up. They are hashed, so that adding is fast; [`TopSum::finish`]
/// makes a [`Top`] of them.
#[derive(Debug, Default)]
pub struct TopSum {
    counts: HashMap<Arc<str>, u64>,
    shaved: u64,
}

/// What a value takes beside its text: its place in the list, the counters of the `Arc`, and what the allocator
/// adds.
const VALUE_BYTES: usize = size_of::<(Arc<str>, u64)>() + 32;

/// How many values a sum holds before it is shaved down. A batch rarely has so many, and its
/// summary is then as exact as it can be.
const MAX_SUMMED: usize = 100 * CAPACITY;

impl TopSum {
    /// Adds `n` occurrences of `value`. Returns the bytes that it takes, where it was not here before.
    pub fn add(&mut self, value: &str, n: u64) -> usize {
        let value = &*cut(value);
        let mut bytes = 0;
        match self.counts.get_mut(value) {
            Some(count) => *count = count.saturating_add(n),
            // Only a value that is new is copied.
            None => {
                self.counts.insert(value.into(), n);
                bytes = value.len() + VALUE_BYTES;
            }
        }
        if self.counts.len() > MAX_SUMMED {
            let top = std::mem::take(self).finish();
            self.shaved = top.shaved;
            self.counts.extend(top.counts);
        }
        bytes
    }

    /// Adds a summary.
    pub fn add_all(&mut self, top: &Top) {
        for (value, n) in top.iter() {
            self.add(value, n);
        }
        self.shaved = self.shaved.saturating_add(top.shaved);
    }

    /// The summary, of at most [`CAPACITY`] values.
    pub fn finish(self) -> Top {
        // Shaving comes first, since it removes most of what a crowded sum holds, and only what
        // is left has to be sorted.
        let mut top = Top { counts: Vec::new(), shaved: self.shaved };
        let mut all: Vec<_> = self.counts.into_iter().collect();
        if all.len() > CAPACITY {
            let (_, &mut (_, shave), _) =
                all.select_nth_unstable_by(CAPACITY, |a, b| b.1.cmp(&a.1));
            all.retain_mut(|(_, count)| {
                *count -= (*count).min(shave);
                *count > 0
            });
            top.shaved = top.shaved.saturating_add(shave);
        }
        all.sort_unstable();
        top.counts = all;
        top
    }
}

/// In the ledger and in Redis the counts are written as a map from value to count.
mod as_map {
    use std::{collections::BTreeMap, sync::Arc};

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the counts as a map.
    pub fn serialize<S: Serializer>(counts: &[(Arc<str>, u64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(counts.iter().map(|(value, count)| (value, count)))
    }

    /// Reads the counts from a map.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(Arc<str>, u64)>, D::Error> {
        let counts = BTreeMap::<Arc<str>, u64>::deserialize(from)?;
        Ok(counts.into_iter().collect())
    }
}

/// A value of at most [`MAX_VALUE`] bytes, cut at a character.
fn cut(value: &str) -> Cow<'_, str> {
    if value.len() <= MAX_VALUE {
        return Cow::Borrowed(value);
    }
    let beginning = value.floor_char_boundary(MAX_VALUE - CUT.len() - HASH);
    let hash = xxh3_64(value.as_bytes());
    Cow::Owned(format!("{}{CUT}{hash:0HASH$x}", &value[..beginning]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut top = Top::default();
        (0..CAPACITY).for_each(|value| top.add(&value.to_string(), value as u64 + 1));
        top.trim();
        assert_eq!((top.len(), top.error()), (CAPACITY, 0));
        assert_eq!(top.largest(2), [("99", 100), ("98", 99)]);
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let mut top = Top::default();
        top.add(&"ü".repeat(MAX_VALUE), 1);
        let (value, _) = top.largest(1)[0];
        assert!(
            value.len() <= MAX_VALUE && value.starts_with('ü') && value.contains("ü…#"),
            "{value}"
        );
    }

    #[test]
    fn long_values_that_begin_alike_stay_two() {
        let (a, b) = (format!("{}a", "x".repeat(MAX_VALUE)), format!("{}b", "x".repeat(MAX_VALUE)));
        let (mut top, mut sum) = (Top::default(), TopSum::default());
        for (value, n) in [(&a, 1), (&b, 2), (&a, 4)] {
            top.add(value, n);
            sum.add(value, n);
        }
        assert_eq!((top.len(), top.count(&a), top.count(&b)), (2, 5, 2));
        assert_eq!(sum.finish(), top);
        // What was cut is not cut again where summaries are merged.
        let mut merged = top.clone();
        merged.merge(&top);
        assert_eq!((merged.len(), merged.count(&a)), (2, 10));
    }

    proptest! {
        /// Skewed streams over many values, merged in any grouping.
        #[test]
        fn counts_are_low_by_at_most_the_stated_error(
            batches in proptest::collection::vec(
                proptest::collection::vec((0..40u32, 0..40u32), 1..400), 1..8),
        ) {
            let mut exact: BTreeMap<String, u64> = BTreeMap::new();
            let mut merged = Top::default();
            let mut n = 0;
            for batch in &batches {
                let mut top = Top::default();
                for (a, b) in batch {
                    let value = (a * b).to_string();
                    top.add(&value, 1);
                    *exact.entry(value).or_default() += 1;
                    n += 1;
                }
                top.trim();
                let mut sum = TopSum::default();
                for (a, b) in batch {
                    sum.add(&(a * b).to_string(), 1);
                }
                prop_assert_eq!(&sum.finish(), &top, "two ways to the same summary");
                merged.merge(&top);
            }
            prop_assert!(merged.len() <= CAPACITY);
            prop_assert!(merged.error() <= n / (CAPACITY as u64 + 1));
            for (value, count) in exact {
                let kept = merged.count(&value);
                prop_assert!(kept <= count && count - kept <= merged.error());
            }
        }
    }
}
