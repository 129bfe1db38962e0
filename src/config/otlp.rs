//! The section `[otlp]` of the configuration.

use serde::{Deserialize, Serialize};

/// `[otlp]`: the OpenTelemetry collector that is sent metrics and traces.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// Its URL, without `/v1/metrics`; empty: nothing is sent.
    pub endpoint: String,
    /// A PEM file of the CA by which the collector is known; empty: the public ones.
    pub ca: String,
    /// Headers of each request, each as `name: value`.
    pub headers: Vec<String>,
    /// The time from one sending of the metrics to the next, and the longest that a span waits.
    pub interval_ms: u64,
    /// How long one request to it may take.
    pub timeout_ms: u64,
    /// Of a million requests or batches, how many are traced.
    pub traces_per_million: u64,
    /// `service.name` of what is sent.
    pub service_name: String,
    /// `service.instance.id` of what is sent; empty: the id of the node.
    pub instance_id: String,
}

impl OtlpConfig {
    /// The headers as names and values; `None` where one is none.
    pub fn header_pairs(&self) -> Option<Vec<(String, String)>> {
        let pair = |line: &String| {
            let (name, value) = line.split_once(':')?;
            let (name, value) = (name.trim(), value.trim());
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let fits = !name.is_empty()
                && name.chars().all(is_token)
                && value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
            fits.then(|| (name.to_owned(), value.to_owned()))
        };
        self.headers.iter().map(pair).collect()
    }
}
