//! Secrets: write keys ([`WriteKeys`]) say who may send events, viewer tokens ([`ViewerTokens`])
//! say who may read the numbers. Both are compared in constant time.
//!
//! Handlers don't check them. The scope in which a route hangs does ([`crate::http::scope`]).

use std::sync::Arc;

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{config, domain::batch::DeadLetter, http::error::ApiError};

/// The write keys of the configuration (`auth.write_keys`). An empty list lets everybody send;
/// with one the server does not start on an address that other machines reach, unless it is told
/// to (`--insecure`).
#[derive(Clone, Debug)]
pub struct WriteKeys {
    list: SecretList,
    /// For each key what dead letters say of it ([`DeadLetter::fingerprint`]).
    fingerprints: Arc<[String]>,
}

/// What the head of a request says about its write key.
#[derive(Debug)]
pub enum Offer {
    /// The texts in the head that may be a key. One of them has to be a known key; an empty list
    /// is a request without a key.
    Head(Vec<String>),
    /// The key stands in the body, which has to be read before the key can be checked.
    Body,
}

/// The proof that a sender may send. Only [`WriteKeys`] makes one, and the step after it
/// ([`crate::http::collect::quota`]) can't be called without it.
#[derive(Debug)]
pub struct WriteAccess {
    key: Option<u32>,
}

impl WriteAccess {
    /// The place of the sender's key in the list of the configuration, from 0; `None` where the
    /// configuration has no keys.
    pub fn key(&self) -> Option<u32> {
        self.key
    }
}

impl WriteKeys {
    /// The keys of `[auth]`.
    pub fn new(config: &config::AuthConfig) -> WriteKeys {
        let allowed = config.write_keys.clone();
        let fingerprints = allowed.iter().map(|key| DeadLetter::fingerprint(key)).collect();
        WriteKeys { list: SecretList { allowed, kind: &WRITE }, fingerprints }
    }

    /// What dead letters say of a key, by its place in the configuration; empty for none.
    pub fn fingerprint(&self, key: Option<u32>) -> &str {
        key.and_then(|key| self.fingerprints.get(key as usize)).map_or("", String::as_str)
    }

    /// Checks the head of a request. `None` means that its body decides ([`WriteKeys::in_body`]).
    ///
    /// # Errors
    /// 401 where the head offers no known key.
    pub fn in_head(&self, offer: impl FnOnce() -> Offer) -> Result<Option<WriteAccess>, ApiError> {
        // Without keys in the configuration `offer` is not called: there is nothing to look for.
        if self.list.allowed.is_empty() {
            return self.in_body(&[]).map(Some);
        }
        match offer() {
            Offer::Head(keys) => self.in_body(&keys).map(Some),
            Offer::Body => Ok(None),
        }
    }

    /// Checks the keys that were found in a body.
    ///
    /// # Errors
    /// 401 where none of them is known.
    pub fn in_body(&self, keys: &[String]) -> Result<WriteAccess, ApiError> {
        Ok(WriteAccess { key: self.list.find(keys)? })
    }
}

/// The texts at the places where write keys usually stand: `Authorization: Bearer KEY`, Basic auth
/// with the key as user name, `X-Write-Key`, or `?key=` (for sendBeacon, which sets no headers).
pub fn usual_write_keys(request: &HttpRequest) -> Vec<String> {
    offered(request, &WRITE)
}

/// The viewer tokens of the configuration (`auth.viewer_tokens`). An empty list lets everybody
/// read, as with [`WriteKeys`].
#[derive(Clone, Debug)]
pub struct ViewerTokens(SecretList);

impl ViewerTokens {
    /// The tokens of `[auth]`.
    pub fn new(config: &config::AuthConfig) -> ViewerTokens {
        ViewerTokens(SecretList { allowed: config.viewer_tokens.clone(), kind: &VIEW })
    }

    /// Checks that the request may read the numbers. Its token stands in
    /// `Authorization: Bearer TOKEN`, in `X-Viewer-Token`, or in `?token=` (for WebSockets, for
    /// which a browser can't set headers).
    ///
    /// # Errors
    /// 401 where it has no known token.
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
    /// What messages call it.
    name: &'static str,
    /// The header that holds nothing but this secret, in lower case.
    header: &'static str,
    /// The parameter of the query string that may hold it.
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
    /// The place of the allowed secret that is among `given`; `None` where no secrets are set.
    /// An error where none of `given` is allowed.
    fn find(&self, given: &[String]) -> Result<Option<u32>, ApiError> {
        if self.allowed.is_empty() {
            return Ok(None);
        }
        // Every allowed secret is compared with every offer, also after a match. The time that
        // this takes then says nothing about which one matched, or how nearly.
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

/// All texts of a request that may be a secret of this kind.
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
