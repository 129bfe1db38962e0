//! Who reads, and what they may see.

use actix_web::{HttpMessage, HttpRequest, http::StatusCode};

use super::{
    nobody_known,
    secrets::{SecretList, VIEW, offered},
};
use crate::{
    access::{SharedBook, secret},
    broadcast::subprotocol,
    config::Config,
    domain::{
        access::{Permission, Rights, Sight},
        time::now_ms,
    },
    http::error::ApiError,
};

/// What a route asks of those who call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// What they have to be allowed.
    pub permission: Permission,
    /// Whether the route leaves out by itself what they may not see. Any other route is for those only
    /// who may see everything.
    pub veils: bool,
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
    /// An identity of the book, by its id.
    Identity(String),
}

/// Says who a request is from: by the viewer tokens of the configuration (`auth.viewer_tokens`), and by
/// the book. Without any token in the configuration, and where there never was a user or token in the
/// store, everybody reads; but on an address that other machines reach only with `auth.insecure`. A clone
/// is the same.
#[derive(Clone, Debug)]
pub struct ViewerGuard {
    configured: SecretList,
    /// `Config::may_be_open`
    may_be_open: bool,
    book: SharedBook,
}

impl ViewerGuard {
    /// With the tokens of `[auth]` and the identities of a book.
    pub fn new(config: &Config, book: SharedBook) -> ViewerGuard {
        let configured = SecretList { allowed: config.auth.viewer_tokens.clone() };
        ViewerGuard { configured, may_be_open: config.may_be_open(), book }
    }

    /// Checks that the request may call a route with this need, and notes in it who it is from.
    ///
    /// # Errors
    /// 401 where nobody knows who it is from, 403 where they may not call the route, 503 where this node
    /// does not know everybody yet.
    pub fn check(&self, request: &HttpRequest, need: Need) -> Result<(), ApiError> {
        let principal = self.who(request)?;
        let Rights { permissions, sight } = principal.rights;
        if !permissions.has(need.permission) {
            let message = format!("this needs the scope {}", need.permission.name());
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
        }
        if !need.veils && sight != Sight::Everything {
            let message = "this shows amounts of money, which are hidden from you";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "hidden", message));
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

    /// Who the request is from. Its token stands in `Authorization: Bearer TOKEN`, in `X-Viewer-Token`,
    /// in `?token=`, or in a subprotocol (for WebSockets, for which a browser can't set headers).
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
        if let Some(token) = token.filter(|token| token.is_good(now))
            && let Some(rights) = token.rights()
        {
            return Ok(Principal { reader: WhoReads::Identity(token.id.clone()), rights });
        }
        Err(VIEW.refusal(&given))
    }
}
