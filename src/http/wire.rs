//! The bytes of one connection, with TLS or without, and how long the head of a request may take.
//!
//! actix-http limits the time of a connection's first head (`http.header_timeout_ms`). For the heads after
//! it there is no limit, so a client could hold its place for ever with a byte now and then; nor is there
//! one for the rest of a body in chunks that nobody reads any more, because its request was refused. Both
//! are measured here:
//!
//! ```text
//!  idle ──a byte──> in a head ──the whole head (HeadClock::complete)──> answered ──answer is sent──> idle
//!                       │                                                  └─ refused, with a rest ─┐
//!                       └──────── http.header_timeout_ms ──> the connection ends <──────────────────┘
//! ```

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_web::rt::{self, net::TcpStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;

use crate::http::{connections::AddressPermit, limit::Limit};

/// A connection as actix-http reads and writes it.
pub struct Wire {
    stream: WireStream,
    heads: HeadClock,
    /// Wakes the connection when a head is overdue. It is set once for many heads, since a timer for
    /// each would cost every request.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Its place among the connections of its address.
    _permit: Option<AddressPermit>,
}

/// The two kinds of connection. The state of TLS is large, and most connections of a server behind a
/// proxy have none.
pub enum WireStream {
    /// HTTP as it is.
    Plain(TcpStream),
    /// HTTP in TLS, after the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl WireStream {
    /// The connection below TLS.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            WireStream::Plain(stream) => stream,
            WireStream::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Wire {
    /// A connection whose heads may each take `timeout`.
    pub fn new(stream: WireStream, timeout: Duration, permit: Option<AddressPermit>) -> Wire {
        let heads = HeadClock(Rc::new(HeadState { timeout, ..HeadState::default() }));
        Wire { stream, heads, alarm: None, _permit: permit }
    }

    /// The connection below TLS.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.tcp().peer_addr().ok()
    }

    /// Whether it is TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, WireStream::Tls(_))
    }

    /// The clock of its heads, for who knows when one is complete.
    pub fn heads(&self) -> HeadClock {
        self.heads.clone()
    }

    /// Ends a connection whose head is overdue, and has it looked at again when one is going to be.
    fn check_head(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        let Some(since) = self.heads.0.since.get() else { return Ok(()) };
        let due = since + self.heads.0.timeout;
        loop {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if alarm.as_mut().poll(task).is_pending() {
                return Ok(());
            }
            if Instant::now() >= due {
                Limit::HeaderTime.reached();
                return Err(io::ErrorKind::TimedOut.into());
            }
            alarm.as_mut().reset(due);
        }
    }
}

/// Knows since when bytes have come that belong to no request yet. A clone is of the same connection.
#[derive(Clone, Debug, Default)]
pub struct HeadClock(Rc<HeadState>);

#[derive(Debug, Default)]
struct HeadState {
    /// `http.header_timeout_ms`.
    timeout: Duration,
    /// The first head is watched by actix-http, which answers 408.
    had_one: Cell<bool>,
    /// Requests that are being answered.
    answering: Cell<usize>,
    /// Since when a head, or a rest, has been coming.
    since: Cell<Option<Instant>>,
    /// Wakes the connection.
    waker: RefCell<Option<Waker>>,
}

impl HeadClock {
    fn bytes_came(&self) {
        let state = &self.0;
        if state.had_one.get() && state.answering.get() == 0 && state.since.get().is_none() {
            state.since.set(Some(Instant::now()));
        }
    }

    /// A head is complete. Until the result is dropped, its request is being answered.
    pub fn complete(&self) -> Answering {
        self.0.had_one.set(true);
        self.0.since.set(None);
        self.0.answering.set(self.0.answering.get() + 1);
        Answering { of: self.0.clone(), leaves_rest: false }
    }

    fn waits(&self, task: &Context<'_>) {
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(task.waker())) {
            *waker = Some(task.waker().clone());
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Answering {
    of: Rc<HeadState>,
    leaves_rest: bool,
}

impl Answering {
    /// Notes that the rest of the request's body may follow its answer. actix-http reads it and throws it
    /// away, for as long as it takes.
    pub fn leaves_rest(&mut self) {
        self.leaves_rest = true;
        let clock = self.of.clone();
        rt::spawn(async move {
            tokio::time::sleep(clock.timeout).await;
            // A client that has gone silent wakes nobody.
            if let Some(waker) =
                clock.waker.borrow().as_ref().filter(|_| clock.since.get().is_some())
            {
                waker.wake_by_ref();
            }
        });
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.of.answering.set(self.of.answering.get() - 1);
        if self.leaves_rest {
            self.of.since.set(Some(Instant::now()));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let had = into.filled().len();
        let read = match &mut this.stream {
            WireStream::Plain(stream) => Pin::new(stream).poll_read(task, into),
            WireStream::Tls(stream) => Pin::new(stream).poll_read(task, into),
        };
        if into.filled().len() > had {
            this.heads.bytes_came();
        }
        if read.is_pending() {
            this.heads.waits(task);
        }
        // Also after bytes: a client that always has one ready would never be found else.
        if read.is_pending() || this.alarm.is_some() {
            this.check_head(task)?;
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            WireStream::Plain(stream) => Pin::new(stream).poll_write(task, bytes),
            WireStream::Tls(stream) => Pin::new(stream).poll_write(task, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            WireStream::Plain(stream) => Pin::new(stream).poll_flush(task),
            WireStream::Tls(stream) => Pin::new(stream).poll_flush(task),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            WireStream::Plain(stream) => Pin::new(stream).poll_shutdown(task),
            WireStream::Tls(stream) => Pin::new(stream).poll_shutdown(task),
        }
    }
}
