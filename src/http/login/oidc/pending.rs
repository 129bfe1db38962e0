//! What a browser keeps between the way to the provider and the way back: a cookie, signed with the key of
//! the book, so that any node can take up what another one began, and none has to remember it.

use actix_web::{HttpRequest, http::header::HeaderValue};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    access::session::{sealed, unsealed},
    domain::{
        access::Book,
        time::{MINUTE, Millis},
    },
    http::auth::cookie::{set, values},
};

/// The cookie's name, and that over TLS: by the prefix a browser makes sure that only this host has set it.
const NAMES: [&str; 2] = ["floodmark-oidc", "__Host-floodmark-oidc"];
/// How long somebody may take to sign in at the provider.
const LASTS: Millis = 10 * MINUTE;
/// What the signature is for.
const PURPOSE: &str = "floodmark oidc";

/// A way to the provider that was begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct PendingLogin {
    /// Comes back in the address; it keeps others from sending a browser back with a code of theirs.
    pub state: String,
    /// Comes back in the ID token; it keeps a token of another sign-in from being used again.
    pub nonce: String,
    /// Shows that who brings the code is who asked for it (PKCE).
    pub verifier: String,
    /// From when on it is too late, Unix ms.
    until: Millis,
}

impl PendingLogin {
    /// One that begins at `now` (Unix ms).
    pub fn begin(state: String, nonce: String, verifier: String, now: Millis) -> PendingLogin {
        PendingLogin { state, nonce, verifier, until: now + LASTS }
    }

    /// The cookie that keeps it. The way back comes from another site, so it is `Lax`.
    pub fn cookie(&self, book: &Book, over_tls: bool) -> HeaderValue {
        let json = serde_json::to_vec(self).expect("texts and a number are JSON");
        let text = sealed(book, PURPOSE, &URL_SAFE_NO_PAD.encode(json));
        set(NAMES, &text, LASTS, "Lax", over_tls)
    }

    /// The one that a request brings back, where this installation has made it and it is not too late.
    pub fn of(request: &HttpRequest, book: &Book, over_tls: bool, now: Millis) -> Option<Self> {
        let cookie = values(request, &[NAMES[usize::from(over_tls)]]).pop()?;
        let json = URL_SAFE_NO_PAD.decode(unsealed(book, PURPOSE, &cookie)?).ok()?;
        let pending: PendingLogin = serde_json::from_slice(&json).ok()?;
        (now < pending.until).then_some(pending)
    }
}

/// The cookie that takes it away.
pub fn taken_away(over_tls: bool) -> HeaderValue {
    set(NAMES, "", 0, "Lax", over_tls)
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header::COOKIE, test::TestRequest};

    use super::*;
    use crate::domain::access::StoredBook;

    fn book(key: u8) -> Book {
        Book::new(StoredBook { session_key: vec![key; 32], ..StoredBook::default() })
    }

    #[test]
    fn only_what_this_installation_has_begun_comes_back_and_in_time() {
        let pending = PendingLogin::begin("s".into(), "n".into(), "v".into(), 1000);
        let line = pending.cookie(&book(1), false).to_str().unwrap().to_owned();
        let cookie = line.split(';').next().unwrap();
        let read = |cookie: &str, key, tls, now| {
            let request = TestRequest::default().insert_header((COOKIE, cookie)).to_http_request();
            PendingLogin::of(&request, &book(key), tls, now)
                .map(|it| (it.state, it.nonce, it.verifier))
        };
        let all = Some(("s".to_owned(), "n".to_owned(), "v".to_owned()));
        assert_eq!(read(cookie, 1, false, 1000 + LASTS - 1), all);
        assert_eq!(read(cookie, 1, false, 1000 + LASTS), None, "too late");
        assert_eq!(read(cookie, 2, false, 1000), None, "another installation");
        assert_eq!(read(cookie, 1, true, 1000), None, "the cookie of a page without TLS");
        assert_eq!(read(&cookie.replace('=', "=x"), 1, false, 1000), None, "forged");
        for part in ["HttpOnly", "SameSite=Lax", "Path=/;", "Max-Age=600"] {
            assert!(line.contains(part), "{line}");
        }
        let secure = pending.cookie(&book(1), true);
        let secure = secure.to_str().unwrap();
        assert!(secure.starts_with("__Host-") && secure.ends_with("; Secure"), "{secure}");
    }
}
