//! The cookie that holds a session.

use actix_web::{
    HttpRequest,
    http::header::{COOKIE, HeaderValue},
};

use crate::domain::time::Millis;

/// The cookie's name.
const NAME: &str = "floodmark-session";
/// Its name over TLS: by the prefix a browser makes sure that only this host has set it, over TLS.
const SECURE_NAME: &str = "__Host-floodmark-session";

/// The sessions that a request has; at most one of each name is looked at.
pub(super) fn sessions(request: &HttpRequest) -> Vec<String> {
    values(request, &[SECURE_NAME, NAME])
}

/// The first value of each of these cookies that a request has, in the order of the names.
pub fn values(request: &HttpRequest, names: &[&str]) -> Vec<String> {
    let lines = request.headers().get_all(COOKIE).filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let all: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.trim(), value.trim())).collect();
    let named = |wanted: &str| all.iter().find(|(name, _)| *name == wanted);
    names.iter().copied().filter_map(named).map(|(_, value)| (*value).to_owned()).collect()
}

/// `Set-Cookie` for a session that lasts `lasts_ms`; an empty session takes the cookie away. No script can
/// read it, and no request of another site's page has it with it.
pub fn set_session(session: &str, lasts_ms: Millis, over_tls: bool) -> HeaderValue {
    set([NAME, SECURE_NAME], session, lasts_ms, "Strict", over_tls)
}

/// `Set-Cookie` for a text of letters, digits, dots, - and _; an empty one takes the cookie away. The names
/// are that without TLS and that over it, which begins with `__Host-`.
pub fn set(
    [name, secure_name]: [&str; 2],
    text: &str,
    lasts_ms: Millis,
    same_site: &str,
    over_tls: bool,
) -> HeaderValue {
    let (name, secure) = if over_tls { (secure_name, "; Secure") } else { (name, "") };
    let seconds = if text.is_empty() { 0 } else { (lasts_ms / 1000).max(1) };
    let text =
        format!("{name}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
    HeaderValue::from_str(&text).expect("it has letters, digits, dots, - and _ only")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let of = |line: &str| {
            sessions(&TestRequest::default().insert_header((COOKIE, line)).to_http_request())
        };
        assert_eq!(of("a=b; floodmark-session=s1.x ; c=d"), ["s1.x"]);
        assert_eq!(of("floodmark-session=1; __Host-floodmark-session=2"), ["2", "1"]);
        assert_eq!(of("floodmark-session=1; floodmark-session=2"), ["1"]);
        assert_eq!(of("xfloodmark-session=1; floodmark-session"), [""; 0]);
    }

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        let set = |session: &str, tls| set_session(session, 5000, tls).to_str().unwrap().to_owned();
        assert_eq!(
            set("s1.x", true),
            "__Host-floodmark-session=s1.x; Path=/; Max-Age=5; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            set("", false),
            "floodmark-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        );
    }
}
