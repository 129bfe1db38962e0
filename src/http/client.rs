//! Who a request comes from, for limits that hold for each client by itself.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::config;

/// Whom a limit is for. All requests of one client share what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The senders with this write key, by its number.
    Key(u32),
    /// The sender at an address with a write key that everybody can read in a page.
    KeyAt(u32, IpAddr),
    /// An address ([`network`]).
    Address(IpAddr),
}

impl Client {
    /// The client with this write key, or at this address where no keys are set.
    pub fn new(key: Option<u32>, peer: Option<SocketAddr>) -> Client {
        key.map_or_else(|| Client::Address(network(peer)), Client::Key)
    }

    /// The client at this address that has a key which stands in pages.
    pub fn at(key: u32, peer: Option<SocketAddr>) -> Client {
        Client::KeyAt(key, network(peer))
    }
}

/// The address that stands for all those of one customer. Of an IPv6 address only the first half
/// counts, since a provider gives a whole /64 network to one customer. An IPv4 address is the same
/// client over IPv6 (`::ffff:192.0.2.1`), as a socket for both shows it.
pub fn network(peer: Option<SocketAddr>) -> IpAddr {
    match peer.map(|peer| peer.ip().to_canonical()) {
        Some(IpAddr::V6(ip)) if ip.is_loopback() => ip.into(),
        Some(IpAddr::V6(ip)) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        Some(ip) => ip,
        None => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// What a connection with TLS has among its data.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// The proxies of the configuration. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct ProxyNetworks {
    /// `http.trusted_proxies`, which say whom they pass on.
    trusted: Arc<[IpNet]>,
    /// `http.proxies`: behind these are many clients, too, of which nobody says which one it is.
    opaque: Arc<[IpNet]>,
}

impl ProxyNetworks {
    /// Those of a configuration that was checked.
    pub fn new(http: &config::HttpConfig) -> ProxyNetworks {
        let networks = |list| config::HttpConfig::networks(list).unwrap_or_default().into();
        ProxyNetworks { trusted: networks(&http.trusted_proxies), opaque: networks(&http.proxies) }
    }

    /// Whether many clients share this address, so that no limit by address can hold for it.
    pub fn is_shared(&self, address: IpAddr) -> bool {
        within(&self.trusted, address) || within(&self.opaque, address)
    }

    /// Whether what this address says of those whom it passes on is believed.
    fn is_trusted(&self, address: IpAddr) -> bool {
        within(&self.trusted, address)
    }

    /// Whether the client of a request came over TLS: to this server, or to a trusted proxy that says
    /// so.
    pub fn came_over_tls(&self, request: &HttpRequest) -> bool {
        if request.conn_data::<OverTls>().is_some() {
            return true;
        }
        let by_trusted = request.peer_addr().is_some_and(|peer| self.is_trusted(peer.ip()));
        let scheme = request.headers().get("x-forwarded-proto").filter(|_| by_trusted);
        scheme.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
    }

    /// What became of an `X-Forwarded-For` of a request: `none` came, or it was `believed`, or `ignored`
    /// since whoever sent it is not among `http.trusted_proxies`.
    pub fn forwarded(&self, request: &HttpRequest) -> &'static str {
        if !request.headers().contains_key("x-forwarded-for") {
            return "none";
        }
        let by_trusted = request.peer_addr().is_some_and(|peer| self.is_trusted(peer.ip()));
        if by_trusted { "believed" } else { "ignored" }
    }

    /// The client that sent a request: the peer, or, where that is a trusted proxy, the last address
    /// in `X-Forwarded-For` that is not one. What stands before that address was written by the
    /// client, and may be anything. Without such a header, or with one that is no list of
    /// addresses, it is the proxy.
    pub fn client_of(&self, request: &HttpRequest) -> Option<SocketAddr> {
        let peer = request.peer_addr()?;
        if self.trusted.is_empty() || !self.is_trusted(peer.ip()) {
            return Some(peer);
        }
        let mut client = peer;
        // A proxy may add to the header's line or add a line, so the last line is the latest.
        let lines: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
        for line in lines.iter().rev() {
            for hop in line.to_str().ok()?.rsplit(',') {
                let Some(address) = address_of(hop.trim()) else { return Some(client) };
                client = SocketAddr::new(address, 0);
                if !self.is_trusted(address) {
                    return Some(client);
                }
            }
        }
        Some(client)
    }
}

fn within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address.to_canonical()))
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_addresses_of_one_customer_are_one_client() {
        let client = |peer: &str| Client::new(None, Some(peer.parse().unwrap()));
        assert_eq!(client("[2001:db8:0:1::1]:1"), client("[2001:db8:0:1:ffff::2]:2"));
        assert_ne!(client("[2001:db8:0:1::1]:1"), client("[2001:db8:0:2::1]:1"));
        assert_eq!(client("[::ffff:192.0.2.1]:1"), client("192.0.2.1:2"));
        assert_ne!(client("192.0.2.1:1"), client("192.0.2.2:1"));
        assert_eq!(client("[::1]:1"), Client::Address("::1".parse().unwrap()));
        assert_eq!(Client::new(Some(3), None), Client::Key(3));
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let trusted = vec!["10.0.0.0/8".to_owned(), "::1".to_owned()];
        let http = config::HttpConfig { trusted_proxies: trusted, ..Config::default().http };
        let proxies = ProxyNetworks::new(&http);
        let client = |peer: &str, lines: &[&str]| {
            let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
            for line in lines {
                request = request.append_header(("X-Forwarded-For", *line));
            }
            proxies.client_of(&request.to_http_request()).unwrap().ip().to_string()
        };
        for (peer, lines, expected) in [
            ("192.0.2.9:1", &["198.51.100.1"][..], "192.0.2.9"),
            ("10.1.2.3:1", &[], "10.1.2.3"),
            ("10.1.2.3:1", &["198.51.100.1"], "198.51.100.1"),
            // What the client has written itself stands to the left.
            ("10.1.2.3:1", &["203.0.113.7, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("[::1]:1", &["203.0.113.7", "198.51.100.1:4711"], "198.51.100.1"),
            ("[::1]:1", &["[2001:db8::1]"], "2001:db8::1"),
            ("[::ffff:10.1.2.3]:1", &["unknown"], "::ffff:10.1.2.3"),
            ("10.1.2.3:1", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
        let forwarded = |peer: &str, header: bool| {
            let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
            if header {
                request = request.insert_header(("X-Forwarded-For", "198.51.100.1"));
            }
            proxies.forwarded(&request.to_http_request())
        };
        assert_eq!(forwarded("10.1.2.3:1", true), "believed");
        assert_eq!(forwarded("192.0.2.9:1", true), "ignored");
        assert_eq!(forwarded("10.1.2.3:1", false), "none");
    }
}
