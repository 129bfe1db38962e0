//! SecretList: who may send, and who may see. A key is compared in constant time.
//!
//! [`WriteKeys`] let senders in, [`ViewerTokens`] those who read the numbers. Handlers don't ask
//! them: the scope in which a route hangs does ([`crate::http::scope`]).

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{config, http::error::ApiError};

/// `auth.write_keys`. An empty list lets everybody in; the server refuses to start so on an
/// address that others reach.
#[derive(Clone, Debug)]
pub struct WriteKeys(SecretList);

/// What the head of a request says about its write key.
#[derive(Debug)]
pub enum Offer {
    /// These may be the key; one of them has to be. Nothing in it is a request without a key.
    Head(Vec<String>),
    /// The key stands in the body, which has to be read first.
    Body,
}

/// The proof that a sender may send. Only [`WriteKeys`] makes one, and no event gets past the
/// door without it.
#[derive(Debug)]
pub struct WriteAccess {
    key: Option<u32>,
}

impl WriteAccess {
    /// The place of the sender's key in the configuration; `None` where there are no keys.
    pub fn key(&self) -> Option<u32> {
        self.key
    }
}

impl WriteKeys {
    /// From `[auth]`.
    pub fn new(config: &config::AuthConfig) -> WriteKeys {
        WriteKeys(SecretList { allowed: config.write_keys.clone(), kind: &WRITE })
    }

    /// Looks at the head of a request. `None` means that its body decides ([`WriteKeys::in_body`]).
    ///
    /// # Errors
    /// 401.
    pub fn in_head(&self, offer: impl FnOnce() -> Offer) -> Result<Option<WriteAccess>, ApiError> {
        if self.0.allowed.is_empty() {
            return self.in_body(&[]).map(Some);
        }
        match offer() {
            Offer::Head(keys) => self.in_body(&keys).map(Some),
            Offer::Body => Ok(None),
        }
    }

    /// Looks at the keys that were found in a body.
    ///
    /// # Errors
    /// 401.
    pub fn in_body(&self, keys: &[String]) -> Result<WriteAccess, ApiError> {
        Ok(WriteAccess { key: self.0.find(keys)? })
    }
}

/// The places where write keys usually are: `Authorization: Bearer KEY`, Basic auth with the
/// key as user name, `X-Write-Key`, or `?key=` (for sendBeacon, which sets no headers).
pub fn usual_write_keys(request: &HttpRequest) -> Vec<String> {
    offered(request, &WRITE)
}

/// `auth.viewer_tokens`. An empty list lets everybody see, as with [`WriteKeys`].
#[derive(Clone, Debug)]
pub struct ViewerTokens(SecretList);

impl ViewerTokens {
    /// From `[auth]`.
    pub fn new(config: &config::AuthConfig) -> ViewerTokens {
        ViewerTokens(SecretList { allowed: config.viewer_tokens.clone(), kind: &VIEW })
    }

    /// Whether the request may see the numbers. The token: `Authorization: Bearer TOKEN`, or
    /// `?token=` (for WebSocket, which sets no headers in a browser).
    ///
    /// # Errors
    /// 401.
    pub fn check(&self, request: &HttpRequest) -> Result<(), ApiError> {
        if self.0.allowed.is_empty() {
            return Ok(());
        }
        self.0.find(&offered(request, self.0.kind)).map(drop)
    }
}

/// A kind of secret, and where a request has it.
#[derive(Debug)]
struct Kind {
    /// Its name, for people.
    name: &'static str,
    /// The header of its own.
    header: &'static str,
    /// The parameter in the query.
    parameter: &'static str,
}

static WRITE: Kind = Kind { name: "write key", header: "x-write-key", parameter: "key" };
static VIEW: Kind = Kind { name: "viewer token", header: "x-viewer-token", parameter: "token" };

/// The secrets of one kind.
#[derive(Clone, Debug)]
struct SecretList {
    allowed: Vec<String>,
    kind: &'static Kind,
}

impl SecretList {
    /// The place of the secret that is among these; `None` where there are no secrets.
    fn find(&self, given: &[String]) -> Result<Option<u32>, ApiError> {
        if self.allowed.is_empty() {
            return Ok(None);
        }
        // Each allowed key is compared, whichever matches, so that time tells nothing.
        let (mut known, mut which) = (Choice::from(0), 0);
        for (at, key) in (0..).zip(&self.allowed) {
            for offer in given {
                let same = key.as_bytes().ct_eq(offer.as_bytes());
                which.conditional_assign(&at, same);
                known |= same;
            }
        }
        if known.into() {
            return Ok(Some(which));
        }
        let Kind { name, parameter, .. } = self.kind;
        let message = match given.is_empty() {
            true => format!("a {name} is needed: Authorization: Bearer, or ?{parameter}="),
            false => format!("unknown {name}"),
        };
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
    }
}

fn offered(request: &HttpRequest, kind: &Kind) -> Vec<String> {
    let mut offers = Vec::new();
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    offers.extend(text(kind.header).map(str::to_owned));
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
        offers.extend(
            query.into_inner().into_iter().filter(|(k, _)| k == kind.parameter).map(|(_, v)| v),
        );
    }
    offers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn keys(allowed: &[&str]) -> WriteKeys {
        let allowed = allowed.iter().map(|key| (*key).to_owned()).collect();
        WriteKeys::new(&config::AuthConfig { write_keys: allowed, ..Config::default().auth })
    }

    #[test]
    fn a_sender_gets_access_by_a_key_in_the_head_or_in_the_body() {
        let keys = keys(&["a", "b"]);
        let offer = |key: &str| vec![key.to_owned()];
        let access = keys.in_head(|| Offer::Head(offer("b"))).unwrap();
        assert_eq!(access.and_then(|access| access.key()), Some(1));
        assert_eq!(keys.in_head(|| Offer::Head(offer("c"))).unwrap_err().code, "unauthorized");
        assert!(keys.in_head(|| Offer::Head(Vec::new())).is_err());
        assert!(keys.in_head(|| Offer::Body).unwrap().is_none(), "the body decides");
        assert_eq!(keys.in_body(&offer("a")).unwrap().key(), Some(0));
        // A dialect that sends the guard to the body and finds no key there lets nobody in.
        assert!(keys.in_body(&[]).is_err());
    }

    #[test]
    fn without_keys_nobody_is_asked_for_one() {
        let access = keys(&[]).in_head(|| unreachable!("no need to look")).unwrap();
        assert_eq!(access.map(|access| access.key()), Some(None));
    }
}
