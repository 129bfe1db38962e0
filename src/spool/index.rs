//! What the spool knows in memory: where every batch lies and which sink has settled it. It
//! does no I/O. Readers and the writer share it behind a lock that is never held across a disk
//! access.
//!
//! A batch takes about 64 bytes here, so `spool.max_bytes` bounds this memory, too.

use std::collections::VecDeque;

use crate::{
    domain::sink::Sink,
    domain::{batch::LANES, time::Millis},
    spool::{Lag, group::IdStats},
};

/// Where a sealed batch lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchEntry {
    /// The segment that it lies in, by the segment's first seq.
    pub segment: u64,
    /// Where in the segment its first record begins.
    pub offset: u64,
    /// Its bytes, from its first record to the end of its seal.
    pub len: u64,
    /// Its events.
    pub events: u64,
    /// When it was sealed, Unix ms.
    pub sealed_at: Millis,
    /// Its bytes are lost; readers get an empty batch with its number.
    pub void: bool,
    /// It is not here, and both sinks had settled it when the spool was opened, so nothing is
    /// lost; for readers it is gone.
    pub gone: bool,
    /// For each sink, whether it is done with the batch.
    settled: [bool; 2],
}

impl BatchEntry {
    /// A batch that no sink has settled.
    pub(super) fn new(segment: u64, offset: u64, len: u64, events: u64, sealed_at: Millis) -> Self {
        let (void, gone, settled) = (false, false, [false; 2]);
        BatchEntry { segment, offset, len, events, sealed_at, void, gone, settled }
    }

    /// How many events a reader gets.
    fn events(&self) -> u64 {
        if self.void { 0 } else { self.events }
    }

    /// A batch of which nothing is left.
    pub(super) fn void(sealed_at: Millis) -> BatchEntry {
        BatchEntry { void: true, ..BatchEntry::new(0, 0, 0, 0, sealed_at) }
    }
}

/// A segment file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Its first batch; the file is named by it.
    pub first: u64,
    /// Its newest sealed batch; 0 for none.
    pub last: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The client ids in it.
    pub ids: IdStats,
    /// Part of it is damaged, so it moves to the quarantine instead of being deleted.
    pub damaged: bool,
}

/// How far a sink has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The sink has settled this batch and all before it.
    watermark: u64,
    /// Events of batches that it has not settled.
    events: u64,
    /// Batches that it has not settled, by lane.
    batches: [u64; LANES as usize],
}

/// Every batch of the spool, and how far each sink has come:
///
/// ```text
///             oldest                                     next_seq
///               |                                           |
///    entries   [ 41 | 42 | 43 | 44 | 45 | 46 | 47 | 48 | 49 ]
///    settled     x    x    x    .    x    .    x    .    .        by one sink; it has four
///                          ^                                      lanes, which settle
///                      watermark                                  independently
/// ```
///
/// The watermark stays behind the slowest lane; only what lies at or below the watermarks of
/// both sinks may be removed.
#[derive(Debug)]
pub(super) struct SpoolIndex {
    /// Seq of `entries[0]`.
    oldest: u64,
    /// One entry for each batch, without a gap.
    entries: VecDeque<BatchEntry>,
    /// By sink.
    sinks: [Progress; 2],
    /// Oldest first; the last one is written to.
    pub segments: VecDeque<Segment>,
    /// The newest batch of each lane that is not among the entries any more, with its events.
    newest_left: [(u64, u64); LANES as usize],
}

impl SpoolIndex {
    /// An index that begins at `oldest`. Everything before it counts as settled by both sinks,
    /// and everything up to `settled` by the sink that it is given for.
    pub(super) fn new(oldest: u64, settled: [u64; 2]) -> SpoolIndex {
        SpoolIndex {
            oldest,
            entries: VecDeque::new(),
            sinks: settled
                .map(|seq| Progress { watermark: seq.max(oldest - 1), ..Progress::default() }),
            segments: VecDeque::new(),
            newest_left: Default::default(),
        }
    }

    /// The seq of the batch that is pushed next.
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
                progress.batches[lane_of(seq)] += 1;
            }
        }
        self.entries.push_back(entry);
    }

    /// Appends void batches until `next` is the seq of the next batch. Those that both sinks have
    /// settled are gone and not lost.
    pub(super) fn fill(&mut self, next: u64) {
        let sealed_at = self.entries.back().map_or(0, |entry| entry.sealed_at);
        while self.next_seq() < next {
            let gone = self.is_settled(self.next_seq());
            self.push(BatchEntry { gone, ..BatchEntry::void(sealed_at) });
        }
    }

    /// Whether both sinks have settled this batch and all before it.
    pub(super) fn is_settled(&self, seq: u64) -> bool {
        self.sinks.iter().all(|progress| seq <= progress.watermark)
    }

    /// Takes back the batches from `first` on, since a newer segment begins with it. Returns how
    /// many of them counted as lost.
    pub(super) fn cut(&mut self, first: u64) -> u64 {
        let mut lost = 0;
        while self.next_seq() > first.max(self.oldest)
            && let Some(entry) = self.entries.pop_back()
        {
            let lane = lane_of(self.next_seq());
            for (progress, settled) in self.sinks.iter_mut().zip(entry.settled) {
                if !settled {
                    progress.events = progress.events.saturating_sub(entry.events);
                    progress.batches[lane] -= 1;
                }
            }
            lost += u64::from(entry.void && !entry.gone);
        }
        lost
    }

    /// Where a batch lies; `None` if it is not here.
    pub(super) fn get(&self, seq: u64) -> Option<&BatchEntry> {
        self.entries.get(self.position(seq)?)
    }

    /// Notes that a batch's bytes are lost, and that its segment is damaged.
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

    /// Notes that a batch that both sinks have settled can't be read any more.
    pub(super) fn mark_gone(&mut self, seq: u64) {
        if let Some(entry) = self.position(seq).and_then(|at| self.entries.get_mut(at)) {
            entry.gone = true;
        }
    }

    /// The events of the batches from the oldest on that lie in the oldest segment: what
    /// [`SpoolIndex::drop_oldest`] forgets.
    pub(super) fn oldest_events(&self) -> (u64, Vec<u64>) {
        let keep = self.segments.get(1).map_or(self.oldest, |next| next.first);
        let batches = keep.saturating_sub(self.oldest) as usize;
        (self.oldest, self.entries.iter().take(batches).map(BatchEntry::events).collect())
    }

    /// The events of the batches `from`, `from + LANES` and so on before `before`, as far as they
    /// are here, and the first of these that is here. `None` where nobody knows them.
    pub(super) fn events_of_lane(&self, from: u64, before: u64) -> Option<(u64, u64)> {
        let here = lane_from(from % LANES, from.max(self.oldest)).min(before);
        let mut events = 0u64;
        for seq in (here..before).step_by(LANES as usize) {
            let entry = self.get(seq).filter(|entry| !entry.gone)?;
            events = events.saturating_add(entry.events);
        }
        Some((events, here))
    }

    /// The oldest batch; `None` while there is none.
    pub(super) fn oldest(&self) -> Option<u64> {
        (!self.entries.is_empty()).then_some(self.oldest)
    }

    /// Notes that a sink is done with a batch. A second time, or for an unknown batch, this
    /// does nothing.
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
        progress.batches[lane_of(seq)] -= 1;
        // Lanes settle out of order: the watermark moves over all that is settled behind it.
        let mut watermark = progress.watermark;
        while self.get(watermark + 1).is_some_and(|entry| entry.settled[sink as usize]) {
            watermark += 1;
        }
        self.sinks[sink as usize].watermark = watermark;
    }

    /// The first batch of a lane after `after` that the sink has not settled.
    pub(super) fn next(&self, sink: Sink, lane: u64, after: u64) -> Option<u64> {
        let watermark = self.sinks[sink as usize].watermark;
        let mut seq = lane_from(lane, watermark.max(after).saturating_add(1));
        while self.get(seq)?.settled[sink as usize] {
            seq += LANES;
        }
        Some(seq)
    }

    /// How far a sink is behind.
    pub(super) fn lag(&self, sink: Sink) -> Lag {
        let progress = self.sinks[sink as usize];
        Lag {
            events: progress.events,
            batches: progress.batches.iter().sum(),
            oldest_ms: self.get(progress.watermark + 1).map(|entry| entry.sealed_at),
        }
    }

    /// How many batches of a lane a sink has not settled.
    pub(super) fn lane_batches(&self, sink: Sink, lane: u64) -> u64 {
        self.sinks[sink as usize].batches[lane_of(lane)]
    }

    /// For each sink: it has settled this batch and all before it.
    pub(super) fn settled(&self) -> [u64; 2] {
        self.sinks.map(|progress| progress.watermark)
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The oldest segment, if no sink needs it any more: both have settled all of it, and
    /// `persisted`, the cursors on disk, say so too. Without the second condition a crash
    /// right after the unlink would find cursors that point to batches that are gone. The
    /// segment that is written to is never returned.
    pub(super) fn passed(&self, persisted: [u64; 2]) -> Option<Segment> {
        let limit = self.settled().into_iter().chain(persisted).min()?;
        let next = self.segments.get(1)?;
        let segment = self.segments.front()?;
        // Judged by where the next segment begins, since damage may hide batches after `last`.
        (segment.last.max(next.first - 1) <= limit).then_some(*segment)
    }

    /// Forgets the oldest segment and its batches.
    pub(super) fn drop_oldest(&mut self) {
        self.segments.pop_front();
        let Some(keep) = self.segments.front().map(|segment| segment.first) else {
            return;
        };
        while self.oldest < keep
            && let Some(entry) = self.entries.pop_front()
        {
            if !entry.gone {
                self.remember_events(self.oldest, entry.events());
            }
            self.oldest += 1;
        }
    }

    /// How many events a batch has; `None` where that is not known here.
    pub(super) fn events_of(&self, seq: u64) -> Option<u64> {
        match self.get(seq) {
            Some(entry) if !entry.gone => Some(entry.events()),
            _ => {
                let (newest, events) = self.newest_left[(seq % LANES) as usize];
                (newest == seq && seq > 0).then_some(events)
            }
        }
    }

    /// Remembers how many events a batch has that is not among the entries, if it is the newest of
    /// its lane.
    pub(super) fn remember_events(&mut self, seq: u64, events: u64) {
        let left = &mut self.newest_left[(seq % LANES) as usize];
        if left.0 <= seq {
            *left = (seq, events);
        }
    }

    fn position(&self, seq: u64) -> Option<usize> {
        Some(seq.checked_sub(self.oldest)? as usize)
    }
}

/// The place of a batch's lane in lists by lane.
fn lane_of(seq: u64) -> usize {
    (seq % LANES) as usize
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
