//! Events as Apache Parquet: the columns of CSV, with moments as timestamps (UTC, ms) and properties as text.
//!
//! It is written by columns without Arrow: a row group is gathered in memory and written column by column.

use std::{mem, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};

use crate::{
    domain::row::Row,
    sink::{SinkError, SinkErrorKind},
    store::events::export::ExportKey,
};

/// The schema. Its columns are those of CSV.
const SCHEMA: &str = "message event {
    required int64 timestamp (TIMESTAMP(MILLIS,true));
    required int64 receivedAt (TIMESTAMP(MILLIS,true));
    required binary id (STRING);
    required binary type (STRING);
    optional binary userId (STRING);
    optional binary sessionId (STRING);
    optional binary source (STRING);
    optional binary dialect (STRING);
    required binary properties (STRING);
}";
/// The rows of a row group.
const GROUP_ROWS: usize = 20_000;
/// The bytes of texts of a row group, before they are packed.
const GROUP_BYTES: usize = 8 << 20;
/// The key of the file's metadata that says where to go on: the key of its last event.
pub const LAST_KEY: &str = "floodmark.after";

/// A Parquet file in the making.
pub struct ParquetRows {
    /// `None` once it is finished.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    group: GatheredRows,
}

/// The columns of a row group.
#[derive(Default)]
struct GatheredRows {
    moments: [Vec<i64>; 2],
    /// id, type, properties
    texts: [Vec<ByteArray>; 3],
    /// userId, sessionId, source, dialect: values and whether each row has one.
    some_texts: [(Vec<ByteArray>, Vec<i16>); 4],
    bytes: usize,
}

impl Default for ParquetRows {
    fn default() -> ParquetRows {
        let schema = parse_message_type(SCHEMA).expect("the schema is one");
        let no_dictionary = |properties: &str| ColumnPath::from(properties);
        let settings = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("zstd has it")))
            .set_created_by(concat!("floodmark ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            // Nearly every row has another id, so a dictionary of them is given up anyway.
            .set_column_dictionary_enabled(no_dictionary("id"), false)
            .set_column_statistics_enabled(no_dictionary("properties"), EnabledStatistics::None)
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(settings));
        ParquetRows {
            writer: Some(writer.expect("memory can be written to")),
            group: GatheredRows::default(),
        }
    }
}

impl ParquetRows {
    /// Adds a row. What of it lies in `shared` is not copied.
    ///
    /// # Errors
    /// A bug of the library.
    pub fn add(&mut self, row: &Row<'_>, shared: &Bytes) -> Result<(), SinkError> {
        let group = &mut self.group;
        group.moments[0].push(row.time);
        group.moments[1].push(row.received_at);
        for (column, text) in group.texts.iter_mut().zip([row.id, row.kind, row.properties]) {
            group.bytes += text.len();
            column.push(part_of(shared, text));
        }
        let some = [row.user_id, row.session_id, row.source, row.dialect];
        for ((values, there), text) in group.some_texts.iter_mut().zip(some) {
            there.push(i16::from(text.is_some()));
            if let Some(text) = text {
                group.bytes += text.len();
                values.push(part_of(shared, text));
            }
        }
        let is_full = group.moments[0].len() >= GROUP_ROWS || group.bytes >= GROUP_BYTES;
        if is_full { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<(), SinkError> {
        let group = mem::take(&mut self.group);
        if group.moments[0].is_empty() {
            return Ok(());
        }
        let writer = self.writer.as_mut().expect("it is not finished yet");
        let mut write = || {
            let mut out = writer.next_row_group()?;
            for moments in &group.moments {
                write_moments(&mut out, moments)?;
            }
            let [ids, kinds, properties] = &group.texts;
            write_texts(&mut out, ids, None)?;
            write_texts(&mut out, kinds, None)?;
            for (values, there) in &group.some_texts {
                write_texts(&mut out, values, Some(there))?;
            }
            write_texts(&mut out, properties, None)?;
            out.close()?;
            Ok(())
        };
        write().map_err(failed)
    }

    /// What is written by now, where that is at least so much.
    pub fn take(&mut self, least: usize) -> Option<Vec<u8>> {
        let writer = self.writer.as_mut()?;
        // It goes through a buffer of the library; what is taken out here was counted already.
        writer.flush().expect("memory can be written to");
        let out = writer.inner_mut();
        (out.len() >= least).then(|| mem::take(out))
    }

    /// Ends the file, and gives what is left of it. `last` is where another file would go on.
    ///
    /// # Errors
    /// A bug of the library.
    pub fn finish(&mut self, last: Option<&ExportKey>) -> Result<Vec<u8>, SinkError> {
        self.end_group()?;
        let mut writer = self.writer.take().expect("it is finished once");
        if let Some(last) = last {
            let after = KeyValue::new(LAST_KEY.to_owned(), last.to_string());
            writer.append_key_value_metadata(after);
        }
        writer.finish().map_err(failed)?;
        Ok(mem::take(writer.inner_mut()))
    }
}

/// A text as a value, which shares the memory of `shared` where it lies in it.
fn part_of(shared: &Bytes, text: &str) -> ByteArray {
    let within = shared.as_ptr_range();
    let of = text.as_bytes().as_ptr_range();
    let is_within = within.start <= of.start && of.end <= within.end;
    match is_within {
        true => shared.slice_ref(text.as_bytes()).into(),
        false => ByteArray::from(text.as_bytes()),
    }
}

type Out<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn write_moments(out: &mut Out<'_>, moments: &[i64]) -> Result<(), ParquetError> {
    let mut column = next_column(out)?;
    column.typed::<Int64Type>().write_batch(moments, None, None)?;
    column.close()
}

fn write_texts(
    out: &mut Out<'_>,
    values: &[ByteArray],
    there: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = next_column(out)?;
    column.typed::<ByteArrayType>().write_batch(values, there, None)?;
    column.close()
}

fn next_column<'a>(
    out: &'a mut Out<'_>,
) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, ParquetError> {
    let column = out.next_column()?;
    column.ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))
}

fn failed(error: ParquetError) -> SinkError {
    SinkError::new(SinkErrorKind::Other, format!("Parquet: {error}"))
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;

    #[test]
    fn the_columns_are_those_of_csv() {
        let schema = parse_message_type(SCHEMA).unwrap();
        let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, super::super::lines::EVENT_COLUMNS);
    }

    #[test]
    fn a_file_has_its_rows_in_groups() {
        let mut file = ParquetRows::default();
        let mut bytes = Vec::new();
        let shared = Bytes::from_static(b"{\"a\":1}");
        for n in 0..GROUP_ROWS + 10 {
            let id = n.to_string();
            let properties = std::str::from_utf8(&shared).unwrap();
            let user_id = (n % 3 == 0).then_some("ann");
            let row =
                Row { time: n as i64, id: &id, kind: "x", user_id, properties, ..Row::default() };
            file.add(&row, &shared).unwrap();
            bytes.extend(file.take(1).unwrap_or_default());
        }
        assert!(bytes.len() > 4, "a group is handed on before the file ends");
        let last = ExportKey::parse("5~7~x~a").unwrap();
        bytes.extend(file.finish(Some(&last)).unwrap());
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let metadata = reader.metadata().file_metadata();
        assert_eq!((metadata.num_rows(), reader.num_row_groups()), (GROUP_ROWS as i64 + 10, 2));
        let said = &metadata.key_value_metadata().unwrap()[0];
        assert_eq!((said.key.as_str(), said.value.as_deref()), (LAST_KEY, Some("5~7~x~a")));
        let users: Vec<bool> = reader
            .get_row_iter(None)
            .unwrap()
            .take(3)
            .map(|row| row.unwrap().get_string(4).is_err())
            .collect();
        assert_eq!(users, [false, true, true]);
    }
}
