//! COPY of encoded rows. The rows of a batch are in COPY's binary format already
//! ([`crate::domain::row`]), so they are sent as they are, in few large messages. The writer of
//! tokio-postgres, `BinaryCopyInWriter`, would encode them again and send 4 KiB at a time.

use std::{collections::VecDeque, pin::pin};

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, Statement};

use crate::{
    domain::{
        batch::{Batch, DeadLetter},
        chain::ChainWriter,
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

/// Small chunks are gathered into messages of at least so many bytes.
const MIN_MESSAGE: usize = 64 * 1024;
/// Large chunks are cut into messages of at most so many bytes.
const MAX_MESSAGE: usize = 256 * 1024;

/// Prepares the COPY statement for the transaction at hand. The statement is closed when it is
/// dropped, which has to happen before the COMMIT: behind PgBouncer the next transaction may be on
/// another connection to the server, which does not know it.
pub(super) async fn prepare(session: &Session) -> Result<Statement, Failure> {
    let sql = format!("COPY events ({COLUMNS}) FROM STDIN (FORMAT binary)");
    session.answer(session.client().prepare(&sql)).await
}

/// Sends rows, and returns how many the server stored.
pub(super) async fn copy<'a>(
    session: &Session,
    statement: &Statement,
    rows: impl Iterator<Item = CopyChunk<'a>>,
) -> Result<u64, Failure> {
    let sink: CopyInSink<Bytes> = session.answer(session.client().copy_in(statement)).await?;
    let mut sink = pin!(sink);
    let mut messages = Messages::new(rows);
    while let Some(message) = messages.next() {
        // An error here means that the connection is lost. What the server has against the rows
        // themselves it says only at the end, so only that error is marked as COPY's.
        session.answer(sink.send(message)).await?;
    }
    let finished = session.answer(sink.as_mut().finish()).await;
    finished.map_err(Failure::of_copy)
}

/// Encoded rows to be sent.
pub(super) enum CopyChunk<'a> {
    /// A whole chunk of a batch, which is sent without a copy where it is large.
    Shared(Bytes),
    /// A part of a chunk, such as a single row.
    Borrowed(&'a [u8]),
}

/// Makes messages of chunks, with COPY's header before and its trailer after them:
///
/// ```text
///  chunks ──small──> gathered ──64 KiB──> ready ──> next()
///     └─────large, cut at 256 KiB───────────^
/// ```
struct Messages<I> {
    chunks: I,
    /// Small chunks that are not a message yet. It begins with the header.
    gathered: BytesMut,
    /// Messages that wait to be sent.
    ready: VecDeque<Bytes>,
    /// Whether the trailer was written.
    ended: bool,
}

/// A chunk in today's form. One that an earlier version left in the spool has fewer fields than the
/// COPY statement names columns, and is written anew.
pub(super) fn of_today(chunk: &Bytes) -> Bytes {
    if !row::is_of_before_source(chunk) {
        return chunk.clone();
    }
    let mut again = Vec::with_capacity(chunk.len() * 2);
    // Bytes that are no row stay as they are, so that COPY refuses them and they are set apart.
    let mut rows = row::rows(chunk);
    let mut read = 0;
    while let Some(Ok(row)) = rows.next() {
        row.encode(&mut again);
        read = rows.position();
    }
    again.extend_from_slice(&chunk[read..]);
    again.into()
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

    /// Adds a small chunk.
    fn gather(&mut self, chunk: &[u8]) {
        self.gathered.extend_from_slice(chunk);
        if self.gathered.len() >= MIN_MESSAGE {
            self.flush();
        }
    }

    /// Makes a message of what has gathered. It has to go before a large chunk, since COPY reads
    /// the messages as one stream.
    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.ready.push_back(self.gathered.split().freeze());
        }
    }
}

/// Stores a batch that COPY refused as a whole. It halves the batch, behind savepoints, until each
/// row that is at fault stands alone, makes a dead letter of each of these rows, and stores the
/// others, which the chain of hashes takes up. Returns how many it stored. A batch of `n` rows with `k` bad ones takes about
/// `k · log2(n)` attempts.
pub(super) async fn copy_apart(
    session: &Session,
    statement: &Statement,
    batch: &Batch,
    (letters, chain): (&mut Vec<DeadLetter>, &mut Option<ChainWriter>),
) -> Result<u64, Failure> {
    let chunks: Vec<Bytes> = batch.rows.iter().map(of_today).collect();
    let rows = apart(&chunks, letters);
    // The whole batch has failed before, so it begins with the halves. The stack has the first
    // half on top, which keeps the rows in their order.
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
                if let Some(chain) = chain {
                    part.iter().for_each(|(_, row)| chain.add(row));
                }
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

/// A row: its bytes, and what they mean.
type Encoded<'a> = (&'a [u8], Row<'a>);

/// Takes the chunks of a batch apart into its rows. Bytes that are no row become a dead letter.
fn apart<'a>(chunks: &'a [Bytes], letters: &mut Vec<DeadLetter>) -> Vec<Encoded<'a>> {
    let mut apart = Vec::new();
    for chunk in chunks {
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

/// The failure where the server stored another number of rows than it was sent.
pub(super) fn miscounted(batch: &Batch, sent: u64, stored: u64) -> Failure {
    Failure::new(
        SinkErrorKind::Other,
        format!(
            "batch {} of node {}: {sent} rows were sent and {stored} stored; nothing was \
             committed. Does a trigger on events drop rows?",
            batch.id.seq, batch.id.run
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
