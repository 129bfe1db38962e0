//! COPY of encoded rows. They are in COPY's binary format already ([`crate::domain::row`]),
//! so they are sent as they are, in few large messages: tokio-postgres's own
//! `BinaryCopyInWriter` encodes again and sends 4 KiB at a time.

use std::{collections::VecDeque, pin::pin};

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, Statement};

use crate::{
    domain::{
        batch::{Batch, DeadLetter},
        row::{self, COLUMNS, Row},
    },
    sink::SinkErrorKind,
    store::{
        poison,
        postgres::{errors::Failure, session::Session},
    },
};

/// COPY's binary header: signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// COPY's binary trailer: a tuple of -1 fields.
const TRAILER: &[u8] = &[0xff, 0xff];

/// Small chunks are gathered into messages of at least this.
const MIN_MESSAGE: usize = 64 * 1024;
/// Large chunks are cut into messages of at most this.
const MAX_MESSAGE: usize = 256 * 1024;

/// The statement, prepared for the transaction at hand. It is closed when it is dropped,
/// which has to be before the COMMIT: behind PgBouncer the next transaction may be on
/// another connection.
pub(super) async fn prepare(session: &Session) -> Result<Statement, Failure> {
    let sql = format!("COPY events ({COLUMNS}) FROM STDIN (FORMAT binary)");
    session.answer(session.client().prepare(&sql)).await
}

/// Sends rows; returns how many the server stored.
pub(super) async fn copy<'a>(
    session: &Session,
    statement: &Statement,
    rows: impl Iterator<Item = CopyChunk<'a>>,
) -> Result<u64, Failure> {
    let sink: CopyInSink<Bytes> = session.answer(session.client().copy_in(statement)).await?;
    let mut sink = pin!(sink);
    let mut messages = Messages::new(rows);
    while let Some(message) = messages.next() {
        // An error here is a lost connection: what the server has against the rows it
        // says at the end.
        session.answer(sink.send(message)).await?;
    }
    let finished = session.answer(sink.as_mut().finish()).await;
    finished.map_err(Failure::of_copy)
}

/// Encoded rows: shared, or borrowed from a larger run.
pub(super) enum CopyChunk<'a> {
    Shared(Bytes),
    Borrowed(&'a [u8]),
}

/// Chunks, gathered and cut into messages, between header and trailer.
struct Messages<I> {
    chunks: I,
    gathered: BytesMut,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl<'a, I: Iterator<Item = CopyChunk<'a>>> Messages<I> {
    fn new(chunks: I) -> Self {
        Messages { chunks, gathered: BytesMut::from(HEADER), ready: VecDeque::new(), ended: false }
    }

    fn next(&mut self) -> Option<Bytes> {
        while self.ready.is_empty() && !self.ended {
            match self.chunks.next() {
                Some(CopyChunk::Shared(mut chunk)) if chunk.len() >= MIN_MESSAGE => {
                    self.flush();
                    while chunk.len() > MAX_MESSAGE {
                        self.ready.push_back(chunk.split_to(MAX_MESSAGE));
                    }
                    self.ready.push_back(chunk);
                }
                Some(CopyChunk::Shared(chunk)) => self.gather(&chunk),
                Some(CopyChunk::Borrowed(chunk)) => self.gather(chunk),
                None => {
                    self.gathered.extend_from_slice(TRAILER);
                    self.flush();
                    self.ended = true;
                }
            }
        }
        self.ready.pop_front()
    }

    fn gather(&mut self, chunk: &[u8]) {
        self.gathered.extend_from_slice(chunk);
        if self.gathered.len() >= MIN_MESSAGE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.ready.push_back(self.gathered.split().freeze());
        }
    }
}

/// Stores the rows of a batch that COPY refused as a whole: halves it, behind savepoints,
/// until each row that is at fault stands alone, and makes a dead letter of it. Returns
/// the rows stored. A batch of `n` rows with `k` bad ones takes about `k · log2(n)`
/// attempts.
pub(super) async fn copy_apart(
    session: &Session,
    statement: &Statement,
    batch: &Batch,
    letters: &mut Vec<DeadLetter>,
) -> Result<u64, Failure> {
    let rows = apart(batch, letters);
    let half = rows.len() / 2;
    let mut todo = vec![&rows[half..], &rows[..half]];
    let mut stored = 0;
    while let Some(part) = todo.pop() {
        if part.is_empty() {
            continue;
        }
        session.run("SAVEPOINT part").await?;
        let chunks = part.iter().map(|(bytes, _)| CopyChunk::Borrowed(bytes));
        match copy(session, statement, chunks).await {
            Ok(count) if count == part.len() as u64 => {
                stored += count;
                session.run("RELEASE part").await?;
            }
            Ok(count) => return Err(miscounted(batch, part.len() as u64, count)),
            Err(failure) if failure.is_of_a_row() => {
                session.run("ROLLBACK TO part; RELEASE part").await?;
                match part {
                    [(_, row)] => letters.push(poison::refused(row, failure.message)),
                    _ => {
                        let (left, right) = part.split_at(part.len() / 2);
                        todo.extend([right, left]);
                    }
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(stored)
}

/// A row's bytes, and the row.
type Encoded<'a> = (&'a [u8], Row<'a>);

/// The rows one by one. Bytes that are none become a dead letter.
fn apart<'a>(batch: &'a Batch, letters: &mut Vec<DeadLetter>) -> Vec<Encoded<'a>> {
    let mut apart = Vec::with_capacity(batch.events as usize);
    for chunk in &batch.rows {
        let mut rows = row::rows(chunk);
        let mut from = 0;
        while let Some(row) = rows.next() {
            match row {
                Ok(row) => apart.push((&chunk[from..rows.position()], row)),
                Err(e) => letters.push(poison::malformed(&chunk[e.at..])),
            }
            from = rows.position();
        }
    }
    apart
}

/// The server stored another number of rows than it was sent.
pub(super) fn miscounted(batch: &Batch, sent: u64, stored: u64) -> Failure {
    Failure::new(
        SinkErrorKind::Other,
        format!(
            "batch {} of node {}: {sent} rows were sent and {stored} stored; nothing was \
             committed. Does a trigger on events drop rows?",
            batch.id.seq, batch.id.node
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_of_a_good_size_and_lose_nothing() {
        let sizes = [1, 100, 70_000, 30_000, 40_000, 600_000, 5, 0];
        let chunks: Vec<Bytes> =
            sizes.iter().enumerate().map(|(n, &size)| Bytes::from(vec![n as u8; size])).collect();
        let mut messages = Messages::new(chunks.iter().cloned().map(CopyChunk::Shared));
        let mut sent = Vec::new();
        while let Some(message) = messages.next() {
            assert!(message.len() <= MAX_MESSAGE + MIN_MESSAGE);
            sent.push(message);
        }
        assert!(sent.len() < 10);
        let expected = [HEADER, &chunks.concat(), TRAILER].concat();
        assert_eq!(sent.concat(), expected);
        assert_eq!(HEADER.len(), 19);
    }
}
