//! Signing in and out: `POST /api/login` (a user with a password), `POST /api/login/link` (whoever has a
//! link), `POST /api/logout`, `POST /api/password`, and `GET /api/session`, which says who one is.
//!
//! A wrong user and a wrong password get the same answer after the same time. Guessing is braked by
//! account and by address ([`crate::access::brake`]).

mod oidc;
mod reception;

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::SET_COOKIE},
    web,
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::reception::{LoginEnd, wrong};
pub use self::{
    oidc::OidcProvider,
    reception::{Reception, is_busy},
};
use crate::{
    access::secret,
    domain::{
        access::{Identity, IdentityKind, Permission, Sight, change::By},
        time::now_ms,
    },
    http::{
        access::{actor, refused},
        auth::{Principal, WhoReads, cookie::set_session, nobody_known},
        error::ApiError,
        scope::{Open, View},
    },
};

/// Adds the routes.
pub fn routes(view: &mut View, open: &mut Open) {
    open.read("/api/login/ways", ways);
    open.enter("/api/login", login).enter("/api/login/link", open_link);
    oidc::routes(open);
    view.read_known("/api/session", session);
    view.change(None, "/api/logout", logout).change(None, "/api/password", change_password);
}

/// `{"open","password","oidc"}`: whether anybody may look, whether there are users with a password, and what the
/// provider of `[oidc]` is called.
async fn ways(reception: web::Data<Reception>) -> HttpResponse {
    let book = reception.access.book().current();
    let is_open =
        reception.may_be_open && book.as_ref().is_some_and(|book| !book.stored().views_closed);
    let has_password =
        |it: &Identity| it.as_user().is_some_and(|account| account.password.is_some());
    let password = book.is_some_and(|book| book.of_kind("user").any(has_password));
    let oidc = reception.provider.as_ref().map(|provider| provider.config.label.as_str());
    HttpResponse::Ok().json(json!({"open": is_open, "password": password, "oidc": oidc}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

async fn login(
    request: HttpRequest,
    payload: web::Payload,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let Login { user, password } = reception.read(&request, payload).await?;
    let user = user.to_lowercase();
    let attempt = reception.attempt(&request, Some(&format!("user {user}")))?;
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let found = book.of_kind("user").find(|it| it.name == user && it.is_good(now_ms()));
    let hash = found.and_then(Identity::as_user).and_then(|user| user.password.clone());
    reception.is_right(attempt, password, hash).await?;
    // Only a user that exists has a password that is right.
    let identity = found.ok_or_else(wrong)?;
    tracing::info!(user, "signed in");
    reception.begin(&request, identity)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenLink {
    link: String,
    password: Option<String>,
}

async fn open_link(
    request: HttpRequest,
    payload: web::Payload,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let OpenLink { link, password } = reception.read(&request, payload).await?;
    let hash = secret::hash(&link);
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let found = book.by_secret("link", &hash).filter(|it| it.is_good(now_ms()));
    let found = found.and_then(|it| Some((it, it.as_link()?)));
    let guarded = found.filter(|(_, grant)| grant.password.is_some());
    let account = guarded.map(|(identity, _)| format!("link {}", identity.id));
    let attempt = reception.attempt(&request, account.as_deref())?;
    let Some((identity, grant)) = found else { return Err(wrong()) };
    match (&grant.password, password) {
        (None, _) => {
            attempt.was_right(Instant::now());
            LoginEnd::Right.count();
        }
        (Some(_), None) => {
            attempt.was_not_looked_at(Instant::now());
            let message = "this link has a password";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, "password_needed", message));
        }
        (Some(hash), Some(password)) => {
            reception.is_right(attempt, password, Some(hash.clone())).await?;
        }
    }
    reception.begin(&request, identity)
}

/// Who one is: `{"kind","name","role","scopes","hidden","expiresAt"}`.
async fn session(
    principal: web::ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let book = reception.access.book().current();
    let identity = |id: &str| book.as_ref().and_then(|book| book.by_id(id));
    let about = match &principal.reader {
        WhoReads::Anybody => unnamed("anybody"),
        WhoReads::Configured => unnamed("configured"),
        WhoReads::Token(id) => {
            let token = identity(id).ok_or_else(nobody_known)?;
            about(token, token.expires_at.unwrap_or(i64::MAX))
        }
        WhoReads::Session(session) => {
            about(identity(&session.identity).ok_or_else(nobody_known)?, session.until)
        }
    };
    Ok(HttpResponse::Ok().json(about))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Logout {
    #[serde(default)]
    everywhere: bool,
}

/// Ends the session, or all sessions of its user.
async fn logout(
    request: HttpRequest,
    payload: web::Payload,
    principal: web::ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let Logout { everywhere } = reception.read(&request, payload).await?;
    if let WhoReads::Session(session) = &principal.reader {
        let by = actor(&reception.access, &principal);
        let change = reception.access.change(|book| {
            // The session of a link is over with the cookie; the link itself can be revoked.
            let user = book.by_id(&session.identity).filter(|it| it.as_user().is_some());
            let ended = (!everywhere).then(|| session.ended());
            let by = By { actor: &by, at: now_ms() };
            user.map(|user| book.logout(by, &user.id, ended)).transpose()
        });
        change.await.map_err(refused)?;
    }
    let over_tls = reception.proxies.came_over_tls(&request);
    Ok(HttpResponse::Ok()
        .insert_header((SET_COOKIE, set_session("", 0, over_tls)))
        .json(json!({"signedOut": true})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    old: String,
    new: String,
}

/// Gives the user of the session another password. All other sessions of the user end.
async fn change_password(
    request: HttpRequest,
    payload: web::Payload,
    principal: web::ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let ChangePassword { old, new } = reception.read(&request, payload).await?;
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let user = match &principal.reader {
        WhoReads::Session(session) => book.by_id(&session.identity),
        _ => None,
    };
    let with_password = |user| {
        let account = Identity::as_user(user)?;
        account.password.clone().map(|password| (user, password))
    };
    let Some((user, password)) = user.and_then(with_password) else {
        let message = "only a user who is signed in has a password to change";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    };
    reception.check_choice(&new, &user.name)?;
    let attempt = reception.attempt(&request, Some(&format!("user {}", user.name)))?;
    reception.is_right(attempt, old, Some(password)).await?;
    let hash = reception.passwords.hash(new).await.map_err(is_busy)?;
    let by = actor(&reception.access, &principal);
    let changed = reception.access.change(|book| {
        book.set_password(By { actor: &by, at: now_ms() }, &user.id, hash.clone()).map(Some)
    });
    let changed = changed.await.map_err(refused)?.ok_or_else(wrong)?;
    reception.begin(&request, &changed)
}

/// What is said of a user, link or token to whoever has it.
fn about(identity: &Identity, until: i64) -> Value {
    let rights = identity.rights();
    let scopes: Vec<&str> = Permission::ALL
        .into_iter()
        .filter(|scope| rights.is_some_and(|rights| rights.permissions.has(*scope)))
        .map(Permission::name)
        .collect();
    let role = match &identity.kind {
        IdentityKind::User(user) => Some(user.role),
        _ => None,
    };
    json!({
        "kind": identity.kind_name(), "name": identity.name, "role": role, "scopes": scopes,
        "hidden": hidden(rights.map_or(Sight::Everything, |rights| rights.sight)),
        "expiresAt": (until < i64::MAX).then_some(until),
    })
}

fn unnamed(kind: &str) -> Value {
    let permissions = crate::domain::access::Rights::of_configured_viewers().permissions;
    let scopes = Permission::ALL.into_iter().filter(|scope| permissions.has(*scope));
    let scopes: Vec<&str> = scopes.map(Permission::name).collect();
    json!({
        "kind": kind, "name": null, "role": null, "scopes": scopes, "hidden": [], "expiresAt": null,
    })
}

fn hidden(sight: Sight) -> &'static [&'static str] {
    if sight.sees_money() { &[] } else { &["money"] }
}
