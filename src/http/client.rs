//! Who a request comes from, for limits that hold for each client by itself.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whom a limit is for. All requests of one client share what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The senders with this write key, by its place in the configuration.
    Key(u32),
    /// An address ([`network`]).
    Address(IpAddr),
}

impl Client {
    /// The client with this write key, or at this address where no keys are set.
    pub fn new(key: Option<u32>, peer: Option<SocketAddr>) -> Client {
        key.map_or_else(|| Client::Address(network(peer)), Client::Key)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
