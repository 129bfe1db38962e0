//! The form of every refusal over HTTP: `{"error":{"code","message"}}` with a fitting status.

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
};
use serde_json::json;

use crate::{http::observed::RefusalCode, numbers::Unavailable};

/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;

/// The refusal of a request as a whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// A word for programs, which stays the same between releases. `docs/API.md` lists all codes.
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The seconds after which another try makes sense (`Retry-After`).
    pub retry_after: Option<u32>,
}

impl ApiError {
    /// A refusal that leaves `Retry-After` to its status: 1 second for 429 and 503, else none.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into(), retry_after: None }
    }

    /// The body of the answer.
    pub fn body(&self) -> serde_json::Value {
        json!({"error": {"code": self.code, "message": self.message}})
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Every event of the request was rejected; a dialect says with which status, and why.
    pub fn all_rejected(status: StatusCode) -> ApiError {
        ApiError::new(status, "all_rejected", "every event of the request was rejected")
    }

    /// 503: the server can't do it now. `retry_after` is in seconds.
    pub fn unavailable(
        code: &'static str,
        message: impl Into<String>,
        retry_after: u32,
    ) -> ApiError {
        ApiError {
            retry_after: Some(retry_after),
            ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }
}

impl ApiError {
    /// The answer with another body, as a vendor's clients expect it. Status and headers stay.
    pub fn with_body(&self, body: serde_json::Value) -> HttpResponse {
        self.head().json(body)
    }

    /// The answer with a body that is no JSON. Status and headers stay.
    pub fn with_bytes(&self, kind: &'static str, body: Vec<u8>) -> HttpResponse {
        self.head().content_type(kind).body(body)
    }

    /// The answer as bytes, for a connection that is refused before it is one of HTTP.
    pub fn on_wire(&self) -> Vec<u8> {
        let body = self.body().to_string();
        let again = self.retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n"));
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\
             Connection: close\r\n\r\n",
            self.status,
            body.len(),
            again.unwrap_or_default(),
        );
        (head + &body).into_bytes()
    }

    /// Status and headers.
    fn head(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        // Every 429 and 503 says when to come back, also where the code that made it did not.
        let again = matches!(self.status.as_u16(), 429 | 503);
        if let Some(seconds) = self.retry_after.or(again.then_some(1)) {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"floodmark\""));
        }
        response.extensions_mut().insert(RefusalCode(self.code));
        response
    }
}

impl From<Unavailable> for ApiError {
    /// 503 `history_unavailable`. What the store said stands in the log and is not shown to the
    /// client.
    fn from(_: Unavailable) -> ApiError {
        ApiError::unavailable(
            "history_unavailable",
            "the store does not answer, and what is older than 24 hours is only there",
            ASK_AGAIN,
        )
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.with_body(self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_come_back_is_told_when() {
        let after = |error: &ApiError| {
            let response = error.error_response();
            let value = response.headers().get(header::RETRY_AFTER);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(after(&ApiError::unavailable("full", "", 5)).as_deref(), Some("5"));
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(after(&ApiError::new(status, "x", "")).as_deref(), Some("1"));
        }
        assert_eq!(after(&ApiError::bad_request("x", "")), None);
    }
}
