//! Which export a file is: told by its header, or by its first record.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde_json::Value;

/// The exports that can be imported. Their columns and members are those of the vendors' documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Floodmark's own events, one JSON object a line
    Native,
    /// Shopify: Orders, Export, CSV
    Shopify,
    /// WooCommerce: a CSV of orders, of Analytics or of an export extension
    Woocommerce,
    /// Stripe: Payments, Export, CSV
    Stripe,
    /// Google Analytics 4: rows of its BigQuery export, one JSON object a line
    Ga4,
    /// PostHog: events of a batch export, one JSON object a line, or CSV
    Posthog,
    /// Mixpanel: the raw export, one JSON object a line
    Mixpanel,
    /// Umami: website_event.csv of its export
    Umami,
    /// Any CSV, as --map says
    Mapped,
}

/// Why a file is none of them, in words.
pub type NotAnExport = String;

impl ExportFormat {
    /// The name, in previews and in the property `imported_from`.
    pub fn name(self) -> &'static str {
        match self {
            ExportFormat::Native => "native",
            ExportFormat::Shopify => "shopify",
            ExportFormat::Woocommerce => "woocommerce",
            ExportFormat::Stripe => "stripe",
            ExportFormat::Ga4 => "ga4",
            ExportFormat::Posthog => "posthog",
            ExportFormat::Mixpanel => "mixpanel",
            ExportFormat::Umami => "umami",
            ExportFormat::Mapped => "mapped",
        }
    }

    /// Whether its events have names of their own, which `[[map]]` translates.
    pub fn translates(self) -> bool {
        use ExportFormat::{Ga4, Mixpanel, Posthog, Umami};
        matches!(self, Ga4 | Mixpanel | Posthog | Umami)
    }

    /// The format of a file that begins so.
    ///
    /// # Errors
    /// What the file is instead, or what to do.
    pub fn of(beginning: &[u8]) -> Result<ExportFormat, NotAnExport> {
        if beginning.starts_with(b"PK\x03\x04") {
            return Err(AGGREGATED_ZIP.to_owned());
        }
        let text = String::from_utf8_lossy(beginning);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let first = text.lines().next().unwrap_or_default();
        match first.chars().next() {
            None => Err("the file is empty".to_owned()),
            Some('{') => of_record(first),
            Some('[') => {
                Err("the file is one JSON array: write one object a line, as `jq -c '.[]'` does"
                    .to_owned())
            }
            Some(_) => of_header(first),
        }
    }
}

const AGGREGATED_ZIP: &str = "the file is a zip: unpack it and import the files in it. Those of Plausible hold sums \
    by day and no events, so nothing of them can be imported";

/// The format of a file whose first line is this object.
fn of_record(line: &str) -> Result<ExportFormat, NotAnExport> {
    let Ok(Value::Object(record)) = serde_json::from_str::<Value>(line) else {
        return Err("its first line is no JSON object: say what it is with --format".to_owned());
    };
    let has = |name: &str| record.contains_key(name);
    let inner = |name: &str| record.get("properties").is_some_and(|own| own.get(name).is_some());
    match () {
        () if has("event_timestamp") && has("event_name") => Ok(ExportFormat::Ga4),
        () if has("event") && (has("uuid") || has("distinct_id")) => Ok(ExportFormat::Posthog),
        () if has("event") && (inner("time") || inner("distinct_id")) => Ok(ExportFormat::Mixpanel),
        () if has("type") => Ok(ExportFormat::Native),
        () if has("results") => Err(
            "the file is an answer of an API: write one event a line, as `jq -c '.results[]'` does"
                .to_owned(),
        ),
        () => Err("its first record is of no export that is known: say what it is with --format"
            .to_owned()),
    }
}

/// The separator of a header: the one of `,`, `;` and tab that it has most of.
pub fn separator(header: &str) -> u8 {
    let count = |separator: u8| header.bytes().filter(|byte| *byte == separator).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|it| count(*it)).unwrap_or(b',')
}

/// The format of a CSV with this header.
fn of_header(header: &str) -> Result<ExportFormat, NotAnExport> {
    let separator = separator(header) as char;
    let names: BTreeSet<&str> =
        header.split(separator).map(|name| name.trim().trim_matches('"')).collect();
    let has = |all: &[&str]| all.iter().all(|name| names.contains(name));
    let is_plausible =
        has(&["date", "visitors", "pageviews"]) || has(&["date", "visitors", "visits"]);
    match () {
        () if has(&["Name", "Financial Status", "Total", "Created at"]) => Ok(ExportFormat::Shopify),
        () if has(&["id", "Amount", "Currency"])
            && (has(&["Created date (UTC)"]) || has(&["Created (UTC)"])) =>
        {
            Ok(ExportFormat::Stripe)
        }
        () if has(&["Order #", "N. Revenue"]) || has(&["order_total", "status"]) => {
            Ok(ExportFormat::Woocommerce)
        }
        () if has(&["event_id", "created_at", "url_path", "event_type"]) => Ok(ExportFormat::Umami),
        () if has(&["uuid", "event", "timestamp", "distinct_id"]) => Ok(ExportFormat::Posthog),
        () if is_plausible => Err("the file holds sums by day and no events, as Plausible exports them: when each \
                                   visit was and what it was nobody can tell any more, so nothing of it can be \
                                   imported"
            .to_owned()),
        () => Err("its columns are of no export that is known: say which column is what with --map".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_how_it_begins() {
        let known = |text: &str| ExportFormat::of(text.as_bytes()).ok();
        assert_eq!(
            known("\u{feff}Name,Email,Financial Status,Total,\"Created at\"\n"),
            Some(ExportFormat::Shopify)
        );
        assert_eq!(known("id;Created date (UTC);Amount;Currency"), Some(ExportFormat::Stripe));
        assert_eq!(
            known("order_id,order_date,status,order_total"),
            Some(ExportFormat::Woocommerce)
        );
        assert_eq!(
            known("Date,\"Order #\",Status,\"N. Revenue\""),
            Some(ExportFormat::Woocommerce)
        );
        assert_eq!(known("{\"type\":\"a\"}\n{"), Some(ExportFormat::Native));
        assert_eq!(
            known(r#"{"event":"a","uuid":"1","properties":{}}"#),
            Some(ExportFormat::Posthog)
        );
        assert_eq!(
            known(r#"{"event":"a","properties":{"time":1,"distinct_id":"u"}}"#),
            Some(ExportFormat::Mixpanel)
        );
        assert_eq!(known(r#"{"event_timestamp":"1","event_name":"a"}"#), Some(ExportFormat::Ga4));
    }

    #[test]
    fn what_can_not_be_imported_says_why() {
        for (text, words) in [
            ("date,visitors,pageviews,bounces", "sums by day"),
            ("PK\u{3}\u{4}", "unpack"),
            ("a,b,c", "--map"),
            ("[{\"a\":1}]", "jq -c '.[]'"),
            ("{\"results\":[]}", "jq -c '.results[]'"),
            ("{\"a\":1}", "--format"),
            ("", "empty"),
        ] {
            let said = ExportFormat::of(text.as_bytes()).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
