//! A handle on a viewer's TCP connection, from outside the HTTP stack.
//!
//! actix-http stops polling a session whose peer does not read (actix-web #2441, won't
//! fix), so nothing that runs inside the session can end it. The duplicate of the socket
//! taken here can: shutting it down makes the connection fail wherever it hangs.
//!
//! actix-web shows the socket only when the connection is accepted, before anyone knows what
//! its requests will be. So each connection starts with a duplicate. One that sends events gives
//! it back at its first request ([`ConnectionSocket::release`]); one that becomes a viewer's
//! takes it along.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use actix_web::rt::net::TcpStream;
use socket2::{SockRef, Socket};

/// The duplicate of its socket that a connection holds for the viewer that it may become. A
/// handler gets it by `HttpRequest::conn_data`. A clone shares it.
#[derive(Clone)]
pub struct ConnectionSocket(Rc<Cell<Option<ConnectionHandle>>>);

impl ConnectionSocket {
    /// The duplicate of a new connection's socket.
    pub fn of(stream: &TcpStream) -> ConnectionSocket {
        let socket = SockRef::from(stream).try_clone();
        let socket = socket.inspect_err(|error| {
            tracing::warn!(%error, "can't duplicate a socket: it can't become a viewer's");
        });
        ConnectionSocket(Rc::new(Cell::new(socket.ok().map(ConnectionHandle))))
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

    /// Gives the duplicate back, since this connection sends events. It takes one file
    /// descriptor from now on, not two, and can't become a viewer's.
    pub fn release(&self) {
        drop(self.0.take());
    }
}

/// A duplicate of one connection's socket, by which a viewer is cut.
#[derive(Debug)]
pub struct ConnectionHandle(Socket);

impl ConnectionHandle {
    /// Makes it a viewer's connection: a small send buffer, so that the kernel does not
    /// hide megabytes of lag; unacknowledged data or a window closed for `silence` ends it.
    pub(super) fn tune(&self, send_buffer_bytes: usize, silence: Duration) -> io::Result<()> {
        self.0.set_send_buffer_size(send_buffer_bytes)?;
        self.0.set_tcp_user_timeout(Some(silence))?;
        self.0.set_tcp_nodelay(true)
    }

    /// Ends the connection, whatever its session is waiting for.
    pub(super) fn cut(&self) {
        // This only fails if the socket is no longer connected, which is what was wanted.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}
