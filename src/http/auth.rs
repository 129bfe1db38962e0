//! Who may send and who may see. A key is compared in constant time.

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{config, http::error::ApiError};

/// The keys of the configuration. An empty list lets everybody in; the server refuses to
/// start so on an address that others reach.
#[derive(Clone, Debug)]
pub struct Keys {
    write: Vec<String>,
    view: Vec<String>,
}

impl Keys {
    /// From `[auth]`.
    pub fn new(config: &config::AuthConfig) -> Keys {
        Keys { write: config.write_keys.clone(), view: config.viewer_tokens.clone() }
    }

    /// Whether the request may send events. The key: `Authorization: Bearer KEY`, Basic auth
    /// with the key as user name, `X-Write-Key`, or `?key=` (for sendBeacon, which sets no
    /// headers).
    ///
    /// Which of the keys it is; `None` where there are none.
    ///
    /// # Errors
    /// 401.
    pub fn check_write(&self, request: &HttpRequest) -> Result<Option<u32>, ApiError> {
        check(&self.write, request, "x-write-key", "key", "write key")
    }

    /// Whether the request may see the numbers. The token: `Authorization: Bearer TOKEN`, or
    /// `?token=` (for WebSocket, which sets no headers in a browser).
    ///
    /// # Errors
    /// 401.
    pub fn check_view(&self, request: &HttpRequest) -> Result<(), ApiError> {
        check(&self.view, request, "x-viewer-token", "token", "viewer token").map(drop)
    }
}

fn check(
    allowed: &[String],
    request: &HttpRequest,
    header_name: &str,
    parameter: &str,
    what: &str,
) -> Result<Option<u32>, ApiError> {
    if allowed.is_empty() {
        return Ok(None);
    }
    let given = offered(request, header_name, parameter);
    // Each allowed key is compared, whichever matches, so that time tells nothing.
    let (mut known, mut which) = (Choice::from(0), 0);
    for (at, key) in (0..).zip(allowed) {
        for offer in &given {
            let same = key.as_bytes().ct_eq(offer.as_bytes());
            which.conditional_assign(&at, same);
            known |= same;
        }
    }
    if known.into() {
        return Ok(Some(which));
    }
    let message = match given.is_empty() {
        true => format!("a {what} is needed: Authorization: Bearer, or ?{parameter}="),
        false => format!("unknown {what}"),
    };
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
}

fn offered(request: &HttpRequest, header_name: &str, parameter: &str) -> Vec<String> {
    let mut offers = Vec::new();
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    offers.extend(text(header_name).map(str::to_owned));
    if let Some((scheme, value)) =
        text(header::AUTHORIZATION.as_str()).and_then(|v| v.split_once(' '))
    {
        if scheme.eq_ignore_ascii_case("bearer") {
            offers.push(value.trim().to_owned());
        } else if scheme.eq_ignore_ascii_case("basic")
            && let Ok(pair) = BASE64.decode(value.trim())
            && let Ok(pair) = String::from_utf8(pair)
        {
            offers.push(pair.split(':').next().unwrap_or_default().to_owned());
        }
    }
    let query = actix_web::web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    if let Ok(query) = query {
        offers
            .extend(query.into_inner().into_iter().filter(|(k, _)| k == parameter).map(|(_, v)| v));
    }
    offers
}
