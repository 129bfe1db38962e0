//! Follows the chain from batch to batch.

use super::OutsideChain;
use crate::domain::{
    batch::BatchId,
    chain::{BatchHash, ChainLink, ChainedBatch},
    time::{HOUR, MINUTE, Millis},
};

/// The most breaks that are listed; all are counted.
const MAX_BREAKS: usize = 100;
/// Requests that were under way when a batch was sealed may have been received so long before.
const SLACK: Millis = 10 * MINUTE;
/// A lane that has stored a batch without the chain within so long may go on to do so.
const GOES_ON: Millis = HOUR;

/// A place at which the chain is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainBreak {
    /// What the chain says of a batch is not what its hash was made of.
    Changed(BatchId),
    /// The batch before this one is not in the chain any more.
    Lost {
        /// The batch.
        batch: BatchId,
        /// The one before it.
        before: BatchId,
    },
    /// The batch before this one has another hash.
    Differs {
        /// The batch.
        batch: BatchId,
        /// The one before it.
        before: BatchId,
    },
    /// The last batch of a lane is not in the chain any more, or has another hash.
    LastLost(BatchId),
    /// A batch is in the chain that was stored after the last one of its lane.
    Beyond(BatchId),
}

/// What came of following the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainLinks {
    /// Batches that were looked at.
    pub batches: u64,
    /// Rows that they vouch for.
    pub rows: u64,
    /// Where it is not whole; the first hundred.
    pub breaks: Vec<ChainBreak>,
    /// All of these.
    pub broken: u64,
    /// Batches before which others were stored that are not in the chain, and when these were sealed (Unix ms).
    pub gaps: Vec<(BatchId, Millis)>,
    /// When rows were received that the chain may not have, ascending and apart.
    pub outside: Vec<OutsideChain>,
}

/// The last batch of a lane, as `ledger_heads` and the chain have it.
pub(crate) struct HeadInChain {
    /// The last batch of the lane.
    pub head: BatchId,
    /// When the last one was sealed, Unix ms.
    pub sealed_at: Millis,
    /// The last one that went to the chain.
    pub last: Option<ChainLink>,
    /// What the chain has of that one: its hash, and when it was sealed.
    pub known: Option<(BatchHash, Millis)>,
    /// The highest number that the chain has of this run and lane.
    pub highest: Option<u64>,
}

/// Puts together what a store reads of the links.
pub(crate) struct LinkReading {
    links: ChainLinks,
    now: Millis,
}

impl LinkReading {
    /// Nothing is read yet.
    pub fn new(now: Millis) -> LinkReading {
        LinkReading { links: ChainLinks::default(), now }
    }

    /// Adds a batch: what the chain has of the one before it (its hash, and when it was sealed), and when the last
    /// one before it of its own run was sealed. `asked` is `false` where it is read for its gap only.
    pub fn batch(
        &mut self,
        batch: &ChainedBatch,
        before: Option<(BatchHash, Millis)>,
        earlier: Option<Millis>,
        asked: bool,
    ) {
        let links = &mut self.links;
        if !batch.follows {
            let since = before.map_or(Millis::MIN, |(_, at)| at.saturating_sub(SLACK));
            links.gaps.push((batch.id, batch.sealed_at));
            links.outside.push((since, batch.sealed_at.saturating_add(1)));
        }
        if !asked {
            return;
        }
        links.batches += 1;
        links.rows += batch.rows() as u64;
        if batch.hashed() != batch.hash {
            self.broken(ChainBreak::Changed(batch.id));
        }
        let Some(link) = batch.before else { return };
        match before {
            Some((hash, _)) if hash == link.hash => {}
            Some(_) => self.broken(ChainBreak::Differs { batch: batch.id, before: link.id }),
            None => {
                // The rows of the lost batch are no added ones.
                let since = earlier.map_or(Millis::MIN, |at| at.saturating_sub(SLACK));
                self.links.outside.push((since, batch.sealed_at.saturating_add(1)));
                self.broken(ChainBreak::Lost { batch: batch.id, before: link.id });
            }
        }
    }

    /// Adds the last batch of a lane.
    pub fn head(&mut self, it: &HeadInChain) {
        let until = match it.sealed_at > self.now.saturating_sub(GOES_ON) {
            true => Millis::MAX,
            false => it.sealed_at.saturating_add(1),
        };
        let Some(last) = it.last else {
            return self.links.outside.push((Millis::MIN, until));
        };
        match it.known {
            Some((hash, at)) if hash == last.hash => {
                if last.id != it.head {
                    self.links.outside.push((at.saturating_sub(SLACK), until));
                }
            }
            _ => {
                self.links.outside.push((Millis::MIN, it.sealed_at.saturating_add(1)));
                self.broken(ChainBreak::LastLost(last.id));
            }
        }
        if let Some(seq) = it.highest.filter(|seq| it.head.run == last.id.run && *seq > last.id.seq)
        {
            self.broken(ChainBreak::Beyond(BatchId { seq, ..last.id }));
        }
    }

    fn broken(&mut self, at: ChainBreak) {
        self.links.broken += 1;
        if self.links.breaks.len() < MAX_BREAKS {
            self.links.breaks.push(at);
        }
    }

    /// What came of it.
    pub fn finish(self) -> ChainLinks {
        let mut links = self.links;
        links.gaps.sort_unstable_by_key(|(_, at)| *at);
        links.outside.retain(|(from, to)| from < to);
        links.outside.sort_unstable();
        let mut apart: Vec<OutsideChain> = Vec::with_capacity(links.outside.len());
        for (from, to) in links.outside {
            match apart.last_mut().filter(|last| from <= last.1) {
                Some(last) => last.1 = last.1.max(to),
                None => apart.push((from, to)),
            }
        }
        links.outside = apart;
        links
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::chain::ChainWriter;

    const NOW: Millis = 1_000 * HOUR;

    fn id(seq: u64) -> BatchId {
        BatchId { run: Uuid::from_u128(1), seq }
    }

    /// Batches 4, 8, 12 …, each sealed an hour after the one before.
    fn chain(n: u64) -> Vec<ChainedBatch> {
        let mut all = Vec::<ChainedBatch>::new();
        for n in 1..=n {
            let before = all.last().map(|it| ChainLink { id: it.id, hash: it.hash });
            let after = before.map(|it| it.id);
            let writer = ChainWriter::new([0; 32]);
            all.push(writer.finish(id(n * 4), before, after, n as Millis * HOUR));
        }
        all
    }

    fn read(all: &[ChainedBatch], last: &ChainedBatch, head: u64) -> ChainLinks {
        let mut reading = LinkReading::new(NOW);
        for batch in all {
            let before = batch.before.and_then(|link| all.iter().find(|it| it.id == link.id));
            let earlier = all.iter().filter(|it| it.id.seq < batch.id.seq).map(|it| it.sealed_at);
            let before = before.map(|it| (it.hash, it.sealed_at));
            reading.batch(batch, before, earlier.max(), true);
        }
        reading.head(&HeadInChain {
            head: id(head),
            sealed_at: head as Millis / 4 * HOUR,
            last: Some(ChainLink { id: last.id, hash: last.hash }),
            known: all.iter().find(|it| it.id == last.id).map(|it| (it.hash, it.sealed_at)),
            highest: all.iter().map(|it| it.id.seq).max(),
        });
        reading.finish()
    }

    #[test]
    fn a_whole_chain_is_whole_and_each_fault_is_named() {
        let all = chain(4);
        let last = &all[3];
        let links = read(&all, last, 16);
        assert_eq!((links.batches, links.broken), (4, 0));
        assert_eq!((links.gaps, links.outside), (vec![], vec![]));

        let without = [&all[..1], &all[2..]].concat();
        let links = read(&without, last, 16);
        assert_eq!(links.breaks, [ChainBreak::Lost { batch: id(12), before: id(8) }]);
        assert_eq!(links.outside, [(HOUR - SLACK, 3 * HOUR + 1)]);
        assert_eq!(read(&all[..3], last, 16).breaks, [ChainBreak::LastLost(id(16))]);
        assert_eq!(read(&all, &all[2], 12).breaks, [ChainBreak::Beyond(id(16))]);

        let mut changed = all.clone();
        changed[1].sealed_at += 1;
        assert_eq!(read(&changed, last, 16).breaks, [ChainBreak::Changed(id(8))]);
        changed[1].hash = changed[1].hashed();
        let differs = ChainBreak::Differs { batch: id(12), before: id(8) };
        assert_eq!(read(&changed, last, 16).breaks, [differs]);
    }

    #[test]
    fn gaps_say_when_rows_were_received_that_the_chain_lacks() {
        let mut all = chain(2);
        // Batch 16 comes after one that is not in the chain.
        let before = ChainLink { id: id(8), hash: all[1].hash };
        all.push(ChainWriter::new([0; 32]).finish(id(16), Some(before), Some(id(12)), 4 * HOUR));
        let links = read(&all, &all[2], 16);
        assert_eq!((links.broken, links.gaps), (0, vec![(id(16), 4 * HOUR)]));
        assert_eq!(links.outside, [(2 * HOUR - SLACK, 4 * HOUR + 1)]);
        // It was turned off again before batch 20.
        let links = read(&all, &all[2], 20);
        assert_eq!(links.outside, [(2 * HOUR - SLACK, 5 * HOUR + 1)]);
        // The first batch of the chain is not the first one of its lane.
        let begun = [ChainWriter::new([0; 32]).finish(id(8), None, Some(id(4)), 2 * HOUR)];
        assert_eq!(read(&begun, &begun[0], 8).outside, [(Millis::MIN, 2 * HOUR + 1)]);
        let mut never = LinkReading::new(5 * HOUR);
        let (head, sealed_at) = (id(4), 5 * HOUR - 1);
        never.head(&HeadInChain { head, sealed_at, last: None, known: None, highest: None });
        assert_eq!(never.finish().outside, [(Millis::MIN, Millis::MAX)]);
    }
}
