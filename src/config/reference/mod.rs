//! The reference of the configuration: every key with its default, unit, limits and meaning, as
//! tables of Markdown. It is made from what the server itself goes by: the built-in layer and its
//! comments, the limits that [`super::limits`] holds values against, and the fields of the rules.

mod fields;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use toml::de::{DeTable, DeValue};

use self::fields::fields_of;
use super::{DEFAULT_TOML, event_schemas::SchemaSpec, limits, rules::RuleLayers};
use crate::domain::{
    alert::{AlertSpec, WebhookSpec},
    event_names::MapSpec,
    metric::{BreakdownSpec, MetricSpec},
    source::SourceSpec,
};

/// One key of the built-in layer.
#[derive(Debug)]
pub struct KeyFacts {
    /// `section.key`, or the key alone at the top level.
    pub key: String,
    /// The default as it stands in TOML.
    pub default: String,
    /// What its value counts, or its type.
    pub unit: String,
    /// Which values it may have.
    pub limits: String,
    /// What it means: the comment beside it.
    pub meaning: String,
}

/// Every key, in the order of `config/default.toml`.
pub fn keys() -> Vec<KeyFacts> {
    let document = DeTable::parse(DEFAULT_TOML).expect("config/default.toml is TOML");
    let mut found = Vec::new();
    for (name, value) in document.get_ref() {
        let name = name.get_ref().as_ref();
        match value.get_ref() {
            _ if RuleLayers::has(name) => {}
            DeValue::Table(section) => {
                for (key, value) in section {
                    found.push((value.span(), format!("{name}.{}", key.get_ref())));
                }
            }
            _ => found.push((value.span(), name.to_owned())),
        }
    }
    // The parser sorts by name; people read in the order of the file.
    found.sort_by_key(|(span, _)| span.start);
    let facts = |(span, key): (std::ops::Range<usize>, String)| {
        let default = DEFAULT_TOML[span.clone()].to_owned();
        let is_number = default.starts_with(|c: char| c.is_ascii_digit());
        let limits = match limits::words(&key) {
            Some(words) => words.join(", "),
            None if is_number => limits::in_words(&key),
            None => String::new(),
        };
        let meaning = comment_at(&DEFAULT_TOML[span.end..]);
        KeyFacts { unit: unit_of(&key, &default), key, default, limits, meaning }
    };
    found.into_iter().map(facts).collect()
}

/// The comment that begins on the line of a value and goes on in the lines below, where these have
/// nothing else. A comment at the very left is about what follows, so it is not taken.
fn comment_at(rest: &str) -> String {
    let mut lines = rest.lines();
    let first = lines.next().unwrap_or_default().trim_start();
    let Some(first) = first.strip_prefix('#') else { return String::new() };
    let mut words = vec![first.trim()];
    let more = lines.take_while(|line| line.starts_with(' '));
    words.extend(more.map(|line| line.trim_start().trim_start_matches('#').trim()));
    words.join(" ")
}

/// What a value counts. A name ends in its unit; where it does not, it says what is counted.
fn unit_of(key: &str, default: &str) -> String {
    match default.chars().next() {
        Some('"') => return "text".to_owned(),
        Some('[') => return "list of texts".to_owned(),
        Some('{') => return "table of days".to_owned(),
        Some('t' | 'f') => return "true or false".to_owned(),
        _ => {}
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    if let Some((of, per)) = name.rsplit_once("_per_") {
        let of = of.rsplit('_').next().unwrap_or(of);
        return format!("{of} per {}", if per == "s" { "second" } else { per });
    }
    match name.rsplit('_').next().unwrap_or(name) {
        "ms" => "milliseconds",
        "s" => "seconds",
        unit => unit,
    }
    .to_owned()
}

/// A list of rules: its name, its keys, and where they are explained.
struct RuleList {
    name: &'static str,
    keys: &'static [&'static str],
    explained: &'static str,
}

fn rule_lists() -> [RuleList; 7] {
    let (here, metrics) = ("../config/default.toml", "METRICS.md");
    [
        RuleList { name: "metric", keys: fields_of::<MetricSpec>(), explained: metrics },
        RuleList { name: "breakdown", keys: fields_of::<BreakdownSpec>(), explained: metrics },
        RuleList { name: "alert", keys: fields_of::<AlertSpec>(), explained: "ALERTS.md" },
        RuleList { name: "webhook", keys: fields_of::<WebhookSpec>(), explained: "ALERTS.md" },
        RuleList { name: "map", keys: fields_of::<MapSpec>(), explained: here },
        RuleList { name: "source", keys: fields_of::<SourceSpec>(), explained: here },
        RuleList { name: "schema", keys: fields_of::<SchemaSpec>(), explained: here },
    ]
}

/// The tables of the reference. `since` says with which version a key came.
pub fn tables(since: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut at = None;
    for facts in keys() {
        let section = facts.key.split_once('.').map_or("", |(section, _)| section).to_owned();
        if at.as_ref() != Some(&section) {
            let title = match section.as_str() {
                "" => "At the top".to_owned(),
                section => format!("`[{section}]`"),
            };
            let _ = write!(
                out,
                "\n### {title}\n\n| key | default | unit | limits | since | meaning |\n\
                 | --- | --- | --- | --- | --- | --- |\n"
            );
            at = Some(section);
        }
        let cells = [
            format!("`{}`", facts.key),
            format!("`{}`", facts.default),
            facts.unit,
            facts.limits,
            since(&facts.key),
            facts.meaning,
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push_str("\n### Lists of rules\n\n| list | keys | explained in |\n| --- | --- | --- |\n");
    for list in rule_lists() {
        let keys: Vec<String> = list.keys.iter().map(|key| format!("`{key}`")).collect();
        let (name, keys, at) = (list.name, keys.join(", "), list.explained);
        let shown = at.rsplit('/').next().unwrap_or(at);
        let _ = writeln!(out, "| `[[{name}]]` | {keys} | [{shown}]({at}) |");
    }
    out
}
