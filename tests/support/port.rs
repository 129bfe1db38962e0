//! Ports of 127.0.0.1 for servers that a test starts, and perhaps starts again.

use std::net::{TcpListener, UdpSocket};

/// A port on which nothing listens, outside the range that the system hands out by itself. No other
/// fixture of any test process takes the same port before this is dropped: each fixture holds the
/// UDP port of the same number as a mark.
pub struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    pub fn free() -> Port {
        loop {
            let number = rand::random_range(10_000..30_000);
            let held = UdpSocket::bind(("127.0.0.1", number));
            if let (Ok(held), Ok(_)) = (held, TcpListener::bind(("127.0.0.1", number))) {
                return Port { number, _held: held };
            }
        }
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}
