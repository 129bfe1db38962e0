//! The messages of OTLP logs, as far as they are looked at.
//! Source: github.com/open-telemetry/opentelemetry-proto, 1.8: collector/logs/v1, logs/v1, common/v1,
//! resource/v1; google/rpc/status.proto.

use prost::{Message, Oneof};
use serde_json::{Map, Value};

use super::record::{LogRecord, bytes_as_json};

/// `ExportLogsServiceRequest`
#[derive(Clone, PartialEq, Message)]
pub struct LogsRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<WireRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct WireRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3, 4, 5, 6, 7")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    Members(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

/// `ExportLogsServiceResponse`
#[derive(Clone, PartialEq, Message)]
pub struct LogsResponse {
    /// Present where something was refused.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// How many records were refused.
    #[prost(int64, tag = "1")]
    pub rejected_log_records: i64,
    /// Why the first of them was.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// The number that gRPC has for the error.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What is wrong.
    #[prost(string, tag = "2")]
    pub message: String,
}

impl LogsRequest {
    /// All records, in their order.
    pub(super) fn records(self) -> Vec<LogRecord> {
        let mut records = Vec::new();
        for resource_logs in self.resource_logs {
            let resource = members(resource_logs.resource.unwrap_or_default().attributes);
            let service = resource.get("service.name").cloned().unwrap_or_default();
            let wired = resource_logs.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            records.extend(wired.map(|wired| LogRecord {
                event_name: Value::from(wired.event_name),
                time: time(wired.time_unix_nano),
                observed_time: time(wired.observed_time_unix_nano),
                severity: i64::from(wired.severity_number),
                severity_text: wired.severity_text,
                body: wired.body.map(AnyValue::into_json).unwrap_or_default(),
                attributes: members(wired.attributes),
                service: service.clone(),
            }));
        }
        records
    }
}

/// 0 stands for a time that nobody knows.
fn time(nanos: u64) -> Value {
    if nanos == 0 { Value::Null } else { Value::from(nanos) }
}

fn members(pairs: Vec<KeyValue>) -> Map<String, Value> {
    let value = |value: Option<AnyValue>| value.map(AnyValue::into_json).unwrap_or_default();
    pairs.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

impl AnyValue {
    /// Prost refuses messages that nest deeper than 100 levels, so this ends.
    fn into_json(self) -> Value {
        match self.value {
            None => Value::Null,
            Some(OneValue::Text(text)) => Value::from(text),
            Some(OneValue::Bool(value)) => Value::from(value),
            Some(OneValue::Int(number)) => Value::from(number),
            Some(OneValue::Double(number)) => Value::from(number),
            Some(OneValue::Array(array)) => {
                Value::from_iter(array.values.into_iter().map(AnyValue::into_json))
            }
            Some(OneValue::Members(list)) => Value::Object(members(list.values)),
            Some(OneValue::Bytes(bytes)) => bytes_as_json(&bytes),
        }
    }
}
