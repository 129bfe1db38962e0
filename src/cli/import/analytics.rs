//! Exports of analytics: GA4, PostHog, Mixpanel, Umami, and Floodmark's own events. Where the vendor's SDK can send to
//! Floodmark, an event of its export becomes what the same event of the SDK does.

use std::io::{BufRead, Read};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    format::ExportFormat,
    moments,
    record::{ImportRecord, ImportRules},
    table::{Lines, Table},
};
use crate::{
    domain::event::Incoming,
    http::dialect::{
        DialectEvent,
        built::{BuiltProperties, field, field_of},
        json_event::EventMembers,
        mixpanel::MixpanelMembers,
        native::body::{BodyFormat, split},
        posthog::Captured,
    },
};

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// A file with one JSON object a line.
pub struct JsonRecords {
    lines: Lines,
    format: ExportFormat,
    line: u64,
}

impl JsonRecords {
    /// A file of this format.
    pub fn new(lines: Lines, format: ExportFormat) -> JsonRecords {
        JsonRecords { lines, format, line: 0 }
    }

    /// Reads the next record; `false` at the end.
    ///
    /// # Errors
    /// The file can't be read, or a line has no end.
    pub fn next(
        &mut self,
        rules: &ImportRules,
        out: &mut Vec<ImportRecord>,
    ) -> Result<bool, String> {
        let mut text = Vec::new();
        let mut limited = (&mut self.lines).take(MAX_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut text).map_err(|e| e.to_string())?;
        self.line += 1;
        if read as u64 == MAX_LINE_BYTES {
            return Err(format!("line {} is longer than {MAX_LINE_BYTES} bytes", self.line));
        }
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii();
        if !text.is_empty() {
            let judged = std::str::from_utf8(text)
                .map_err(|_| "it is no UTF-8".to_owned())
                .and_then(|text| self.judged(rules, text));
            out.push(judged.unwrap_or_else(|why| ImportRecord::Broken { line: self.line, why }));
        }
        Ok(read > 0)
    }

    fn judged(&self, rules: &ImportRules, text: &str) -> Result<ImportRecord, String> {
        let judge =
            |event: &Incoming<'_>| rules.judge(self.format, (self.line, text.as_bytes()), event);
        let no_json =
            |e: serde_json::Error| format!("it is no record of {}: {e}", self.format.name());
        Ok(match self.format {
            ExportFormat::Ga4 => judge(&ga4(&serde_json::from_str(text).map_err(no_json)?)),
            ExportFormat::Posthog => {
                let whole = with_whole_properties(text);
                let captured: Captured<'_> =
                    serde_json::from_str(whole.as_deref().unwrap_or(text)).map_err(no_json)?;
                judge(&captured.incoming(text.len()))
            }
            ExportFormat::Mixpanel => {
                let members: MixpanelMembers<'_> = serde_json::from_str(text).map_err(no_json)?;
                judge(&members.incoming(text.len()))
            }
            _ => {
                let mut own =
                    split(text.as_bytes(), BodyFormat::NdJson, 1).map_err(|e| e.to_string())?;
                let [event] = own.events() else { return Err("it is no event".to_owned()) };
                judge(event.read().map_err(|rejection| rejection.to_string())?)
            }
        })
    }
}

/// An event of PostHog whose properties are JSON in a text, as some of its exports write them; `None` where they are
/// an object.
fn with_whole_properties(text: &str) -> Option<String> {
    let mut record: Map<String, Value> = serde_json::from_str(text).ok()?;
    let Some(Value::String(properties)) = record.get("properties") else { return None };
    let properties: Value = serde_json::from_str(properties).ok()?;
    record.insert("properties".to_owned(), properties);
    serde_json::to_string(&record).ok()
}

/// A row of GA4's BigQuery export.
#[derive(Deserialize)]
struct Ga4Row {
    #[serde(default)]
    event_timestamp: Value,
    #[serde(default)]
    event_name: Value,
    #[serde(default)]
    event_params: Vec<Ga4Param>,
    #[serde(default)]
    user_id: Value,
    #[serde(default)]
    user_pseudo_id: Value,
    #[serde(default)]
    ecommerce: Value,
    #[serde(default)]
    geo: Value,
    #[serde(default)]
    device: Value,
}

#[derive(Deserialize)]
struct Ga4Param {
    key: String,
    #[serde(default)]
    value: Value,
}

/// What a row of GA4 says. Numbers of BigQuery's export are texts, since they may be beyond 2^53.
fn ga4(row: &Ga4Row) -> Incoming<'static> {
    let mut own = Map::new();
    for Ga4Param { key, value } in &row.event_params {
        let typed = ["string_value", "int_value", "float_value", "double_value"];
        let found = typed.iter().find_map(|name| {
            let value = value.get(name).filter(|value| !value.is_null())?;
            let number = value.as_str().filter(|_| *name != "string_value");
            Some(number.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(value.clone()))
        });
        if let Some(value) = found {
            own.insert(key.clone(), value);
        }
    }
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut properties = BuiltProperties::of(Some(Value::Object(own)));
    let page = properties.get("page_location").map(str::to_owned);
    properties.path(page.as_deref());
    let order = row.ecommerce.get("transaction_id").and_then(Value::as_str);
    properties.text("transaction_id", order.filter(|id| *id != "(not set)"));
    properties.value("value", row.ecommerce.get("purchase_revenue"));
    properties.value("country", row.geo.get("country"));
    properties.value("device", row.device.get("category"));
    let pseudo = text(&row.user_pseudo_id);
    let session = properties.0.get("ga_session_id").and_then(text);
    let session = match (&pseudo, session) {
        (Some(pseudo), Some(session)) => Some(format!("{pseudo}.{session}")),
        (pseudo, session) => session.or(pseudo.clone()),
    };
    Incoming {
        kind: field_of(Some(&row.event_name)),
        timestamp: field_of(Some(&row.event_timestamp)),
        user_id: field_of(Some(&row.user_id)),
        session_id: field(session.as_deref()),
        properties: properties.finish(),
        ..Incoming::default()
    }
}

/// `website_event.csv` of Umami, or a CSV of PostHog's events.
pub struct EventTable {
    table: Table,
    format: ExportFormat,
}

impl EventTable {
    /// # Errors
    /// A column is missing that is needed.
    pub fn new(table: Table, format: ExportFormat) -> Result<EventTable, String> {
        let needed: &[&str] = match format {
            ExportFormat::Umami => &["event_id", "created_at", "event_type"],
            _ => &["uuid", "event", "timestamp", "distinct_id"],
        };
        needed.iter().try_for_each(|name| table.needed(&[name]).map(drop))?;
        Ok(EventTable { table, format })
    }

    /// Reads the next event; `false` at the end.
    pub fn next(&mut self, rules: &ImportRules, out: &mut Vec<ImportRecord>) -> bool {
        let row = match self.table.next() {
            None => return false,
            Some(Err((line, why))) => {
                out.push(ImportRecord::Broken { line, why });
                return true;
            }
            Some(Ok(row)) => row,
        };
        let (line, raw) = (row.line, row.raw());
        let get = |name: &str| row.get(self.table.column(&[name]));
        out.push(match self.format {
            ExportFormat::Umami => rules.judge(self.format, (line, &raw), &umami(&get)),
            _ => match posthog_row(&get) {
                Ok(text) => match serde_json::from_str::<Captured<'_>>(&text) {
                    Ok(captured) => {
                        rules.judge(self.format, (line, &raw), &captured.incoming(text.len()))
                    }
                    Err(e) => ImportRecord::Broken { line, why: e.to_string() },
                },
                Err(why) => ImportRecord::Broken { line, why },
            },
        });
        true
    }
}

/// What a row of Umami says. Its times are in UTC; a `event_type` of 2 is an event with a name, and 1 a view.
fn umami<'r>(get: &impl Fn(&str) -> Option<&'r str>) -> Incoming<'static> {
    let mut properties = BuiltProperties::default();
    properties.path(get("url_path"));
    for (name, column) in [
        ("title", "page_title"),
        ("referrer", "referrer_domain"),
        ("hostname", "hostname"),
        ("country", "country"),
        ("browser", "browser"),
        ("os", "os"),
        ("device", "device"),
        ("language", "language"),
        ("tag", "tag"),
    ] {
        properties.text(name, get(column));
    }
    let name = match get("event_type") {
        Some("2") => get("event_name"),
        _ => Some("page_view"),
    };
    let utc = |text: &str| moments::read(text, &jiff::tz::TimeZone::UTC);
    let time = get("created_at").map(|text| utc(text).map_or(text.to_owned(), |at| at.to_string()));
    Incoming {
        kind: field(name),
        timestamp: field(time.as_deref()),
        user_id: field(get("distinct_id")),
        session_id: field(get("visit_id").or(get("session_id"))),
        id: field(get("event_id")),
        properties: properties.finish(),
        ..Incoming::default()
    }
}

/// A row of PostHog as the JSON of its other exports.
fn posthog_row<'r>(get: &impl Fn(&str) -> Option<&'r str>) -> Result<String, String> {
    let properties = get("properties").unwrap_or("{}");
    let properties: &RawValue = serde_json::from_str(properties)
        .map_err(|e| format!("the column properties is no JSON: {e}"))?;
    let text = |name: &str| Value::from(get(name)).to_string();
    Ok(format!(
        r#"{{"uuid":{},"event":{},"timestamp":{},"distinct_id":{},"properties":{properties}}}"#,
        text("uuid"),
        text("event"),
        text("timestamp"),
        text("distinct_id"),
    ))
}
