//! `[ledger]`: how long what batches have counted is kept, and whether the store vouches for their rows.

use serde::{Deserialize, Serialize};

/// `[ledger]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// How long ledger rows stay after they were added to the rollups.
    pub keep_hours: u64,
    /// How often ledger rows are added to the rollups.
    pub fold_interval_ms: u64,
    /// Whether batches go to the chain of hashes, against which `floodmark verify --chain` holds the rows.
    pub chain: bool,
}
