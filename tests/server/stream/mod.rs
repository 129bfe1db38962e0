//! Viewers on real sockets: which are admitted, how they resume, and when the server closes them
//! and why.

mod admission;
pub mod deflate;
mod playback;
mod resume;
mod slow;
mod stop;
mod talk;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::{
    client::{Received, WebSocket},
    program::PATIENCE,
    server::Server,
    viewer::upgrade,
};

/// The code of the Close frame, after whatever comes before it.
fn closed(socket: &mut WebSocket) -> u16 {
    loop {
        match socket.receive() {
            Received::Frame(_) => {}
            Received::Closed(1006, _) => panic!("closed without a reason"),
            Received::Closed(code, _) => return code,
        }
    }
}

/// A viewer whose bytes the test sees one by one. It has sent its handshake and read nothing.
fn handshake(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&upgrade(server.addr()).bytes()).unwrap();
    stream
}

/// Reads until the end of the connection, a little at a time.
fn drain(mut stream: TcpStream, pause: Duration) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 2048]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&some[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(e) => panic!("neither data nor an end: {e}"),
        }
        std::thread::sleep(pause);
    }
}

/// Whether these bytes end with a Close frame of this code.
fn ends_with_close(bytes: &[u8], code: u16) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(127)..];
    let code = code.to_be_bytes();
    (0..tail.len().saturating_sub(3)).any(|at| {
        let (head, rest) = tail[at..].split_at(2);
        head[0] == 0x88 && rest.len() == usize::from(head[1]) && rest.starts_with(&code)
    })
}
