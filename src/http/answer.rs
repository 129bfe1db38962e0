//! Watches whether a client takes the answer that is sent to it (`http.write_timeout_ms`).
//!
//! actix-http asks a body for its next piece whenever the kernel has taken the one before. Where
//! it does not ask for the whole timeout, the client does not read, or so slowly that it only wants
//! to hold its place, and its connection is cut. Short answers need no watch: they fit into the
//! buffers of the kernel, which has a limit of its own ([`crate::http::connections`]).

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    rt,
};
use bytes::Bytes;
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    broadcast::ConnectionSocket,
    http::{limit::Limit, wire::Answering},
};

/// An answer is watched from its byte with this number on.
const WATCHED_FROM_BYTES: usize = 16 * 1024;
/// A long answer is handed to actix-http in pieces of this size, or one large piece would be asked
/// for once and show nothing.
const ANSWER_PIECE_BYTES: usize = 16 * 1024;

/// What the answers on one connection are watched with. A handler's layer gets it by
/// `HttpRequest::conn_data`.
#[derive(Clone)]
pub struct AnswerWatch {
    socket: ConnectionSocket,
    timeout: Duration,
}

impl AnswerWatch {
    /// Cuts the connection of `socket` where it takes nothing of an answer for `timeout`.
    pub fn new(socket: ConnectionSocket, timeout: Duration) -> AnswerWatch {
        AnswerWatch { socket, timeout }
    }

    /// Waits until the client has taken nothing for the timeout, then cuts it. The body ends it
    /// before, when it is dropped.
    async fn cut_in_time(self, progress: Rc<AnswerProgress>) {
        loop {
            let taken = progress.waits_since.get();
            let until = taken.unwrap_or_else(Instant::now) + self.timeout;
            tokio::time::sleep_until(until).await;
            if taken.is_some() && progress.waits_since.get() == taken {
                Limit::WriteTime.reached();
                progress.is_cut.set(true);
                self.socket.cut();
                return;
            }
        }
    }
}

/// What a body and its watch both know.
#[derive(Default)]
struct AnswerProgress {
    /// Since when a piece waits to be taken by the client; `None` while the server itself has not
    /// made the next one.
    waits_since: Cell<Option<Instant>>,
    /// The connection was cut. Where its socket could not be reached, the body ends it.
    is_cut: Cell<bool>,
}

/// The body of an answer, watched if it is long.
pub struct WatchedBody {
    body: BoxBody,
    rest: Bytes,
    handed_on: usize,
    watch: Option<AnswerWatch>,
    progress: Rc<AnswerProgress>,
    watching: Option<JoinHandle<()>>,
    /// Until the answer is sent, its connection waits for no other head.
    _answering: Option<Answering>,
}

impl WatchedBody {
    /// Watches a body; with `None`, it is only passed on.
    pub fn new(
        body: BoxBody,
        watch: Option<AnswerWatch>,
        answering: Option<Answering>,
    ) -> WatchedBody {
        let (rest, progress) = (Bytes::new(), Rc::default());
        let (handed_on, watching) = (0, None);
        WatchedBody { body, rest, handed_on, watch, progress, watching, _answering: answering }
    }

    fn next(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.progress.is_cut.get() {
            let slow = "the client does not take the answer";
            return Poll::Ready(Some(Err(actix_web::error::ErrorRequestTimeout(slow))));
        }
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(task) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                Poll::Ready(Some(Err(error))) => {
                    let error = actix_web::error::ErrorInternalServerError(error.to_string());
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    self.progress.waits_since.set(None);
                    return Poll::Pending;
                }
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(ANSWER_PIECE_BYTES));
        self.handed_on += piece.len();
        if self.handed_on >= WATCHED_FROM_BYTES {
            self.progress.waits_since.set(Some(Instant::now()));
            if let Some(watch) = self.watch.take() {
                self.watching = Some(rt::spawn(watch.cut_in_time(self.progress.clone())));
            }
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl MessageBody for WatchedBody {
    type Error = Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = self.get_mut();
        match this.watch.is_some() || this.watching.is_some() {
            true => this.next(task),
            false => Pin::new(&mut this.body)
                .poll_next(task)
                .map_err(|e| actix_web::error::ErrorInternalServerError(e.to_string())),
        }
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_long_answer_comes_in_pieces_and_whole() {
        let whole: Vec<u8> = (0..100_000).map(|n| n as u8).collect();
        let watch = AnswerWatch::new(ConnectionSocket::none(), Duration::from_secs(60));
        let body = WatchedBody::new(BoxBody::new(whole.clone()), Some(watch), None);
        assert_eq!(body.size(), BodySize::Sized(100_000));
        assert_eq!(actix_web::body::to_bytes(body).await.unwrap(), whole);
    }

    #[actix_web::test]
    async fn an_answer_that_is_not_taken_ends_its_connection() {
        let watch = AnswerWatch::new(ConnectionSocket::none(), Duration::from_millis(5));
        let mut body = WatchedBody::new(BoxBody::new(vec![0; 100_000]), Some(watch), None);
        let first = std::future::poll_fn(|task| body.next(task)).await;
        assert_eq!(first.unwrap().unwrap().len(), ANSWER_PIECE_BYTES);
        while !body.progress.is_cut.get() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(std::future::poll_fn(|task| body.next(task)).await.unwrap().is_err());
    }
}
