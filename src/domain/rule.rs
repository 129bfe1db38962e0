//! What the rules of the configuration (metrics, breakdowns, alerts, webhooks) have in common.

use std::fmt;

/// How many rules one list may have.
pub const MAX_RULES: usize = 100;
/// Longest name of a rule or of a property, in bytes.
pub const MAX_NAME: usize = 64;

/// A rule that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The list that it is in.
    pub list: List,
    /// Its place there, from 0.
    pub index: usize,
    /// What is wrong, in words.
    pub message: String,
}

/// The lists of rules. `Display` writes a list's name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `[[metric]]`
    Metrics,
    /// `[[breakdown]]`
    Breakdowns,
    /// `[[alert]]`
    Alerts,
    /// `[[webhook]]`
    Webhooks,
    /// `[[map]]`
    Maps,
    /// `[[source]]`
    Sources,
    /// `[[schema]]`
    Schemas,
    /// `[[occasion]]`
    Occasions,
    /// `[[target]]`
    Targets,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            List::Metrics => "metric",
            List::Breakdowns => "breakdown",
            List::Alerts => "alert",
            List::Webhooks => "webhook",
            List::Maps => "map",
            List::Sources => "source",
            List::Schemas => "schema",
            List::Occasions => "occasion",
            List::Targets => "target",
        })
    }
}

/// Refuses what can't be the name of a rule.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    match name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        true => Err(format!("name {name:?}: 1 to {MAX_NAME} characters of a-z 0-9 _")),
        false => Ok(()),
    }
}
