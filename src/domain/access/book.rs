//! The book: all identities of an installation that are not revoked, at one version.

use std::collections::HashMap;

use super::Identity;

/// The book as a store keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredBook {
    /// Goes up by one with every change.
    pub version: i64,
    /// What the cookies of sessions are signed with; all nodes have the same.
    pub session_key: Vec<u8>,
    /// Whether there ever was a write key: from then on nobody sends without one.
    pub sends_closed: bool,
    /// Whether there ever was a user or a token: from then on nobody reads unknown.
    pub views_closed: bool,
    /// The highest [`super::KeyRules::number`] that was given.
    pub last_number: u32,
    /// Those that are not revoked.
    pub identities: Vec<Identity>,
}

/// The book, ready for look-ups.
#[derive(Debug, Default)]
pub struct Book {
    stored: StoredBook,
    /// Places of keys, tokens and links by kind and SHA-256.
    by_secret: HashMap<(&'static str, String), usize>,
    by_id: HashMap<String, usize>,
}

impl Book {
    /// Makes the indexes.
    pub fn new(stored: StoredBook) -> Book {
        let (mut by_secret, mut by_id) = (HashMap::new(), HashMap::new());
        for (place, identity) in stored.identities.iter().enumerate() {
            by_id.insert(identity.id.clone(), place);
            if let Some(secret) = identity.secret() {
                by_secret.insert((identity.kind_name(), secret.to_owned()), place);
            }
        }
        Book { stored, by_secret, by_id }
    }

    /// As the store keeps it.
    pub fn stored(&self) -> &StoredBook {
        &self.stored
    }

    /// All identities, in the order in which they were made.
    pub fn identities(&self) -> &[Identity] {
        &self.stored.identities
    }

    /// Those of one kind (`key`, `user`, `token`, `link`).
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Identity> {
        self.identities().iter().filter(move |identity| identity.kind_name() == kind)
    }

    /// The identity with this secret, by the SHA-256 of that. To look it up in a map gives nothing
    /// away: whoever chooses the secret does not choose its hash.
    pub fn by_secret(&self, kind: &'static str, hash: &str) -> Option<&Identity> {
        let place = self.by_secret.get(&(kind, hash.to_owned()))?;
        self.identities().get(*place)
    }

    /// The identity with this id.
    pub fn by_id(&self, id: &str) -> Option<&Identity> {
        self.identities().get(*self.by_id.get(id)?)
    }

    /// The identity of this kind with this name, or with this id.
    pub fn named(&self, kind: &str, name: &str) -> Option<&Identity> {
        // Names of users are kept in small letters.
        let is_it =
            |it: &&Identity| it.name == name || (kind == "user" && it.name == name.to_lowercase());
        let by_name = self.of_kind(kind).find(is_it);
        by_name.or_else(|| self.by_id(name).filter(|it| it.kind_name() == kind))
    }
}
