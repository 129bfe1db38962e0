//! The ledger summed up, to be compared with rows and counters.

use floodmark::{
    domain::{
        batch::{LANES, NodeId},
        delta::{Delta, DeltaSum},
        time::Millis,
    },
    sink::SinkError,
    store::{Ledger, LedgerSpan},
};
use hashbrown::HashMap;
use tokio::sync::mpsc;

/// The ledger summed up by lane.
pub struct LedgerSum {
    /// Indexed by lane.
    pub lanes: [LaneSum; LANES as usize],
}

/// One lane of a [`LedgerSum`].
pub struct LaneSum {
    /// The sum of the deltas of the batches that touch the time asked for.
    pub delta: Delta,
    /// For each node the last batch of this lane that the ledger has, whatever its time.
    pub last: HashMap<NodeId, u64>,
}

/// The sum of all that the ledger has of batches whose span reaches `since` or later, and of the
/// visitors of those sealed at `visitors_since` or later (Unix ms).
pub async fn sum_of(
    ledger: &dyn Ledger,
    since: Millis,
    visitors_since: Millis,
) -> Result<LedgerSum, SinkError> {
    let (parts, mut read) = mpsc::channel(1);
    let mut sums: [DeltaSum; LANES as usize] = Default::default();
    let added = async {
        while let Some((lane, delta)) = read.recv().await {
            sums[lane as usize].merge(&delta);
        }
    };
    let asked = LedgerSpan { since, visitors_since, lane: None };
    let (heads, ()) = tokio::join!(ledger.read(asked, parts), added);
    let mut heads = heads?.into_iter();
    let lane =
        |mut sum: DeltaSum| LaneSum { delta: sum.finish(), last: heads.next().unwrap_or_default() };
    Ok(LedgerSum { lanes: sums.map(lane) })
}
