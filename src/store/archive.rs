//! What the store does for the archive (`src/archive/`): it gives rows that are to move, lets go of them once
//! their files were checked, and keeps the list of the files.
//!
//! ```text
//!  units ─> read_unit ──rows──> files: writing ─> checked ─> drop_unit: rows gone and files kept, or neither
//!           (one snapshot)                                   (one transaction)
//! ```
//!
//! A late event of a unit that comes after the snapshot stays in the store, and is a unit of its own later.

use std::{ops::AddAssign, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    domain::{
        row::Row,
        time::{DAY, Millis},
    },
    sink::SinkError,
    store::{
        chain::GoneRows,
        forget::ForgetArchived,
        retention::{REMOVAL_TTL, Retention, UtcDay, holding},
        rollup::remake::ArchivedRows,
    },
};

/// How often the right to move is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Rows that move at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveUnit {
    /// Their day, in UTC.
    pub day: UtcDay,
    /// Their type; `None` for all types of the day.
    pub kind: Option<String>,
    /// With Postgres: whether they lie in the default partition.
    pub strays: bool,
    /// How many there are; with Postgres perhaps an estimate.
    pub rows: u64,
}

/// A piece of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitPiece {
    /// The type of the rows that follow.
    Kind(String),
    /// Encoded rows ([`crate::domain::row`]) in the order of time, id and receipt.
    Rows(Vec<u8>),
}

/// What a store can add up by itself, so that rows are compared with it that went another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSums {
    /// How many rows.
    pub rows: i64,
    /// The milliseconds of the day at which they happened.
    pub times: i64,
    /// Those at which they were received.
    pub received: i64,
    /// The bytes of their ids.
    pub id_bytes: i64,
    /// The bytes of their properties.
    pub property_bytes: i64,
}

impl RowSums {
    /// Adds a row.
    pub fn add(&mut self, row: &Row<'_>) {
        self.rows += 1;
        self.times += row.time.rem_euclid(DAY);
        self.received += row.received_at.rem_euclid(DAY);
        self.id_bytes += row.id.len() as i64;
        self.property_bytes += row.properties.len() as i64;
    }
}

impl AddAssign for RowSums {
    fn add_assign(&mut self, more: RowSums) {
        self.rows += more.rows;
        self.times += more.times;
        self.received += more.received;
        self.id_bytes += more.id_bytes;
        self.property_bytes += more.property_bytes;
    }
}

/// What a set of rows is, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowsDigest {
    /// Their sums.
    pub sums: RowSums,
    /// The sum of the hashes of the encoded rows.
    pub hash: u128,
}

impl RowsDigest {
    /// Adds a row; `scratch` is room for its bytes.
    pub fn add(&mut self, row: &Row<'_>, scratch: &mut Vec<u8>) {
        scratch.clear();
        row.encode(scratch);
        self.sums.add(row);
        self.hash = self.hash.wrapping_add(xxh3_128(scratch));
    }

    /// As the list of files has it.
    pub fn written(&self) -> String {
        format!("{:032x}", self.hash)
    }
}

/// What was read of a unit, and what tells whether it is still so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitSnapshot {
    /// The sums of each type, by the store itself.
    pub sums: Vec<(String, RowSums)>,
    /// With Postgres: the table that was read.
    pub(crate) table: u32,
    /// With SQLite: the last row that was there.
    pub(crate) last_row: i64,
    /// How many rows of the day had been removed.
    pub(crate) removed: i64,
}

/// Rows of a person that a file of the archive has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenRows {
    /// The request ([`crate::store::forget::ForgetRequest`]).
    pub request: String,
    /// Their day in UTC, such as `2026-11-27`.
    pub day: String,
    /// Their type.
    pub kind: String,
    /// How many.
    pub rows: u64,
    /// What the chain of hashes forgets them by.
    pub(crate) gone: GoneRows,
}

/// The state of a file, as the list has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// There is no file yet, or a part of one.
    Writing,
    /// It has what it is to have, and so has the store.
    Checked,
    /// It is answered from; the store has its rows no more.
    Kept,
    /// It is to be deleted.
    Leaving,
}

impl FileState {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FileState::Writing => "writing",
            FileState::Checked => "checked",
            FileState::Kept => "kept",
            FileState::Leaving => "leaving",
        }
    }

    /// The state of this name. One that a later version has written is nothing to be deleted.
    pub(crate) fn named(name: &str) -> FileState {
        let all = [FileState::Writing, FileState::Checked, FileState::Leaving];
        all.into_iter().find(|it| it.name() == name).unwrap_or(FileState::Kept)
    }
}

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    /// Where it is, below `archive.url`.
    pub path: String,
    /// The day of its events in UTC, such as `2026-11-27`.
    pub day: String,
    /// Their type.
    pub kind: String,
    /// Its state.
    pub state: FileState,
    /// How many rows it has.
    pub rows: u64,
    /// How large it is.
    pub bytes: u64,
    /// The first and the last event time, Unix ms.
    pub times: (Millis, Millis),
    /// The digest of its rows ([`RowsDigest::written`]).
    pub digest: String,
}

/// The archive, for what works on the rows of the store.
pub trait Archived: ArchivedRows + ForgetArchived {}

impl<A: ArchivedRows + ForgetArchived> Archived for A {}

/// Gives rows to the archive, and keeps the list of its files.
#[async_trait]
pub trait ArchiveStore: Send + Sync + 'static {
    /// Takes or renews the right to move rows, beside that to remove some. Answers whether `holder` has it.
    async fn lead_archive(&self, holder: &str, ttl: Duration) -> Result<bool, SinkError>;

    /// Gives that right back.
    async fn resign_archive(&self, holder: &str) -> Result<(), SinkError>;

    /// Takes back what a kill has left in the store, and drops what is empty.
    async fn tidy_archive(&self, before: UtcDay) -> Result<(), SinkError>;

    /// What has rows of days before `before`, the oldest first.
    async fn archive_units(&self, before: UtcDay) -> Result<Vec<ArchiveUnit>, SinkError>;

    /// Reads the rows of a unit, in one view of the store.
    ///
    /// # Errors
    /// The store can't be read, or nobody takes the pieces any more. [`ArchiveStore::abandon_unit`] then takes
    /// back what was begun.
    async fn read_unit(
        &self,
        unit: &ArchiveUnit,
        pieces: mpsc::Sender<UnitPiece>,
    ) -> Result<UnitSnapshot, SinkError>;

    /// Takes back what [`ArchiveStore::read_unit`] has begun.
    async fn abandon_unit(&self, unit: &ArchiveUnit) -> Result<(), SinkError>;

    /// Removes the rows of the snapshot, and lets the checked files of these paths take their place, in one
    /// transaction. Answers `false`, and changes nothing, where rows of the snapshot were removed since, or
    /// another process has taken the files off the list.
    async fn drop_unit(
        &self,
        unit: &ArchiveUnit,
        snapshot: &UnitSnapshot,
        paths: &[String],
    ) -> Result<bool, SinkError>;

    /// The files whose events touch `[from, until)` (Unix ms), or all, in the order of days.
    async fn archive_files(
        &self,
        span: Option<(Millis, Millis)>,
    ) -> Result<Vec<ArchiveFile>, SinkError>;

    /// Puts a file on the list, or changes what the list says of it.
    async fn note_file(&self, file: &ArchiveFile) -> Result<(), SinkError>;

    /// Notes that a file is as it was written. Answers `false`, and changes nothing, where it is no longer being
    /// written: another process has taken it for one that was left over.
    async fn check_file(&self, file: &ArchiveFile) -> Result<bool, SinkError>;

    /// Notes that a file of this state is to be deleted. Answers `false`, and changes nothing, where it has another
    /// state by now: it may just have taken the place of rows.
    async fn leave_file(&self, path: &str, from: FileState) -> Result<bool, SinkError>;

    /// Takes a file off the list that was to be deleted.
    async fn forget_file(&self, path: &str) -> Result<(), SinkError>;

    /// Lets a checked file take the place of a kept one, which leaves, and notes which rows of a person it lacks, in
    /// one transaction; without a new one, the old one only leaves. Answers whether both were as they had to be.
    async fn replace_file(
        &self,
        old: &str,
        new: Option<&str>,
        forgotten: &ForgottenRows,
    ) -> Result<bool, SinkError>;
}

/// Does work on the archive that one process of the installation does at a time, and that removes rows. `None`
/// where another is at it.
///
/// # Errors
/// The work fails, or the store does not answer.
pub async fn alone<T>(
    list: &dyn ArchiveStore,
    retention: &dyn Retention,
    holder: &str,
    work: impl Future<Output = Result<T, SinkError>>,
) -> Result<Option<T>, SinkError> {
    if !list.lead_archive(holder, REMOVAL_TTL).await? {
        return Ok(None);
    }
    let renewing = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let _ = list.lead_archive(holder, REMOVAL_TTL).await;
        }
    };
    let outcome = tokio::select! {
        outcome = holding(retention, holder, work) => outcome,
        () = renewing => unreachable!("it goes on for ever"),
    };
    list.resign_archive(holder).await?;
    outcome
}

/// SQL for both stores: the files whose events touch `[$1, $2)`.
pub(crate) const FILES: &str =
    "SELECT path, day, type, state, rows, bytes, first_time, last_time, digest FROM archive_files
    WHERE last_time >= $1 AND first_time < $2 ORDER BY day, type, path";

/// SQL for both stores: notes a file.
pub(crate) const NOTE_FILE: &str = "INSERT INTO archive_files
        (path, day, type, state, rows, bytes, first_time, last_time, digest, changed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (path) DO UPDATE
    SET state = excluded.state, rows = excluded.rows, bytes = excluded.bytes,
        first_time = excluded.first_time, last_time = excluded.last_time, digest = excluded.digest,
        changed_at = excluded.changed_at";

/// SQL for both stores: the file `$1` that is being written is checked; what else there is to say of it as in
/// [`NOTE_FILE`].
pub(crate) const CHECK_FILE: &str =
    "UPDATE archive_files SET state = 'checked', rows = $2, bytes = $3,
        first_time = $4, last_time = $5, digest = $6, changed_at = $7
    WHERE path = $1 AND state = 'writing'";

/// SQL for both stores: takes a file off the list that was to be deleted.
pub(crate) const FORGET_FILE: &str =
    "DELETE FROM archive_files WHERE path = $1 AND state = 'leaving'";

/// SQL for both stores: a file changes from the state `$2` to `$3` at `$4`.
pub(crate) const MOVE_FILE: &str = "UPDATE archive_files SET state = $3, changed_at = $4
    WHERE path = $1 AND state = $2";

/// SQL for both stores: how many rows of the day `$1` were removed by the archive's neighbours.
pub(crate) const REMOVED_OF_DAY: &str = "SELECT CAST(coalesce(sum(rows), 0) AS bigint)
    FROM removed_rows WHERE day = $1 AND reason <> 'archive'";
