//! Whether the URL of a webhook can be posted to, and how much of it may be shown. The URL is
//! read by the same code that reads it for sending, so what is let in here can be sent to.

use actix_web::http::Uri;

/// Scheme and host of an `http` or `https` URL, as `https://example.com`; `None` for any other
/// text. The rest is left out, since each part of it may be a secret: user, password, path,
/// query.
pub(super) fn place_of(url: &str) -> Option<String> {
    let uri = url.parse::<Uri>().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn scheme_and_host_are_shown_and_nothing_else() {
        for (url, place) in [
            ("https://x/SECRET", "https://x"),
            ("http://example.com", "http://example.com"),
            ("HTTPS://example.com/", "https://example.com"),
            ("https://example.com:8443/hooks?token=SECRET", "https://example.com"),
            ("https://user:SECRET@example.com/hooks", "https://example.com"),
            ("https://user:SECRET@example.com:8443", "https://example.com"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1"),
            ("http://[::1]/", "http://[::1]"),
            ("http://[2001:db8::1]:9000/hooks", "http://[2001:db8::1]"),
        ] {
            assert_eq!(place_of(url).as_deref(), Some(place), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_posted_to_is_refused() {
        for url in [
            "",
            "example.com",
            "example.com/hooks",
            "//example.com",
            "/hooks",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http://",
            "https:///hooks",
            "http:example.com",
            "https://exam ple.com/",
            "https://[::1/",
        ] {
            assert_eq!(place_of(url), None, "{url}");
        }
    }
}
