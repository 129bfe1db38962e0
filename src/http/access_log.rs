//! The access log: a line for each request, where `log.access` asks for it.
//!
//! A line has the pattern of the route and never the path or the query, in which clients have keys and ids.

use std::{net::SocketAddr, time::Duration};

use actix_web::{
    body::{BodySize, MessageBody},
    dev::ServiceResponse,
};

use crate::{
    config::Config,
    domain::privacy::Addresses,
    http::{client::ProxyNetworks, observed::NO_ROUTE},
};

/// Writes the lines; they are messages of the level info with the target `floodmark::access`.
#[derive(Clone, Debug)]
pub struct AccessLog {
    is_on: bool,
    /// What of the client's address stands in a line.
    addresses: Addresses,
    proxies: ProxyNetworks,
}

impl AccessLog {
    /// As `log.access` and `privacy.ip` say.
    pub fn new(config: &Config) -> AccessLog {
        AccessLog {
            is_on: config.log.access,
            addresses: config.privacy.addresses(),
            proxies: ProxyNetworks::new(&config.http),
        }
    }

    /// Notes a request that has its answer.
    pub fn note<B: MessageBody>(&self, response: &ServiceResponse<B>, took: Duration) {
        if !self.is_on {
            return;
        }
        let request = response.request();
        let pattern = request.match_pattern().filter(|pattern| !pattern.is_empty());
        // What is sent as it is made has no size yet.
        let bytes = match response.response().body().size() {
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::None => Some(0),
            BodySize::Stream => None,
        };
        tracing::info!(
            target: "floodmark::access",
            method = %request.method(),
            route = pattern.as_deref().unwrap_or(NO_ROUTE),
            status = response.status().as_u16(),
            bytes,
            ms = (took.as_secs_f64() * 10_000.0).round() / 10.0,
            client = self.client(self.proxies.client_of(request)),
            "request"
        );
    }

    /// What is noted of a client's address.
    fn client(&self, client: Option<SocketAddr>) -> Option<String> {
        self.addresses.kept(client?.ip()).map(|address| address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_of_the_address_what_privacy_lets_it_have() {
        let client = Some("192.0.2.77:1234".parse().unwrap());
        let noted = |word: &str| {
            let mut config = Config::default();
            config.privacy.ip = word.to_owned();
            AccessLog::new(&config).client(client)
        };
        assert_eq!(noted("drop"), None);
        assert_eq!(noted("keep").as_deref(), Some("192.0.2.77"));
        assert_eq!(noted("cut").as_deref(), Some("192.0.2.0"));
    }
}
