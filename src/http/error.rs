//! How errors are rendered: `{"error":{"code","message"}}`. The one place that does it.

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use serde::Serialize;

/// A request that is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// For programs: `snake_case`, never changes.
    pub code: &'static str,
    /// For people: what is wrong, with what, and what to do.
    pub message: String,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl ApiError {
    /// Any status. 429 and 503 say when to try again: after a second, unless told.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        let again = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        ApiError {
            status,
            code,
            message: message.into(),
            retry_after: again.contains(&status).then_some(1),
        }
    }

    /// 400
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 403
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404
    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 408: the body did not come in time.
    pub fn timeout(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    }

    /// 413
    pub fn too_large(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, code, message)
    }

    /// 415
    pub fn unsupported(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, message)
    }

    /// 422
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 429
    pub fn too_many(
        code: &'static str,
        message: impl Into<String>,
        retry_after_s: u32,
    ) -> ApiError {
        ApiError {
            retry_after: Some(retry_after_s),
            ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, message)
        }
    }

    /// 503
    pub fn unavailable(
        code: &'static str,
        message: impl Into<String>,
        retry_after_s: u32,
    ) -> ApiError {
        ApiError {
            retry_after: Some(retry_after_s),
            ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            message: &'a str,
        }
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // Not Basic: a browser would ask the reader for a password.
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(Body {
            error: Inner {
                code: self.code,
                message: &self.message,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn says_what_is_wrong_and_when_to_come_back() {
        let response = ApiError::unavailable("spool_full", "the disk is full", 5).error_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "5");
        let body = actix_web::body::to_bytes(response.into_body())
            .await
            .unwrap();
        assert_eq!(
            body,
            r#"{"error":{"code":"spool_full","message":"the disk is full"}}"#
        );
    }

    #[test]
    fn busy_answers_always_name_a_time() {
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate", "slow down");
        assert_eq!(error.retry_after, Some(1));
    }
}
