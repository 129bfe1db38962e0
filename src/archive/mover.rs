//! Moves days to the archive: for a server in the background, and for the command at once.
//!
//! Each step is noted before it is done (`archive_files`), so whoever comes after a kill knows what is left: files
//! that are not kept are deleted, and their rows are still in the store.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::mpsc};
use uuid::Uuid;

use super::{
    objects::ArchiveObjects,
    write::{FileWriter, WrittenUnit},
};
use crate::{
    config::ArchiveConfig,
    domain::time::{DAY, Millis, Steady, now_ms},
    sink::{SinkError, SinkErrorKind},
    store::{
        StoreInfo, Stores,
        archive::{ArchiveFile, ArchiveStore, ArchiveUnit, FileState, alone},
        retention::{Retention, UtcDay, date_of},
    },
    telemetry::health::Health,
};

/// How operators know it.
const PART: &str = "archive";
/// How often it is tried after a failure.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// The pause between two steps of giving room back to the disk.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a unit is tried whose rows change meanwhile.
const TRIES: u32 = 3;

/// Moves what is old.
pub struct Mover {
    objects: Arc<ArchiveObjects>,
    list: Arc<dyn ArchiveStore>,
    retention: Arc<dyn Retention>,
    info: Arc<dyn StoreInfo>,
    config: ArchiveConfig,
    /// The name of this process in the lease.
    holder: String,
    clock: Steady,
}

/// What a round has moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// By day: rows, files and their bytes.
    pub days: Vec<(UtcDay, u64, u64, u64)>,
}

impl Moved {
    fn add(&mut self, day: UtcDay, files: &[ArchiveFile]) {
        let rows: u64 = files.iter().map(|it| it.rows).sum();
        let bytes: u64 = files.iter().map(|it| it.bytes).sum();
        metrics::counter!("floodmark_archive_rows_total").increment(rows);
        metrics::counter!("floodmark_archive_bytes_total").increment(bytes);
        let count = files.len() as u64;
        match self.days.iter_mut().find(|it| it.0 == day) {
            Some(known) => {
                *known = (day, known.1 + rows, known.2 + count, known.3 + bytes);
            }
            None => self.days.push((day, rows, count, bytes)),
        }
    }

    /// The rows of all days.
    pub fn rows(&self) -> u64 {
        self.days.iter().map(|it| it.1).sum()
    }
}

impl Mover {
    /// By the settings of `[archive]`; `None` where nothing is to be moved.
    ///
    /// # Errors
    /// The archive can't be opened; in words.
    pub fn new(stores: &Stores, config: &ArchiveConfig) -> Result<Option<Mover>, String> {
        if config.after_days == 0 {
            return Ok(None);
        }
        let Some(objects) = ArchiveObjects::open(config)? else { return Ok(None) };
        Ok(Some(Mover {
            objects: Arc::new(objects),
            list: stores.archive.clone(),
            retention: stores.retention.clone(),
            info: stores.info.clone(),
            config: config.clone(),
            holder: Uuid::new_v4().to_string(),
            clock: Steady::begin(now_ms()),
        }))
    }

    /// Goes on for as long as the process runs.
    pub async fn follow(self, health: Health) {
        loop {
            let usual = Duration::from_secs(self.config.interval_s);
            let pause = match self.turn().await {
                Ok(moved) => {
                    health.well(PART);
                    if let Some(moved) = moved.filter(|moved| !moved.days.is_empty()) {
                        let (days, rows) = (moved.days.len(), moved.rows());
                        tracing::info!(days, rows, "moved to the archive");
                    }
                    usual
                }
                Err(e) => {
                    metrics::counter!("floodmark_archive_failures_total").increment(1);
                    health.trouble(PART, &e.kind.to_string(), &e.message);
                    TRY_AGAIN.min(usual)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn turn(&self) -> Result<Option<Moved>, SinkError> {
        let before = self.horizon().await?;
        self.round(before).await
    }

    /// Days before this one are to be moved, by the clock that is behind, of this machine's and the store's.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn horizon(&self) -> Result<UtcDay, SinkError> {
        let own = self.clock.now();
        let now: Millis = self.info.clock().await?.map_or(own, |theirs| own.min(theirs));
        let days = i64::try_from(self.config.after_days).unwrap_or(i64::MAX);
        Ok(now.div_euclid(DAY).saturating_sub(days).max(0))
    }

    /// What would be moved. Nothing is changed.
    ///
    /// # Errors
    /// The store or the archive does not answer.
    pub async fn due(&self, before: UtcDay) -> Result<Vec<ArchiveUnit>, SinkError> {
        self.objects.look().await?;
        self.list.archive_units(before).await
    }

    /// One round: all days before `before`. `None` where another process is at it, or removes rows.
    ///
    /// # Errors
    /// The store or the archive can't be read or written. What was moved by then is moved.
    pub async fn round(&self, before: UtcDay) -> Result<Option<Moved>, SinkError> {
        alone(&*self.list, &*self.retention, &self.holder, self.work(before)).await
    }

    async fn work(&self, before: UtcDay) -> Result<Moved, SinkError> {
        tidy(&self.objects, &*self.list).await?;
        self.list.tidy_archive(before).await?;
        let mut moved = Moved::default();
        for unit in self.list.archive_units(before).await? {
            let files = self.move_unit(&unit).await?;
            moved.add(unit.day, &files);
        }
        self.list.tidy_archive(before).await?;
        while !moved.days.is_empty() && !self.retention.give_back().await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(moved)
    }

    async fn move_unit(&self, unit: &ArchiveUnit) -> Result<Vec<ArchiveFile>, SinkError> {
        for _ in 0..TRIES {
            let outcome = self.try_unit(unit).await;
            if let Ok(Some(files)) = outcome {
                crate::failpoint::kill_point!("archive-moved");
                return Ok(files);
            }
            // What was begun is taken back; the error itself is told first.
            let back = self.list.abandon_unit(unit).await;
            let tidied = tidy(&self.objects, &*self.list).await;
            outcome?;
            back.and(tidied)?;
        }
        let message = format!(
            "the rows of {} change while they are moved: they are still in the store",
            date_of(unit.day)
        );
        Err(SinkError::new(SinkErrorKind::Other, message))
    }

    /// Writes the files of a unit, compares them with what the store says, and lets them take the place of the
    /// rows. `None` where rows have changed meanwhile.
    async fn try_unit(&self, unit: &ArchiveUnit) -> Result<Option<Vec<ArchiveFile>>, SinkError> {
        let (pieces, taken) = mpsc::channel(2);
        let writer = FileWriter {
            objects: self.objects.clone(),
            list: self.list.clone(),
            handle: Handle::current(),
            day: unit.day,
        };
        let writing = tokio::task::spawn_blocking(move || writer.write(taken));
        let read = self.list.read_unit(unit, pieces).await;
        let written = writing.await.map_err(|e| {
            SinkError::new(SinkErrorKind::Other, format!("archive: the writer ended early: {e}"))
        })?;
        // Where the writer failed, the reader only says that nobody takes its rows.
        let WrittenUnit { files, sums } = written?;
        let snapshot = read?;
        if sums != snapshot.sums {
            return Err(SinkError::new(
                SinkErrorKind::Other,
                format!(
                    "archive: the store counts {:?} of {}, and its files have {sums:?}: no row has left the \
                     store",
                    snapshot.sums,
                    date_of(unit.day)
                ),
            ));
        }
        crate::failpoint::kill_point!("archive-checked");
        let paths: Vec<String> = files.iter().map(|it| it.path.clone()).collect();
        let is_done = self.list.drop_unit(unit, &snapshot, &paths).await?;
        Ok(is_done.then_some(files))
    }
}

/// Deletes the files that are not kept, which a kill or a failure has left, and takes them off the list.
///
/// # Errors
/// The store or the archive can't be written.
pub async fn tidy(objects: &ArchiveObjects, list: &dyn ArchiveStore) -> Result<(), SinkError> {
    for file in list.archive_files(None).await? {
        // Between the look at the list and this moment another process may have let it take the place of rows.
        let leaves = match file.state {
            FileState::Kept => false,
            FileState::Leaving => true,
            FileState::Writing | FileState::Checked => {
                list.leave_file(&file.path, file.state).await?
            }
        };
        if leaves {
            objects.delete(&file.path).await?;
            list.forget_file(&file.path).await?;
        }
    }
    Ok(())
}
