//! What the store lets go of: rows of events by age and by type, and rollups, dead letters and alerts by age.
//!
//! ```text
//!  [retention] + clock ─> TooOld ─> Retention::remove_some, again and again ─> removed_rows
//! ```
//!
//! Ledger, guards and rollups are not touched where rows of events go, so charts keep their numbers, a batch
//! that comes again is still known, and no batch counts as missing. What was removed is noted in the
//! transaction that removes it: `removed_rows` tells a day whose rows are gone from one that had none.

mod room;
mod round;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use room::full_in_days;
pub use round::{REMOVAL_TTL, Remover, Removing, holding};

use crate::{
    config::RetentionConfig,
    domain::time::{DAY, Millis},
    sink::SinkError,
};

/// A day in UTC, counted from 1970-01-01.
pub type UtcDay = i64;

/// The date of a day, such as `2026-11-27`.
pub fn date_of(day: UtcDay) -> String {
    let at = jiff::Timestamp::from_millisecond(day.saturating_mul(DAY));
    // Events may be dated up to the last moment that there are dates for.
    let at = at.unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date().to_string()
}

/// The day of a date such as `2026-11-27`.
pub fn day_named(date: &str) -> Option<UtcDay> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(at.as_millisecond().div_euclid(DAY))
}

/// Why rows were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemovalReason {
    /// Their day is older than `retention.events_days`.
    Age,
    /// It is older than `retention.by_type` has for their type.
    Type,
    /// They were of a person who is to be forgotten.
    Person,
    /// They have moved to the archive, from which they are answered.
    Archive,
}

impl RemovalReason {
    /// All by which rows are gone for good.
    pub const ALL: [RemovalReason; 3] =
        [RemovalReason::Age, RemovalReason::Type, RemovalReason::Person];

    /// As the table `removed_rows` and the metric have it.
    pub fn name(self) -> &'static str {
        match self {
            RemovalReason::Age => "age",
            RemovalReason::Type => "type",
            RemovalReason::Person => "person",
            RemovalReason::Archive => "archive",
        }
    }

    /// The reason with this name; [`RemovalReason::Age`] for one that a later version has written.
    pub(crate) fn named(name: &str) -> RemovalReason {
        let known = RemovalReason::ALL.into_iter().find(|it| it.name() == name);
        known.unwrap_or(RemovalReason::Age)
    }
}

/// Which events are too old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooOld {
    /// Events of earlier days are, whatever their type.
    pub all: Option<UtcDay>,
    /// Events of a type are on earlier days.
    pub by_type: BTreeMap<String, UtcDay>,
}

impl TooOld {
    /// By the settings, at `now` (Unix ms).
    pub fn at(config: &RetentionConfig, now: Millis) -> TooOld {
        let today = now.div_euclid(DAY);
        let first = |days: u64| today - i64::try_from(days).unwrap_or(i64::MAX).min(today);
        let all = (config.events_days > 0).then(|| first(config.events_days));
        let by_type = config.by_type.iter().map(|(kind, days)| (kind.clone(), first(*days)));
        // What goes with its whole day needs no look at its type.
        let by_type = by_type.filter(|(_, day)| all.is_none_or(|all| *day > all)).collect();
        TooOld { all, by_type }
    }

    /// Whether nothing is ever too old.
    pub fn is_nothing(&self) -> bool {
        self.all.is_none() && self.by_type.is_empty()
    }

    /// Why events of a day and type go; `None` where they stay.
    pub fn reason(&self, day: UtcDay, kind: &str) -> Option<RemovalReason> {
        if self.all.is_some_and(|first| day < first) {
            return Some(RemovalReason::Age);
        }
        let of_type = self.by_type.get(kind).is_some_and(|first| day < *first);
        of_type.then_some(RemovalReason::Type)
    }

    /// The types that go on a day that stays.
    pub fn types_on(&self, day: UtcDay) -> Vec<String> {
        let goes = self.by_type.iter().filter(|(_, first)| day < **first);
        goes.map(|(kind, _)| kind.clone()).collect()
    }

    /// The first day of which nothing is too old.
    pub fn horizon(&self) -> UtcDay {
        self.by_type.values().copied().chain(self.all).max().unwrap_or_default()
    }
}

/// Rows of a day that were removed, or are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedRows {
    /// The day in UTC, such as `2026-11-27`.
    pub day: String,
    /// The type; empty for every one.
    pub kind: String,
    /// Why.
    pub reason: RemovalReason,
    /// How many.
    pub rows: u64,
    /// When the last of them went, Unix ms.
    pub removed_at: Millis,
}

/// What was removed of the days of a question, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedSum {
    /// How many rows.
    pub rows: u64,
    /// The first day (UTC) of them, such as `2026-11-27`.
    pub first_day: String,
    /// The last one.
    pub last_day: String,
}

impl RemovedSum {
    /// Of what was removed of some days, in their order: of one type, or of all. `None` where it is nothing.
    pub fn of(removed: &[RemovedRows], kind: Option<&str>) -> Option<RemovedSum> {
        let concerns =
            |it: &&RemovedRows| it.kind.is_empty() || kind.is_none_or(|kind| kind == it.kind);
        let mut those = removed.iter().filter(concerns).filter(|it| it.rows > 0);
        let first = those.next()?;
        let (first_day, last_day) = (first.day.clone(), first.day.clone());
        let start = RemovedSum { rows: first.rows, first_day, last_day };
        Some(those.fold(start, |sum, it| RemovedSum {
            rows: sum.rows + it.rows,
            last_day: it.day.clone(),
            ..sum
        }))
    }
}

/// Rows that are too old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRows {
    /// The day in UTC, such as `2026-11-27`.
    pub day: String,
    /// The type; empty for every one.
    pub kind: String,
    /// Why they go.
    pub reason: RemovalReason,
    /// How many there are.
    pub rows: u64,
    /// Whether `rows` is an estimate, since counting takes long.
    pub estimated: bool,
    /// How many bytes that frees, about.
    pub bytes: u64,
}

/// What one step has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalStep {
    /// The rows, by day, type and reason.
    pub removed: Vec<(UtcDay, String, RemovalReason, u64)>,
    /// Whether nothing is left that is too old.
    pub done: bool,
}

/// What is removed by age beside events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trimmed {
    /// Rollups, breakdowns and what is known of properties by hour.
    Rollups,
    /// Dead letters.
    DeadLetters,
    /// Alerts that are over, with their notices.
    Alerts,
}

/// The most rows that one step of [`Retention::trim`] removes from one table.
pub const TRIM_ROWS: u64 = 1_000;

/// How large a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// What it takes on its disk, in bytes.
    pub bytes: u64,
    /// Of these: free for what comes, so the store does not grow by as much.
    pub reusable: u64,
    /// What is free beside it, in bytes; `None` where nobody can see that from here.
    pub free: Option<u64>,
}

/// Lets go of what is too old, and knows what has gone.
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// Takes or renews the right to remove rows, which one process has at a time. Answers whether `holder`
    /// has it now.
    async fn lead_removal(&self, holder: &str, ttl: std::time::Duration)
    -> Result<bool, SinkError>;

    /// Gives that right back.
    async fn resign_removal(&self, holder: &str) -> Result<(), SinkError>;

    /// What is too old and still there. Nothing is changed.
    async fn due(&self, too_old: &TooOld) -> Result<Vec<DueRows>, SinkError>;

    /// Removes some events that are too old: with Postgres those of one day, with SQLite those among the
    /// next few thousand. What a kill leaves half done is finished or taken back by the next call.
    async fn remove_some(&self, too_old: &TooOld) -> Result<RemovalStep, SinkError>;

    /// Removes some of what is older than `before` (Unix ms). Returns how many rows: 0 where none is left.
    async fn trim(&self, what: Trimmed, before: Millis) -> Result<u64, SinkError>;

    /// Gives the disk back some of what is free in the store's files. Answers whether there is nothing
    /// left to give.
    async fn give_back(&self) -> Result<bool, SinkError>;

    /// Which rows of days that touch `[from, to)` (Unix ms) were removed, but for those in the archive.
    async fn removed(&self, from: Millis, to: Millis) -> Result<Vec<RemovedRows>, SinkError>;

    /// How large the store is.
    async fn size(&self) -> Result<StoreSize, SinkError>;

    /// What was noted of how large the store was, from the oldest on: moments (Unix ms) and bytes.
    async fn sizes(&self) -> Result<Vec<(Millis, u64)>, SinkError>;

    /// Notes how large the store is at `at`, and forgets what was noted before `before` (Unix ms).
    async fn note_size(&self, at: Millis, bytes: u64, before: Millis) -> Result<(), SinkError>;
}

/// Says in words that rows were removed which a question would need: of any of `kinds` (`None`: of every
/// type) in one of the spans `[from, to)`. `None` where they are all there.
///
/// # Errors
/// The store can't be read.
pub async fn gone_of(
    retention: &dyn Retention,
    spans: &[(Millis, Millis)],
    kinds: Option<&[String]>,
) -> Result<Option<String>, SinkError> {
    for (from, to) in spans {
        let removed = retention.removed(*from, *to).await?;
        let concerns = |it: &&RemovedRows| {
            // Rows of one person are few; whoever asks for all of a day has nearly all of it.
            it.reason != RemovalReason::Person
                && (it.kind.is_empty() || kinds.is_none_or(|kinds| kinds.contains(&it.kind)))
        };
        if let Some(gone) = removed.iter().find(concerns) {
            return Ok(Some(format!(
                "the rows of {}{} were removed on {} ([retention]): only their counts are kept",
                gone.day,
                if gone.kind.is_empty() {
                    String::new()
                } else {
                    format!(" of type {}", gone.kind)
                },
                date_of(gone.removed_at.div_euclid(DAY)),
            )));
        }
    }
    Ok(None)
}

/// SQL for both stores: notes that `$4` rows of day `$1`, type `$2` and reason `$3` went at `$5`, and how
/// large their table is since, `$6`.
pub(crate) const NOTE: &str =
    "INSERT INTO removed_rows (day, type, reason, rows, removed_at, table_bytes)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (day, type, reason) DO UPDATE
    SET rows = removed_rows.rows + excluded.rows, removed_at = excluded.removed_at,
        table_bytes = excluded.table_bytes";

/// SQL for both stores: what was removed of the days `$1` to `$2`, and is not in the archive.
pub(crate) const REMOVED: &str = "SELECT day, type, reason, rows, removed_at FROM removed_rows
    WHERE day >= $1 AND day <= $2 AND reason <> 'archive' ORDER BY day, type, reason";

/// SQL for both stores: how many rows have gone for good.
pub(crate) const REMOVED_FOR_GOOD: &str =
    "SELECT day, type, rows FROM removed_rows WHERE reason <> 'archive'";

/// The first and the last day that touch `[from, to)`.
pub(crate) fn days_of(from: Millis, to: Millis) -> (String, String) {
    // Texts of days have four digits of a year.
    let day = |at: Millis| date_of(at.clamp(0, crate::domain::time::LATEST).div_euclid(DAY));
    (day(from), day(to.saturating_sub(1)))
}

/// SQL for both stores: notes that rollups before `$1` are forgotten.
pub(crate) const FORGET_ROLLUPS: &str = "INSERT INTO history_forgotten (what, before)
    VALUES ('rollups', $1) ON CONFLICT (what) DO UPDATE SET before = excluded.before
    WHERE history_forgotten.before < excluded.before";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_follows_from_settings_and_clock() {
        let by_type = BTreeMap::from([("page_view".to_owned(), 3), ("error".to_owned(), 30)]);
        let config = RetentionConfig { events_days: 10, by_type, ..RetentionConfig::default() };
        let old = TooOld::at(&config, 100 * DAY + 5);
        assert_eq!(old.all, Some(90));
        assert_eq!(old.types_on(96), ["page_view"]);
        assert_eq!(old.types_on(97), [""; 0], "three whole days stay");
        assert_eq!(old.by_type.len(), 1, "errors go with their day");
        assert_eq!(old.reason(89, "purchase"), Some(RemovalReason::Age));
        assert_eq!(old.reason(90, "purchase"), None);
        assert_eq!(old.reason(96, "page_view"), Some(RemovalReason::Type));
        assert_eq!(old.horizon(), 97);
        assert!(TooOld::at(&RetentionConfig::default(), 100 * DAY).is_nothing());
    }

    #[test]
    fn more_days_than_there_were_keep_everything() {
        let config = RetentionConfig { events_days: u64::MAX, ..RetentionConfig::default() };
        assert_eq!(TooOld::at(&config, 100 * DAY).all, Some(0));
    }
}
