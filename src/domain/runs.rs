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
        assert_eq!(runs.iter().next_back(), Some((run(3), 43)));
    }
}
