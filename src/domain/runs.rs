//! Which run sealed which batches of a data dir.

use crate::domain::batch::{BatchId, LANES, RunId};

/// The runs of a data dir, each with the first batch that it sealed. The sequence of batches goes on
/// from run to run:
///
/// ```text
///  run      A             B        C
///  first    1             41       43
///           [ 1 .. 40 ]   [41 42]  [43 44 ..
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// Each run with its first batch, ascending by that batch.
    starts: Vec<(RunId, u64)>,
}

impl Runs {
    /// Notes that `run` seals the batches from `first` on. A run that was to begin there or later
    /// has sealed nothing, and is forgotten.
    pub fn begin(&mut self, run: RunId, first: u64) {
        self.starts.retain(|&(_, start)| start < first);
        self.starts.push((run, first));
    }

    /// The identity of batch `seq`; `None` where it is older than the oldest run that is known.
    pub fn batch(&self, seq: u64) -> Option<BatchId> {
        let &(run, _) = self.starts.iter().rev().find(|&&(_, first)| first <= seq)?;
        Some(BatchId { run, seq })
    }

    /// The batch before batch `seq` in its lane; `None` for the first of a lane, or where that
    /// batch is older than the oldest run that is known.
    pub fn before(&self, seq: u64) -> Option<BatchId> {
        self.batch(seq.checked_sub(LANES).filter(|&before| before > 0)?)
    }

    /// The newest run, with the batch that it began or will begin with.
    pub fn newest(&self) -> Option<(RunId, u64)> {
        self.starts.last().copied()
    }

    /// Says that batches from `first` on up to the oldest run that is known are of `run`, if
    /// nobody knows whose they are.
    pub fn reach_back(&mut self, run: RunId, first: u64) {
        if self.starts.first().is_none_or(|&(_, start)| start > first) {
            self.starts.insert(0, (run, first));
        }
    }

    /// Forgets the runs that have sealed nothing but batches older than `oldest`, but not the last
    /// `remembered` runs.
    pub fn forget_before(&mut self, oldest: u64, remembered: usize) {
        let keep = self.starts.iter().rposition(|&(_, first)| first <= oldest).unwrap_or(0);
        self.starts.drain(..keep.min(self.starts.len().saturating_sub(remembered)));
    }

    /// All runs with their first batches, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (RunId, u64)> {
        self.starts.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u128) -> RunId {
        RunId::from_u128(n)
    }

    #[test]
    fn a_batch_follows_on_one_of_an_earlier_run() {
        let mut runs = Runs::default();
        assert_eq!(runs.batch(1), None);
        runs.begin(run(1), 1);
        runs.begin(run(2), 41);
        runs.begin(run(9), 43);
        runs.begin(run(3), 43);
        let id = |of, seq| Some(BatchId { run: run(of), seq });
        assert_eq!(runs.batch(40), id(1, 40));
        assert_eq!(runs.batch(42), id(2, 42));
        assert_eq!(runs.batch(43), id(3, 43), "run 9 has sealed nothing");
        assert_eq!(runs.before(44), id(1, 40), "run 2 has no batch of this lane");
        assert_eq!(runs.before(45), id(2, 41));
        assert_eq!(runs.before(4), None);
        assert_eq!(runs.before(5), id(1, 1));
        assert_eq!(runs.newest(), Some((run(3), 43)));
    }

    #[test]
    fn runs_are_forgotten_with_their_last_batch() {
        let mut runs = Runs::default();
        for (n, first) in [(1, 5), (2, 41), (3, 43)] {
            runs.begin(run(n), first);
        }
        runs.forget_before(4, 1);
        assert_eq!(runs.iter().count(), 3);
        runs.reach_back(run(9), 5);
        assert_eq!(runs.iter().count(), 3, "batch 5 is known to be of run 1");
        runs.forget_before(42, 1);
        assert_eq!(runs.iter().next(), Some((run(2), 41)));
        runs.reach_back(run(9), 30);
        assert_eq!(runs.batch(40), Some(BatchId { run: run(9), seq: 40 }));
        runs.forget_before(u64::MAX, 3);
        assert_eq!(runs.iter().count(), 3);
        runs.forget_before(u64::MAX, 1);
        assert_eq!(runs.newest(), Some((run(3), 43)), "the newest stays");
        assert_eq!(runs.iter().count(), 1);
    }
}
