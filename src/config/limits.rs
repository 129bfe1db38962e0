//! The limits of numbers, as data: `Config::check` holds values against them, and the reference
//! ([`super::reference`]) prints them.

use std::collections::BTreeMap;

/// Numbers that may be 0; each says in `config/default.toml` what 0 means.
const MAY_BE_ZERO: &[&str] = &[
    "archive.after_days",
    "http.drain_ms",
    "http.hsts_s",
    "http.workers",
    "http.max_connections_per_address",
    "http.min_body_bytes_per_s",
    "http.client_events_per_s",
    "otlp.traces_per_million",
    "retention.alerts_days",
    "retention.dead_letters_days",
    "retention.events_days",
    "retention.rollups_days",
    "retention.store_max_bytes",
    "spool.keep_s",
    "spool.keep_bytes",
];

/// Numbers with a least value above 1: key, least, why.
const AT_LEAST: &[(&str, u64, &str)] = &[
    // actix-http counts it from a clock that it reads every 500 ms, so it may end that much early.
    (
        "http.header_timeout_ms",
        1000,
        "it is kept to half a second, and a shorter one would refuse requests that came in time",
    ),
    // A business day has up to 25 hours; the rest is a day of margin.
    ("ledger.keep_hours", 49, "today's counters are rebuilt from the ledger"),
    ("history.minutes_days", 2, "the last day is always there by minute"),
];

/// Numbers with a greatest value: key, greatest, why.
const AT_MOST: &[(&str, u64, &str)] = &[
    ("http.client_inflight_percent", 100, "it is a part of http.max_inflight_bytes"),
    ("otlp.traces_per_million", 1_000_000, "then all of them are traced"),
    ("schemas.max_schemas", 1000, "all of them are read when drift is looked for"),
    ("schemas.max_properties", 256, "one batch says no more of a type and source"),
    ("schemas.drift_from_percent", 100, "it is a part of the events"),
    ("schemas.drift_to_percent", 75, "a small change is no drift"),
];

/// Texts that are one of a few words.
const ONE_OF: &[(&str, &[&str])] = &[
    ("log.format", &["auto", "text", "json"]),
    ("privacy.ip", &["drop", "cut", "keep"]),
    ("schemas.drift_severity", &["info", "warning", "critical"]),
];

/// A number that another one bounds.
struct Bound {
    small: &'static str,
    /// Whether it must be smaller, not only as large at most.
    strictly: bool,
    large: &'static str,
    /// How many units of the small one are one of the large one.
    times: u64,
    why: &'static str,
}

impl Bound {
    const fn at_most(small: &'static str, large: &'static str, why: &'static str) -> Bound {
        Bound { small, strictly: false, large, times: 1, why }
    }

    const fn below(small: &'static str, large: &'static str, why: &'static str) -> Bound {
        Bound { small, strictly: true, large, times: 1, why }
    }

    /// The large side with its factor.
    fn large_in_words(&self) -> String {
        match self.times {
            1 => self.large.to_owned(),
            times => format!("{times} x {}", self.large),
        }
    }

    fn relation(&self) -> &'static str {
        if self.strictly { "less than" } else { "at most" }
    }
}

/// What has to be no longer, or to fit into something larger.
const BOUNDS: &[Bound] = &[
    Bound {
        small: "live.active_window_s",
        strictly: false,
        large: "ledger.keep_hours",
        times: 3600,
        why: "who is active is rebuilt from the ledger",
    },
    Bound::at_most("stream.tick_ms", "stream.heartbeat_ms", "a frame leaves on a tick"),
    Bound::below(
        "stream.ping_interval_ms",
        "stream.silence_timeout_ms",
        "a viewer needs a ping to answer before it counts as silent",
    ),
    Bound::at_most(
        "retry.initial_ms",
        "retry.max_ms",
        "waiting time grows from the first to the second",
    ),
    Bound::below("spool.segment_bytes", "spool.max_bytes", "the spool holds several segments"),
    Bound::below("batch.max_bytes", "spool.segment_bytes", "a batch never spans two segments"),
    Bound::at_most("event.max_bytes", "batch.max_bytes", "an event has to fit into a batch"),
    Bound::at_most(
        "event.max_bytes",
        "http.max_decoded_bytes",
        "an event has to fit into a request",
    ),
    Bound::at_most(
        "http.max_body_bytes",
        "http.max_decoded_bytes",
        "a body is never smaller decoded than sent",
    ),
    Bound::at_most("http.max_decoded_bytes", "http.max_inflight_bytes", "one request has to fit"),
];

/// What is wrong with these numbers, by themselves and with each other.
pub(super) fn judge(numbers: &BTreeMap<String, u64>) -> Vec<String> {
    let mut found = Vec::new();
    for (key, &value) in numbers {
        let at_least = AT_LEAST.iter().find(|(known, ..)| known == key);
        let at_most = AT_MOST.iter().find(|(known, ..)| known == key);
        match (at_least, at_most) {
            _ if value == 0 && least(key) > 0 => found.push(format!("{key}: must be more than 0")),
            (Some((_, least, why)), _) if value < *least => {
                found.push(format!("{key} ({value}) must be at least {least}: {why}"));
            }
            (_, Some((_, most, why))) if value > *most => {
                found.push(format!("{key} ({value}) must be at most {most}: {why}"));
            }
            _ => {}
        }
    }
    for bound in BOUNDS {
        let (small, large) = (numbers[bound.small], numbers[bound.large]);
        let large = large.saturating_mul(bound.times);
        if small > large || bound.strictly && small == large {
            found.push(format!(
                "{} ({small}) must be {} {} ({large}): {}",
                bound.small,
                bound.relation(),
                bound.large_in_words(),
                bound.why
            ));
        }
    }
    found
}

/// The words that a text has to be one of; `None` where it may be any.
pub(super) fn words(key: &str) -> Option<&'static [&'static str]> {
    ONE_OF.iter().find(|(known, _)| *known == key).map(|(_, words)| *words)
}

/// The least value of a number.
fn least(key: &str) -> u64 {
    let at_least = AT_LEAST.iter().find(|(known, ..)| *known == key);
    let zero = MAY_BE_ZERO.contains(&key);
    at_least.map_or(if zero { 0 } else { 1 }, |(_, least, _)| *least)
}

/// The limits of a number in words.
pub(super) fn in_words(key: &str) -> String {
    let at_most = AT_MOST.iter().find(|(known, ..)| *known == key);
    let mut words = match at_most {
        Some((_, most, _)) => format!("{} to {most}", least(key)),
        None => format!("{} or more", least(key)),
    };
    for bound in BOUNDS.iter().filter(|bound| bound.small == key) {
        let times = if bound.times == 1 { String::new() } else { format!("{} x ", bound.times) };
        words.push_str(&format!("; {} {times}`{}`", bound.relation(), bound.large));
    }
    words
}

/// Every key that has a limit here, for the test that all of them exist.
#[cfg(test)]
pub(super) fn named() -> Vec<&'static str> {
    let of_bounds = BOUNDS.iter().flat_map(|bound| [bound.small, bound.large]);
    let of_ranges = AT_LEAST.iter().chain(AT_MOST).map(|(key, ..)| *key);
    let of_words = ONE_OF.iter().map(|(key, _)| *key);
    MAY_BE_ZERO.iter().copied().chain(of_ranges).chain(of_bounds).chain(of_words).collect()
}
