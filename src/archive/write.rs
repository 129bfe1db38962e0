//! Writes the rows of a unit as files, and reads each of them back. It blocks.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use object_store::WriteMultipart;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{runtime::Handle, sync::mpsc};
use uuid::Uuid;

use super::{file::OpenFile, objects::ArchiveObjects};
use crate::{
    domain::{row, time::Millis},
    export::parquet::ParquetRows,
    sink::{SinkError, SinkErrorKind},
    store::{
        archive::{ArchiveFile, ArchiveStore, FileState, RowSums, RowsDigest, UnitPiece},
        retention::{UtcDay, date_of},
    },
};

/// A file with so many rows is followed by another one.
const FILE_ROWS: i64 = 1_000_000;
/// Bytes that are handed to the object store at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Parts of a file that are under way to the object store, of 5 MiB each.
const PARTS: usize = 2;
/// What of a type stands in the name of its folder as it is: what Hive leaves as it is, too. Of the characters of a
/// type that is all but the colon.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b' ');

/// The name of a new file.
fn new_path(day: UtcDay, kind: &str) -> String {
    let kind = utf8_percent_encode(kind, PLAIN);
    format!("date={}/type={kind}/{}.parquet", date_of(day), Uuid::now_v7())
}

/// Writes files.
pub struct FileWriter {
    /// Where they go.
    pub objects: Arc<ArchiveObjects>,
    /// The list on which they are noted.
    pub list: Arc<dyn ArchiveStore>,
    /// The runtime that talks to both.
    pub handle: Handle,
    /// The day of their events, in UTC.
    pub day: UtcDay,
}

/// A file under way.
struct NewFile {
    file: ArchiveFile,
    /// Taken when the file ends.
    upload: Option<WriteMultipart>,
    handle: Handle,
    rows: ParquetRows,
    digest: RowsDigest,
}

impl Drop for NewFile {
    /// What was sent of a file that does not come to its end would stay in the bucket, unseen.
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take()
            && let Err(e) = self.handle.block_on(upload.abort())
        {
            tracing::warn!(path = self.file.path, error = %e, "a part of a file stays in the archive");
        }
    }
}

/// What was written: the files, and the sums of each type.
#[derive(Default)]
pub struct WrittenUnit {
    /// The files, each of them checked.
    pub files: Vec<ArchiveFile>,
    /// What the rows add up to that were read back, by type.
    pub sums: Vec<(String, RowSums)>,
}

impl FileWriter {
    /// Writes all that comes.
    ///
    /// # Errors
    /// A file can't be written, or is not what was written.
    pub fn write(&self, mut pieces: mpsc::Receiver<UnitPiece>) -> Result<WrittenUnit, SinkError> {
        let mut written = WrittenUnit::default();
        let (mut under_way, mut scratch) = (None::<NewFile>, Vec::new());
        while let Some(piece) = pieces.blocking_recv() {
            let bytes: Bytes = match piece {
                UnitPiece::Rows(bytes) => bytes.into(),
                UnitPiece::Kind(kind) => {
                    self.end(under_way.take(), &mut written)?;
                    written.sums.push((kind, RowSums::default()));
                    continue;
                }
            };
            for row in row::rows(&bytes) {
                let row = row.map_err(|e| SinkError::new(SinkErrorKind::Other, e.to_string()))?;
                if is_lost() {
                    continue;
                }
                let (kind, _) = written.sums.last().expect("a type comes before its rows");
                let mut new = match under_way.take() {
                    Some(new) => new,
                    None => self.begin(kind)?,
                };
                let times = &mut new.file.times;
                *times = (times.0.min(row.time), times.1.max(row.time));
                new.digest.add(&row, &mut scratch);
                new.rows.add(&row, &bytes)?;
                if let Some(ready) = new.rows.take(PIECE_BYTES) {
                    self.hand_on(&mut new, ready)?;
                }
                match new.digest.sums.rows {
                    FILE_ROWS.. => self.end(Some(new), &mut written)?,
                    _ => under_way = Some(new),
                }
            }
        }
        self.end(under_way, &mut written)?;
        Ok(written)
    }

    /// Puts a file on the list, and begins it.
    fn begin(&self, kind: &str) -> Result<NewFile, SinkError> {
        let file = ArchiveFile {
            path: new_path(self.day, kind),
            day: date_of(self.day),
            kind: kind.to_owned(),
            state: FileState::Writing,
            rows: 0,
            bytes: 0,
            times: (0, 0),
            digest: String::new(),
        };
        self.handle.block_on(self.list.note_file(&file))?;
        crate::failpoint::kill_point!("archive-writing");
        let upload = self.handle.block_on(self.objects.begin(&file.path))?;
        let file = ArchiveFile { times: (Millis::MAX, Millis::MIN), ..file };
        let (upload, handle) = (Some(upload), self.handle.clone());
        let (rows, digest) = (ParquetRows::default(), RowsDigest::default());
        Ok(NewFile { file, upload, handle, rows, digest })
    }

    fn hand_on(&self, new: &mut NewFile, bytes: Vec<u8>) -> Result<(), SinkError> {
        let upload = new.upload.as_mut().expect("it is taken at the end");
        let put = async {
            upload.wait_for_capacity(PARTS).await?;
            upload.put(bytes.into());
            Ok::<_, object_store::Error>(())
        };
        self.handle.block_on(put).map_err(|e| self.objects.failed(&e))
    }

    /// Ends a file, reads it back, and notes that it is as it was written.
    fn end(&self, new: Option<NewFile>, written: &mut WrittenUnit) -> Result<(), SinkError> {
        let Some(mut new) = new else { return Ok(()) };
        let rest = new.rows.finish(None)?;
        self.hand_on(&mut new, rest)?;
        let (mut file, digest) = (new.file.clone(), new.digest);
        let upload = new.upload.take().expect("only this takes it");
        file.bytes = self.handle.block_on(self.objects.end(&file.path, upload))?;
        crate::failpoint::kill_point!("archive-written");
        file.rows = digest.sums.rows as u64;
        file.digest = digest.written();
        let found = digest_of(&self.objects, &self.handle, &file)?;
        if found != digest {
            return Err(SinkError::new(
                SinkErrorKind::Other,
                format!(
                    "archive: {} was read back with {} rows and digest {}, and was written with {} and {}: \
                     no row has left the store",
                    file.path,
                    found.sums.rows,
                    found.written(),
                    digest.sums.rows,
                    digest.written()
                ),
            ));
        }
        let (_, sums) = written.sums.last_mut().expect("a type comes before its rows");
        *sums += found.sums;
        file.state = FileState::Checked;
        if !self.handle.block_on(self.list.check_file(&file))? {
            let words = format!("archive: another process has deleted {}", file.path);
            return Err(SinkError::new(SinkErrorKind::Other, words));
        }
        written.files.push(file);
        Ok(())
    }
}

/// Whether a row is lost on its way, as a test may ask.
fn is_lost() -> bool {
    fail::fail_point!("archive-lose-row", |_| true);
    false
}

/// Reads a file whole, and says what its rows are.
///
/// # Errors
/// It can't be read, or is damaged.
pub fn digest_of(
    objects: &Arc<ArchiveObjects>,
    handle: &Handle,
    file: &ArchiveFile,
) -> Result<RowsDigest, SinkError> {
    let open = OpenFile::open(objects, handle, file)?;
    let (mut digest, mut scratch) = (RowsDigest::default(), Vec::new());
    for group in 0..open.groups() {
        let _ = open.read(group)?.each(&mut |row| {
            digest.add(row, &mut scratch);
            ControlFlow::Continue(())
        })?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_one_folder() {
        let folder = |kind: &str| {
            let path = new_path(20_784, kind);
            path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default()
        };
        assert_eq!(folder("page_view"), "date=2026-11-27/type=page_view");
        assert_eq!(folder("add to cart"), "date=2026-11-27/type=add to cart");
        assert_eq!(folder("a:b.c-d"), "date=2026-11-27/type=a%3Ab.c-d");
    }
}
