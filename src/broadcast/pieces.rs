//! Cuts what a session writes into pieces that fit the connection's first write buffer.
//!
//! actix-http fills a connection's write buffer from the session until the buffer holds
//! `h1_write_buffer_size`. The buffer keeps the size that it has grown to, up to 128 KiB, for as
//! long as the connection lasts. So a snapshot in one piece would cost each viewer its size for
//! ever. In pieces, the buffer never grows beyond the 8 KiB that it starts with, and only its
//! first page is ever touched, because it holds less than the limit plus one piece. In ordinary
//! traffic a frame is one piece. (With pieces of 2 KiB, each viewer took 1 kB more.)

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;

/// What `HttpServer::h1_write_buffer_size` is set to: once a connection's write buffer holds
/// this many bytes, it is flushed before anything is added.
pub const WRITE_BUFFER_BYTES: usize = 1024;

/// The size of one piece.
const PIECE_BYTES: usize = 1024;

/// A stream of bytes, cut into pieces.
pub struct Pieces<S> {
    whole: S,
    rest: Bytes,
}

impl<S> Pieces<S> {
    /// Cuts what `whole` gives.
    pub fn of(whole: S) -> Pieces<S> {
        Pieces { whole, rest: Bytes::new() }
    }
}

impl<S, E> Stream for Pieces<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.whole).poll_next(task) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn pieces_are_small_and_make_up_the_whole() {
        let whole: Vec<u8> = (0..20_000).map(|n| n as u8).collect();
        let (first, second) = whole.split_at(3);
        let given = [first, second].map(|part| Ok::<_, ()>(Bytes::copy_from_slice(part)));
        let pieces = Pieces::of(stream::iter(given)).map(Result::unwrap);
        let pieces: Vec<Bytes> = pieces.collect().await;
        assert_eq!(pieces.concat(), whole);
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        assert_eq!(pieces.len(), 1 + 20);
    }
}
