//! What a store holds, counted.

/// What a store holds, counted: for `floodmark check` and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Rows in `events`.
    pub events: u64,
    /// Rows in `dead_letters`.
    pub dead_letters: u64,
    /// Events of all batches that the ledger has or had, as they were sealed. That is `events`
    /// and the rows that the store refused. Events whose ledger row was dropped still count.
    pub ledger_events: u64,
}
