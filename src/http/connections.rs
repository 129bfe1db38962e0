//! What holds for a connection before anybody knows its requests: how many connections one address
//! may have, and how long a client may leave what was sent to it untaken.
//!
//! A client that sends requests and never reads would otherwise keep its place among
//! `http.max_connections` for ever: actix-http waits until it can write, without a limit.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr},
    sync::Arc,
    time::Duration,
};

use actix_web::{dev::Extensions, http::StatusCode, rt::net::TcpStream};
use parking_lot::Mutex;
use socket2::SockRef;

use crate::{
    broadcast::{ConnectionSocket, SocketBudget},
    config::Config,
    http::{
        answer::AnswerWatch,
        client::{OverTls, ProxyNetworks, network},
        error::ApiError,
        limit::Limit,
        tls::Tls,
        wire::{Wire, WireStream},
    },
};

/// The connections of all workers, by address. A clone shares them.
#[derive(Clone, Debug)]
pub struct Connections(Arc<ByAddress>);

#[derive(Debug)]
struct ByAddress {
    /// `http.max_connections_per_address`; 0: no limit.
    most: usize,
    /// For these the limit does not hold.
    proxies: ProxyNetworks,
    write_timeout: Duration,
    header_timeout: Duration,
    /// Shared by all connections.
    sockets: SocketBudget,
    /// The answer to a connection that is one too many. It is sent before any request was read, so
    /// it is bytes.
    refusal: Vec<u8>,
    /// How many connections each address has. An address without any is not in it.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address, which is given back when it is dropped.
#[derive(Debug)]
pub struct AddressPermit {
    of: Arc<ByAddress>,
    address: IpAddr,
}

impl Connections {
    /// No connections, with the limits of a configuration.
    pub fn new(config: &Config) -> Connections {
        let http = &config.http;
        Limit::show_all();
        Connections(Arc::new(ByAddress {
            most: http.max_connections_per_address,
            proxies: ProxyNetworks::new(http),
            write_timeout: Duration::from_millis(http.write_timeout_ms),
            header_timeout: Duration::from_millis(http.header_timeout_ms),
            sockets: SocketBudget::new(config.stream.max_viewers),
            refusal: refusal(),
            open: Mutex::default(),
        }))
    }

    /// Takes a connection in: admits it, and does its handshake where the server speaks TLS.
    ///
    /// # Errors
    /// Its address has too many, or there is no handshake. The client is told, as far as it can be.
    pub async fn accept(&self, stream: TcpStream, tls: Option<&Tls>) -> io::Result<Wire> {
        let Ok(permit) = self.admit(stream.peer_addr().ok()) else {
            Limit::AddressConnections.reached();
            if tls.is_none() {
                refuse(&stream, &self.0.refusal);
            }
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        // The kernel ends a connection whose peer acknowledges nothing, or keeps its window closed, for
        // this long. That holds for every connection and costs nothing. A peer that takes a byte now
        // and then is found by [`AnswerWatch`].
        if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(self.0.write_timeout))
        {
            tracing::debug!(%error, "a new connection has ended already");
        }
        let stream = match tls {
            None => WireStream::Plain(stream),
            Some(tls) => WireStream::Tls(Box::new(tls.accept(stream).await?)),
        };
        Ok(Wire::new(stream, self.0.header_timeout, permit))
    }

    /// Adds to a connection what the handlers of its requests need to know of it.
    pub fn on_connect(&self, wire: &Wire, data: &mut Extensions) {
        let socket = ConnectionSocket::of(wire.tcp(), &self.0.sockets);
        data.insert(AnswerWatch::new(socket.clone(), self.0.write_timeout));
        data.insert(socket);
        data.insert(wire.heads());
        if wire.is_tls() {
            data.insert(OverTls);
        }
    }

    fn admit(&self, peer: Option<SocketAddr>) -> Result<Option<AddressPermit>, ()> {
        let address = network(peer);
        let is_proxy = peer.is_some_and(|peer| self.0.proxies.is_shared(peer.ip()));
        if self.0.most == 0 || is_proxy {
            return Ok(None);
        }
        let mut open = self.0.open.lock();
        let has = open.entry(address).or_default();
        if *has >= self.0.most {
            return Err(());
        }
        *has += 1;
        Ok(Some(AddressPermit { of: self.0.clone(), address }))
    }
}

fn refusal() -> Vec<u8> {
    let error = ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_connections",
        "too many connections from this address",
    );
    ApiError { retry_after: Some(1), ..error }.on_wire()
}

/// Ends a connection at once, and tells why as far as the socket takes it.
fn refuse(stream: &TcpStream, answer: &[u8]) {
    let socket = SockRef::from(stream);
    // None of these steps matters if it fails: the connection ends in any case.
    let _ = (&*socket).write(answer);
    let _ = socket.shutdown(Shutdown::Both);
    // What has arrived already is taken out. Else the kernel would reset the connection, and the answer
    // might not be read. After the shutdown nothing is added.
    let mut ignored = [0; 4096];
    while matches!((&*socket).read(&mut ignored), Ok(1..)) {}
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        let has = open.get_mut(&self.address).expect("this connection");
        *has -= 1;
        if *has == 0 {
            open.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn an_address_has_so_many_connections_and_a_proxy_any() {
        let mut config = Config::default();
        config.http.max_connections_per_address = 2;
        let connections = Connections::new(&config);
        let admit = |peer: &str| connections.admit(Some(format!("{peer}:1").parse().unwrap()));
        let first = admit("[2001:db8::1]").ok().flatten();
        let second = admit("[2001:db8::2]").ok().flatten();
        assert!(first.is_some() && second.is_some());
        assert!(admit("[2001:db8::3]").is_err(), "the same network");
        assert!(admit("192.0.2.1").is_ok());
        for _ in 0..3 {
            assert!(matches!(admit("127.0.0.1"), Ok(None)), "a proxy");
        }
        drop(first);
        assert!(admit("[2001:db8::3]").is_ok());
        drop(second);
        assert!(connections.0.open.lock().is_empty());
    }

    #[test]
    fn the_refusal_is_whole() {
        let text = String::from_utf8(refusal()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
