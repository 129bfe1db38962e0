//! What is said of a person who was forgotten.

use serde::Serialize;

/// A receipt, as it is printed and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForgetReceipt {
    /// The id of the request.
    pub request: String,
    /// `user` or `session`.
    pub subject: String,
    /// Who: SHA-256 of the salt, the subject and the id, with a NUL after each of the first two.
    pub person: String,
    /// What the hash was salted with.
    pub salt: String,
    /// When it was asked for, RFC 3339.
    pub asked_at: String,
    /// When it was done, RFC 3339.
    pub done_at: String,
    /// Rows of events that were removed.
    pub rows: u64,
    /// By day (UTC).
    pub days: Vec<ForgottenDay>,
    /// Dead letters that were removed.
    pub dead_letters: u64,
    /// Sessions whose events went with those of a user.
    pub sessions: u64,
    /// When the rest is gone.
    pub remains: Remains,
}

/// The rows of a day that were removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForgottenDay {
    /// The day in UTC, such as `2026-11-27`.
    pub day: String,
    /// How many rows.
    pub rows: u64,
}

/// Until when something of the person may still be where nothing can be deleted by itself, RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remains {
    /// Segments of spools that both sinks have settled (`spool.keep_s`).
    pub spool_until: String,
    /// Ids of orders and webhooks, by which repetitions are known (`dedupe.long_window_s`).
    pub ids_until: String,
    /// Hashes of visitors in ledger rows and in the live counters (`ledger.keep_hours`).
    pub visitor_hashes_until: String,
    /// Nodes that are gone and may have events in their data dirs that are not stored yet.
    pub nodes_gone: Vec<String>,
}
