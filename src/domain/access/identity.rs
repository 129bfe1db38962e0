//! One identity: what the store keeps of a key, a user, a token or a link. Secrets are there as hashes
//! only.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Permission, Permissions, Rights, Role, Sight};
use crate::domain::time::{DAY, Millis};

/// How many hex digits the SHA-256 of a secret has.
pub const HASH_CHARS: usize = 64;

/// Somebody or something that the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// A random name for programs, which is never used twice: 12 hex digits.
    pub id: String,
    /// A name for people. Of those that are not revoked, no two of one kind have the same.
    pub name: String,
    /// Unix ms.
    pub created_at: Millis,
    /// Who made it, as in the audit.
    pub created_by: String,
    /// From when on it is not good any more, Unix ms; `None` for never.
    pub expires_at: Option<Millis>,
    /// When it was revoked, Unix ms.
    pub revoked_at: Option<Millis>,
    /// What it is.
    #[serde(flatten)]
    pub kind: IdentityKind,
}

/// What an identity is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IdentityKind {
    /// A write key.
    Key(KeyRules),
    /// A person who signs in.
    User(Account),
    /// A token of a program that reads.
    Token(TokenGrant),
    /// A link that lets whoever has it look at the dashboard.
    Link(LinkGrant),
}

/// A write key: who may send, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRules {
    /// The SHA-256 of the key, in hex.
    pub secret: String,
    /// Tells it from all other keys that there ever were, for limits by key.
    pub number: u32,
    /// The name of the source that its events get.
    pub source: String,
    /// Whether it stands in pages and apps, where everybody can read it.
    pub public: bool,
    /// The origins whose pages may send with it; empty: those of all.
    pub allowed_origins: Vec<String>,
    /// The types of events that it may send; empty: all.
    pub event_types: Vec<String>,
    /// How many events a second it may send, in place of `http.client_events_per_s`.
    pub events_per_s: Option<u32>,
    /// What clients that can't send a key send in its place: a domain, the number of a site. They stand in
    /// pages, so only a public key has any. Keys of before have none.
    #[serde(default)]
    pub ids: Vec<String>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What the user may do.
    pub role: Role,
    /// Whether the user sees amounts of money. Admins always do.
    pub sees_money: bool,
    /// What the password is compared with; `None` for one who signs in elsewhere only.
    pub password: Option<PasswordHash>,
    /// Goes up by one where all sessions of the user are ended: those of before are then refused.
    pub generation: u32,
    /// Sessions that were ended one by one and would not be over yet.
    pub ended: Vec<EndedSession>,
    /// Who it is at the OpenID provider, where the user signs in there. Users of before have none.
    #[serde(default)]
    pub elsewhere: Option<OidcSubject>,
}

/// Somebody as an OpenID provider knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcSubject {
    /// The provider.
    pub issuer: String,
    /// What it calls the user, and nobody else ever.
    pub subject: String,
}

/// A session that its user has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSession {
    /// Its id.
    pub id: String,
    /// When it would have been over, Unix ms.
    pub until: Millis,
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// The SHA-256 of the token, in hex.
    pub secret: String,
    /// What it may be used for.
    pub scopes: Vec<Permission>,
    /// Whether amounts of money are seen with it.
    pub sees_money: bool,
}

/// What a link shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkGrant {
    /// The SHA-256 of the secret in the link, in hex.
    pub secret: String,
    /// Whether amounts of money are seen with it.
    pub sees_money: bool,
    /// What the password is compared with, where it has one.
    pub password: Option<PasswordHash>,
}

impl LinkGrant {
    /// How long a link is good where nobody says, in ms.
    pub const USUAL_LIFE: Millis = 30 * DAY;
}

/// A password as the store has it: its Argon2id hash with salt and parameters, as a PHC string. It is
/// never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hash)")
    }
}

impl Identity {
    /// Whether it is good at `now` (Unix ms).
    pub fn is_good(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// The name of its kind, as the audit and the tables have it.
    pub fn kind_name(&self) -> &'static str {
        self.kind.name()
    }

    /// The SHA-256 by which it is found; `None` for a user, who is found by name.
    pub fn secret(&self) -> Option<&str> {
        match &self.kind {
            IdentityKind::Key(key) => Some(&key.secret),
            IdentityKind::Token(token) => Some(&token.secret),
            IdentityKind::Link(link) => Some(&link.secret),
            IdentityKind::User(_) => None,
        }
    }

    /// The key that it is.
    pub fn as_key(&self) -> Option<&KeyRules> {
        match &self.kind {
            IdentityKind::Key(key) => Some(key),
            _ => None,
        }
    }

    /// The user that it is.
    pub fn as_user(&self) -> Option<&Account> {
        match &self.kind {
            IdentityKind::User(account) => Some(account),
            _ => None,
        }
    }

    /// The link that it is.
    pub fn as_link(&self) -> Option<&LinkGrant> {
        match &self.kind {
            IdentityKind::Link(link) => Some(link),
            _ => None,
        }
    }

    /// What it may do and see; a key reads nothing.
    pub fn rights(&self) -> Option<Rights> {
        let (permissions, money): (Permissions, bool) = match &self.kind {
            IdentityKind::Key(_) => return None,
            IdentityKind::User(user) => {
                (user.role.permissions(), user.sees_money || user.role == Role::Admin)
            }
            IdentityKind::Token(token) => {
                (token.scopes.iter().copied().collect(), token.sees_money)
            }
            IdentityKind::Link(link) => {
                ([Permission::Numbers].into_iter().collect(), link.sees_money)
            }
        };
        Some(Rights { permissions, sight: Sight::of_money(money) })
    }
}

impl IdentityKind {
    /// `key`, `user`, `token` or `link`.
    pub fn name(&self) -> &'static str {
        match self {
            IdentityKind::Key(_) => "key",
            IdentityKind::User(_) => "user",
            IdentityKind::Token(_) => "token",
            IdentityKind::Link(_) => "link",
        }
    }
}
