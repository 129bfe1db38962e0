//! Signing in and out: `POST /api/login` (a user with a password), `POST /api/login/link` (whoever has a
//! link), `POST /api/logout`, `POST /api/password`, and `GET /api/session`, which says who one is.
//!
//! A wrong user and a wrong password get the same answer after the same time. Guessing is braked by
//! account and by address ([`crate::access::brake`]).

use std::time::{Duration, Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::SET_COOKIE},
    web,
};
use metrics::Counter;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    access::{
        Access,
        brake::{Attempted, Brake},
        password::{Passwords, TooManyPasswords, check_choice},
        secret,
        session::LoginSession,
    },
    config::Config,
    domain::{
        access::{Identity, IdentityKind, PasswordHash, Permission, Sight, change::By},
        time::now_ms,
    },
    http::{
        access::{actor, refused},
        auth::{Principal, WhoReads, cookie::set_session, nobody_known},
        client::{ProxyNetworks, network},
        error::ApiError,
        json_body,
        scope::{Open, View},
    },
};

/// What the routes of signing in work with. A clone shares the brake and the limit of passwords.
#[derive(Clone)]
pub struct Reception {
    /// Reads and changes who has access.
    pub access: Access,
    /// Compares passwords.
    pub passwords: Passwords,
    /// Whether the configuration names viewers, so that nobody looks unknown.
    pub viewers_configured: bool,
    /// Whether somebody unknown may ever look: `Config::may_be_open`, and no viewers configured.
    may_be_open: bool,
    /// `auth.min_password_chars`
    min_password_chars: usize,
    brake: Brake,
    proxies: ProxyNetworks,
    session_hours: u64,
    body_within: Duration,
}

impl Reception {
    /// With the settings of `[auth]`.
    pub fn new(config: &Config, access: Access) -> Reception {
        LoginEnd::ALL.iter().for_each(|result| result.counter().increment(0));
        Reception {
            access,
            viewers_configured: config.closes().1,
            may_be_open: config.may_be_open() && !config.closes().1,
            passwords: Passwords::default(),
            min_password_chars: config.auth.min_password_chars,
            brake: Brake::default(),
            proxies: ProxyNetworks::new(&config.http),
            session_hours: config.auth.session_hours,
            body_within: Duration::from_millis(config.http.body_timeout_ms),
        }
    }

    /// Reads the JSON of a request.
    pub async fn read<T: DeserializeOwned>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<T, ApiError> {
        json_body::read(request, payload, self.body_within).await
    }

    /// Lets an attempt to get into an account through, unless there were too many. Without an account, where
    /// it is a secret that nobody can guess, only the address counts.
    fn attempt(&self, request: &HttpRequest, account: Option<&str>) -> Result<Attempted, ApiError> {
        let client = self.proxies.client_of(request);
        let address = client.filter(|client| !self.proxies.is_shared(client.ip()));
        let address = address.map(|_| network(client));
        self.brake.attempt(account, address, Instant::now()).map_err(|wait| {
            LoginEnd::Braked.count();
            too_many(wait)
        })
    }

    /// Whether a password is right. Where nobody could look, the attempt does not count.
    async fn is_right(
        &self,
        attempt: Attempted,
        password: String,
        hash: Option<PasswordHash>,
    ) -> Result<(), ApiError> {
        match self.passwords.is_right(password, hash).await {
            Ok(true) => {
                attempt.was_right(Instant::now());
                LoginEnd::Right.count();
                Ok(())
            }
            Ok(false) => Err(wrong()),
            Err(busy) => {
                attempt.was_not_looked_at(Instant::now());
                LoginEnd::Busy.count();
                Err(is_busy(busy))
            }
        }
    }

    /// The hash of a password that is chosen for a user, or for a link with no name of a user.
    ///
    /// # Errors
    /// 400 where it is too easy to guess, 503 where too many are being hashed.
    pub async fn hash_chosen(&self, chosen: String, user: &str) -> Result<PasswordHash, ApiError> {
        self.check_choice(&chosen, user)?;
        self.passwords.hash(chosen).await.map_err(is_busy)
    }

    fn check_choice(&self, chosen: &str, user: &str) -> Result<(), ApiError> {
        check_choice(chosen, self.min_password_chars, user)
            .map_err(|why| ApiError::bad_request("invalid_access", why))
    }

    /// The answer that begins a session of this identity.
    fn begin(&self, request: &HttpRequest, identity: &Identity) -> Result<HttpResponse, ApiError> {
        let book = self.access.book().current().ok_or_else(nobody_known)?;
        let now = now_ms();
        let session = LoginSession::begin(identity, self.session_hours, now);
        let over_tls = self.proxies.came_over_tls(request);
        let cookie = set_session(&session.signed(&book), session.until - now, over_tls);
        let about = about(identity, session.until);
        Ok(HttpResponse::Ok().insert_header((SET_COOKIE, cookie)).json(about))
    }
}

/// How an attempt to sign in ended.
#[derive(Clone, Copy, Debug)]
enum LoginEnd {
    Right,
    Wrong,
    Braked,
    Busy,
}

impl LoginEnd {
    const ALL: [LoginEnd; 4] = [LoginEnd::Right, LoginEnd::Wrong, LoginEnd::Braked, LoginEnd::Busy];

    fn counter(self) -> Counter {
        let result = match self {
            LoginEnd::Right => "right",
            LoginEnd::Wrong => "wrong",
            LoginEnd::Braked => "braked",
            LoginEnd::Busy => "busy",
        };
        metrics::counter!("floodmark_logins_total", "result" => result)
    }

    fn count(self) {
        self.counter().increment(1);
    }
}

/// Adds the routes.
pub fn routes(view: &mut View, open: &mut Open) {
    open.read("/api/login/ways", ways);
    open.enter("/api/login", login).enter("/api/login/link", open_link);
    view.read_known("/api/session", session);
    view.change(None, "/api/logout", logout).change(None, "/api/password", change_password);
}

/// `{"open","password"}`: whether anybody may look, and whether there are users to sign in as.
async fn ways(reception: web::Data<Reception>) -> HttpResponse {
    let book = reception.access.book().current();
    let is_open =
        reception.may_be_open && book.as_ref().is_some_and(|book| !book.stored().views_closed);
    let password = book.is_some_and(|book| book.of_kind("user").next().is_some());
    HttpResponse::Ok().json(json!({"open": is_open, "password": password}))
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
    let Some((user, account)) = user.and_then(|user| Some((user, user.as_user()?))) else {
        let message = "only a user who is signed in has a password to change";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    };
    reception.check_choice(&new, &user.name)?;
    let attempt = reception.attempt(&request, Some(&format!("user {}", user.name)))?;
    reception.is_right(attempt, old, account.password.clone()).await?;
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

fn wrong() -> ApiError {
    LoginEnd::Wrong.count();
    let message = "this is not right";
    ApiError::new(StatusCode::UNAUTHORIZED, "wrong_credentials", message)
}

fn too_many(wait: Duration) -> ApiError {
    let message = "too many attempts that were wrong; wait for a while";
    ApiError {
        retry_after: Some(wait.as_secs_f64().ceil() as u32),
        ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message)
    }
}

/// The refusal where too many passwords are being compared or hashed.
pub fn is_busy(why: TooManyPasswords) -> ApiError {
    ApiError::unavailable("login_busy", why.to_string(), 1)
}
