//! A handle on a viewer's TCP connection, from outside the HTTP stack.
//!
//! actix-http stops polling a session whose peer does not read (actix-web #2441, won't
//! fix), so nothing that runs inside the session can end it. The duplicate of the socket
//! taken here can: shutting it down makes the connection fail wherever it hangs.

use std::{any::Any, io, sync::Arc, time::Duration};

use actix_web::{dev::Extensions, rt::net::TcpStream};
use socket2::{SockRef, Socket};

/// A duplicate of one connection's socket. It is dropped with the connection (costs one
/// more file descriptor for each open one, so `ulimit -n` is twice `http.max_connections`
/// and some).
#[derive(Clone, Debug)]
pub struct ConnectionHandle(Arc<Socket>);

impl ConnectionHandle {
    /// Duplicates the socket of a connection.
    pub fn of(stream: &TcpStream) -> io::Result<ConnectionHandle> {
        Ok(ConnectionHandle(Arc::new(
            SockRef::from(stream).try_clone()?,
        )))
    }

    /// Makes it a viewer's connection: a small send buffer, so that the kernel does not
    /// hide megabytes of lag; unacknowledged data or a window closed for `silence` ends it.
    pub(super) fn tune(&self, send_buffer_bytes: usize, silence: Duration) -> io::Result<()> {
        self.0.set_send_buffer_size(send_buffer_bytes)?;
        self.0.set_tcp_user_timeout(Some(silence))?;
        self.0.set_tcp_nodelay(true)
    }

    /// Ends the connection, whatever its session is waiting for.
    pub(super) fn cut(&self) {
        // Fails only where it is no longer connected.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// For `HttpServer::on_connect`, which goes before `bind`: gives every request of the
/// connection a [`ConnectionHandle`] (`HttpRequest::conn_data`).
pub fn on_connect(io: &dyn Any, data: &mut Extensions) {
    let Some(stream) = io.downcast_ref::<TcpStream>() else {
        return;
    };
    match ConnectionHandle::of(stream) {
        Ok(handle) => {
            data.insert(handle);
        }
        Err(error) => {
            tracing::warn!(%error, "can't duplicate a socket; its viewer could not be evicted");
        }
    }
}
