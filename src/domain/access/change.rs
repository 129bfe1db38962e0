//! Changes of the book. Each is worked out on the book of one version, together with its entry in the
//! audit; the store writes both in one transaction, and only where the book is still of that version.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Account, Book, EndedSession, Identity, IdentityKind, KeyRules, PasswordHash, Permission, Role,
    shown::shown,
};
use crate::domain::{event::is_type, rule::MAX_NAME, source::UNNAMED, time::Millis};

/// How many identities of one kind there may be that are not revoked. Every node has them in memory.
pub const MAX_IDENTITIES: usize = 1000;
/// How many sessions of a user are remembered that were ended one by one. Where there are more, all are
/// ended.
const MAX_ENDED: usize = 50;
/// How many hexadecimal digits an id has ([`crate::access::secret::id`]).
const ID_CHARS: usize = 12;
/// How many origins, event types or ids a key may name.
const MAX_LISTED: usize = 100;
/// How long an id of clients that send no key may be: that of a domain.
const MAX_ID_CHARS: usize = 253;

/// A change of the book, to be written as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChange {
    /// The version that it was worked out on; it makes the next one.
    pub from: i64,
    /// The identity as it is from now on.
    pub identity: Identity,
    /// From now on nobody sends without a key.
    pub closes_sends: bool,
    /// From now on nobody reads unknown.
    pub closes_views: bool,
    /// What is noted of it.
    pub audit: AuditEntry,
}

/// One line of the audit. Lines are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The version of the book that the change made.
    pub version: i64,
    /// Unix ms.
    pub at: Millis,
    /// Who did it: `command line (root)`, `user alice`, `token ci`.
    pub actor: String,
    /// What was done: `add`, `revoke`, `role`, `password`, `logout`.
    pub action: String,
    /// `key`, `user`, `token` or `link`.
    pub kind: String,
    /// The id of the identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What else there is to say, without any secret.
    pub detail: Value,
}

/// Why a change can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessFault {
    /// A value breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// Another identity has the name.
    #[error("there is a {kind} named {name:?} already")]
    Taken {
        /// Of this kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no {kind} {name:?}")]
    Unknown {
        /// Of this kind.
        kind: String,
        /// The name or id that was looked for.
        name: String,
    },
    /// There are too many.
    #[error("there are {MAX_IDENTITIES} of these already; revoke some")]
    TooMany,
    /// Nobody could give access any more.
    #[error("this is the last admin; make another one first")]
    LastAdmin,
}

/// Who makes a change, and when.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// As in [`AuditEntry::actor`].
    pub actor: &'a str,
    /// Unix ms.
    pub at: Millis,
}

/// An identity to be made.
#[derive(Clone, Debug)]
pub struct NewIdentity {
    /// A random id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Until when it is good, Unix ms.
    pub expires_at: Option<Millis>,
    /// What it is. The number of a key is given when it is added.
    pub kind: IdentityKind,
    /// Whether the configuration names viewers: then nobody looks unknown, whatever the book says.
    pub viewers_configured: bool,
}

impl Book {
    /// Adds an identity.
    ///
    /// # Errors
    /// Its name is taken, a value breaks a rule, or there are too many.
    pub fn add(&self, by: By<'_>, new: NewIdentity) -> Result<AccessChange, AccessFault> {
        let NewIdentity { id, mut name, expires_at, mut kind, viewers_configured } = new;
        if let IdentityKind::User(_) = kind {
            name = name.to_lowercase();
        }
        check_name(&name)?;
        check_kind(&kind)?;
        if expires_at.is_some_and(|end| end <= by.at) {
            return invalid("it would have expired already");
        }
        let kind_name = kind.name();
        if self.of_kind(kind_name).any(|known| known.name == name) {
            return Err(AccessFault::Taken { kind: kind_name, name });
        }
        if self.of_kind(kind_name).count() >= MAX_IDENTITIES {
            return Err(AccessFault::TooMany);
        }
        if let IdentityKind::Link(_) = kind
            && !(self.stored().views_closed || viewers_configured)
        {
            return invalid(
                "everybody may look at this server without a link: add a user first, such as \
                 `floodmark users add NAME --role admin`",
            );
        }
        let (closes_sends, closes_views) = match &mut kind {
            IdentityKind::Key(key) => {
                self.check_ids_are_free(key)?;
                key.number = self.stored().last_number + 1;
                (true, false)
            }
            IdentityKind::User(_) | IdentityKind::Token(_) => (false, true),
            IdentityKind::Link(_) => (false, false),
        };
        let detail = shown(&kind, expires_at);
        let identity = Identity {
            id,
            name,
            created_at: by.at,
            created_by: by.actor.to_owned(),
            expires_at,
            revoked_at: None,
            kind,
        };
        let change = self.put(by, "add", identity, detail);
        Ok(AccessChange { closes_sends, closes_views, ..change })
    }

    /// Revokes an identity by its name or id.
    ///
    /// # Errors
    /// There is none, or it is the last admin.
    pub fn revoke(&self, by: By<'_>, kind: &str, name: &str) -> Result<AccessChange, AccessFault> {
        let mut identity = self.find(kind, name)?;
        self.keep_an_admin(&identity, by.at)?;
        identity.revoked_at = Some(by.at);
        Ok(self.put(by, "revoke", identity, Value::Null))
    }

    /// Gives a user another role, or another sight.
    ///
    /// # Errors
    /// There is no such user, or nobody would be admin any more.
    pub fn set_role(
        &self,
        by: By<'_>,
        name: &str,
        role: Role,
        sees_money: bool,
    ) -> Result<AccessChange, AccessFault> {
        let identity = self.find("user", name)?;
        if role != Role::Admin {
            self.keep_an_admin(&identity, by.at)?;
        }
        let detail = json!({"role": role, "sees_money": sees_money});
        Ok(self.put_user(by, "role", identity, detail, |user| {
            (user.role, user.sees_money) = (role, sees_money);
        }))
    }

    /// Gives a user another password, and ends all of the user's sessions.
    ///
    /// # Errors
    /// There is no such user.
    pub fn set_password(
        &self,
        by: By<'_>,
        name: &str,
        password: PasswordHash,
    ) -> Result<AccessChange, AccessFault> {
        let identity = self.find("user", name)?;
        if identity.as_user().is_some_and(|user| user.elsewhere.is_some()) {
            return invalid("this user signs in at the OpenID provider, and has no password here");
        }
        Ok(self.put_user(by, "password", identity, Value::Null, |user| {
            user.password = Some(password);
            user.end_all();
        }))
    }

    /// Ends a user's session, or all of them where `session` is `None`.
    ///
    /// # Errors
    /// There is no such user.
    pub fn logout(
        &self,
        by: By<'_>,
        name: &str,
        session: Option<EndedSession>,
    ) -> Result<AccessChange, AccessFault> {
        let identity = self.find("user", name)?;
        let detail = json!({"sessions": if session.is_some() { "this one" } else { "all" }});
        Ok(self.put_user(by, "logout", identity, detail, |user| match session {
            Some(session) => {
                user.ended.retain(|ended| ended.until > by.at && ended.id != session.id);
                user.ended.push(session);
                if user.ended.len() > MAX_ENDED {
                    user.end_all();
                }
            }
            None => user.end_all(),
        }))
    }

    /// An id says whose an event is, so no two keys have the same.
    fn check_ids_are_free(&self, new: &KeyRules) -> Result<(), AccessFault> {
        for known in self.of_kind("key") {
            let ids = known.as_key().map_or(&[][..], |key| &key.ids);
            if let Some(id) = new.ids.iter().find(|id| ids.contains(id)) {
                return invalid(format!("the key {} has the id {id:?} already", known.name));
            }
        }
        Ok(())
    }

    fn find(&self, kind: &str, name: &str) -> Result<Identity, AccessFault> {
        let unknown = || AccessFault::Unknown { kind: kind.to_owned(), name: name.to_owned() };
        self.named(kind, name).cloned().ok_or_else(unknown)
    }

    /// Fails where `identity` is the only admin who can still sign in at `now`. Whom an OpenID provider makes
    /// an admin does not count: it may take that back at any time, and then it has to be taken back here.
    fn keep_an_admin(&self, identity: &Identity, now: Millis) -> Result<(), AccessFault> {
        let is_here = |user: &Account| user.role == Role::Admin && user.elsewhere.is_none();
        let is_admin = |it: &Identity| it.is_good(now) && it.as_user().is_some_and(is_here);
        let others = self.of_kind("user").any(|it| it.id != identity.id && is_admin(it));
        if is_admin(identity) && !others { Err(AccessFault::LastAdmin) } else { Ok(()) }
    }

    fn put_user(
        &self,
        by: By<'_>,
        action: &str,
        mut identity: Identity,
        detail: Value,
        set: impl FnOnce(&mut Account),
    ) -> AccessChange {
        if let IdentityKind::User(user) = &mut identity.kind {
            set(user);
        }
        self.put(by, action, identity, detail)
    }

    fn put(&self, by: By<'_>, action: &str, identity: Identity, detail: Value) -> AccessChange {
        let audit = AuditEntry {
            version: self.stored().version + 1,
            at: by.at,
            actor: by.actor.to_owned(),
            action: action.to_owned(),
            kind: identity.kind_name().to_owned(),
            id: identity.id.clone(),
            name: identity.name.clone(),
            detail,
        };
        let from = self.stored().version;
        AccessChange { from, identity, closes_sends: false, closes_views: false, audit }
    }
}

impl Account {
    /// Ends all sessions.
    fn end_all(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.ended.clear();
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, AccessFault> {
    Err(AccessFault::Invalid(why.into()))
}

/// Whether somebody may have this name: names are written in commands, paths and logs. Who is named there may
/// also be named by the id, so no name looks like one.
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:@+-".contains(&b);
    let is_like_an_id = name.len() == ID_CHARS && name.bytes().all(|b| b.is_ascii_hexdigit());
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) && !is_like_an_id
}

fn check_name(name: &str) -> Result<(), AccessFault> {
    match is_name(name) {
        true => Ok(()),
        false => invalid(format!(
            "name {name:?}: 1 to {MAX_NAME} characters of A-Z a-z 0-9 _ . : @ + -, and not \
                 {ID_CHARS} hexadecimal digits, as ids are"
        )),
    }
}

fn check_kind(kind: &IdentityKind) -> Result<(), AccessFault> {
    match kind {
        IdentityKind::Key(key) => check_key(key),
        IdentityKind::Token(token) if token.scopes.is_empty() => {
            let names = Permission::ALL.map(Permission::name).join(", ");
            invalid(format!("a token needs a scope: {names}"))
        }
        IdentityKind::Token(token) if !token.sees_money => {
            // Events, refused or not, and the metrics of the process have amounts in them.
            let numbers = |scope: &Permission| *scope == Permission::Numbers;
            match token.scopes.iter().all(numbers) {
                true => Ok(()),
                false => invalid("a token that shows no money has no scope but numbers"),
            }
        }
        _ => Ok(()),
    }
}

fn check_key(key: &KeyRules) -> Result<(), AccessFault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    let source = &key.source;
    if !(1..=MAX_NAME).contains(&source.len()) || !source.bytes().all(plain) {
        return invalid(format!(
            "source {source:?}: 1 to {MAX_NAME} characters of A-Z a-z 0-9 _ . : -"
        ));
    }
    if source == UNNAMED {
        return invalid(format!("source {source:?}: events without a named source have this one"));
    }
    for origin in &key.allowed_origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
            return invalid(format!("{origin:?} is not an origin such as https://shop.example"));
        }
    }
    if let Some(wrong) = key.event_types.iter().find(|name| !is_type(name)) {
        return invalid(format!("{wrong:?} is no event type"));
    }
    let lists = [&key.allowed_origins, &key.event_types, &key.ids];
    if lists.into_iter().any(|list| list.len() > MAX_LISTED) {
        return invalid(format!("a key names at most {MAX_LISTED} origins, event types and ids"));
    }
    check_ids(key)?;
    if key.events_per_s == Some(0) {
        return invalid("a rate of 0 lets nothing through; revoke the key instead");
    }
    Ok(())
}

/// Ids of clients that send no key.
fn check_ids(key: &KeyRules) -> Result<(), AccessFault> {
    if !key.ids.is_empty() && !key.public {
        return invalid("ids stand in pages, so only a public key has any");
    }
    let is_plain = |id: &String| {
        (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    if let Some(wrong) = key.ids.iter().find(|id| !is_plain(id)) {
        let most = MAX_ID_CHARS;
        return invalid(format!("id {wrong:?}: 1 to {most} ASCII characters without spaces"));
    }
    match key.ids.iter().enumerate().find(|(at, id)| key.ids[..*at].contains(id)) {
        Some((_, id)) => invalid(format!("the id {id:?} is there twice")),
        None => Ok(()),
    }
}
