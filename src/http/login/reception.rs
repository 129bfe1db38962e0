//! What signing in works with: who is known, the comparison of passwords, the brake on guessing, and the
//! answer that begins a session.

use std::time::{Duration, Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HeaderValue, SET_COOKIE},
    },
    web,
};
use metrics::Counter;
use serde::de::DeserializeOwned;

use super::{about, oidc::OidcProvider};
use crate::{
    access::{
        Access,
        brake::{Attempted, Brake},
        password::{Passwords, TooManyPasswords, check_choice},
        session::LoginSession,
    },
    config::Config,
    domain::{
        access::{Identity, PasswordHash},
        time::now_ms,
    },
    http::{
        auth::{cookie::set_session, nobody_known},
        client::{ProxyNetworks, network},
        error::ApiError,
        json_body,
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
    pub(super) may_be_open: bool,
    /// `auth.min_password_chars`
    min_password_chars: usize,
    brake: Brake,
    pub(super) proxies: ProxyNetworks,
    /// The provider of `[oidc]`.
    pub(super) provider: Option<OidcProvider>,
    session_hours: u64,
    body_within: Duration,
}

impl Reception {
    /// With the settings of `[auth]`, and the provider of `[oidc]`.
    pub fn new(config: &Config, access: Access, provider: Option<OidcProvider>) -> Reception {
        LoginEnd::ALL.iter().for_each(|result| result.counter().increment(0));
        Reception {
            access,
            viewers_configured: config.closes().1,
            may_be_open: config.may_be_open() && !config.closes().1,
            passwords: Passwords::default(),
            min_password_chars: config.auth.min_password_chars,
            brake: Brake::default(),
            proxies: ProxyNetworks::new(&config.http),
            provider,
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
    pub(super) fn attempt(
        &self,
        request: &HttpRequest,
        account: Option<&str>,
    ) -> Result<Attempted, ApiError> {
        let client = self.proxies.client_of(request);
        let address = client.filter(|client| !self.proxies.is_shared(client.ip()));
        let address = address.map(|_| network(client));
        self.brake.attempt(account, address, Instant::now()).map_err(|wait| {
            LoginEnd::Braked.count();
            too_many(wait)
        })
    }

    /// Whether a password is right. Where nobody could look, the attempt does not count.
    pub(super) async fn is_right(
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

    pub(super) fn check_choice(&self, chosen: &str, user: &str) -> Result<(), ApiError> {
        check_choice(chosen, self.min_password_chars, user)
            .map_err(|why| ApiError::bad_request("invalid_access", why))
    }

    /// The cookie that begins a session of this identity, and when that is over (Unix ms).
    ///
    /// # Errors
    /// 503 where this node does not know everybody yet.
    pub fn session_of(
        &self,
        request: &HttpRequest,
        identity: &Identity,
    ) -> Result<(HeaderValue, i64), ApiError> {
        let book = self.access.book().current().ok_or_else(nobody_known)?;
        let now = now_ms();
        let session = LoginSession::begin(identity, self.session_hours, now);
        let over_tls = self.proxies.came_over_tls(request);
        Ok((set_session(&session.signed(&book), session.until - now, over_tls), session.until))
    }

    /// The answer that begins a session of this identity.
    pub(super) fn begin(
        &self,
        request: &HttpRequest,
        identity: &Identity,
    ) -> Result<HttpResponse, ApiError> {
        let (cookie, until) = self.session_of(request, identity)?;
        let about = about(identity, until);
        Ok(HttpResponse::Ok().insert_header((SET_COOKIE, cookie)).json(about))
    }
}

/// How an attempt to sign in ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum LoginEnd {
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

    pub(super) fn count(self) {
        self.counter().increment(1);
    }
}

pub(super) fn wrong() -> ApiError {
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
