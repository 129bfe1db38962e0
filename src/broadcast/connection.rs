//! A handle on a viewer's TCP connection, from outside the HTTP stack.
//!
//! actix-http stops polling a session whose peer does not read (actix-web #2441, won't
//! fix), so nothing that runs inside the session can end it. The duplicate of the socket
//! taken here can: shutting it down makes the connection fail wherever it hangs.
//!
//! actix-web shows the socket only when the connection is accepted, before anyone knows what
//! its requests will be. So each connection starts with a duplicate, and one that becomes a viewer's
//! takes it along. Any connection may become a viewer's, also one that has sent events: reverse
//! proxies use theirs for everything. But a duplicate is a file descriptor, so once
//! `stream.max_viewers` of them are kept, those who send events give theirs back
//! ([`ConnectionSocket::release`]).

use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use socket2::{SockRef, Socket};

/// The duplicate of its socket that a connection holds for the viewer that it may become. A
/// handler gets it by `HttpRequest::conn_data`. A clone shares it.
#[derive(Clone)]
pub struct ConnectionSocket(Rc<Cell<Option<ConnectionHandle>>>);

/// How many duplicates are kept, over all workers. A clone shares the count.
#[derive(Clone, Debug, Default)]
pub struct SocketBudget {
    kept: Arc<AtomicUsize>,
    most: usize,
}

impl SocketBudget {
    /// Connections that send events keep their duplicates while there are at most this many.
    pub fn new(most: usize) -> SocketBudget {
        SocketBudget { kept: Arc::default(), most }
    }

    fn is_spent(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > self.most
    }
}

impl ConnectionSocket {
    /// The duplicate of a new connection's socket.
    pub fn of(stream: &TcpStream, budget: &SocketBudget) -> ConnectionSocket {
        let socket = SockRef::from(stream).try_clone();
        let socket = socket.inspect_err(|error| {
            tracing::warn!(%error, "can't duplicate a socket: it can't become a viewer's");
        });
        let handle = socket.ok().map(|socket| {
            budget.kept.fetch_add(1, Ordering::Relaxed);
            ConnectionHandle { socket, budget: budget.clone() }
        });
        ConnectionSocket(Rc::new(Cell::new(handle)))
    }

    /// One that holds no duplicate, as if it had been given back.
    #[cfg(test)]
    pub fn none() -> ConnectionSocket {
        ConnectionSocket(Rc::default())
    }

    /// Ends the connection if the duplicate is still here.
    pub fn cut(&self) {
        if let Some(handle) = self.0.take() {
            handle.cut();
        }
    }

    /// Takes the duplicate for the viewer that this connection becomes. `None` if it was taken
    /// or given back before.
    pub fn take(&self) -> Option<ConnectionHandle> {
        self.0.take()
    }

    /// Notes that this connection sends events. Where too many duplicates are kept, it gives its own
    /// back: it takes one file descriptor from now on, not two, and can't become a viewer's.
    pub fn release(&self) {
        if let Some(handle) = self.0.take()
            && !handle.budget.is_spent()
        {
            self.0.set(Some(handle));
        }
    }
}

/// A duplicate of one connection's socket, by which a viewer is cut.
#[derive(Debug)]
pub struct ConnectionHandle {
    socket: Socket,
    budget: SocketBudget,
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.budget.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionHandle {
    /// Makes it a viewer's connection: a small send buffer, so that the kernel does not
    /// hide megabytes of lag; unacknowledged data or a window closed for `silence` ends it.
    pub(super) fn tune(&self, send_buffer_bytes: usize, silence: Duration) -> io::Result<()> {
        self.socket.set_send_buffer_size(send_buffer_bytes)?;
        self.socket.set_tcp_user_timeout(Some(silence))?;
        self.socket.set_tcp_nodelay(true)
    }

    /// Ends the connection, whatever its session is waiting for.
    pub(super) fn cut(&self) {
        // This only fails if the socket is no longer connected, which is what was wanted.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
