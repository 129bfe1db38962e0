//! Makes keys, users, tokens and links. The answer is the identity, with its secret, which is shown this
//! once.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ReqData},
};
use serde::Deserialize;

use super::changed;
use crate::{
    access::secret::{self, SecretKind},
    domain::{
        access::{
            Account, IdentityKind, KeyRules, LinkGrant, Permission, Role, TokenGrant,
            change::NewIdentity, shown::shown_identity,
        },
        time::{Millis, now_ms},
    },
    http::{
        auth::Principal,
        error::ApiError,
        login::{Reception, is_busy},
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewKey {
    name: String,
    source: Option<String>,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    allowed_origins: Vec<String>,
    #[serde(default)]
    event_types: Vec<String>,
    events_per_s: Option<u32>,
    #[serde(default)]
    ids: Vec<String>,
    expires_at: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewUser {
    name: String,
    role: Role,
    #[serde(default)]
    hide_money: bool,
    password: Option<String>,
    expires_at: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewToken {
    name: String,
    scopes: Vec<Permission>,
    #[serde(default)]
    hide_money: bool,
    expires_at: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewLink {
    name: String,
    #[serde(default)]
    hide_money: bool,
    password: Option<String>,
    expires_at: Option<Millis>,
}

/// `POST /api/access/keys`
pub async fn key(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let new: NewKey = reception.read(&request, payload).await?;
    let made = if new.public { SecretKind::PublicKey } else { SecretKind::Key }.make();
    let rules = KeyRules {
        secret: secret::hash(&made),
        number: 0,
        source: new.source.unwrap_or_else(|| new.name.clone()),
        public: new.public,
        allowed_origins: new.allowed_origins,
        event_types: new.event_types,
        events_per_s: new.events_per_s,
        ids: new.ids,
    };
    let what = (new.name, new.expires_at, IdentityKind::Key(rules));
    add(&reception, &principal, what, Some(made)).await
}

/// `POST /api/access/users`; without a password one is made, and shown.
pub async fn user(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let new: NewUser = reception.read(&request, payload).await?;
    let (password, made) = match new.password {
        Some(chosen) => (reception.hash_chosen(chosen, &new.name).await?, None),
        None => {
            let made = secret::password();
            let hash = reception.passwords.hash(made.clone()).await.map_err(is_busy)?;
            (hash, Some(made))
        }
    };
    let account = Account {
        role: new.role,
        sees_money: !new.hide_money,
        password: Some(password),
        generation: 0,
        ended: Vec::new(),
        elsewhere: None,
    };
    let what = (new.name, new.expires_at, IdentityKind::User(account));
    add(&reception, &principal, what, made).await
}

/// `POST /api/access/tokens`
pub async fn token(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let new: NewToken = reception.read(&request, payload).await?;
    let made = SecretKind::Token.make();
    let mut scopes = new.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let grant = TokenGrant { secret: secret::hash(&made), scopes, sees_money: !new.hide_money };
    let what = (new.name, new.expires_at, IdentityKind::Token(grant));
    add(&reception, &principal, what, Some(made)).await
}

/// `POST /api/access/links`; without an end a link is good for 30 days.
pub async fn link(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let new: NewLink = reception.read(&request, payload).await?;
    let password = match new.password {
        Some(chosen) => Some(reception.hash_chosen(chosen, "").await?),
        None => None,
    };
    let made = SecretKind::Link.make();
    let grant = LinkGrant { secret: secret::hash(&made), sees_money: !new.hide_money, password };
    let end = new.expires_at.unwrap_or_else(|| now_ms() + LinkGrant::USUAL_LIFE);
    let what = (new.name, Some(end), IdentityKind::Link(grant));
    add(&reception, &principal, what, Some(made)).await
}

/// Adds the identity, and answers with it and its secret.
async fn add(
    reception: &Reception,
    principal: &Principal,
    (name, expires_at, kind): (String, Option<Millis>, IdentityKind),
    secret: Option<String>,
) -> Result<HttpResponse, ApiError> {
    let id = secret::id();
    let added = changed(reception, principal, |book, by| {
        let (id, name, kind) = (id.clone(), name.clone(), kind.clone());
        let viewers_configured = reception.viewers_configured;
        book.add(by, NewIdentity { id, name, expires_at, kind, viewers_configured })
    });
    let mut answer = shown_identity(&added.await?);
    if let Some(secret) = secret {
        answer["secret"] = secret.into();
    }
    Ok(HttpResponse::Created().json(answer))
}
