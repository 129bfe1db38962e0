//! The one way in which HTTP says no: `{"error":{"code","message"}}`.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::json;

use crate::numbers::Unavailable;

/// When a number that the store did not tell may be asked for again, in seconds.
const ASK_AGAIN: u32 = 5;

/// A request refused as a whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
}

impl ApiError {
    /// Without `Retry-After`.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status, code, message: message.into(), retry_after: None }
    }

    /// 400, naming what is wrong with the request.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 503, with the seconds after which to try again.
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

impl From<Unavailable> for ApiError {
    /// 503 `history_unavailable`. What the store said is for the log, not for the client.
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
        let mut response = HttpResponse::build(self.status);
        // Whoever is told to come back is told when.
        let again = matches!(self.status.as_u16(), 429 | 503);
        if let Some(seconds) = self.retry_after.or(again.then_some(1)) {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"floodmark\""));
        }
        response.json(json!({"error": {"code": self.code, "message": self.message}}))
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
