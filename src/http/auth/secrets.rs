//! Where a request has secrets, and how those of the configuration are compared: in constant time.

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::http::error::ApiError;

/// A kind of secret, and where a request has it.
#[derive(Debug)]
pub(super) struct SecretPlace {
    /// What messages call it.
    pub name: &'static str,
    /// The header that holds nothing but this secret, in lower case.
    header: &'static str,
    /// The parameter of the query string that may hold it.
    parameter: &'static str,
}

pub(super) static WRITE: SecretPlace =
    SecretPlace { name: "write key", header: "x-write-key", parameter: "key" };
pub(super) static VIEW: SecretPlace =
    SecretPlace { name: "viewer token", header: "x-viewer-token", parameter: "token" };

/// The secrets of one kind that the configuration names.
#[derive(Clone, Debug)]
pub(super) struct SecretList {
    /// Each of them.
    pub allowed: Vec<String>,
}

impl SecretList {
    /// The place of the allowed secret that is among `given`.
    pub fn find(&self, given: &[String]) -> Option<u32> {
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
        bool::from(known).then_some(which)
    }
}

impl SecretPlace {
    /// The refusal of a request that has none of the known secrets among `given`.
    pub fn refusal(&self, given: &[String]) -> ApiError {
        let SecretPlace { name, parameter, .. } = self;
        let message = match given.is_empty() {
            true => format!("a {name} is needed: Authorization: Bearer, or ?{parameter}="),
            false => format!("unknown {name}"),
        };
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }
}

/// All texts of a request that may be a secret of this kind.
pub(super) fn offered(request: &HttpRequest, kind: &SecretPlace) -> Vec<String> {
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
