//! Who has access, as the store keeps it: the book of identities, and the audit of its changes.
//!
//! ```text
//!  one transaction:  head.version: from -> from + 1 ─> the identity ─> its line of the audit
//!                    (of two changes at once, the second finds another version and changes nothing)
//! ```

use async_trait::async_trait;

use crate::{
    domain::access::{AccessChange, AuditEntry, Identity, StoredBook},
    sink::{SinkError, SinkErrorKind},
};

/// Keeps the book of identities.
#[async_trait]
pub trait AccessStore: Send + Sync + 'static {
    /// The version of the book. It is asked for each second.
    async fn access_version(&self) -> Result<i64, SinkError>;

    /// Whether there ever was a key, and whether there ever was a user or token. It changes nothing, and
    /// a store that no server has made yet says no.
    async fn access_doors(&self) -> Result<(bool, bool), SinkError>;

    /// The whole book, in one consistent read.
    async fn access_book(&self) -> Result<StoredBook, SinkError>;

    /// Writes a change with its line of the audit, in one transaction. `false` where the book is of
    /// another version than the change was made for; then nothing was written.
    async fn change_access(&self, change: &AccessChange) -> Result<bool, SinkError>;

    /// At most `limit` lines of the audit, the newest first, with versions below `before`.
    async fn access_audit(&self, before: i64, limit: usize) -> Result<Vec<AuditEntry>, SinkError>;
}

/// SQL for both stores: the version.
pub(crate) const VERSION: &str = "SELECT version FROM access_head";
/// SQL for both stores: whether nobody sends or reads unknown any more.
pub(crate) const DOORS: &str = "SELECT sends_closed, views_closed FROM access_head";
/// SQL for both stores: the head.
pub(crate) const HEAD: &str =
    "SELECT version, session_key, sends_closed, views_closed, last_number FROM access_head";
/// SQL for both stores: those that are not revoked.
pub(crate) const IDENTITIES: &str = "SELECT body FROM access_identities WHERE revoked_at IS NULL";
/// SQL for both stores: moves the head on from version `$1`. No row changes where it has another one.
pub(crate) const MOVE_ON: &str = "UPDATE access_head SET version = version + 1,
        sends_closed = sends_closed OR $2, views_closed = views_closed OR $3,
        last_number = CASE WHEN $4 > last_number THEN $4 ELSE last_number END
    WHERE version = $1";
/// SQL for both stores: the identity, new or changed.
pub(crate) const PUT: &str = "INSERT INTO access_identities (id, kind, name, body, revoked_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO UPDATE SET body = excluded.body, revoked_at = excluded.revoked_at";
/// SQL for both stores: a line of the audit.
pub(crate) const NOTE: &str = "INSERT INTO access_audit (version, at, body) VALUES ($1, $2, $3)";
/// SQL for both stores: the newest lines of the audit.
pub(crate) const AUDIT: &str =
    "SELECT body FROM access_audit WHERE version < $1 ORDER BY version DESC LIMIT $2";

/// The number of the key that a change adds or puts; 0 for all else.
pub(crate) fn number_of(change: &AccessChange) -> i64 {
    change.identity.as_key().map_or(0, |key| key.number.into())
}

/// Writes an identity or a line of the audit as its column `body`.
pub(crate) fn body(of: &impl serde::Serialize) -> String {
    serde_json::to_string(of).expect("plain data always encodes")
}

/// Reads the column `body`.
pub(crate) fn read<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, SinkError> {
    serde_json::from_str(body).map_err(|e| {
        let message = format!("a row of who has access can't be read: {e}");
        SinkError::new(SinkErrorKind::Other, message)
    })
}

/// Puts identities into the order in which they were made.
pub(crate) fn in_order(mut identities: Vec<Identity>) -> Vec<Identity> {
    identities.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    identities
}
