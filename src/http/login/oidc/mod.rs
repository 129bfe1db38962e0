//! Signing in at an OpenID provider (`[oidc]`): `GET /api/login/oidc` sends the browser there, and
//! `GET /api/login/oidc/callback` takes it back, into the dashboard.
//!
//! The way there has a state, a nonce and a challenge (PKCE), which the browser keeps in a signed cookie
//! ([`pending`]); the way back leads to `/` and nowhere else. Whoever has no role by `[oidc]` is not let in.
//! A provider that is away concerns nobody but those who want to sign in there.

mod mapping;
mod pending;
mod provider;

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HOST, LOCATION, SET_COOKIE},
    },
    web,
};
use subtle::ConstantTimeEq;

use self::{
    mapping::{name_of, role_of},
    pending::{PendingLogin, taken_away},
    provider::OidcFault,
};
use super::reception::{LoginEnd, Reception};
use crate::{
    access::{ChangeError, secret},
    domain::{
        access::{AccessFault, Book, Identity, OidcSubject, change::By},
        time::now_ms,
    },
    http::{auth::nobody_known, error::ApiError, scope::Open},
};

pub use self::provider::OidcProvider;

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/api/login/oidc/callback";
/// What the provider says at the way back. Anything else of it is left alone.
const PARAMETERS: [&str; 3] = ["code", "error", "state"];
/// What the audit calls the provider.
const ACTOR: &str = "OpenID provider";
/// Seconds after which a provider that is away may be asked again.
const ASK_AFTER: u32 = 5;

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
    let way = provider.way_there(&redirect(&request, &reception, provider)).await;
    let way = way.map_err(|why| {
        tracing::warn!(%why, issuer = provider.config.issuer, "nobody can sign in by OpenID");
        let message = "the OpenID provider does not answer as it should; try again, or sign in \
                       with a password";
        ApiError::unavailable("provider_unavailable", message, ASK_AFTER)
    })?;
    let pending = PendingLogin::begin(way.state, way.nonce, way.verifier, now_ms());
    let cookie = pending.cookie(&book, reception.proxies.came_over_tls(&request));
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, way.address))
        .insert_header((CACHE_CONTROL, "no-store"))
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
    /// A user with a password has the name, or there are too many, or this is the last admin.
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

/// Takes the browser back. The answer always leads to the dashboard: a person reads it there.
async fn callback(
    request: HttpRequest,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let provider = reception.provider.as_ref().ok_or_else(no_provider)?;
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((CACHE_CONTROL, "no-store"));
    // A code in an address is good once, and a `Referer` must not have it even so.
    answer.insert_header(("Referrer-Policy", "no-referrer"));
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
    let attempt = reception.attempt(request, None).map_err(|_| NotIn::Braked)?;
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    let query = query.map(web::Query::into_inner).unwrap_or_default();
    let get =
        |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let over_tls = reception.proxies.came_over_tls(request);
    let pending = PendingLogin::of(request, book, over_tls, now_ms());
    let state = get("state").unwrap_or_default();
    let Some(pending) =
        pending.filter(|it| bool::from(it.state.as_bytes().ct_eq(state.as_bytes())))
    else {
        LoginEnd::Wrong.count();
        tracing::info!("a browser came back from the OpenID provider with no way that it began");
        return Err(NotIn::Expired);
    };
    let Some(code) = get("code").filter(|_| get("error").is_none()) else {
        LoginEnd::Wrong.count();
        // Only the code of it: whatever else stands there, anybody may have written.
        let error = get("error").filter(|it| it.len() < 64 && !it.contains(char::is_control));
        tracing::info!(error, "the OpenID provider let somebody not in");
        return Err(NotIn::Refused);
    };
    let back = redirect(request, reception, provider);
    let who = provider.who(&back, code, pending.verifier, pending.nonce).await;
    let (subject, claims) = who.map_err(|why| {
        tracing::warn!(%why, issuer = provider.config.issuer, "a sign-in by OpenID failed");
        match why {
            OidcFault::Away(_) => NotIn::Unavailable,
            OidcFault::Code(_) | OidcFault::Token(_) => {
                LoginEnd::Wrong.count();
                NotIn::WrongToken
            }
        }
    })?;
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
    let id = secret::id();
    let changed = reception.access.change(|book| {
        let by = By { actor: ACTOR, at: now_ms() };
        book.sign_in_elsewhere(by, &who, role, (&id, &name))
    });
    let changed = changed.await.map_err(|why| {
        tracing::warn!(%why, name, "a user of the OpenID provider is not taken");
        match why {
            ChangeError::Fault(_) => NotIn::NotTaken,
            ChangeError::Store(_) | ChangeError::Contended => NotIn::Unavailable,
        }
    })?;
    let current = reception.access.book().current();
    let identity = changed.or_else(|| current.and_then(|book| book.elsewhere(&who).cloned()));
    let identity = identity.filter(|it| it.is_good(now_ms())).ok_or(NotIn::NotTaken)?;
    LoginEnd::Right.count();
    tracing::info!(user = identity.name, "signed in by OpenID");
    Ok(identity)
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

/// The address to which the provider sends the browser back: that of `oidc.base_url`, or the one by which the
/// browser has asked, whose name was checked by then.
fn redirect(request: &HttpRequest, reception: &Reception, provider: &OidcProvider) -> String {
    let base = &provider.config.base_url;
    if !base.is_empty() {
        return format!("{}{CALLBACK}", base.trim_end_matches('/'));
    }
    let scheme = if reception.proxies.came_over_tls(request) { "https" } else { "http" };
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("{scheme}://{host}{CALLBACK}")
}

fn no_provider() -> ApiError {
    let message = "no OpenID provider is configured; see [oidc]";
    ApiError::new(StatusCode::NOT_FOUND, "no_provider", message)
}
