//! Which batches the counters of Redis are known to have: the last one of each run, by lane.

use std::collections::BTreeMap;

use crate::domain::batch::BatchId;

/// The number of the last batch of each run that was counted, by lane and run.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads(BTreeMap<(usize, String), u64>);

impl Heads {
    /// Notes that a batch is counted; `None` came from a version that does not name its batches.
    pub fn note(&mut self, batch: Option<BatchId>) {
        if let Some(batch) = batch {
            self.raise((batch.lane() as usize, batch.run.to_string()), batch.seq);
        }
    }

    /// Notes what one lane says of itself: the last batch of each run.
    pub fn note_lane(&mut self, lane: usize, last: BTreeMap<String, u64>) {
        for (run, seq) in last {
            self.raise((lane, run), seq);
        }
    }

    /// Notes all that another one knows.
    pub fn note_all(&mut self, other: Heads) {
        for (of, seq) in other.0 {
            self.raise(of, seq);
        }
    }

    fn raise(&mut self, of: (usize, String), seq: u64) {
        let last = self.0.entry(of).or_default();
        *last = seq.max(*last);
    }

    /// How many runs of a lane have batches in `other` that are not here.
    pub fn lacking(&self, other: &Heads) -> usize {
        let lacks =
            |(of, last): &(&(usize, String), &u64)| self.0.get(*of).is_none_or(|it| it < *last);
        other.0.iter().filter(lacks).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::RunId;

    #[test]
    fn what_was_told_by_a_message_is_lacking_as_much_as_what_a_lane_said() {
        let run = RunId::from_u128(7);
        let mut before = Heads::default();
        before.note_lane(1, BTreeMap::from([(run.to_string(), 5)]));
        let mut later = before.clone();
        later.note(Some(BatchId { run, seq: 9 }));
        later.note(None);
        assert_eq!((before.lacking(&later), later.lacking(&before)), (1, 0));
        // An older message does not take a newer one back.
        later.note(Some(BatchId { run, seq: 5 }));
        assert_eq!(before.lacking(&later), 1);
        before.note_all(later.clone());
        assert_eq!(before.lacking(&later), 0);
        // Another lane of the same run, and another run.
        later.note(Some(BatchId { run, seq: 10 }));
        later.note(Some(BatchId { run: RunId::from_u128(8), seq: 1 }));
        assert_eq!(before.lacking(&later), 2);
    }
}
