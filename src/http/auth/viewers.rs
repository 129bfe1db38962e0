//! Who reads, and what they may see.

use actix_web::{
    HttpMessage, HttpRequest,
    http::{StatusCode, header::HeaderName},
};

use super::{
    cookie, nobody_known,
    secrets::{SecretList, VIEW, offered},
};
use crate::{
    access::{SharedBook, secret, session::LoginSession},
    broadcast::{Pass, subprotocol},
    config::Config,
    domain::{
        access::{Book, Permission, Rights, Sight},
        time::{Millis, now_ms},
    },
    http::{error::ApiError, origin},
};

/// In which relation the page that sends a request is to this server, as its browser says.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a route asks of those who call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// What they have to be allowed; `None` for nothing but to be known.
    pub permission: Option<Permission>,
    /// Whether the route leaves out by itself what they may not see. Any other route is for those only
    /// who may see everything.
    pub veils: bool,
    /// Whether the route changes something. Then a session counts only in requests of our own page.
    pub changes: bool,
}

/// Who a request is from. The guard of a route puts it into the request, for handlers that leave out what
/// it may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who reads.
    pub reader: WhoReads,
    /// What they may do and see.
    pub rights: Rights,
}

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhoReads {
    /// Somebody whom the server does not ask who they are.
    Anybody,
    /// Somebody with a token of `auth.viewer_tokens`.
    Configured,
    /// An API token, by its id.
    Token(String),
    /// The session of a user or link.
    Session(LoginSession),
}

/// Says who a request is from: by the viewer tokens of the configuration (`auth.viewer_tokens`), and by
/// the tokens and sessions of the book. Without any token in the configuration, and where there never was
/// a user or token in the store, everybody reads; but on an address that other machines reach only with
/// `auth.insecure`. A clone is the same.
#[derive(Clone, Debug)]
pub struct ViewerGuard {
    configured: SecretList,
    /// `Config::may_be_open`, and the configuration names no viewers.
    may_be_open: bool,
    book: SharedBook,
}

impl ViewerGuard {
    /// With the tokens of `[auth]` and the identities of a book.
    pub fn new(config: &Config, book: SharedBook) -> ViewerGuard {
        let configured = SecretList { allowed: config.auth.viewer_tokens.clone() };
        let may_be_open = config.may_be_open() && !config.closes().1;
        ViewerGuard { configured, may_be_open, book }
    }

    /// Checks that the request may call a route with this need, and notes in it who it is from.
    ///
    /// # Errors
    /// 401 where nobody knows who it is from, 403 where they may not call the route, 503 where this node
    /// does not know everybody yet.
    pub fn check(&self, request: &HttpRequest, need: Need) -> Result<(), ApiError> {
        let principal = self.who(request)?;
        let Rights { permissions, sight } = principal.rights;
        if let Some(permission) = need.permission.filter(|needed| !permissions.has(*needed)) {
            let message = format!("this needs the scope {}", permission.name());
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
        }
        if !need.veils && sight != Sight::Everything {
            return Err(hidden());
        }
        if need.changes && matches!(principal.reader, WhoReads::Session(_)) {
            of_our_page(request)?;
        }
        request.extensions_mut().insert(principal);
        Ok(())
    }

    /// Whether somebody whom nobody knows is let in now.
    pub fn is_open(&self) -> bool {
        self.configured.allowed.is_empty()
            && self.may_be_open
            && self.book.current().is_some_and(|book| !book.stored().views_closed)
    }

    /// The pass of somebody who was let in, for a stream that outlasts the request.
    pub fn pass(&self, principal: &Principal) -> Pass {
        let (guard, before) = (self.clone(), principal.clone());
        // A sight that has changed needs other frames, so the viewer comes anew.
        Pass::new(before.rights.sight, move || match guard.book.current() {
            Some(book) => guard.rights_of(&before.reader, &book, now_ms()).is_some_and(|rights| {
                let reads = rights.permissions.has(Permission::Numbers);
                reads && rights.sight == before.rights.sight
            }),
            None => true,
        })
    }

    /// What somebody may do and see at `now` (Unix ms); `None` where they are not let in any more.
    fn rights_of(&self, reader: &WhoReads, book: &Book, now: Millis) -> Option<Rights> {
        match reader {
            WhoReads::Anybody => self.is_open().then(Rights::of_configured_viewers),
            WhoReads::Configured => Some(Rights::of_configured_viewers()),
            WhoReads::Token(id) => book.by_id(id).filter(|it| it.is_good(now))?.rights(),
            WhoReads::Session(session) => session.holder(book, now)?.rights(),
        }
    }

    /// Who the request is from. A token stands in `Authorization: Bearer TOKEN`, in `X-Viewer-Token`,
    /// in `?token=`, or in a subprotocol (for WebSockets, for which a browser can't set headers); a
    /// session in its cookie.
    fn who(&self, request: &HttpRequest) -> Result<Principal, ApiError> {
        let unnamed = |reader| Principal { reader, rights: Rights::of_configured_viewers() };
        if self.is_open() {
            return Ok(unnamed(WhoReads::Anybody));
        }
        let mut given = offered(request, &VIEW);
        given.extend(subprotocol::tokens(request));
        if self.configured.find(&given).is_some() {
            return Ok(unnamed(WhoReads::Configured));
        }
        let Some(book) = self.book.current() else { return Err(nobody_known()) };
        let now = now_ms();
        let token = given.iter().find_map(|token| book.by_secret("token", &secret::hash(token)));
        let token = token.map(|token| WhoReads::Token(token.id.clone()));
        let sessions = cookie::sessions(request).into_iter();
        let sessions = sessions.filter_map(|text| LoginSession::read(&text, &book));
        let mut readers = token.into_iter().chain(sessions.map(WhoReads::Session));
        let found = readers.find_map(|reader| {
            let rights = self.rights_of(&reader, &book, now)?;
            Some(Principal { reader, rights })
        });
        found.ok_or_else(|| VIEW.refusal(&given))
    }
}

/// The refusal of what shows nothing but what is hidden from who asks.
pub fn hidden() -> ApiError {
    let message = "this shows amounts of money, which are hidden from you";
    ApiError::new(StatusCode::FORBIDDEN, "hidden", message)
}

/// Checks that a page of this server sends the request, and no other site's. `SameSite=Strict` has kept the
/// cookie from those already; this does so in a browser that does not know it, and for sites that count as
/// the same, such as another port of this host.
///
/// # Errors
/// 403 `origin`.
pub fn of_our_page(request: &HttpRequest) -> Result<(), ApiError> {
    let site = request.headers().get(SEC_FETCH_SITE).map(|site| site.as_bytes());
    if site.is_none_or(|site| matches!(site, b"same-origin" | b"none"))
        && origin::check(request, &[]).is_ok()
    {
        return Ok(());
    }
    let message = "a page of another site must not do this";
    Err(ApiError::new(StatusCode::FORBIDDEN, "origin", message))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_our_own_page_changes_something() {
        let from = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default().insert_header(("Host", "shop.example:8080"));
            for header in headers {
                request = request.insert_header(*header);
            }
            of_our_page(&request.to_http_request()).is_ok()
        };
        assert!(from(&[]), "no browser");
        assert!(from(&[("Origin", "http://shop.example:8080"), ("Sec-Fetch-Site", "same-origin")]));
        assert!(!from(&[("Origin", "http://shop.example:9000")]), "another port of the host");
        assert!(!from(&[("Sec-Fetch-Site", "same-site")]));
        assert!(!from(&[("Sec-Fetch-Site", "cross-site")]));
        assert!(!from(&[("Origin", "null")]));
    }
}
