//! Bodies of the requests by which people sign in and change who has access: small JSON objects.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
    web,
};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::http::error::ApiError;

/// The longest body.
const MAX_BYTES: usize = 16 * 1024;

/// Reads a body that is one JSON object, and comes within this time.
///
/// # Errors
/// 415 where it does not say that it is JSON, which no form of a page of another site can say; 413, 408
/// or 400 where it is too long, too slow or something else.
pub async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    mut payload: web::Payload,
    within: Duration,
) -> Result<T, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let media = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_type",
            "send application/json",
        ));
    }
    let mut body = BytesMut::new();
    let collect = async {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| {
                ApiError::bad_request("incomplete_body", "the body ended before its end")
            })?;
            if body.len() + chunk.len() > MAX_BYTES {
                let message = format!("the body has more than {MAX_BYTES} bytes");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(within, collect).await {
        Ok(collected) => collected?,
        Err(_) => {
            let message = format!("the body did not come within {} ms", within.as_millis());
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message));
        }
    }
    // What serde says of a value may repeat it, and it may be a password.
    serde_json::from_slice(&body).map_err(|e| {
        let what = if e.is_data() { "is not what this route takes" } else { "is no JSON" };
        ApiError::bad_request("malformed", format!("the body {what} (column {})", e.column()))
    })
}
