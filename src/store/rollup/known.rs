//! Of which time the rollups are complete.

use crate::domain::time::Millis;

/// The stretch of time of which the rollups are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When the first batch with events was sealed, Unix ms; `None` before there was one.
    /// It is not the oldest minute, since one phone with a wrong clock would make that 1970. A
    /// shop on its first day would then appear to have sold nothing yesterday, while in truth
    /// nothing is known of yesterday.
    pub since: Option<Millis>,
    /// When the first batch was sealed that is not folded yet; `None` where all are folded.
    pub until: Option<Millis>,
}

impl Known {
    /// Whether all of `[from, to)` is known, so that a minute without a value means zero.
    pub fn covers(&self, from: Millis, to: Millis) -> bool {
        self.since.is_some_and(|since| from >= since) && self.until.is_none_or(|until| to <= until)
    }
}

/// SQL for both stores: [`Known`].
pub(crate) const KNOWN: &str = "SELECT
    (SELECT max(at) FROM (SELECT min(since) AS at FROM fold_heads UNION ALL
        SELECT before FROM history_forgotten WHERE what = 'rollups') AS beginnings),
    (SELECT min((SELECT l.sealed_at FROM ledger l
                 WHERE l.node = h.node AND l.lane = h.lane AND l.seq > coalesce(f.seq, 0)
                       AND l.events > 0
                 ORDER BY l.seq LIMIT 1))
     FROM ledger_heads h LEFT JOIN fold_heads f ON f.node = h.node AND f.lane = h.lane
     WHERE h.seq > coalesce(f.seq, 0))";
