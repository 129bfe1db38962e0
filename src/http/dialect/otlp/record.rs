//! A record of a log, and how it is read from JSON.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

use crate::{
    domain::event::{Field, Incoming},
    http::{
        dialect::built::{BuiltProperties, field, field_of, json_body},
        error::ApiError,
    },
};

/// The severity from which on a record is an error.
const ERROR: i64 = 17;
/// The type of a record that has no name.
const UNNAMED_RECORD: &str = "log";

/// One record. Times are nanoseconds since 1970, as a number or as text, or null.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    /// `eventName`
    pub event_name: Value,
    /// `timeUnixNano`
    pub time: Value,
    /// `observedTimeUnixNano`
    pub observed_time: Value,
    /// `severityNumber`, 1 to 24; 0 where it is not known.
    pub severity: i64,
    /// `severityText`
    pub severity_text: String,
    /// `body`
    pub body: Value,
    /// `attributes`
    pub attributes: Map<String, Value>,
    /// `service.name` of the resource.
    pub service: Value,
}

/// Bytes as JSON has them.
pub fn bytes_as_json(bytes: &[u8]) -> Value {
    Value::from(BASE64.encode(bytes))
}

/// All records of a request in JSON, in their order.
///
/// # Errors
/// 400 where it is no JSON, or no request of logs.
pub fn of_json(contents: &[u8]) -> Result<Vec<LogRecord>, ApiError> {
    let request: Value = json_body(contents)?;
    let Some(all) = request.get("resourceLogs") else {
        return Err(ApiError::bad_request("not_events", "the body has no resourceLogs"));
    };
    let mut records = Vec::new();
    for resource_logs in list(Some(all)) {
        let resource = attributes(resource_logs.pointer("/resource/attributes"));
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for scope in list(resource_logs.get("scopeLogs")) {
            for sent in list(scope.get("logRecords")) {
                let get = |name: &str| sent.get(name).cloned().unwrap_or_default();
                records.push(LogRecord {
                    event_name: get("eventName"),
                    time: time(get("timeUnixNano")),
                    observed_time: time(get("observedTimeUnixNano")),
                    severity: severity(&get("severityNumber")),
                    severity_text: get("severityText").as_str().unwrap_or_default().to_owned(),
                    body: any_value(sent.get("body")),
                    attributes: attributes(sent.get("attributes")),
                    service: service.clone(),
                });
            }
        }
    }
    Ok(records)
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// 0 stands for a time that nobody knows.
fn time(value: Value) -> Value {
    if value == "0" || value == 0 { Value::Null } else { value }
}

/// The number of a severity; some write its name (`SEVERITY_NUMBER_ERROR`).
fn severity(value: &Value) -> i64 {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number.unwrap_or_else(|| match value.as_str().unwrap_or_default() {
        name if name.contains("ERROR") || name.contains("FATAL") => ERROR,
        _ => 0,
    })
}

fn attributes(pairs: Option<&Value>) -> Map<String, Value> {
    let named = list(pairs).iter().filter_map(|pair| {
        let key = pair.get("key")?.as_str()?;
        Some((key.to_owned(), any_value(pair.get("value"))))
    });
    named.collect()
}

/// `{"stringValue":"a"}` and its like. The parser nests no deeper than 128 levels, so this ends.
fn any_value(value: Option<&Value>) -> Value {
    let Some((kind, value)) = value.and_then(Value::as_object).and_then(|one| one.iter().next())
    else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        // The specification has a text here, since not every number of 64 bits is one of JSON.
        ("intValue", Value::String(text)) => {
            text.parse::<i64>().map_or(Value::from(text.as_str()), Value::from)
        }
        ("arrayValue", array) => {
            Value::from_iter(list(array.get("values")).iter().map(|value| any_value(Some(value))))
        }
        ("kvlistValue", members) => Value::Object(attributes(members.get("values"))),
        (_, value) => value.clone(),
    }
}

impl LogRecord {
    /// The record as a dead letter shows it.
    pub fn as_json(&self) -> Value {
        json!({
            "eventName": self.event_name, "timeUnixNano": self.time,
            "severityNumber": self.severity, "body": self.body, "attributes": self.attributes,
        })
    }

    /// The event that it is.
    pub fn incoming(self) -> Incoming<'static> {
        let attribute = |name: &str| self.attributes.get(name);
        let text = |name: &str| attribute(name).and_then(Value::as_str);
        let named = field_of(Some(&self.event_name)).or(field_of(attribute("event.name")));
        let is_error = self.severity >= ERROR;
        let kind = if is_error { Field::Absent } else { named.clone() };
        let unnamed = if is_error { "error" } else { UNNAMED_RECORD };
        let mut properties = BuiltProperties(self.attributes.clone());
        properties.text("code", text("exception.type").or(text("error.type")));
        properties.text("message", text("exception.message").or(self.body.as_str()));
        properties.text("path", text("url.path").or(text("http.route")));
        properties.text("severity", Some(&self.severity_text));
        properties.value("service", Some(&self.service));
        if let (true, Field::Text(name)) = (is_error, &named) {
            properties.text("event", Some(name));
        }
        if !self.body.is_string() {
            properties.value("body", Some(&self.body));
        }
        Incoming {
            kind: kind.or(Field::Text(Cow::Borrowed(unnamed))),
            timestamp: field_of(Some(&self.time)).or(field_of(Some(&self.observed_time))),
            user_id: field_of(attribute("user.id").or(attribute("enduser.id"))),
            session_id: field_of(attribute("session.id")),
            id: field(text("log.record.uid")),
            user_agent: field(text("user_agent.original")),
            properties: properties.finish(),
            ..Incoming::default()
        }
    }
}
