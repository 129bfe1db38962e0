//! The memory that bodies take, of all requests together and of each client.
//!
//! A body takes its bytes as they arrive and gives them back when its request ends. So a client
//! that sends slowly holds bytes for long. What one client may hold is a share of the whole, or a
//! few slow clients would leave nothing for everybody else.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use actix_web::http::StatusCode;
use parking_lot::Mutex;

use crate::{
    config,
    http::{
        client::{Client, ProxyNetworks, network},
        error::ApiError,
        limit::Limit,
    },
};

/// How many bytes of bodies are in memory, and how many may be: of all requests
/// (`http.max_inflight_bytes`) and of each client (`http.client_inflight_percent`). A clone shares
/// the count.
#[derive(Clone, Debug)]
pub struct BytesInFlight(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    max: usize,
    /// The most that one client may hold.
    share: usize,
    /// Addresses behind which there are many clients, so that no share is set for them.
    proxies: ProxyNetworks,
    held: Mutex<HeldBytes>,
}

/// `all` is the sum over all permits. `clients` has those who hold anything.
#[derive(Debug, Default)]
struct HeldBytes {
    all: usize,
    clients: HashMap<Client, usize>,
}

/// The bytes of [`BytesInFlight`] that one request takes. They are given back when it is dropped.
#[derive(Debug)]
pub struct BytesPermit {
    of: Arc<Bounds>,
    /// Whose shares these bytes come from: that of the address and that of the key.
    clients: [Option<Client>; 2],
    bytes: usize,
}

impl BytesInFlight {
    /// A count of 0 bytes, with the limits of a configuration.
    pub fn new(http: &config::HttpConfig) -> BytesInFlight {
        let max = http.max_inflight_bytes;
        // The largest request that is allowed has to fit into a share, packed and unpacked, or it
        // could never pass.
        let largest = http.max_body_bytes + http.max_decoded_bytes;
        let share = (max / 100 * http.client_inflight_percent).max(largest).min(max);
        let (proxies, held) = (ProxyNetworks::new(http), Mutex::default());
        BytesInFlight(Arc::new(Bounds { max, share, proxies, held }))
    }

    /// A permit for one request of the sender with this key at this address. It holds no bytes
    /// yet. The key may be unknown still, where it stands in the body, or tell nothing, where all have
    /// the same.
    pub fn permit(&self, key: Option<u32>, peer: Option<SocketAddr>) -> BytesPermit {
        let is_shared = peer.is_some_and(|peer| self.0.proxies.is_shared(peer.ip()));
        let address = (!is_shared).then(|| Client::Address(network(peer)));
        let key = key.map(Client::Key);
        BytesPermit { of: self.0.clone(), clients: [address, key], bytes: 0 }
    }

    /// A permit for a body that no limit holds for, of `unpack_bytes`.
    pub(super) fn unbounded() -> BytesPermit {
        let (max, held) = (usize::MAX, Mutex::default());
        let bounds = Bounds { max, share: max, proxies: ProxyNetworks::default(), held };
        BytesPermit { of: Arc::new(bounds), clients: [None; 2], bytes: 0 }
    }
}

impl BytesPermit {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// 429 where its client would hold more than its share, 503 where all requests together would
    /// hold more than the limit. The permit then holds what it held before.
    pub fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let mut held = self.of.held.lock();
        for client in self.clients.iter().flatten() {
            let has = held.clients.get(client).copied().unwrap_or_default();
            if has.saturating_add(bytes) > self.of.share {
                Limit::ClientInflight.reached();
                return Err(ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_bytes",
                    "too many bytes of this client are in flight; try again",
                ));
            }
        }
        if held.all.saturating_add(bytes) > self.of.max {
            Limit::Inflight.reached();
            return Err(ApiError::unavailable(
                "overloaded",
                "too many bytes in flight; try again",
                1,
            ));
        }
        held.all += bytes;
        for client in self.clients.iter().flatten() {
            *held.clients.entry(*client).or_default() += bytes;
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BytesPermit {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.of.held.lock();
        held.all -= self.bytes;
        for client in self.clients.iter().flatten() {
            let has = held.clients.get_mut(client).expect("what it has taken");
            *has -= self.bytes;
            if *has == 0 {
                held.clients.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn bytes() -> BytesInFlight {
        let http = config::HttpConfig {
            max_inflight_bytes: 1_000,
            client_inflight_percent: 25,
            max_body_bytes: 50,
            max_decoded_bytes: 50,
            ..Config::default().http
        };
        BytesInFlight::new(&http)
    }

    fn at(peer: &str) -> Option<SocketAddr> {
        Some(format!("{peer}:1234").parse().unwrap())
    }

    fn code(result: Result<(), ApiError>) -> &'static str {
        result.map_or_else(|error| error.code, |()| "ok")
    }

    #[test]
    fn a_client_gets_no_more_than_its_share_and_gives_it_back() {
        let bytes = bytes();
        let mut first = bytes.permit(None, at("192.0.2.1"));
        let mut second = bytes.permit(None, at("192.0.2.1"));
        assert_eq!(code(first.grow(200)), "ok");
        assert_eq!(code(second.grow(50)), "ok");
        assert_eq!(code(second.grow(1)), "too_many_bytes");
        let mut other = bytes.permit(None, at("192.0.2.2"));
        assert_eq!(code(other.grow(250)), "ok");
        drop(first);
        assert_eq!(code(second.grow(200)), "ok");
        drop((second, other));
        assert_eq!(bytes.0.held.lock().all, 0);
        assert!(bytes.0.held.lock().clients.is_empty());
    }

    #[test]
    fn a_proxy_has_no_share_but_all_together_have_a_limit() {
        let bytes = bytes();
        let mut proxy = bytes.permit(None, at("127.0.0.1"));
        assert_eq!(code(proxy.grow(900)), "ok");
        let mut other = bytes.permit(None, at("192.0.2.2"));
        assert_eq!(code(other.grow(101)), "overloaded");
        assert_eq!(code(other.grow(100)), "ok", "what was refused is not held");
    }

    #[test]
    fn keys_have_shares() {
        let two = bytes();
        let mut first = two.permit(Some(0), at("127.0.0.1"));
        assert_eq!(code(first.grow(251)), "too_many_bytes");
        assert_eq!(code(first.grow(250)), "ok");
        assert_eq!(code(two.permit(Some(1), at("127.0.0.1")).grow(250)), "ok");
    }

    #[test]
    fn the_largest_request_fits_into_a_share() {
        let http = config::HttpConfig { client_inflight_percent: 1, ..Config::default().http };
        let mut permit = BytesInFlight::new(&http).permit(None, at("192.0.2.1"));
        assert_eq!(code(permit.grow(http.max_body_bytes)), "ok");
        assert_eq!(code(permit.grow(http.max_decoded_bytes)), "ok");
    }
}
