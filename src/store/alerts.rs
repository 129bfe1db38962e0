//! What the store remembers of alerts: each firing, and the notices that webhooks are to be sent
//! about it. A firing and its notices are written in one transaction, so that no webhook is
//! forgotten and none is told of a firing that is not on record.
//!
//! ```text
//!  firing   recorded ──────────> cleared
//!              │ its notices        │ its notices
//!              v                    v
//!  notice   waiting ─claim─> being tried ─settle──> delivered, or given up
//!              ^                  │
//!              └────postpone──────┘
//! ```
//!
//! A claim moves the time at which the notice is due to the end of the attempt. A notifier that
//! dies in the middle therefore leaves a notice that is due again by itself.

use async_trait::async_trait;

use crate::{
    domain::{alert::Firing, time::Millis},
    sink::{SinkError, SinkErrorKind},
};

/// How many firings that are over are read.
pub const HISTORY: usize = 100;

/// What the store knows of alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertHistory {
    /// The firings that go on, the oldest first.
    pub firing: Vec<Firing>,
    /// The firings that are over, the newest first.
    pub over: Vec<Firing>,
}

/// What became of a firing that was to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is on record, with its notices.
    Done,
    /// Another node has recorded that the alert fires, under this id: nothing was written.
    Known(Box<Firing>),
}

/// What one webhook is to be told of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its name in the store, and the Idempotency-Key of its requests.
    pub id: String,
    /// The id of the firing.
    pub alert: String,
    /// `fired` or `cleared`.
    pub change: String,
    /// The webhook's name.
    pub webhook: String,
    /// Floodmark's own JSON; other formats are made from it.
    pub body: String,
    /// When it was recorded, Unix ms.
    pub created_at: Millis,
    /// When it may be tried next, Unix ms.
    pub due_at: Millis,
    /// How often it was tried.
    pub attempts: u32,
    /// How it ended; `None` while it waits.
    pub outcome: Option<NoticeOutcome>,
}

/// How a notice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// The webhook took it.
    Delivered,
    /// It was tried for too long, or its webhook is gone.
    GivenUp,
}

impl NoticeOutcome {
    /// As the store and the metric `floodmark_webhooks_total{result}` say it.
    pub fn name(self) -> &'static str {
        match self {
            NoticeOutcome::Delivered => "delivered",
            NoticeOutcome::GivenUp => "given_up",
        }
    }
}

/// The log of firings, and the outbox of notices.
#[async_trait]
pub trait AlertLog: Send + Sync + 'static {
    /// Reads the firings that go on, and the last [`HISTORY`] that are over.
    async fn alert_history(&self) -> Result<AlertHistory, SinkError>;

    /// Records that an alert fires (or, with `cleared_at`, that it is over) and the notices about
    /// that, in one transaction. To record the same again changes nothing.
    async fn record_alert(
        &self,
        firing: &Firing,
        notices: &[Notice],
    ) -> Result<Recorded, SinkError>;

    /// Notices that are due at `now` (Unix ms), the oldest first, at most `limit`. Of one firing
    /// and webhook only the first that is not done yet, so that nobody hears of the end of an
    /// alert before its begin.
    async fn due_notices(&self, now: Millis, limit: usize) -> Result<Vec<Notice>, SinkError>;

    /// Claims a notice, to try it now. Nobody else tries it before `until` (Unix ms). `false` where
    /// somebody else has claimed it since it was read.
    async fn claim_notice(&self, notice: &Notice, until: Millis) -> Result<bool, SinkError>;

    /// Says when a notice is to be tried again.
    async fn postpone_notice(&self, id: &str, due_at: Millis) -> Result<(), SinkError>;

    /// Says how a notice ended at `now` (Unix ms).
    async fn settle_notice(
        &self,
        id: &str,
        outcome: NoticeOutcome,
        now: Millis,
    ) -> Result<(), SinkError>;
}

/// SQL for both stores: the notices that are due at `$1`, at most `$2`.
pub(crate) const DUE: &str =
    "SELECT id, alert, change, webhook, body, created_at, due_at, attempts FROM notifications n
    WHERE done_at IS NULL AND due_at <= $1 AND NOT EXISTS (
        SELECT 1 FROM notifications e
        WHERE e.alert = n.alert AND e.webhook = n.webhook AND e.done_at IS NULL
              AND e.change = 'fired' AND n.change = 'cleared')
    ORDER BY created_at, id LIMIT $2";

/// Reads a row of [`DUE`]. The two functions read a column by its place, as the driver does it.
pub(crate) fn due<E>(
    text: impl Fn(usize) -> Result<String, E>,
    number: impl Fn(usize) -> Result<i64, E>,
) -> Result<Notice, E> {
    Ok(Notice {
        id: text(0)?,
        alert: text(1)?,
        change: text(2)?,
        webhook: text(3)?,
        body: text(4)?,
        created_at: number(5)?,
        due_at: number(6)?,
        attempts: u32::try_from(number(7)?).unwrap_or(u32::MAX),
        outcome: None,
    })
}

/// SQL for both stores: the firings that go on.
pub(crate) const FIRING: &str =
    "SELECT detail FROM alerts WHERE cleared_at IS NULL ORDER BY fired_at, name";
/// SQL for both stores: the last `$1` firings that are over.
pub(crate) const OVER: &str = "SELECT detail FROM alerts WHERE cleared_at IS NOT NULL
    ORDER BY fired_at DESC, name LIMIT $1";

/// SQL for both stores: a new firing (id, name, fired_at, cleared_at, detail). Nothing happens
/// where the id is there, or where the alert fires already.
pub(crate) const INSERT: &str = "INSERT INTO alerts (id, name, fired_at, cleared_at, detail)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
/// SQL for both stores: the firing `$1` is over since `$2`.
pub(crate) const CLEAR: &str =
    "UPDATE alerts SET cleared_at = $2, detail = $3 WHERE id = $1 AND cleared_at IS NULL";
/// SQL for both stores: a firing of the alert `$1` that goes on under another id than `$2`.
pub(crate) const OTHER: &str =
    "SELECT detail FROM alerts WHERE name = $1 AND id <> $2 AND cleared_at IS NULL";
/// SQL for both stores: a new notice. Nothing happens where it is there.
pub(crate) const INSERT_NOTICE: &str = "INSERT INTO notifications
    (id, alert, change, webhook, body, created_at, due_at, attempts, done_at, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
/// SQL for both stores: claims the notice `$1` until `$3`. Of two that have read `$2` attempts, one
/// changes the row and the other finds none.
pub(crate) const CLAIM: &str = "UPDATE notifications SET due_at = $3, attempts = attempts + 1
    WHERE id = $1 AND attempts = $2 AND done_at IS NULL";
/// SQL for both stores: the notice `$1` is due again at `$2`.
pub(crate) const POSTPONE: &str =
    "UPDATE notifications SET due_at = $2 WHERE id = $1 AND done_at IS NULL";
/// SQL for both stores: the notice `$1` ended as `$2` at `$3`.
pub(crate) const SETTLE: &str = "UPDATE notifications SET done_at = $3, outcome = $2
    WHERE id = $1 AND done_at IS NULL";

/// Reads the column `detail` of a firing.
pub(crate) fn firing(detail: &str) -> Result<Firing, SinkError> {
    serde_json::from_str(detail).map_err(|e| SinkError {
        kind: SinkErrorKind::Other,
        message: format!("the column detail of a firing can't be read: {e}"),
    })
}

/// Writes the column `detail` of a firing.
pub(crate) fn detail(firing: &Firing) -> String {
    serde_json::to_string(firing).expect("plain data always encodes")
}
