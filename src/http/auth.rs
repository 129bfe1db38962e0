//! Secrets: write keys ([`WriteKeys`]) say who may send events, viewer tokens ([`ViewerTokens`])
//! say who may read the numbers. Both are compared in constant time.
//!
//! Handlers don't check them. The scope in which a route hangs does ([`crate::http::scope`]).

use std::{collections::HashMap, sync::Arc};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::{
    broadcast::subprotocol,
    config,
    domain::{
        batch::DeadLetter,
        source::{SourceSpec, UNNAMED},
    },
    http::error::ApiError,
};

/// Who may send: the write keys of `auth.write_keys`, and the keys and ids of `[[source]]`. Without any,
/// everybody may; the server then does not start on an address that other machines reach, unless it
/// is told to (`--insecure`).
#[derive(Clone, Debug)]
pub struct WriteKeys {
    list: SecretList,
    /// For each key of the list the place of its sender.
    owners: Arc<[u32]>,
    /// The ids of clients that send no key, each with the place of its sender. They are no secrets.
    ids: Arc<HashMap<String, u32>>,
    senders: Arc<[EventSender]>,
    /// Who sends where there are no keys.
    anybody: Arc<EventSender>,
}

/// One who may send: a key of `auth.write_keys`, or a source with all of its keys and ids.
#[derive(Debug)]
pub struct EventSender {
    /// The name of the source; [`UNNAMED`] where it has none.
    pub source: String,
    /// What dead letters say of its (first) key ([`DeadLetter::fingerprint`]); empty without one.
    pub fingerprint: String,
    /// Whether its key stands in pages, where everybody can read it.
    pub is_public: bool,
    /// The origins whose pages may send for it; empty: those of all.
    allowed_origins: Vec<String>,
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

impl Offer {
    /// These keys of the head; where it has none, the body decides.
    pub fn head_or_body(keys: Vec<String>) -> Offer {
        if keys.is_empty() { Offer::Body } else { Offer::Head(keys) }
    }
}

/// The proof that a sender may send. Only [`WriteKeys`] makes one, and the step after it
/// ([`crate::http::collect::quota`]) can't be called without it.
#[derive(Debug)]
pub struct WriteAccess {
    key: Option<u32>,
}

impl WriteAccess {
    /// The place of the sender among all senders, from 0; `None` where the configuration has no keys.
    pub fn key(&self) -> Option<u32> {
        self.key
    }
}

impl WriteKeys {
    /// The keys of `[auth]` and of `[[source]]`.
    pub fn new(config: &config::AuthConfig, sources: &[SourceSpec]) -> WriteKeys {
        let mut keys = WriteKeys {
            list: SecretList { allowed: Vec::new(), kind: &WRITE },
            owners: Arc::default(),
            ids: Arc::default(),
            senders: Arc::default(),
            anybody: Arc::new(EventSender::unnamed(String::new())),
        };
        let mut senders = Vec::new();
        let (mut owners, mut ids) = (Vec::new(), HashMap::new());
        for key in &config.write_keys {
            owners.push(senders.len() as u32);
            keys.list.allowed.push(key.clone());
            senders.push(EventSender::unnamed(DeadLetter::fingerprint(key)));
        }
        for source in sources {
            let place = senders.len() as u32;
            owners.extend(source.key.0.iter().map(|_| place));
            keys.list.allowed.extend(source.key.0.iter().cloned());
            ids.extend(source.ids.0.iter().map(|id| (id.clone(), place)));
            let first = source.key.0.first();
            senders.push(EventSender {
                source: source.name.clone(),
                fingerprint: first.map(|key| DeadLetter::fingerprint(key)).unwrap_or_default(),
                is_public: source.public,
                allowed_origins: source.allowed_origins.0.clone(),
            });
        }
        (keys.owners, keys.ids, keys.senders) = (owners.into(), ids.into(), senders.into());
        keys
    }

    /// How many senders there are.
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// A sender by its place.
    pub fn sender(&self, key: Option<u32>) -> &EventSender {
        key.and_then(|key| self.senders.get(key as usize)).unwrap_or(&self.anybody)
    }

    /// Checks the head of a request. `None` means that its body decides ([`WriteKeys::in_body`]).
    ///
    /// # Errors
    /// 401 where the head offers no known key.
    pub fn in_head(&self, offer: impl FnOnce() -> Offer) -> Result<Option<WriteAccess>, ApiError> {
        // Without keys in the configuration `offer` is not called: there is nothing to look for.
        if self.senders.is_empty() {
            return Ok(Some(WriteAccess { key: None }));
        }
        match offer() {
            Offer::Head(keys) => self.in_body(&keys, &[]).map(Some),
            Offer::Body => Ok(None),
        }
    }

    /// Checks the keys and ids that were found in a body.
    ///
    /// # Errors
    /// 401 where none of them is known.
    pub fn in_body(&self, keys: &[String], ids: &[String]) -> Result<WriteAccess, ApiError> {
        if self.senders.is_empty() {
            return Ok(WriteAccess { key: None });
        }
        if let Some(place) = ids.iter().find_map(|id| self.ids.get(id)) {
            return Ok(WriteAccess { key: Some(*place) });
        }
        if keys.is_empty() && !ids.is_empty() {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "no [[source]] of the configuration has this id",
            ));
        }
        let at = self.list.find(keys)?;
        Ok(WriteAccess { key: Some(self.owners[at as usize]) })
    }

    /// Checks the page that a request is from, where its sender is for the pages of some sites. A
    /// request that no page sends has no `Origin`.
    ///
    /// # Errors
    /// 403 where the page may not send.
    pub fn check_origin(&self, key: Option<u32>, request: &HttpRequest) -> Result<(), ApiError> {
        let allowed = &self.sender(key).allowed_origins;
        let Some(origin) = request.headers().get(header::ORIGIN).filter(|_| !allowed.is_empty())
        else {
            return Ok(());
        };
        if allowed.iter().any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
        {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "origin",
            "pages of this origin may not send for this source; see allowed_origins of [[source]]",
        ))
    }
}

impl EventSender {
    /// Who sends with a key that has no name.
    pub fn unnamed(fingerprint: String) -> EventSender {
        let (source, allowed_origins) = (UNNAMED.to_owned(), Vec::new());
        EventSender { source, fingerprint, is_public: false, allowed_origins }
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
    /// `Authorization: Bearer TOKEN`, in `X-Viewer-Token`, in `?token=`, or in a subprotocol (for
    /// WebSockets, for which a browser can't set headers).
    ///
    /// # Errors
    /// 401 where it has no known token.
    pub fn check(&self, request: &HttpRequest) -> Result<(), ApiError> {
        if self.0.allowed.is_empty() {
            return Ok(());
        }
        let mut offers = offered(request, self.0.kind);
        offers.extend(subprotocol::tokens(request));
        self.0.find(&offers).map(drop)
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
    /// The place of the allowed secret that is among `given`. An error where none of them is.
    fn find(&self, given: &[String]) -> Result<u32, ApiError> {
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
            return Ok(which);
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
        let auth = config::AuthConfig { write_keys: allowed, ..Config::default().auth };
        WriteKeys::new(&auth, &[])
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
        assert_eq!(keys.in_body(&offer("a"), &[]).unwrap().key(), Some(0));
        // A dialect that sends the guard to the body and finds no key there lets nobody in.
        assert!(keys.in_body(&[], &[]).is_err());
    }

    #[test]
    fn without_keys_nobody_is_asked_for_one() {
        let access = keys(&[]).in_head(|| unreachable!("no need to look")).unwrap();
        assert_eq!(access.map(|access| access.key()), Some(None));
    }

    #[test]
    fn a_source_is_known_by_each_of_its_keys_and_ids() {
        let text = "[[source]]\nname = 'web'\nkey = ['w1', 'w2']\nids = 'shop.example'\n\
                    public = true\nallowed_origins = 'https://shop.example'";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file), std::iter::empty(), &Default::default()).unwrap();
        let keys = WriteKeys::new(&config.auth, &config.rules.sources);
        let of = |keys_: &[&str], ids: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            keys.in_body(&owned(keys_), &owned(ids)).map(|access| access.key())
        };
        for (key, id) in [("w1", ""), ("w2", ""), ("", "shop.example")] {
            assert_eq!(of(&[key], &[id]).unwrap(), Some(0), "{key} {id}");
        }
        assert!(keys.sender(Some(0)).is_public && keys.sender(Some(0)).source == "web");
        assert!(of(&["shop.example"], &[]).is_err(), "an id is no key");
        assert!(of(&[], &["w1"]).is_err(), "a key is no id");
        let from = |origin: &str| {
            let request = actix_web::test::TestRequest::default();
            let request = request.insert_header((header::ORIGIN, origin)).to_http_request();
            keys.check_origin(Some(0), &request).map_err(|error| error.status.as_u16())
        };
        assert_eq!(from("https://shop.example"), Ok(()));
        assert_eq!(from("https://other.example"), Err(403));
    }
}
