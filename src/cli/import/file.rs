//! A file that is imported: opened, its format told, and read record by record.

use std::{
    io::{self, BufRead, Read},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use super::{
    analytics::{EventTable, JsonRecords},
    format::ExportFormat,
    mapping::{ColumnMap, MappedTable},
    orders::{ShopifyOrders, StripePayments, WooOrders},
    record::{ImportRecord, ImportRules},
    table::{Lines, Table},
};
use crate::cli::replay::{EventFile, open};

/// A file to be imported.
#[derive(Clone, Debug)]
pub struct ExportFile {
    /// Where it is; unpacked if its name ends in `.gz`.
    pub path: PathBuf,
    /// What it is.
    pub format: ExportFormat,
    map: Option<ColumnMap>,
}

/// Its records.
pub struct ExportRecords {
    reader: FormatReader,
    /// Why the file could not be read on.
    failed: Arc<OnceLock<String>>,
    /// Bytes of the file as it lies on disk.
    pub bytes: u64,
    /// How many of these bytes were read so far.
    pub position: Arc<AtomicU64>,
}

enum FormatReader {
    Shopify(Box<ShopifyOrders>),
    Stripe(Box<StripePayments>),
    Woo(Box<WooOrders>),
    Events(Box<EventTable>),
    Json(JsonRecords),
    Mapped(Box<MappedTable>),
}

impl ExportFile {
    /// Looks what a file is, unless `chosen` or a map says so.
    ///
    /// # Errors
    /// It can't be read, or is no export that can be imported.
    pub fn recognise(
        path: &Path,
        chosen: Option<ExportFormat>,
        map: Option<&ColumnMap>,
    ) -> Result<ExportFile, String> {
        let format = match (chosen, map) {
            (Some(ExportFormat::Mapped), None) => {
                return Err("--format mapped needs --map".to_owned());
            }
            (_, Some(_)) => ExportFormat::Mapped,
            (Some(chosen), None) => chosen,
            (None, None) => {
                let mut file = opened(path)?;
                ExportFormat::of(file.lines.fill_buf().map_err(|e| e.to_string())?)?
            }
        };
        Ok(ExportFile { path: path.to_owned(), format, map: map.cloned() })
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// It can't be read, or lacks a column.
    pub fn read(&self) -> Result<ExportRecords, String> {
        let EventFile { lines, bytes, position } = opened(&self.path)?;
        let failed = Arc::new(OnceLock::new());
        let lines: Lines = Box::new(WatchedLines { lines, failed: failed.clone() });
        let separator = self.map.as_ref().map(ColumnMap::separator).transpose()?.flatten();
        let reader = match (self.format, &self.map) {
            (format @ (ExportFormat::Native | ExportFormat::Ga4 | ExportFormat::Mixpanel), _) => {
                FormatReader::Json(JsonRecords::new(lines, format))
            }
            (ExportFormat::Posthog, _) => {
                let mut lines = lines;
                let beginning = lines.fill_buf().map_err(|e| e.to_string())?;
                match beginning.trim_ascii_start().starts_with(b"{") {
                    true => FormatReader::Json(JsonRecords::new(lines, self.format)),
                    false => {
                        let table = Table::open(lines, None)?;
                        FormatReader::Events(Box::new(EventTable::new(table, self.format)?))
                    }
                }
            }
            (format, map) => {
                let table = Table::open(lines, separator)?;
                match (format, map) {
                    (ExportFormat::Shopify, _) => {
                        FormatReader::Shopify(Box::new(ShopifyOrders::new(table)?))
                    }
                    (ExportFormat::Stripe, _) => {
                        FormatReader::Stripe(Box::new(StripePayments::new(table)?))
                    }
                    (ExportFormat::Woocommerce, _) => {
                        FormatReader::Woo(Box::new(WooOrders::new(table)?))
                    }
                    (ExportFormat::Mapped, Some(map)) => {
                        FormatReader::Mapped(Box::new(MappedTable::new(table, map.clone())?))
                    }
                    _ => FormatReader::Events(Box::new(EventTable::new(table, format)?)),
                }
            }
        };
        Ok(ExportRecords { reader, failed, bytes, position })
    }
}

/// Lines that note why they can't be read on.
struct WatchedLines {
    lines: Lines,
    failed: Arc<OnceLock<String>>,
}

impl WatchedLines {
    fn noted<T>(failed: &OnceLock<String>, read: io::Result<T>) -> io::Result<T> {
        read.inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                let _ = failed.set(e.to_string());
            }
        })
    }
}

impl Read for WatchedLines {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        WatchedLines::noted(&self.failed, self.lines.read(into))
    }
}

impl BufRead for WatchedLines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        WatchedLines::noted(&self.failed, self.lines.fill_buf())
    }

    fn consume(&mut self, bytes: usize) {
        self.lines.consume(bytes);
    }
}

fn opened(path: &Path) -> Result<EventFile, String> {
    open(path).map_err(|e| format!("can't read {}: {e}", path.display()))
}

impl ExportRecords {
    /// Reads on, and adds what came of it; `false` at the end.
    ///
    /// # Errors
    /// The rest can't be read.
    pub fn next(
        &mut self,
        rules: &ImportRules,
        out: &mut Vec<ImportRecord>,
    ) -> Result<bool, String> {
        let goes_on = match &mut self.reader {
            FormatReader::Shopify(orders) => orders.next(rules, out),
            FormatReader::Stripe(payments) => payments.next(rules, out),
            FormatReader::Woo(orders) => orders.next(rules, out),
            FormatReader::Events(events) => events.next(rules, out),
            FormatReader::Mapped(rows) => rows.next(rules, out),
            FormatReader::Json(records) => return records.next(rules, out),
        };
        match self.failed.get() {
            // To a table this looks like its end.
            Some(why) if !goes_on => Err(format!("the rest can't be read: {why}")),
            _ => Ok(goes_on),
        }
    }
}
