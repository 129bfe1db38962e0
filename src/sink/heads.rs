//! Finds out up to which batch a sink has a lane.

use async_trait::async_trait;

use crate::{
    domain::batch::{LANES, RunId},
    sink::SinkError,
    spool::Spool,
};

/// The last batch of each lane that a sink has of one run, by lane; 0 for none.
pub type Heads = [u64; LANES as usize];

/// A sink that says how far it has come.
#[async_trait]
pub trait HasHeads: Sync {
    /// The last batch of one lane that it has of a run; 0 for none. Idle lanes ask again and again, so the
    /// other lanes are not asked with it.
    async fn head(&self, run: RunId, lane: u64) -> Result<u64, SinkError>;
}

/// The newest batch of `lane` that a sink has, as the spool numbers them; 0 for none. The newest run is
/// asked first: a sink takes a batch only after its predecessor, so it has all batches before one that
/// it has.
///
/// A sink may have more of an earlier run than this data dir knows: somebody went on with that run
/// after the data dir was copied. Those batches are not ours, and don't count here.
pub async fn newest_of_lane(
    spool: &Spool,
    lane: u64,
    sink: &impl HasHeads,
) -> Result<u64, SinkError> {
    let mut end = spool.newest_sealed();
    let runs = spool.runs();
    for (run, first) in runs.iter().rev() {
        if let Some(last) = last_of_lane(lane, end).filter(|&last| last >= first) {
            let head = sink.head(run, lane).await?;
            if head >= first {
                return Ok(head.min(last));
            }
        }
        end = end.min(first.saturating_sub(1));
    }
    Ok(0)
}

/// The newest batch of a lane up to `seq`; `None` where there is none.
pub fn last_of_lane(lane: u64, seq: u64) -> Option<u64> {
    let back = (seq % LANES + LANES - lane) % LANES;
    seq.checked_sub(back).filter(|&last| last > 0)
}

/// The batch after `last` in a lane; with 0 the first one of the lane. Sequence numbers begin at 1, so
/// the first batch of lane 0 is number [`LANES`].
pub fn next_of_lane(lane: u64, last: u64) -> u64 {
    match last {
        0 if lane == 0 => LANES,
        0 => lane,
        last => last + LANES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batches_of_a_lane() {
        assert_eq!(
            [0, 1, 2, 3].map(|lane| last_of_lane(lane, 9)),
            [Some(8), Some(9), Some(6), Some(7)]
        );
        assert_eq!([0, 1, 2, 3].map(|lane| last_of_lane(lane, 1)), [None, Some(1), None, None]);
        assert_eq!([0, 1, 2, 3].map(|lane| next_of_lane(lane, 0)), [4, 1, 2, 3]);
        assert_eq!(next_of_lane(2, 6), 10);
    }
}
