//! Sessions: what a browser is given when its user has signed in, or has opened a link.
//!
//! A session is a text that the server signs and keeps nowhere:
//!
//! ```text
//!  s1.SESSION.IDENTITY.GENERATION.UNTIL.SIGNATURE
//! ```
//!
//! The signature is an HMAC with the key of the book, so every node knows every session. It ends with its
//! time, with its identity, with the user's generation (all sessions end at once where that goes up), or
//! because the user has ended this one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret;
use crate::domain::{
    access::{Book, EndedSession, Identity, IdentityKind},
    time::{HOUR, Millis},
};

/// What a session begins with: the form of it.
const FORM: &str = "s1";
/// What its signature is for.
const PURPOSE: &str = "floodmark session";

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSession {
    /// Its random id.
    pub id: String,
    /// The id of the user or link.
    pub identity: String,
    /// The user's generation when it began; 0 of a link.
    generation: u32,
    /// When it is over, Unix ms.
    pub until: Millis,
}

impl LoginSession {
    /// A session of this user or link that begins at `now` (Unix ms). It lasts for so many hours, and no
    /// longer than the identity.
    pub fn begin(identity: &Identity, hours: u64, now: Millis) -> LoginSession {
        let longest = now.saturating_add(Millis::try_from(hours).unwrap_or(0).saturating_mul(HOUR));
        LoginSession {
            id: secret::id(),
            identity: identity.id.clone(),
            generation: identity.as_user().map_or(0, |user| user.generation),
            until: identity.expires_at.map_or(longest, |end| end.min(longest)),
        }
    }

    /// The session as the browser gets it.
    pub fn signed(&self, book: &Book) -> String {
        let text = self.text();
        sealed(book, PURPOSE, &text)
    }

    /// Reads what a browser sends. `None` where no node of this installation has signed it.
    pub fn read(text: &str, book: &Book) -> Option<LoginSession> {
        let text = unsealed(book, PURPOSE, text)?;
        let mut parts = text.split('.');
        if parts.next()? != FORM {
            return None;
        }
        let session = LoginSession {
            id: parts.next()?.to_owned(),
            identity: parts.next()?.to_owned(),
            generation: parts.next()?.parse().ok()?,
            until: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(session)
    }

    /// Whose session it is, where it is good at `now` (Unix ms).
    pub fn holder<'a>(&self, book: &'a Book, now: Millis) -> Option<&'a Identity> {
        let identity = book.by_id(&self.identity)?;
        let is_right = match &identity.kind {
            IdentityKind::User(user) => {
                let ended = user.ended.iter().any(|ended| ended.id == self.id);
                user.generation == self.generation && !ended
            }
            IdentityKind::Link(_) => true,
            IdentityKind::Key(_) | IdentityKind::Token(_) => false,
        };
        (is_right && now < self.until && identity.is_good(now)).then_some(identity)
    }

    /// The session as one that its user ends.
    pub fn ended(&self) -> EndedSession {
        EndedSession { id: self.id.clone(), until: self.until }
    }

    fn text(&self) -> String {
        let LoginSession { id, identity, generation, until } = self;
        format!("{FORM}.{id}.{identity}.{generation}.{until}")
    }
}

/// A text with the signature of this installation. What is signed for one purpose is never taken for
/// something of another.
pub fn sealed(book: &Book, purpose: &str, text: &str) -> String {
    let signature = mac(book, purpose, text).finalize().into_bytes();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The text that this installation has signed for this purpose; `None` where it has not.
pub fn unsealed<'a>(book: &Book, purpose: &str, sealed: &'a str) -> Option<&'a str> {
    let (text, signature) = sealed.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    // This compares in constant time.
    mac(book, purpose, text).verify_slice(&signature).ok()?;
    Some(text)
}

fn mac(book: &Book, purpose: &str, text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&book.stored().session_key)
        .expect("a key may have any length");
    mac.update(purpose.as_bytes());
    mac.update(b"\0");
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Account, Role, StoredBook};

    fn book(key: u8, change: impl FnOnce(&mut Account)) -> Book {
        let mut account = Account {
            role: Role::Viewer,
            sees_money: true,
            password: None,
            generation: 3,
            ended: Vec::new(),
            elsewhere: None,
        };
        change(&mut account);
        let user = Identity {
            id: "u1".to_owned(),
            name: "bob".to_owned(),
            created_at: 0,
            created_by: String::new(),
            expires_at: Some(10 * HOUR),
            revoked_at: None,
            kind: IdentityKind::User(account),
        };
        let (session_key, identities) = (vec![key; 32], vec![user]);
        Book::new(StoredBook { session_key, identities, ..StoredBook::default() })
    }

    #[test]
    fn a_session_is_what_a_node_has_signed() {
        let book = book(1, |_| ());
        let session = LoginSession::begin(book.by_id("u1").unwrap(), 2, 1000);
        assert_eq!(session.until, 1000 + 2 * HOUR);
        let text = session.signed(&book);
        assert_eq!(LoginSession::read(&text, &book), Some(session));
        assert_eq!(LoginSession::read(&text, &self::book(2, |_| ())), None, "another key");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(bytes).unwrap();
            // The last character has bits that base64 does not use.
            let is_same = forged == text || at == text.len() - 1;
            assert!(is_same || LoginSession::read(&forged, &book).is_none(), "{forged}");
        }
        for odd in ["", ".", "s1", &text[..text.len() - 5], &format!("{text}.")] {
            assert_eq!(LoginSession::read(odd, &book), None, "{odd}");
        }
    }

    #[test]
    fn a_session_ends_with_its_time_its_user_its_generation_or_by_itself() {
        let session = LoginSession::begin(book(1, |_| ()).by_id("u1").unwrap(), 2, 1000);
        let is_good = |book: Book, now| session.holder(&book, now).is_some();
        assert!(is_good(book(1, |_| ()), session.until - 1));
        assert!(!is_good(book(1, |_| ()), session.until));
        assert!(!is_good(book(1, |user| user.generation = 4), 2000));
        assert!(!is_good(book(1, |user| user.ended.push(session.ended())), 2000));
        assert!(!is_good(Book::default(), 2000), "the user was revoked");
        let long = LoginSession::begin(book(1, |_| ()).by_id("u1").unwrap(), 1000, 1000);
        assert_eq!(long.until, 10 * HOUR, "no longer than its user");
    }
}
