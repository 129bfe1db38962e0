//! Dead letters: events that were refused, kept with the reason and with all that is needed to send
//! them again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::time::Millis;

/// An event that was refused, kept with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was received, Unix ms.
    pub received_at: Millis,
    /// The reason's code, as the answer gave it (`invalid_type`, …).
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// What the client sent, cut to `dead_letters.max_bytes`; not valid JSON perhaps.
    pub raw: String,
    /// Whether `raw` is only the beginning of what the client sent.
    pub cut: bool,
    /// What it is recognised by when the same event is sent again, as after a lost answer
    /// ([`DeadLetter::digest_of`]). `None` where it has no readable id, since another event may then
    /// have the same bytes.
    pub digest: Option<[u8; 32]>,
    /// The name of the source that sent it; empty where it has none.
    pub source: String,
    /// Tells the write key that it came with from others ([`DeadLetter::fingerprint`]), without being
    /// the key; empty where no key is needed.
    pub key: String,
    /// The format in which it came (`native`, `segment`, …); empty where that is not known.
    pub dialect: String,
    /// The event in the native format, where it came in another one and could be read; else empty.
    pub event: String,
    /// The event's own time, corrected by its sender's clock, Unix ms; `None` where it says none that
    /// can be understood.
    pub time: Option<Millis>,
}

impl DeadLetter {
    /// The SHA-256 of what a client sent, without the white space around it, and whatever its lines
    /// end with: a proxy or an editor may change that, and the event stays the same.
    pub fn digest_of(as_sent: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        // A line break inside a string of JSON is an escape, so these are between its tokens.
        for (at, line) in as_sent.trim_ascii().split(|byte| *byte == b'\n').enumerate() {
            hasher.update(if at > 0 { &b"\n"[..] } else { b"" });
            hasher.update(line.strip_suffix(b"\r").unwrap_or(line));
        }
        hasher.finalize().into()
    }

    /// A short text that tells a write key from others and does not give it away: the first 8 hex
    /// digits of its SHA-256.
    pub fn fingerprint(write_key: &str) -> String {
        let hash = Sha256::digest(write_key);
        hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The fingerprint of a key of which only the SHA-256 is known, in hex.
    pub fn fingerprint_of_hash(hash: &str) -> String {
        hash.chars().take(8).collect()
    }

    /// What of the letter is an event in the native format: `event`, or `raw` where it came so.
    pub fn native(&self) -> &str {
        if self.event.is_empty() { &self.raw } else { &self.event }
    }
}

/// A dead letter as spools held it before letters had a source and a dialect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlainDeadLetter {
    received_at: Millis,
    code: String,
    message: String,
    raw: String,
}

impl From<PlainDeadLetter> for DeadLetter {
    fn from(letter: PlainDeadLetter) -> DeadLetter {
        let PlainDeadLetter { received_at, code, message, raw } = letter;
        let digest = earlier_digest(&raw);
        DeadLetter { received_at, code, message, raw, digest, ..DeadLetter::default() }
    }
}

/// The digest of a letter that a spool holds without one: of what was kept of it, where that has an id
/// and bytes that the client sent.
fn earlier_digest(raw: &str) -> Option<[u8; 32]> {
    #[derive(Deserialize)]
    struct Identified {
        id: String,
    }
    let event: Identified = serde_json::from_str(raw).ok()?;
    let known = !event.id.is_empty() && !raw.contains('\u{fffd}');
    known.then(|| DeadLetter::digest_of(raw.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_recognised_by_what_was_sent_whatever_its_lines_end_with() {
        let digest = |text: &str| DeadLetter::digest_of(text.as_bytes());
        let sent = "{\"type\":7,\n\"id\":\"a\"}";
        assert_eq!(digest(sent), digest(&sent.replace('\n', "\r\n")));
        assert_eq!(digest(sent), digest(&format!(" {sent}\r\n")));
        assert_ne!(digest(sent), digest(&sent.replace('7', "8")));
        assert_ne!(digest("{\n}"), digest("{}"));
        let one_line: [u8; 32] = Sha256::digest(r#"{"id":"a"}"#).into();
        assert_eq!(digest(r#"{"id":"a"}"#), one_line, "as those that are in a store already");
    }

    #[test]
    fn a_letter_of_an_earlier_spool_is_recognised_where_it_has_an_id() {
        let letter = |raw: &str| {
            let raw = raw.to_owned();
            let (code, message) = (String::new(), String::new());
            DeadLetter::from(PlainDeadLetter { received_at: 7, code, message, raw })
        };
        let known = letter(r#"{"id":"a","type":7}"#);
        assert_eq!(known.digest, Some(DeadLetter::digest_of(known.raw.as_bytes())));
        assert_eq!((known.received_at, known.native()), (7, known.raw.as_str()));
        for raw in [r#"{"id":1}"#, r#"{"id":""}"#, "{", "{\"id\":\"a\",\"b\":\"\u{fffd}\"}"] {
            assert_eq!(letter(raw).digest, None, "{raw}");
        }
    }

    #[test]
    fn a_fingerprint_is_not_the_key() {
        let of = DeadLetter::fingerprint;
        assert_eq!(of("secret"), of("secret"));
        assert!(of("secret") != of("secret2") && of("secret").len() == 8);
        let hash: String =
            Sha256::digest("secret").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(DeadLetter::fingerprint_of_hash(&hash), of("secret"));
    }
}
