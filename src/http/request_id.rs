//! Every request has an id: the client's `X-Request-Id` where that is short and of plain
//! characters, else a new one. The id is in the log lines of the request and in its answer.
//!
//! The same layer sets `X-Content-Type-Options`, which every answer has, and has every answer
//! watched ([`AnswerWatch`]) and counted ([`observed`]). It ends a connection whose client asked for
//! another protocol and did not get it. A second layer would cost every request another allocation or
//! two.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    http::{
        answer::{AnswerWatch, WatchedBody},
        observed,
        wire::HeadClock,
    },
    telemetry::otlp::spans,
};

const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// Of which trace the request is part, by W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// The middleware: gives the request its id, and the answer the headers that all answers have.
pub async fn layer(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<WatchedBody>, Error> {
    let began = Instant::now();
    let mut answering = request.conn_data::<HeadClock>().map(HeadClock::complete);
    let in_chunks = request.headers().contains_key(TRANSFER_ENCODING);
    // A client's id goes into log lines, so it may neither be long nor hold spaces or quotes.
    let given = request.headers().get(NAME).filter(|value| {
        let bytes = value.as_bytes();
        bytes.len() <= 64 && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    });
    let id = given.cloned().unwrap_or_else(|| {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::new_v4().simple().encode_lower(&mut text);
        HeaderValue::from_str(text).expect("hexadecimal")
    });
    let text = id.to_str().unwrap_or_default();
    let span = tracing::debug_span!("request", id = text, method = %request.method(), path = request.path());
    let upgrade = request.head().upgrade() || request.headers().contains_key(UPGRADE);
    let watch = request.conn_data::<AnswerWatch>().cloned();
    let parents = request.headers().get_all(TRACEPARENT).map(HeaderValue::as_bytes);
    if let Some(traced) = spans::request(parents) {
        request.extensions_mut().insert(traced);
    }
    let mut response = next.call(request).instrument(span.clone()).await?;
    if response.status().is_server_error() || response.status().is_client_error() {
        let _entered = span.enter();
        tracing::debug!(status = response.status().as_u16(), "refused");
    }
    if upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // actix-http ends such a connection after the answer, which would say `Connection: upgrade`.
        // Said so, no client sends its next request into the end.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if in_chunks && response.status().as_u16() >= 400 {
        // Perhaps nobody has read the whole body, and how long it is nobody knows.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        if let Some(answering) = &mut answering {
            answering.leaves_rest();
        }
    }
    observed::answered(&response, began);
    let headers = response.headers_mut();
    headers.insert(NAME, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Of a viewer's connection the fan-out takes care, which knows when the next frame is due.
    let watch = watch.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS);
    Ok(response.map_body(|_, body| WatchedBody::new(body, watch, answering)))
}
