//! The list of the archive's files, in Postgres.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_postgres::{Row, types::Type};

use super::{
    PostgresStore, errors::Failure, partitions::partition, session::Parameter, swap::COPY,
};
use crate::{
    domain::time::{LATEST, Millis, now_ms},
    sink::SinkError,
    store::{
        archive::{
            ArchiveFile, ArchiveStore, ArchiveUnit, CHECK_FILE, FILES, FORGET_FILE, FileState,
            ForgottenRows, MOVE_FILE, NOTE_FILE, UnitPiece, UnitSnapshot,
        },
        retention::UtcDay,
    },
};

fn file(row: &Row) -> Result<ArchiveFile, Failure> {
    Ok(ArchiveFile {
        path: row.try_get(0)?,
        day: row.try_get(1)?,
        kind: row.try_get(2)?,
        state: FileState::named(row.try_get(3)?),
        rows: row.try_get::<_, i64>(4)? as u64,
        bytes: row.try_get::<_, i64>(5)? as u64,
        times: (row.try_get(6)?, row.try_get(7)?),
        digest: row.try_get(8)?,
    })
}

impl PostgresStore {
    async fn try_archive_files(
        &self,
        span: Option<(Millis, Millis)>,
    ) -> Result<Vec<ArchiveFile>, Failure> {
        let (from, until) = span.unwrap_or((i64::MIN, LATEST + 1));
        // Never from a replica: what it does not know yet would be deleted, or not be answered.
        let asked: [Parameter<'_>; 2] = [(&from, Type::INT8), (&until, Type::INT8)];
        self.read(FILES, &asked).await?.iter().map(file).collect()
    }

    async fn try_note_file(&self, file: &ArchiveFile) -> Result<(), Failure> {
        let (rows, bytes) = (file.rows as i64, file.bytes as i64);
        let parameters: [Parameter<'_>; 10] = [
            (&file.path, Type::TEXT),
            (&file.day, Type::TEXT),
            (&file.kind, Type::TEXT),
            (&file.state.name(), Type::TEXT),
            (&rows, Type::INT8),
            (&bytes, Type::INT8),
            (&file.times.0, Type::INT8),
            (&file.times.1, Type::INT8),
            (&file.digest, Type::TEXT),
            (&now_ms(), Type::INT8),
        ];
        self.change(NOTE_FILE, &parameters).await.map(drop)
    }

    async fn try_check_file(&self, file: &ArchiveFile) -> Result<bool, Failure> {
        let (rows, bytes) = (file.rows as i64, file.bytes as i64);
        let parameters: [Parameter<'_>; 7] = [
            (&file.path, Type::TEXT),
            (&rows, Type::INT8),
            (&bytes, Type::INT8),
            (&file.times.0, Type::INT8),
            (&file.times.1, Type::INT8),
            (&file.digest, Type::TEXT),
            (&now_ms(), Type::INT8),
        ];
        Ok(self.change(CHECK_FILE, &parameters).await? == 1)
    }
}

#[async_trait]
impl ArchiveStore for PostgresStore {
    async fn lead_archive(&self, _: &str, _: Duration) -> Result<bool, SinkError> {
        // The right to remove rows is enough: one process of all nodes has it.
        Ok(true)
    }

    async fn resign_archive(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }

    async fn tidy_archive(&self, before: UtcDay) -> Result<(), SinkError> {
        self.try_tidy_archive(before).await.map_err(|e| self.told(e))
    }

    async fn archive_units(&self, before: UtcDay) -> Result<Vec<ArchiveUnit>, SinkError> {
        self.try_archive_units(before).await.map_err(|e| self.told(e))
    }

    async fn read_unit(
        &self,
        unit: &ArchiveUnit,
        pieces: mpsc::Sender<UnitPiece>,
    ) -> Result<UnitSnapshot, SinkError> {
        self.try_read_unit(unit, &pieces).await.map_err(|e| self.told(e))
    }

    async fn abandon_unit(&self, unit: &ArchiveUnit) -> Result<(), SinkError> {
        if unit.strays {
            return Ok(());
        }
        let copy = format!("{}{COPY}", partition(unit.day));
        self.take_back_copy(&copy, unit.day).await.map_err(|e| self.told(e))
    }

    async fn drop_unit(
        &self,
        unit: &ArchiveUnit,
        snapshot: &UnitSnapshot,
        paths: &[String],
    ) -> Result<bool, SinkError> {
        self.try_drop_unit(unit, snapshot, paths).await.map_err(|e| self.told(e))
    }

    async fn archive_files(
        &self,
        span: Option<(Millis, Millis)>,
    ) -> Result<Vec<ArchiveFile>, SinkError> {
        self.try_archive_files(span).await.map_err(|e| self.told(e))
    }

    async fn note_file(&self, file: &ArchiveFile) -> Result<(), SinkError> {
        self.try_note_file(file).await.map_err(|e| self.told(e))
    }

    async fn check_file(&self, file: &ArchiveFile) -> Result<bool, SinkError> {
        self.try_check_file(file).await.map_err(|e| self.told(e))
    }

    async fn leave_file(&self, path: &str, from: FileState) -> Result<bool, SinkError> {
        let parameters: [Parameter<'_>; 4] = [
            (&path, Type::TEXT),
            (&from.name(), Type::TEXT),
            (&FileState::Leaving.name(), Type::TEXT),
            (&now_ms(), Type::INT8),
        ];
        let moved = self.change(MOVE_FILE, &parameters).await;
        moved.map(|rows| rows == 1).map_err(|e| self.told(e))
    }

    async fn forget_file(&self, path: &str) -> Result<(), SinkError> {
        let forgotten = self.change(FORGET_FILE, &[(&path, Type::TEXT)]).await;
        forgotten.map(drop).map_err(|e| self.told(e))
    }

    async fn replace_file(
        &self,
        old: &str,
        new: Option<&str>,
        forgotten: &ForgottenRows,
    ) -> Result<bool, SinkError> {
        self.try_replace_file(old, new, forgotten).await.map_err(|e| self.told(e))
    }
}
