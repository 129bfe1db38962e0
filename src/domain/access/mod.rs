//! Who may do what. An [`Identity`] is somebody or something that the server knows: a write key, a
//! user, an API token, a link. All of them together are the [`Book`], of which every node holds a copy.
//!
//! Everything here is pure. A change is worked out on a copy of the book ([`change`]), and the store
//! takes it only where nobody else has changed the book since then.

pub mod book;
pub mod change;
mod elsewhere;
mod identity;
pub mod shown;
#[cfg(test)]
mod tests;

pub use book::{Book, StoredBook};
pub use change::{AccessChange, AccessFault, AuditEntry};
pub use identity::{
    Account, EndedSession, HASH_CHARS, Identity, IdentityKind, KeyRules, LinkGrant, OidcSubject,
    PasswordHash, TokenGrant,
};

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a user is to the shop; each role may do what the one before it may, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at numbers.
    Viewer,
    /// Also reads single events, refused events and metrics of the process, and makes marks.
    Analyst,
    /// Also decides who has access.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Analyst, Role::Admin];

    /// The name, as commands and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Analyst => "analyst",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it may do.
    pub fn permissions(self) -> Permissions {
        let all: &[Permission] = match self {
            Role::Viewer => &[Permission::Numbers],
            Role::Analyst => &[
                Permission::Numbers,
                Permission::Letters,
                Permission::Metrics,
                Permission::Events,
                Permission::Marks,
            ],
            Role::Admin => &Permission::ALL,
        };
        all.iter().copied().collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that a viewer may be allowed to do: what the scopes of an API token are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Read the numbers, and follow the stream.
    Numbers,
    /// Read events that were refused, as their senders sent them.
    Letters,
    /// Read `/metrics`.
    Metrics,
    /// Make and revoke keys, users, tokens and links.
    Access,
    /// Read single events, as their senders sent them: who did what.
    Events,
    /// Make marks, and take them back.
    Marks,
}

impl Permission {
    /// All of them.
    pub const ALL: [Permission; 6] = [
        Permission::Numbers,
        Permission::Letters,
        Permission::Metrics,
        Permission::Access,
        Permission::Events,
        Permission::Marks,
    ];

    /// The name, as commands and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            Permission::Numbers => "numbers",
            Permission::Letters => "letters",
            Permission::Metrics => "metrics",
            Permission::Access => "access",
            Permission::Events => "events",
            Permission::Marks => "marks",
        }
    }

    /// The permission of this name.
    pub fn named(name: &str) -> Option<Permission> {
        Permission::ALL.into_iter().find(|permission| permission.name() == name)
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// Whether this one is in the set.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(all: I) -> Permissions {
        Permissions(all.into_iter().fold(0, |set, one| set | 1 << one as u8))
    }
}

/// Which part of the numbers somebody sees. A server writes each frame once for each of these that has
/// a viewer, so they are few: four at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// Everything.
    #[default]
    Everything,
    /// Everything but amounts of money, and what is computed from them.
    NoMoney,
}

impl Sight {
    /// All of them.
    pub const ALL: [Sight; 2] = [Sight::Everything, Sight::NoMoney];

    /// That of somebody who may or may not see money.
    pub fn of_money(sees_money: bool) -> Sight {
        if sees_money { Sight::Everything } else { Sight::NoMoney }
    }

    /// Whether amounts of money are seen.
    pub fn sees_money(self) -> bool {
        self == Sight::Everything
    }
}

/// What somebody may do and see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// What they may do.
    pub permissions: Permissions,
    /// What they see of the numbers.
    pub sight: Sight,
}

impl Rights {
    /// Those of `auth.viewer_tokens`, and of everybody where a server asks nobody who they are:
    /// everything but to say who has access.
    pub fn of_configured_viewers() -> Rights {
        Rights { permissions: Role::Analyst.permissions(), sight: Sight::Everything }
    }
}
