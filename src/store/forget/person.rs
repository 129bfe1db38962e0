//! Who is to be forgotten, and whether a text names them.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A person, as events name them.
#[derive(Clone, PartialEq, Eq)]
pub enum DataSubject {
    /// A user, by `userId`.
    User(String),
    /// A session, by `sessionId`.
    Session(String),
}

/// Names of fields that say who somebody is, in the formats of all dialects: in small letters, without signs.
const FIELDS: [&str; 16] = [
    "userid",
    "uid",
    "user",
    "externalid",
    "customerid",
    "distinctid",
    "anonymousid",
    "clientid",
    "visitorid",
    "deviceid",
    "domainuserid",
    "networkuserid",
    "sessionid",
    "sid",
    "domainsessionid",
    "id",
];

impl DataSubject {
    /// `user` or `session`.
    pub fn subject(&self) -> &'static str {
        match self {
            DataSubject::User(_) => "user",
            DataSubject::Session(_) => "session",
        }
    }

    /// The id.
    pub fn id(&self) -> &str {
        match self {
            DataSubject::User(id) | DataSubject::Session(id) => id,
        }
    }

    /// What a receipt says of them: SHA-256 of the salt, the subject and the id, in hexadecimal digits.
    pub fn hash(&self, salt: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [salt, self.subject(), self.id()] {
            hasher.update(part);
            // No id is the end of another text.
            hasher.update([0]);
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a dead letter names them, in a field that says who somebody is. One that is no whole JSON
    /// does where the id stands in it between quotes or signs.
    pub fn is_named_in(&self, text: &str) -> bool {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.is_in(&value),
            Err(_) => {
                let around = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
                text.match_indices(self.id()).any(|(at, found)| {
                    let (before, after) = (&text[..at], &text[at + found.len()..]);
                    around(before.chars().next_back()) && around(after.chars().next())
                })
            }
        }
    }

    fn is_in(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.is_in(item)),
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                let name: String =
                    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
                let says_who = FIELDS.contains(&name.to_ascii_lowercase().as_str());
                (says_who && self.is_it(value)) || self.is_in(value)
            }),
            _ => false,
        }
    }

    fn is_it(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => text == self.id(),
            Value::Number(number) => number.to_string() == self.id(),
            _ => false,
        }
    }
}

/// The id is for nobody's log.
impl std::fmt::Debug for DataSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataSubject({})", self.subject())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_names_somebody_in_fields_that_say_who() {
        let anna = DataSubject::User("anna".to_owned());
        for named in [
            r#"{"type":7,"userId":"anna"}"#,
            r#"[{"type":7,"context":{"traits":{"user_id":"anna"}}}]"#,
            r#"{"distinct_id":"anna","event":5}"#,
            r#"{"userId":"an\u006ea"}"#,
            // Cut, so it is no JSON.
            r#"{"type":7,"userId":"anna","prop"#,
            "e=pv&uid=anna&x=1",
        ] {
            assert!(anna.is_named_in(named), "{named}");
        }
        for other in [
            r#"{"type":7,"userId":"annabel"}"#,
            r#"{"type":7,"properties":{"dress":"anna"}}"#,
            r#"{"userId":"annabel","prop"#,
            "",
        ] {
            assert!(!anna.is_named_in(other), "{other}");
        }
        assert!(DataSubject::User("42".to_owned()).is_named_in(r#"{"userId":42}"#));
    }

    #[test]
    fn a_hash_has_a_salt_and_says_nothing_by_itself() {
        let anna = DataSubject::User("anna".to_owned());
        assert_ne!(anna.hash("a"), anna.hash("b"));
        assert_ne!(anna.hash("a"), DataSubject::Session("anna".to_owned()).hash("a"));
        assert_eq!(anna.hash("a").len(), 64);
        assert_eq!(format!("{anna:?}"), "DataSubject(user)");
    }
}
