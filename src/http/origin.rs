//! Which pages may open a WebSocket: the server's own, and `stream.allowed_origins`.

use actix_web::{
    HttpRequest,
    http::{
        StatusCode,
        header::{HOST, ORIGIN},
    },
};

use crate::http::error::ApiError;

/// Checks which page opens the socket, as the browser says in `Origin`. A page of another site
/// must not: its visitor may be on the same machine or network as the server, and CORS does not
/// protect WebSockets. A client that is no browser sends no `Origin`, and passes.
///
/// # Errors
/// 403 for the page of another site.
pub fn check(request: &HttpRequest, allowed: &[String]) -> Result<(), ApiError> {
    let mut origins = request.headers().get_all(ORIGIN);
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if origins.next().is_none() && is_allowed(origin, host.unwrap_or_default(), allowed) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "origin",
        format!("pages of {origin:?} may not watch; see stream.allowed_origins"),
    ))
}

fn is_allowed(origin: &str, host: &str, allowed: &[String]) -> bool {
    if allowed.iter().any(|known| known.eq_ignore_ascii_case(origin)) {
        return true;
    }
    // A sandboxed page has the origin `null`, and a request may lack `Host`: neither names a host,
    // and two missing names must not count as equal.
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    // The default port of the scheme may be written out in either of the two, or left out.
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(default_port).unwrap_or(&name).to_owned()
    };
    !host.is_empty() && plain(authority) == plain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_origin_and_listed_ones_may_watch() {
        let listed = ["https://wall.example".to_owned()];
        for (origin, host, expected) in [
            ("http://localhost:8080", "localhost:8080", true),
            ("https://Shop.example", "shop.example", true),
            ("https://shop.example", "shop.example:443", true),
            ("http://shop.example:80", "shop.example", true),
            ("https://wall.example", "shop.example", true),
            ("http://localhost:3000", "localhost:8080", false),
            ("https://shop.example.evil.example", "shop.example", false),
            ("https://evil.example", "shop.example", false),
            ("null", "shop.example", false),
            ("null", "null", false),
            ("", "", false),
            ("http://", "", false),
            ("file://shop.example", "shop.example", false),
        ] {
            assert_eq!(is_allowed(origin, host, &listed), expected, "{origin} {host}");
        }
    }
}
