//! Signing in at an OpenID provider (`[oidc]`): `GET /api/login/oidc` sends the browser there, and
//! `GET /api/login/oidc/callback` takes it back, into the dashboard.
//!
//! The way there has a state, a nonce and a challenge (PKCE), which the browser keeps in a signed cookie
//! ([`pending`]); the way back leads to `/` and nowhere else. Whoever has no role by `[oidc]` is not let in.
//! A provider that is away concerns nobody but those who want to sign in there.

mod asking;
mod mapping;
mod pending;
mod provider;
mod userinfo;

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    web,
};
use subtle::ConstantTimeEq;

use self::{
    mapping::{name_of, role_of},
    pending::{PendingLogin, taken_away},
    provider::{OidcFault, SILENT_FOR},
};
use super::reception::{LoginEnd, Reception};
use crate::{
    access::{ChangeError, secret},
    domain::{
        access::{AccessFault, Book, Identity, OidcSubject, Role, change::By},
        time::now_ms,
    },
    http::{auth::nobody_known, error::ApiError, query, scope::Open},
};

pub use self::provider::OidcProvider;

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/api/login/oidc/callback";
/// What the provider says at the way back. Anything else of it is left alone.
const PARAMETERS: [&str; 3] = ["code", "error", "state"];
/// What the audit calls the provider.
const ACTOR: &str = "OpenID provider";

/// Adds the routes.
pub(super) fn routes(open: &mut Open) {
    open.read("/api/login/oidc", begin);
    open.read(CALLBACK, callback).parameters(&PARAMETERS);
}

/// Sends the browser to the provider.
async fn begin(
    request: HttpRequest,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let provider = reception.provider.as_ref().ok_or_else(no_provider)?;
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let way = provider.way_there(&redirect(provider)).await;
    let way = way.map_err(|why| {
        tracing::warn!(%why, issuer = provider.config.issuer, "nobody can sign in by OpenID");
        let message = "the OpenID provider does not answer as it should; try again, or sign in \
                       with a password";
        ApiError::unavailable("provider_unavailable", message, SILENT_FOR.as_secs() as u32)
    })?;
    let pending = PendingLogin::begin(way.state, way.nonce, way.verifier, now_ms());
    let cookie = pending.cookie(&book, reception.proxies.came_over_tls(&request));
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, way.address))
        .insert_header((SET_COOKIE, cookie))
        .finish())
}

/// Why somebody who came back is not let in, as the page is told it.
#[derive(Clone, Copy, Debug)]
enum NotIn {
    /// The way was begun by nobody, in another browser, or too long ago.
    Expired,
    /// The provider has not let them in.
    Refused,
    /// The provider does not answer, or the store does not.
    Unavailable,
    /// The code or the token is not right.
    WrongToken,
    /// They have no role by `[oidc]`.
    NoRole,
    /// Another user has the name, or there are too many.
    NotTaken,
    /// Too many attempts.
    Braked,
}

impl NotIn {
    fn code(self) -> &'static str {
        match self {
            NotIn::Expired => "expired",
            NotIn::Refused => "refused",
            NotIn::Unavailable => "unavailable",
            NotIn::WrongToken => "wrong_token",
            NotIn::NoRole => "no_role",
            NotIn::NotTaken => "not_taken",
            NotIn::Braked => "braked",
        }
    }
}

/// Takes the browser back. The answer leads to the dashboard: a person reads it there.
async fn callback(
    request: HttpRequest,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let provider = reception.provider.as_ref().ok_or_else(no_provider)?;
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let mut answer = HttpResponse::SeeOther();
    let over_tls = reception.proxies.came_over_tls(&request);
    answer.append_header((SET_COOKIE, taken_away(over_tls)));
    match enter(&request, &reception, provider, &book).await {
        Ok(identity) => {
            let (cookie, _) = reception.session_of(&request, &identity)?;
            answer.append_header((SET_COOKIE, cookie));
            answer.insert_header((LOCATION, "/"));
        }
        Err(why) => {
            answer.insert_header((LOCATION, format!("/#signin={}", why.code())));
        }
    }
    Ok(answer.finish())
}

/// Who came back, where the provider says so and the configuration gives a role.
async fn enter(
    request: &HttpRequest,
    reception: &Reception,
    provider: &OidcProvider,
    book: &Book,
) -> Result<Identity, NotIn> {
    let [code, error, state] =
        query::read(request.query_string(), &PARAMETERS).map_err(|_| NotIn::Expired)?;
    let over_tls = reception.proxies.came_over_tls(request);
    let pending = PendingLogin::of(request, book, over_tls, now_ms());
    let state = state.unwrap_or_default();
    let Some(pending) =
        pending.filter(|it| bool::from(it.state.as_bytes().ct_eq(state.as_bytes())))
    else {
        LoginEnd::Wrong.count();
        tracing::info!("a browser came back from the OpenID provider with no way that it began");
        return Err(NotIn::Expired);
    };
    let Some(code) = code.filter(|_| error.is_none()) else {
        LoginEnd::Wrong.count();
        // Only the code of it: whatever else stands there, anybody may have written.
        let error = error.filter(|it| it.len() < 64 && !it.contains(char::is_control));
        tracing::info!(error, "the OpenID provider let somebody not in");
        return Err(NotIn::Refused);
    };
    // Only from here on is there anything to guess. Any page can send browsers back with nothing.
    let attempt = reception.attempt(request, None).map_err(|_| NotIn::Braked)?;
    let who = provider.who(&redirect(provider), code, pending.verifier, pending.nonce).await;
    let (subject, claims) = match who {
        Ok(found) => found,
        Err(why) => {
            tracing::warn!(%why, issuer = provider.config.issuer, "a sign-in by OpenID failed");
            if let OidcFault::Away(_) = why {
                attempt.was_not_looked_at(Instant::now());
                return Err(NotIn::Unavailable);
            }
            LoginEnd::Wrong.count();
            return Err(NotIn::WrongToken);
        }
    };
    // The provider has said who this is, so nobody has guessed anything.
    attempt.was_right(Instant::now());
    let name = name_of(&claims, &provider.config, &subject);
    let who = OidcSubject { issuer: provider.config.issuer.clone(), subject };
    let Some(role) = role_of(&claims, &provider.config) else {
        LoginEnd::Wrong.count();
        tracing::info!(name, "somebody signed in by OpenID whom [oidc] gives no role");
        shut_out(reception, &who).await;
        return Err(NotIn::NoRole);
    };
    // Where nothing has changed since the last time, the store is not asked, which may be away.
    let current = reception.access.book().current();
    let known = current.as_ref().and_then(|book| book.elsewhere(&who)).cloned();
    let known = known.filter(|it| it.as_user().is_some_and(|user| user.role == role));
    let identity = match known {
        Some(known) => known,
        None => taken(reception, &who, role, &name).await?,
    };
    if !identity.is_good(now_ms()) {
        return Err(NotIn::NotTaken);
    }
    LoginEnd::Right.count();
    tracing::info!(user = identity.name, "signed in by OpenID");
    Ok(identity)
}

/// Notes in the book that somebody signs in with this role, and gives the user that this is.
async fn taken(
    reception: &Reception,
    who: &OidcSubject,
    role: Role,
    name: &str,
) -> Result<Identity, NotIn> {
    let id = secret::id();
    let changed = reception.access.change(|book| {
        let by = By { actor: ACTOR, at: now_ms() };
        book.sign_in_elsewhere(by, who, role, (&id, name))
    });
    let changed = changed.await.map_err(|why| {
        tracing::warn!(%why, name, "a user of the OpenID provider is not taken");
        match why {
            ChangeError::Fault(_) => NotIn::NotTaken,
            ChangeError::Store(_) | ChangeError::Contended => NotIn::Unavailable,
        }
    })?;
    let current = reception.access.book().current();
    let known = || current.and_then(|book| book.elsewhere(who).cloned());
    changed.or_else(known).ok_or(NotIn::NotTaken)
}

/// Ends the sessions of a user who has no role any more.
async fn shut_out(reception: &Reception, who: &OidcSubject) {
    let ended = reception.access.change(|book| {
        let by = By { actor: ACTOR, at: now_ms() };
        book.elsewhere(who).map(|user| book.logout(by, &user.id, None)).transpose()
    });
    match ended.await {
        Ok(_) | Err(ChangeError::Fault(AccessFault::Unknown { .. })) => {}
        Err(error) => tracing::warn!(%error, "sessions of a user without a role go on"),
    }
}

/// The address to which the provider sends the browser back. What a request calls this server is no part of
/// it: who asks could write another name there, and have the code sent to it.
fn redirect(provider: &OidcProvider) -> String {
    format!("{}{CALLBACK}", provider.config.base_url.trim_end_matches('/'))
}

fn no_provider() -> ApiError {
    let message = "no OpenID provider is configured; see [oidc]";
    ApiError::new(StatusCode::NOT_FOUND, "no_provider", message)
}
