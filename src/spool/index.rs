//! What the spool knows in memory: where every batch lies and which sink has settled it.
//! Small and pure; the handle and the writer share it behind a lock that is never held
//! across a disk access.
//!
//! Memory: about 64 bytes a batch, so it is bounded by `spool.max_bytes`.

use std::collections::VecDeque;

use crate::{
    domain::{batch::LANES, time::Millis},
    spool::{Lag, Sink, group::IdStats},
};

/// Where a sealed batch lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchEntry {
    /// The segment's first seq.
    pub segment: u64,
    pub offset: u64,
    pub len: u64,
    pub events: u64,
    pub sealed_at: Millis,
    /// Its bytes are lost.
    pub void: bool,
    settled: [bool; 2],
}

impl BatchEntry {
    pub(super) fn new(segment: u64, offset: u64, len: u64, events: u64, sealed_at: Millis) -> Self {
        BatchEntry { segment, offset, len, events, sealed_at, void: false, settled: [false; 2] }
    }

    pub(super) fn void(sealed_at: Millis) -> BatchEntry {
        BatchEntry { void: true, ..BatchEntry::new(0, 0, 0, 0, sealed_at) }
    }
}

/// A segment file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub first: u64,
    /// Its newest sealed batch; 0 for none.
    pub last: u64,
    pub bytes: u64,
    pub ids: IdStats,
    /// Part of it is damaged: it is kept in quarantine when it goes.
    pub damaged: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// This one and all before it are settled.
    watermark: u64,
    events: u64,
    batches: u64,
}

#[derive(Debug)]
pub(super) struct SpoolIndex {
    /// Seq of `entries[0]`.
    oldest: u64,
    entries: VecDeque<BatchEntry>,
    sinks: [Progress; 2],
    /// Oldest first; the last one is written to.
    pub segments: VecDeque<Segment>,
}

impl SpoolIndex {
    /// An index that begins at `oldest`; everything before it is settled.
    pub(super) fn new(oldest: u64, settled: [u64; 2]) -> SpoolIndex {
        SpoolIndex {
            oldest,
            entries: VecDeque::new(),
            sinks: settled
                .map(|seq| Progress { watermark: seq.max(oldest - 1), ..Progress::default() }),
            segments: VecDeque::new(),
        }
    }

    /// The seq that the next batch gets.
    pub(super) fn next_seq(&self) -> u64 {
        self.oldest + self.entries.len() as u64
    }

    /// Appends the batch [`SpoolIndex::next_seq`].
    pub(super) fn push(&mut self, mut entry: BatchEntry) {
        let seq = self.next_seq();
        for (sink, progress) in self.sinks.iter_mut().enumerate() {
            entry.settled[sink] = seq <= progress.watermark;
            if !entry.settled[sink] {
                progress.events = progress.events.saturating_add(entry.events);
                progress.batches += 1;
            }
        }
        self.entries.push_back(entry);
    }

    /// Appends void batches until `next` is next.
    pub(super) fn fill(&mut self, next: u64) {
        let sealed_at = self.entries.back().map_or(0, |entry| entry.sealed_at);
        while self.next_seq() < next {
            self.push(BatchEntry::void(sealed_at));
        }
    }

    pub(super) fn get(&self, seq: u64) -> Option<&BatchEntry> {
        self.entries.get(self.position(seq)?)
    }

    /// Notes that the batch's bytes are lost.
    pub(super) fn mark_void(&mut self, seq: u64) {
        let Some(entry) = self.position(seq).and_then(|at| self.entries.get_mut(at)) else {
            return;
        };
        entry.void = true;
        let segment = entry.segment;
        if let Some(segment) = self.segments.iter_mut().find(|s| s.first == segment) {
            segment.damaged = true;
        }
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        (!self.entries.is_empty()).then_some(self.oldest)
    }

    pub(super) fn settle(&mut self, sink: Sink, seq: u64) {
        let Some(entry) = self.position(seq).and_then(|at| self.entries.get_mut(at)) else {
            return;
        };
        if std::mem::replace(&mut entry.settled[sink as usize], true) {
            return;
        }
        let events = entry.events;
        let progress = &mut self.sinks[sink as usize];
        progress.events = progress.events.saturating_sub(events);
        progress.batches -= 1;
        let mut watermark = progress.watermark;
        while self.get(watermark + 1).is_some_and(|entry| entry.settled[sink as usize]) {
            watermark += 1;
        }
        self.sinks[sink as usize].watermark = watermark;
    }

    pub(super) fn next(&self, sink: Sink, lane: u64, after: u64) -> Option<u64> {
        let watermark = self.sinks[sink as usize].watermark;
        let mut seq = lane_from(lane, watermark.max(after).saturating_add(1));
        while self.get(seq)?.settled[sink as usize] {
            seq += LANES;
        }
        Some(seq)
    }

    pub(super) fn lag(&self, sink: Sink) -> Lag {
        let progress = self.sinks[sink as usize];
        Lag {
            events: progress.events,
            batches: progress.batches,
            oldest_ms: self.get(progress.watermark + 1).map(|entry| entry.sealed_at),
        }
    }

    /// By sink: this batch and all before it are settled.
    pub(super) fn settled(&self) -> [u64; 2] {
        self.sinks.map(|progress| progress.watermark)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The oldest segment, if no sink needs it: both have settled all of it, and
    /// `persisted`, which is on disk, says so too. Never the one that is written to.
    pub(super) fn passed(&self, persisted: [u64; 2]) -> Option<Segment> {
        let limit = self.settled().into_iter().chain(persisted).min()?;
        let next = self.segments.get(1)?;
        let segment = self.segments.front()?;
        // Up to where the next segment begins: damage may hide batches after `last`.
        (segment.last.max(next.first - 1) <= limit).then_some(*segment)
    }

    /// Forgets the oldest segment and its batches.
    pub(super) fn drop_oldest(&mut self) {
        self.segments.pop_front();
        let Some(keep) = self.segments.front().map(|segment| segment.first) else {
            return;
        };
        while self.oldest < keep && self.entries.pop_front().is_some() {
            self.oldest += 1;
        }
    }

    fn position(&self, seq: u64) -> Option<usize> {
        Some(seq.checked_sub(self.oldest)? as usize)
    }
}

/// The first seq of `lane` at or after `from`.
fn lane_from(lane: u64, from: u64) -> u64 {
    from.saturating_add((lane + LANES - from % LANES) % LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(batches: u64) -> SpoolIndex {
        let mut index = SpoolIndex::new(1, [0, 0]);
        for seq in 1..=batches {
            index.push(BatchEntry::new(1, 0, 0, 10, seq as Millis * 100));
        }
        index
    }

    #[test]
    fn a_watermark_waits_for_the_slowest_lane() {
        let mut index = index(8);
        for seq in [2, 3, 4, 6] {
            index.settle(Sink::Store, seq);
        }
        assert_eq!(index.settled(), [0, 0]);
        assert_eq!(index.lag(Sink::Store).batches, 4);
        assert_eq!(index.lag(Sink::Store).oldest_ms, Some(100));
        index.settle(Sink::Store, 1);
        assert_eq!(index.settled(), [4, 0]);
        index.settle(Sink::Store, 5);
        index.settle(Sink::Store, 5);
        assert_eq!(index.settled(), [6, 0]);
        assert_eq!(index.lag(Sink::Store).events, 20);
        assert_eq!(index.lag(Sink::Live).events, 80);
        index.settle(Sink::Store, 99);
        index.settle(Sink::Store, 0);
        assert_eq!(index.settled(), [6, 0]);
    }

    #[test]
    fn next_goes_along_a_lane() {
        let mut index = index(9);
        assert_eq!(index.next(Sink::Live, 0, 0), Some(4));
        assert_eq!(index.next(Sink::Live, 1, 0), Some(1));
        assert_eq!(index.next(Sink::Live, 1, 1), Some(5));
        assert_eq!(index.next(Sink::Live, 1, 9), None);
        index.settle(Sink::Live, 5);
        assert_eq!(index.next(Sink::Live, 1, 1), Some(9));
        assert_eq!(index.next(Sink::Live, 3, u64::MAX), None);
    }
}
