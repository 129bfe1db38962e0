//! Exports: stored events as a file, for other programs.
//!
//! ```text
//!  store ──slices──> a thread of its own: filter, sort, write, pack ──pieces──> HTTP body or file
//!         (one waits)                                                (a few wait)
//! ```
//!
//! Whoever takes the pieces slowly makes the store wait, so an export has no more than some slices and pieces
//! in memory, however long it is. Events come in the order of their keys ([`ExportKey`]), and each has what is
//! shown of it, as in `/api/analytics/events`: no secrets.

pub mod lines;
pub mod packed;
pub mod parquet;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use self::{
    packed::{Packed, Packing},
    parquet::ParquetRows,
};
use crate::{
    domain::row::{self, Row},
    sink::{SinkError, SinkErrorKind},
    store::events::{
        EventReader,
        export::{ExportAsked, ExportKey, order},
    },
};

/// A piece is handed on once it has so many bytes.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that wait for whoever takes them.
const PIECES: usize = 4;

/// The format of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values with a head.
    Csv,
    /// Apache Parquet, which is compressed within.
    Parquet,
}

impl EventFormat {
    /// The names of all.
    pub const NAMES: &'static str = "ndjson, csv or parquet";

    /// The format of this name.
    pub fn named(name: &str) -> Option<EventFormat> {
        match name {
            "ndjson" => Some(EventFormat::Ndjson),
            "csv" => Some(EventFormat::Csv),
            "parquet" => Some(EventFormat::Parquet),
            _ => None,
        }
    }

    /// Its name, and what a file's name ends in.
    pub fn name(self) -> &'static str {
        match self {
            EventFormat::Ndjson => "ndjson",
            EventFormat::Csv => "csv",
            EventFormat::Parquet => "parquet",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            EventFormat::Ndjson => "application/x-ndjson",
            EventFormat::Csv => "text/csv; charset=utf-8",
            EventFormat::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// What is exported, and how.
#[derive(Clone, Debug)]
pub struct Export {
    /// Which events.
    pub asked: ExportAsked,
    /// The most events.
    pub limit: Option<u64>,
    /// The format.
    pub format: EventFormat,
    /// How the file is packed; not for Parquet.
    pub packing: Packing,
}

/// A piece of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPiece {
    /// Its bytes.
    pub bytes: Bytes,
    /// How many events are in the file, this piece included.
    pub rows: u64,
    /// The last event of the file, where it could end with this piece and be gone on with later: what comes
    /// afterwards may be appended as if it was one file.
    pub upto: Option<ExportKey>,
}

/// Begins an export. Its pieces come one after the other, or an error, which is the last.
pub fn begin(
    reader: Arc<dyn EventReader>,
    export: Export,
) -> mpsc::Receiver<Result<ExportPiece, SinkError>> {
    let (slices, mut taken) = mpsc::channel(1);
    let (pieces, given) = mpsc::channel(PIECES);
    let (over, outcome) = oneshot::channel();
    let asked = export.asked.clone();
    tokio::spawn(async move {
        // Nobody may wait for it any more.
        let _ = over.send(reader.export(&asked, slices).await);
    });
    tokio::task::spawn_blocking(move || {
        let mut writing = Writing::new(export, pieces);
        let mut wrote = Ok(true);
        while matches!(wrote, Ok(true)) {
            match taken.blocking_recv() {
                Some(slice) => wrote = writing.add(slice.into()),
                None => break,
            }
        }
        // The reader ends once nobody takes its slices any more.
        drop(taken);
        let ended = SinkError::new(SinkErrorKind::Other, "the store ended early");
        let read = outcome.blocking_recv().unwrap_or(Err(ended));
        let finished = wrote.and(read).and_then(|()| writing.finish());
        if let Err(e) = finished {
            writing.fail(e);
        }
    });
    given
}

/// Writes the file.
struct Writing {
    export: Export,
    file: ExportedFile,
    pieces: mpsc::Sender<Result<ExportPiece, SinkError>>,
    rows: u64,
    last: Option<ExportKey>,
}

/// The file in the making.
enum ExportedFile {
    Lines(Packed),
    Parquet(Box<ParquetRows>),
}

impl Writing {
    fn new(export: Export, pieces: mpsc::Sender<Result<ExportPiece, SinkError>>) -> Writing {
        let file = match export.format {
            EventFormat::Parquet => ExportedFile::Parquet(Box::default()),
            format => {
                let mut packed = Packed::new(export.packing);
                // A file that goes on has its head already.
                if format == EventFormat::Csv && export.asked.after.is_none() {
                    packed.write(lines::csv_head);
                }
                ExportedFile::Lines(packed)
            }
        };
        Writing { export, file, pieces, rows: 0, last: None }
    }

    /// Adds the rows of a slice. Answers whether more are wanted.
    fn add(&mut self, slice: Bytes) -> Result<bool, SinkError> {
        let asked = self.export.asked.clone();
        let mut rows = Vec::new();
        for row in row::rows(&slice) {
            let row = row.map_err(|e| SinkError::new(SinkErrorKind::Other, e.to_string()))?;
            if asked.after.as_ref().is_none_or(|after| after.is_before(&row)) {
                rows.push(row);
            }
        }
        rows.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        let mut last = None;
        for row in rows {
            if self.export.limit.is_some_and(|limit| self.rows >= limit) {
                break;
            }
            let Some(properties) = asked.filter.shown(&row) else { continue };
            self.write(&Row { properties: &properties, ..row }, &slice)?;
            self.rows += 1;
            last = Some(row);
            if !self.hand_on(PIECE_BYTES) {
                return Ok(false);
            }
        }
        self.last = last.map(|row| ExportKey::of(&row)).or(self.last.take());
        let is_full = self.export.limit.is_some_and(|limit| self.rows >= limit);
        Ok(self.end_member() && !is_full)
    }

    fn write(&mut self, row: &Row<'_>, slice: &Bytes) -> Result<(), SinkError> {
        match (&mut self.file, self.export.format) {
            (ExportedFile::Lines(packed), EventFormat::Csv) => {
                packed.write(|out| lines::csv(out, row));
            }
            (ExportedFile::Lines(packed), _) => packed.write(|out| lines::ndjson(out, row)),
            (ExportedFile::Parquet(file), _) => file.add(row, slice)?,
        }
        Ok(())
    }

    /// Hands a piece on where it has that many bytes. Answers whether somebody takes it.
    fn hand_on(&mut self, least: usize) -> bool {
        let bytes = match &mut self.file {
            ExportedFile::Lines(packed) => packed.take(least),
            ExportedFile::Parquet(file) => file.take(least),
        };
        bytes.is_none_or(|bytes| self.send(bytes, None))
    }

    /// Ends what is packed together, so that the file could end here.
    fn end_member(&mut self) -> bool {
        let ExportedFile::Lines(packed) = &mut self.file else { return true };
        let bytes = packed.end_member();
        let upto = self.last.clone();
        bytes.is_empty() || self.send(bytes, upto)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let bytes = match &mut self.file {
            ExportedFile::Lines(packed) => packed.end_member(),
            ExportedFile::Parquet(file) => file.finish(self.last.as_ref())?,
        };
        let upto = self.last.clone();
        self.send(bytes, upto);
        Ok(())
    }

    fn send(&self, bytes: Vec<u8>, upto: Option<ExportKey>) -> bool {
        let piece = ExportPiece { bytes: bytes.into(), rows: self.rows, upto };
        self.pieces.blocking_send(Ok(piece)).is_ok()
    }

    fn fail(&self, error: SinkError) {
        // Nobody may wait for it any more.
        let _ = self.pieces.blocking_send(Err(error));
    }
}
