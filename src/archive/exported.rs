//! Exports from the store and the archive together: day by day where files have events, part by part of a day, as
//! a store does it by itself.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    answers::{ArchivedEvents, is_of},
    scan::FileScan,
};
use crate::{
    domain::{
        event_filter::EventFilter,
        row::{self, Row},
    },
    sink::{SinkError, SinkErrorKind},
    store::{
        archive::FileState,
        events::export::{
            ExportAsked, ExportKey, ExportPart, ExportSlice, ExportWalk, MOST_BYTES, PartRead,
            order,
        },
    },
};

impl ArchivedEvents {
    /// Exports a span of which no file has events, for as long as that is so. Where rows of it move to the
    /// archive meanwhile, it answers where to go on.
    pub(super) async fn export_plain(
        &self,
        asked: &ExportAsked,
        kinds: Option<&[String]>,
        slices: &mpsc::Sender<ExportSlice>,
    ) -> Result<Exported, SinkError> {
        let (own, mut taken) = mpsc::channel::<ExportSlice>(1);
        // The reader ends where nobody takes its slices any more, as when this has returned.
        let forwarding = async move {
            let mut last: Option<ExportSlice> = None;
            loop {
                let slice = taken.recv().await;
                // A slice that was read before rows of it moved is whole.
                let moved = self.list.archive_files(Some((asked.from, asked.until))).await?;
                if moved.iter().any(|it| it.state == FileState::Kept && is_of(it, kinds)) {
                    return Ok(Exported::Upto(last_of(last.as_deref())?));
                }
                let Some(slice) = slice else { return Ok(Exported::Whole) };
                if slices.send(slice.clone()).await.is_err() {
                    return Ok(Exported::NobodyTakes);
                }
                last = Some(slice);
            }
        };
        let (read, done) = tokio::join!(self.store.export(asked, own), forwarding);
        read?;
        done
    }

    /// Exports a day of which files have events. Answers whether more is wanted.
    pub(super) async fn export_day(
        &self,
        asked: &ExportAsked,
        kinds: Option<&[String]>,
        slices: &mpsc::Sender<ExportSlice>,
    ) -> Result<bool, SinkError> {
        let (mut walk, span) = (ExportWalk::new(asked), (asked.from, asked.until));
        let mut files = self.files(span, kinds).await?;
        while let Some(part) = walk.next() {
            let started = Instant::now();
            let of_archive = match files.is_empty() {
                true => Some(Vec::new()),
                false => {
                    let (filter, part) = (asked.filter.clone(), part.clone());
                    self.scan(files.clone(), move |scan| rows_of(scan, &filter, &part)).await?
                }
            };
            let of_store = match of_archive {
                None => None,
                Some(_) => self.rows_of_store(asked, &part).await?,
            };
            let now = self.files(span, kinds).await?;
            if now != files {
                files = now;
                continue;
            }
            let (Some(mut bytes), Some(more)) = (of_archive, of_store) else {
                walk.took(&part, PartRead::too_much());
                continue;
            };
            bytes.extend_from_slice(&more);
            let (bytes, mut read) = first_of(bytes, &part)?;
            read.took = started.elapsed();
            if walk.took(&part, read) && !bytes.is_empty() && slices.send(bytes).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows of a part from the store; `None` where a stretch has too many.
    async fn rows_of_store(
        &self,
        asked: &ExportAsked,
        part: &ExportPart,
    ) -> Result<Option<Vec<u8>>, SinkError> {
        let (from, until) = part.stretch();
        let after = match part {
            ExportPart::Stretch { .. } => None,
            ExportPart::Page { after, .. } => after.clone(),
        };
        let of_part = ExportAsked { from, until, after, filter: asked.filter.clone() };
        let (slices, mut taken) = mpsc::channel(1);
        let reading = self.store.export(&of_part, slices);
        // Likewise.
        let taking = async move {
            let mut rows = Vec::new();
            while let Some(slice) = taken.recv().await {
                rows.extend_from_slice(&slice);
                match part {
                    ExportPart::Stretch { .. } if rows.len() > MOST_BYTES => return None,
                    // The slices of one millisecond come in order, so the first are enough.
                    ExportPart::Page { .. } if behind(&rows, part) >= part.limit() => break,
                    _ => {}
                }
            }
            Some(rows)
        };
        let (read, rows) = tokio::join!(reading, taking);
        read?;
        Ok(rows)
    }
}

/// How an export of rows that no file has went.
pub(super) enum Exported {
    /// To its end.
    Whole,
    /// Up to this event, since rows have moved; `None` where none was given yet.
    Upto(Option<ExportKey>),
    /// Whoever asked has gone away.
    NobodyTakes,
}

/// The last row of a slice.
fn last_of(slice: Option<&[u8]>) -> Result<Option<ExportKey>, SinkError> {
    let rows = row::rows(slice.unwrap_or_default());
    let rows: Vec<Row<'_>> = rows.collect::<Result<_, _>>().map_err(strange)?;
    Ok(rows.iter().max_by_key(|row| order(row)).map(ExportKey::of))
}

fn strange(error: row::RowError) -> SinkError {
    SinkError::new(SinkErrorKind::Other, error.to_string())
}

/// How many of these rows lie behind the last one of the page before.
fn behind(rows: &[u8], part: &ExportPart) -> usize {
    let ExportPart::Page { after, .. } = part else { return 0 };
    let is_behind = |row: &Row<'_>| after.as_ref().is_none_or(|after| after.is_before(row));
    row::rows(rows).flatten().filter(is_behind).count()
}

/// The rows of a part from the archive; `None` where a stretch has too many.
fn rows_of(
    scan: &mut FileScan,
    filter: &EventFilter,
    part: &ExportPart,
) -> Result<Option<Vec<u8>>, SinkError> {
    let after = match part {
        ExportPart::Stretch { .. } => None,
        ExportPart::Page { after, .. } => after.clone(),
    };
    let is_page = matches!(part, ExportPart::Page { .. });
    let mut page: Vec<(ExportKey, Vec<u8>)> = Vec::new();
    let (mut bytes, mut rows) = (Vec::new(), 0);
    let over = scan.each(part.stretch(), &mut |row| {
        if after.as_ref().is_some_and(|after| !after.is_before(row)) || !filter.may_pass(row) {
            return ControlFlow::Continue(());
        }
        if is_page {
            let mut encoded = Vec::new();
            row.encode(&mut encoded);
            page.push((ExportKey::of(row), encoded));
            if page.len() >= 4 * part.limit() {
                page.sort();
                page.truncate(part.limit());
            }
            return ControlFlow::Continue(());
        }
        row.encode(&mut bytes);
        rows += 1;
        match rows >= part.limit() || bytes.len() > MOST_BYTES {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    page.sort();
    page.into_iter().take(part.limit()).for_each(|(_, row)| bytes.extend(row));
    Ok(over.is_continue().then_some(bytes))
}

/// Of a page the first rows; of a stretch all.
fn first_of(bytes: Vec<u8>, part: &ExportPart) -> Result<(Vec<u8>, PartRead), SinkError> {
    let ExportPart::Page { after, .. } = part else {
        let (rows, _) = row::count(&bytes).map_err(strange)?;
        let size = bytes.len();
        return Ok((bytes, PartRead { rows, bytes: size, ..PartRead::default() }));
    };
    let mut rows: Vec<Row<'_>> = row::rows(&bytes).collect::<Result<_, _>>().map_err(strange)?;
    rows.retain(|row| after.as_ref().is_none_or(|after| after.is_before(row)));
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    rows.truncate(part.limit());
    let mut first = Vec::new();
    rows.iter().for_each(|row| row.encode(&mut first));
    let read = PartRead {
        rows: rows.len(),
        bytes: first.len(),
        last: rows.last().map(ExportKey::of),
        took: Duration::ZERO,
    };
    Ok((first, read))
}
