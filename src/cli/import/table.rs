//! The rows of a CSV, by the names of its columns.

use std::io::BufRead;

use csv::{Reader, ReaderBuilder, StringRecord};

use super::format::separator;

/// The source of a file's bytes.
pub type Lines = Box<dyn BufRead + Send>;

/// A CSV that is being read.
pub struct Table {
    reader: Reader<Lines>,
    header: Vec<String>,
}

/// One row.
pub struct TableRow {
    /// The line at which it begins, from 1.
    pub line: u64,
    record: StringRecord,
}

/// A row that can't be read: the line at which it begins, and why.
pub type BrokenRow = (u64, String);

impl Table {
    /// Reads the header. `chosen` is the separator; without it, it is the one that the header has most of.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn open(mut lines: Lines, chosen: Option<u8>) -> Result<Table, String> {
        let beginning = lines.fill_buf().map_err(|e| e.to_string())?;
        if beginning.starts_with("\u{feff}".as_bytes()) {
            lines.consume('\u{feff}'.len_utf8());
        }
        let beginning = lines.fill_buf().map_err(|e| e.to_string())?;
        let end = memchr::memchr(b'\n', beginning).unwrap_or(beginning.len());
        let guessed = separator(&String::from_utf8_lossy(&beginning[..end]));
        let mut reader = ReaderBuilder::new()
            .delimiter(chosen.unwrap_or(guessed))
            .flexible(true)
            .from_reader(lines);
        let header = reader.headers().map_err(|e| e.to_string())?;
        let header = header.iter().map(|name| name.trim().to_owned()).collect();
        Ok(Table { reader, header })
    }

    /// Where the first of these columns is that the file has.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.header.iter().position(|known| known == name))
    }

    /// The same, of a column that has to be there.
    ///
    /// # Errors
    /// It is not.
    pub fn needed(&self, names: &[&str]) -> Result<usize, String> {
        self.column(names).ok_or_else(|| format!("the file has no column {}", names.join(" or ")))
    }

    /// The next row; `None` at the end.
    pub fn next(&mut self) -> Option<Result<TableRow, BrokenRow>> {
        let before = self.reader.position().line();
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                let line = record.position().map_or(before, csv::Position::line);
                let (columns, needed) = (record.len(), self.header.len());
                Some(match columns == needed {
                    true => Ok(TableRow { line, record }),
                    false => {
                        Err((line, format!("it has {columns} columns, and the header {needed}")))
                    }
                })
            }
            Err(error) => {
                let line = error.position().map_or(before, csv::Position::line);
                Some(Err((line, words_of(&error))))
            }
        }
    }
}

fn words_of(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is no UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

impl TableRow {
    /// The row as one text, by which it is known again.
    pub fn raw(&self) -> Vec<u8> {
        self.record.iter().collect::<Vec<_>>().join("\u{1f}").into_bytes()
    }

    /// The text of a column; `None` where there is none.
    pub fn get(&self, column: Option<usize>) -> Option<&str> {
        self.record.get(column?).map(str::trim).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_broken_row_is_named_by_its_line_and_costs_no_other() {
        let text = "\u{feff}a;b\n1;\"x\ny\"\n2\n3;\u{fffd};4\n5;z\n".replace('\u{fffd}', "\x01");
        let mut bytes = text.into_bytes();
        let at = bytes.iter().position(|byte| *byte == 1).unwrap();
        bytes[at] = 0xff;
        let mut table = Table::open(Box::new(Cursor::new(bytes)), None).unwrap();
        let b = table.needed(&["b"]).unwrap();
        let mut read = Vec::new();
        while let Some(row) = table.next() {
            read.push(row.map(|row| (row.line, row.get(Some(b)).unwrap_or("").to_owned())));
        }
        assert_eq!(read[0], Ok((2, "x\ny".to_owned())));
        assert_eq!(read[1], Err((4, "it has 1 columns, and the header 2".to_owned())));
        assert_eq!(read[2], Err((5, "it is no UTF-8".to_owned())));
        assert_eq!(read[3], Ok((6, "z".to_owned())));
        assert!(table.needed(&["c", "d"]).unwrap_err().contains("c or d"));
    }
}
