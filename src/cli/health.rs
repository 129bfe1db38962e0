//! `floodmark health`: asks the server of this configuration whether it lives, for images that have no
//! other program to ask with.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use super::{ServeArgs, exit::Exit, with_config};
use crate::config::Config;

/// How long each step may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Runs the command: exit code 0 where `/healthz` answers 200.
pub fn run(args: &ServeArgs) -> ExitCode {
    with_config(args, |config| match ask(&config) {
        Ok(()) => Exit::Done.into(),
        Err(words) => {
            eprintln!("floodmark health: {words}");
            Exit::Failed.into()
        }
    })
}

fn ask(config: &Config) -> Result<(), String> {
    let addresses = config.listen_addresses()?;
    let address = reachable(addresses[0]);
    let fail = |e: std::io::Error| format!("{address}: {e}");
    let mut stream = TcpStream::connect_timeout(&address, WITHIN).map_err(fail)?;
    stream.set_read_timeout(Some(WITHIN)).map_err(fail)?;
    // A server that speaks TLS answers nothing to this, but it took the connection, so it lives.
    if !config.tls.cert.is_empty() || !config.tls.acme_domains.is_empty() {
        return Ok(());
    }
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(fail)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).map_err(fail)?;
    match &head {
        b"HTTP/1.1 200" => Ok(()),
        other => Err(format!("{address} answers {:?}", String::from_utf8_lossy(other))),
    }
}

/// Where one that listens on an address is reached from the same machine: "any address" is none that
/// everything connects to.
pub(super) fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_asked_on_loopback() {
        for (listens, asks) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), asks.parse().unwrap());
        }
    }
}
