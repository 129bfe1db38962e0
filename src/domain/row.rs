//! The encoded row: one event as a tuple of PostgreSQL's binary COPY format, the bytes
//! that the spool holds and that COPY sends unchanged.
//!
//! Fields, in order: `time timestamptz`, `received_at timestamptz`, `id text`,
//! `type text`, `user_id text?`, `session_id text?`, `properties jsonb`, `source text?`,
//! `dialect text?`. The last two came later: rows of before have seven fields, and the count at their
//! head says so.
//! A tuple is an `i16` count of fields, then for each an `i32` length (-1 for NULL) and
//! the bytes, all big-endian; a timestamptz is microseconds since 2000-01-01; a jsonb is
//! one version byte (1) and the JSON text.
//! Source: PostgreSQL 15 documentation, COPY, "Binary Format".

use crate::domain::time::Millis;

/// 2000-01-01T00:00:00Z in Unix milliseconds: where PostgreSQL's timestamps begin.
const PG_EPOCH_MS: Millis = 946_684_800_000;

const FIELDS: i16 = 9;
/// The fields of a row of before there were source and dialect.
const FIELDS_BEFORE_SOURCE: i16 = 7;
const JSONB_VERSION: u8 = 1;

/// The columns of `events`, in the order in which a row holds them.
pub const COLUMNS: &str =
    "time, received_at, id, type, user_id, session_id, properties, source, dialect";

/// One event, borrowed: what a row is encoded from and decodes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row<'a> {
    /// Event time, Unix ms.
    pub time: Millis,
    /// When the server received it, Unix ms.
    pub received_at: Millis,
    /// The client's id or a UUIDv7 made by the server, 1 to 128 bytes.
    pub id: &'a str,
    /// Event type, 1 to 64 characters.
    pub kind: &'a str,
    /// User, where known.
    pub user_id: Option<&'a str>,
    /// Session, where known.
    pub session_id: Option<&'a str>,
    /// A JSON object, as the client wrote it.
    pub properties: &'a str,
    /// The name of the sender's key ([`crate::domain::source`]); `None` in rows of before there were
    /// names.
    pub source: Option<&'a str>,
    /// The format that it came in; `None` in rows of before this was kept.
    pub dialect: Option<&'a str>,
}

/// Bytes that are no row of this layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed row at byte {at}")]
pub struct RowError {
    /// Where in the input the malformed row begins.
    pub at: usize,
}

impl<'a> Row<'a> {
    /// Appends the tuple to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&FIELDS.to_be_bytes());
        put_time(out, self.time);
        put_time(out, self.received_at);
        put(out, Some(self.id));
        put(out, Some(self.kind));
        put(out, self.user_id);
        put(out, self.session_id);
        out.extend_from_slice(&(self.properties.len() as i32 + 1).to_be_bytes());
        out.push(JSONB_VERSION);
        out.extend_from_slice(self.properties.as_bytes());
        put(out, self.source);
        put(out, self.dialect);
    }

    /// The one who counts as active: the session, or the user where there is no session.
    pub fn visitor(&self) -> Option<&'a str> {
        self.session_id.or(self.user_id)
    }
}

fn put_time(out: &mut Vec<u8>, at: Millis) {
    out.extend_from_slice(&8i32.to_be_bytes());
    out.extend_from_slice(&((at - PG_EPOCH_MS) * 1000).to_be_bytes());
}

fn put(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            out.extend_from_slice(&(text.len() as i32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}

/// Whether encoded rows are in the form of before there were source and dialect, which COPY does not
/// take for the columns of today. All rows of a chunk have one form, since a start of the server begins
/// a new chunk.
pub fn is_of_before_source(chunk: &[u8]) -> bool {
    chunk.starts_with(&FIELDS_BEFORE_SOURCE.to_be_bytes())
}

/// How many tuples these are, and the bytes of the last one, without a look at what they hold.
///
/// # Errors
/// They are no whole tuples.
pub fn count(bytes: &[u8]) -> Result<(usize, &[u8]), RowError> {
    let (mut count, mut last, mut at) = (0, bytes, 0);
    while at < bytes.len() {
        let mut reader = Reader(&bytes[at..]);
        let fields = reader.take(2).map(|field| i16::from_be_bytes([field[0], field[1]]));
        let is_whole = fields.is_some_and(|fields| (0..fields).all(|_| reader.field().is_some()));
        if !is_whole {
            return Err(RowError { at });
        }
        let next = bytes.len() - reader.0.len();
        (count, last, at) = (count + 1, &bytes[at..next], next);
    }
    Ok((count, last))
}

/// Walks the rows in a run of encoded tuples. Ends after the first malformed one.
pub fn rows(bytes: &[u8]) -> Rows<'_> {
    Rows { bytes, at: 0 }
}

/// Iterator of [`rows`].
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Rows<'_> {
    /// Bytes walked so far: after a row, where the next one begins.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let mut reader = Reader(&self.bytes[self.at..]);
        match reader.row() {
            Some(row) => {
                self.at = self.bytes.len() - reader.0.len();
                Some(Ok(row))
            }
            None => {
                let at = std::mem::replace(&mut self.at, self.bytes.len());
                Some(Err(RowError { at }))
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn length(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn field(&mut self) -> Option<Option<&'a [u8]>> {
        match self.length()? {
            -1 => Some(None),
            n => Some(Some(self.take(usize::try_from(n).ok()?)?)),
        }
    }

    fn text(&mut self) -> Option<Option<&'a str>> {
        match self.field()? {
            None => Some(None),
            Some(bytes) => Some(Some(std::str::from_utf8(bytes).ok()?)),
        }
    }

    fn time(&mut self) -> Option<Millis> {
        let micros = i64::from_be_bytes(self.field()??.try_into().ok()?);
        Some(micros.div_euclid(1000) + PG_EPOCH_MS)
    }

    fn row(&mut self) -> Option<Row<'a>> {
        let fields = i16::from_be_bytes(self.take(2)?.try_into().ok()?);
        if ![FIELDS, FIELDS_BEFORE_SOURCE].contains(&fields) {
            return None;
        }
        let mut row = Row {
            time: self.time()?,
            received_at: self.time()?,
            id: self.text()??,
            kind: self.text()??,
            user_id: self.text()?,
            session_id: self.text()?,
            properties: self.text()??.strip_prefix(JSONB_VERSION as char)?,
            source: None,
            dialect: None,
        };
        if fields == FIELDS {
            (row.source, row.dialect) = (self.text()?, self.text()?);
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::LATEST;

    proptest! {
        #[test]
        fn encode_and_decode_are_inverse(
            time in 0..LATEST,
            received_at in 0..LATEST,
            id in ".{1,20}",
            kind in "[a-z_]{1,20}",
            user in proptest::option::of(".{0,9}"),
            session in proptest::option::of(".{0,9}"),
            source in proptest::option::of("[a-z]{1,9}"),
        ) {
            let row = Row {
                time, received_at, id: &id, kind: &kind,
                user_id: user.as_deref(), session_id: session.as_deref(),
                properties: r#"{"a":"ü"}"#,
                source: source.as_deref(), dialect: Some("native"),
            };
            let mut bytes = Vec::new();
            row.encode(&mut bytes);
            row.encode(&mut bytes);
            let decoded: Vec<_> = rows(&bytes).collect();
            prop_assert_eq!(decoded, vec![Ok(row), Ok(row)]);
            let half = bytes.len() / 2;
            prop_assert_eq!(count(&bytes), Ok((2, &bytes[half..])));
            prop_assert_eq!(count(&bytes[..bytes.len() - 1]), Err(RowError { at: half }));
        }

        #[test]
        fn rows_of_before_source_and_dialect_are_read(id in ".{1,20}", user in proptest::option::of(".{0,9}")) {
            let row = Row { id: &id, kind: "a", user_id: user.as_deref(), properties: "{}", ..Row::default() };
            let mut bytes = Vec::new();
            row.encode(&mut bytes);
            // Two NULLs end a row of today that has neither.
            let mut before = FIELDS_BEFORE_SOURCE.to_be_bytes().to_vec();
            before.extend_from_slice(&bytes[2..bytes.len() - 8]);
            prop_assert!(is_of_before_source(&before) && !is_of_before_source(&bytes));
            let both = [before, bytes].concat();
            prop_assert_eq!(rows(&both).collect::<Vec<_>>(), vec![Ok(row), Ok(row)]);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for row in rows(&bytes) {
                let _ = row;
            }
            let _ = count(&bytes);
        }
    }
}
