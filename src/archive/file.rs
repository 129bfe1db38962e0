//! A file of the archive, as it is read: row group by row group. Everything here blocks, and is called on threads
//! that may.

use std::{
    io::Read,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Buf, Bytes};
use parquet::{
    column::reader::ColumnReader,
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        reader::{ChunkReader, FileReader, Length, SerializedFileReader},
        statistics::Statistics,
    },
};
use tokio::runtime::Handle;

use super::objects::ArchiveObjects;
use crate::{
    domain::{row::Row, time::Millis},
    sink::{SinkError, SinkErrorKind},
    store::archive::ArchiveFile,
};

/// The bytes that are read at once where nobody says how many there are.
const WINDOW: u64 = 64 * 1024;

/// The bytes of a file, which are fetched as they are asked for.
struct RemoteFile {
    objects: Arc<ArchiveObjects>,
    handle: Handle,
    path: String,
    length: u64,
    /// What was fetched last, and where it begins.
    window: Mutex<(u64, Bytes)>,
}

impl RemoteFile {
    /// The bytes from `start` on, at least `least` where the file has so many.
    fn bytes(&self, start: u64, least: u64) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(least).min(self.length);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let has = window.0 <= start && end <= window.0 + window.1.len() as u64;
        if !has {
            let until = start.saturating_add(least.max(WINDOW)).min(self.length);
            let read = self.handle.block_on(self.objects.read(&self.path, start..until));
            *window = (start, read.map_err(|e| ParquetError::External(Box::new(e)))?);
        }
        Ok(window.1.slice((start - window.0) as usize..))
    }
}

impl Length for RemoteFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for RemoteFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Box<dyn Read>, ParquetError> {
        Ok(Box::new(self.bytes(start, 1)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.bytes(start, length as u64)?;
        match bytes.len() >= length {
            true => Ok(bytes.slice(..length)),
            false => Err(ParquetError::EOF(format!("{} is cut", self.path))),
        }
    }
}

/// An open file.
pub struct OpenFile {
    reader: SerializedFileReader<SharedFile>,
    file: Arc<RemoteFile>,
}

/// The library wants a file of its own.
struct SharedFile(Arc<RemoteFile>);

impl Length for SharedFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for SharedFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Box<dyn Read>, ParquetError> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

impl OpenFile {
    /// Opens a file of the list.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    pub fn open(
        objects: &Arc<ArchiveObjects>,
        handle: &Handle,
        file: &ArchiveFile,
    ) -> Result<OpenFile, SinkError> {
        let remote = Arc::new(RemoteFile {
            objects: objects.clone(),
            handle: handle.clone(),
            path: file.path.clone(),
            length: file.bytes,
            window: Mutex::default(),
        });
        // The end of a file, which says where everything is, comes in one piece.
        let end = file.bytes.saturating_sub(WINDOW);
        remote.bytes(end, WINDOW).map_err(|e| damaged(&file.path, &e))?;
        let reader = SerializedFileReader::new(SharedFile(remote.clone()));
        let reader = reader.map_err(|e| damaged(&file.path, &e))?;
        Ok(OpenFile { reader, file: remote })
    }

    /// How many row groups it has.
    pub fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// The first and the last event time of a row group.
    pub fn times(&self, group: usize) -> (Millis, Millis) {
        match self.reader.metadata().row_group(group).column(0).statistics() {
            Some(Statistics::Int64(times)) => (
                times.min_opt().copied().unwrap_or(Millis::MIN),
                times.max_opt().copied().unwrap_or(Millis::MAX),
            ),
            _ => (Millis::MIN, Millis::MAX),
        }
    }

    /// Reads a row group.
    ///
    /// # Errors
    /// It can't be read, or is damaged.
    pub fn read(&self, group: usize) -> Result<GroupRows, SinkError> {
        self.try_read(group).map_err(|e| damaged(&self.file.path, &e))
    }

    fn try_read(&self, group: usize) -> Result<GroupRows, ParquetError> {
        let metadata = self.reader.metadata().row_group(group);
        let ranges = metadata.columns().iter().map(|column| column.byte_range());
        let (start, end) = ranges.fold((u64::MAX, 0), |(start, end), (at, length)| {
            (start.min(at), end.max(at + length))
        });
        // All columns are needed, so the whole group is fetched at once.
        self.file.bytes(start, end.saturating_sub(start))?;
        let rows = metadata.num_rows() as usize;
        let columns = self.reader.get_row_group(group)?;
        let mut read = GroupRows::default();
        for (at, moments) in read.moments.iter_mut().enumerate() {
            let ColumnReader::Int64ColumnReader(mut column) = columns.get_column_reader(at)? else {
                return Err(ParquetError::General(format!("column {at} has no moments")));
            };
            column.read_records(rows, None, None, moments)?;
        }
        for (at, texts) in read.texts.iter_mut().enumerate() {
            let ColumnReader::ByteArrayColumnReader(mut column) =
                columns.get_column_reader(at + 2)?
            else {
                return Err(ParquetError::General(format!("column {} has no texts", at + 2)));
            };
            let (mut there, mut values) = (Vec::new(), Vec::new());
            // Columns that every row has give no levels.
            let levels = SOME.contains(&at).then_some(&mut there);
            column.read_records(rows, levels, None, &mut values)?;
            let mut values = values.into_iter();
            match SOME.contains(&at) {
                false => texts.extend(values.map(Some)),
                true => {
                    texts.extend(there.iter().map(|it| if *it == 1 { values.next() } else { None }))
                }
            }
        }
        let is_whole = read.moments.iter().all(|it| it.len() == rows)
            && read.texts.iter().all(|it| it.len() == rows);
        match is_whole {
            true => Ok(read),
            false => Err(ParquetError::General("columns have fewer values than rows".to_owned())),
        }
    }
}

/// The texts that not every row has, by their place in [`GroupRows::texts`].
const SOME: std::ops::Range<usize> = 2..6;

/// The rows of a row group.
#[derive(Default)]
pub struct GroupRows {
    /// Event times and times of receipt.
    moments: [Vec<i64>; 2],
    /// id, type, userId, sessionId, source, dialect, properties
    texts: [Vec<Option<ByteArray>>; 7],
}

impl GroupRows {
    /// Calls `each` with the rows in their order, until that breaks.
    ///
    /// # Errors
    /// A text is no UTF-8.
    pub fn each(
        &self,
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SinkError> {
        for n in 0..self.moments[0].len() {
            let text = |column: usize| match &self.texts[column][n] {
                None => Ok(None),
                Some(text) => text.as_utf8().map(Some),
            };
            let row = || {
                Ok::<_, ParquetError>(Row {
                    time: self.moments[0][n],
                    received_at: self.moments[1][n],
                    id: text(0)?.unwrap_or_default(),
                    kind: text(1)?.unwrap_or_default(),
                    user_id: text(2)?,
                    session_id: text(3)?,
                    source: text(4)?,
                    dialect: text(5)?,
                    properties: text(6)?.unwrap_or_default(),
                })
            };
            let row = row().map_err(|e| damaged("a row", &e))?;
            if each(&row).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn damaged(path: &str, error: &ParquetError) -> SinkError {
    // What could not be fetched says so itself.
    SinkError::new(SinkErrorKind::Unavailable, format!("archive: {path}: {error}"))
}
