//! The limits of connections and bodies, each with the count of how often it was reached.

use metrics::Counter;

/// A limit that a client can run into. Its name in the metric is its key in `[http]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `http.max_inflight_bytes`: 503 `overloaded`.
    Inflight,
    /// `http.client_inflight_percent`: 429 `too_many_bytes`.
    ClientInflight,
    /// `http.min_body_bytes_per_s`: 408 `too_slow`.
    BodyRate,
    /// `http.body_timeout_ms`: 408 `timeout`.
    BodyTime,
    /// `http.header_timeout_ms`: the connection ends, where the head is not its first.
    HeaderTime,
    /// `http.write_timeout_ms`: the connection is cut.
    WriteTime,
    /// `http.max_connections_per_address`: 429 `too_many_connections`.
    AddressConnections,
}

impl Limit {
    const ALL: [Limit; 7] = [
        Limit::Inflight,
        Limit::ClientInflight,
        Limit::BodyRate,
        Limit::BodyTime,
        Limit::HeaderTime,
        Limit::WriteTime,
        Limit::AddressConnections,
    ];

    fn key(self) -> &'static str {
        match self {
            Limit::Inflight => "max_inflight_bytes",
            Limit::ClientInflight => "client_inflight_percent",
            Limit::BodyRate => "min_body_bytes_per_s",
            Limit::BodyTime => "body_timeout_ms",
            Limit::HeaderTime => "header_timeout_ms",
            Limit::WriteTime => "write_timeout_ms",
            Limit::AddressConnections => "max_connections_per_address",
        }
    }

    fn counter(self) -> Counter {
        metrics::counter!("floodmark_http_limits_reached_total", "limit" => self.key())
    }

    /// Counts that a client has run into it.
    pub fn reached(self) {
        self.counter().increment(1);
    }

    /// Puts the counters of all limits into `/metrics`, where those not reached yet stand at 0.
    pub fn show_all() {
        for limit in Limit::ALL {
            limit.counter().increment(0);
        }
    }
}
