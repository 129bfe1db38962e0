//! OpenTelemetry logs over HTTP (OTLP): `POST /v1/logs`, as JSON or as protobuf.
//!
//! A record with the severity error or worse is an `error`; of another, `eventName` (or the attribute
//! "event.name") is the type, and a record without one is a `log`. The answer has the type of the
//! request. A sender sends again after 429, 502, 503 and 504 only, so whatever may be better later is
//! answered 503.
//! Source: opentelemetry.io/docs/specs/otlp, 1.8.

mod record;
mod wire;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
};
use prost::Message;
use serde_json::json;

use self::{
    record::LogRecord,
    wire::{LogsRequest, LogsResponse, PartialSuccess, RpcStatus},
};
use super::{Dialect, Endpoint, Outcome, Split, built::Built};
use crate::{domain::event::Field, http::error::ApiError};

/// One export of logs.
#[derive(Debug)]
pub struct Otlp {
    is_protobuf: bool,
}

const PROTOBUF: &str = "application/x-protobuf";

impl Dialect for Otlp {
    const NAME: &'static str = "otlp";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/v1/logs", methods: &[Method::POST] }];

    type Event<'a> = Built<'a>;

    fn open(request: &HttpRequest) -> Result<Otlp, ApiError> {
        Ok(Otlp { is_protobuf: is_protobuf(request) })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        let records = match self.is_protobuf {
            true => LogsRequest::decode(contents)
                .map(LogsRequest::records)
                .map_err(|e| ApiError::bad_request("malformed", format!("no OTLP logs: {e}")))?,
            false => record::of_json(contents)?,
        };
        let built = |record: LogRecord| {
            // A record has no text of its own where it came as protobuf, so both get the same one.
            let text = serde_json::to_vec(&record.as_json()).unwrap_or_default();
            Built::new(text, Ok(record.incoming()))
        };
        Ok(Split::new(records.into_iter().map(built).collect(), Field::Absent, max_events)?)
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        let rejected = outcome.rejected.len() as i64;
        let reason = outcome.rejected.first().map(|rejected| rejected.reason.to_string());
        if self.is_protobuf {
            let partial_success = reason.map(|error_message| PartialSuccess {
                rejected_log_records: rejected,
                error_message,
            });
            let body = LogsResponse { partial_success }.encode_to_vec();
            return HttpResponse::Ok().content_type(PROTOBUF).body(body);
        }
        HttpResponse::Ok().json(match reason {
            None => json!({"partialSuccess": {}}),
            Some(reason) => json!({"partialSuccess": {
                "rejectedLogRecords": rejected.to_string(), "errorMessage": reason,
            }}),
        })
    }

    fn refuse(request: &HttpRequest, error: &ApiError) -> HttpResponse {
        let later = error.status.is_server_error() || error.status == StatusCode::REQUEST_TIMEOUT;
        let error = match later {
            true => ApiError { status: StatusCode::SERVICE_UNAVAILABLE, ..error.clone() },
            false => error.clone(),
        };
        let code = grpc_code(error.status);
        if !is_protobuf(request) {
            return error.with_body(json!({"code": code, "message": error.message}));
        }
        let status = RpcStatus { code, message: error.message.clone() };
        error.with_bytes(PROTOBUF, status.encode_to_vec())
    }
}

fn is_protobuf(request: &HttpRequest) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("protobuf"))
}

/// The number that gRPC has for a status.
/// Source: google/rpc/code.proto.
fn grpc_code(status: StatusCode) -> i32 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 5,
        413 | 429 => 8,
        503 => 14,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
