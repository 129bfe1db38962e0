//! Alerts in the store: each time that one fired, and the outbox of what webhooks are to be
//! told, written in one transaction.

use async_trait::async_trait;

use crate::{
    domain::{alert::Firing, time::Millis},
    sink::{SinkError, SinkErrorKind},
};

/// Past firings that are read.
pub const HISTORY: usize = 100;

/// What the store knows of alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertHistory {
    /// Those that fire, the oldest first.
    pub firing: Vec<Firing>,
    /// Those that are over, the last first.
    pub over: Vec<Firing>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is there, with its notices.
    Done,
    /// The alert fires already, by another's word: nothing was written.
    Known(Box<Firing>),
}

/// What one webhook is to be told of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The Idempotency-Key of its requests.
    pub id: String,
    /// The firing.
    pub alert: String,
    /// `fired` or `cleared`.
    pub change: String,
    /// The webhook's name.
    pub webhook: String,
    /// Floodmark's own JSON; other formats are made from it.
    pub body: String,
    /// Unix ms.
    pub created_at: Millis,
    /// Not tried before, Unix ms.
    pub due_at: Millis,
    /// How often it was tried.
    pub attempts: u32,
    /// How it ended.
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

/// Firings and notices.
#[async_trait]
pub trait AlertLog: Send + Sync + 'static {
    /// Those that fire, and the last [`HISTORY`] that are over.
    async fn alert_history(&self) -> Result<AlertHistory, SinkError>;

    /// Records that an alert fires (or, with `cleared_at`, that it is over) and what is to be
    /// told, in one transaction. Again is harmless.
    async fn record_alert(
        &self,
        firing: &Firing,
        notices: &[Notice],
    ) -> Result<Recorded, SinkError>;

    /// Notices that are due at `now` (Unix ms), the oldest first. Of one firing and webhook
    /// the first that is not done yet, so that nobody hears of an end before the begin.
    async fn due_notices(&self, now: Millis, limit: usize) -> Result<Vec<Notice>, SinkError>;

    /// Takes a notice to be tried now, and not by anybody else before `until` (Unix ms);
    /// `false` where somebody was quicker.
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

/// SQL for both stores: notices that are due at the parameter.
pub(crate) const DUE: &str =
    "SELECT id, alert, change, webhook, body, created_at, due_at, attempts FROM notifications n
    WHERE done_at IS NULL AND due_at <= $1 AND NOT EXISTS (
        SELECT 1 FROM notifications e
        WHERE e.alert = n.alert AND e.webhook = n.webhook AND e.done_at IS NULL
              AND e.change = 'fired' AND n.change = 'cleared')
    ORDER BY created_at, id LIMIT $2";

/// Reads a row of [`DUE`]; the parameters read its columns, by place.
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

/// SQL for both stores: what fires, and what is over.
pub(crate) const FIRING: &str =
    "SELECT detail FROM alerts WHERE cleared_at IS NULL ORDER BY fired_at, name";
pub(crate) const OVER: &str = "SELECT detail FROM alerts WHERE cleared_at IS NOT NULL
    ORDER BY fired_at DESC, name LIMIT $1";

/// SQL for both stores: (id, name, fired_at, cleared_at, detail); nothing where it is there
/// or the alert fires already.
pub(crate) const INSERT: &str = "INSERT INTO alerts (id, name, fired_at, cleared_at, detail)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
pub(crate) const CLEAR: &str =
    "UPDATE alerts SET cleared_at = $2, detail = $3 WHERE id = $1 AND cleared_at IS NULL";
/// SQL for both stores: another firing of the alert.
pub(crate) const OTHER: &str =
    "SELECT detail FROM alerts WHERE name = $1 AND id <> $2 AND cleared_at IS NULL";
pub(crate) const INSERT_NOTICE: &str = "INSERT INTO notifications
    (id, alert, change, webhook, body, created_at, due_at, attempts, done_at, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
pub(crate) const CLAIM: &str = "UPDATE notifications SET due_at = $3, attempts = attempts + 1
    WHERE id = $1 AND attempts = $2 AND done_at IS NULL";
pub(crate) const POSTPONE: &str =
    "UPDATE notifications SET due_at = $2 WHERE id = $1 AND done_at IS NULL";
pub(crate) const SETTLE: &str = "UPDATE notifications SET done_at = $3, outcome = $2
    WHERE id = $1 AND done_at IS NULL";

/// Reads `detail`.
pub(crate) fn firing(detail: &str) -> Result<Firing, SinkError> {
    serde_json::from_str(detail).map_err(|e| SinkError {
        kind: SinkErrorKind::Other,
        message: format!("alerts.detail: {e}"),
    })
}

/// Writes `detail`.
pub(crate) fn detail(firing: &Firing) -> String {
    serde_json::to_string(firing).expect("plain data always encodes")
}
