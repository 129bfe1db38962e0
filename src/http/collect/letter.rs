//! What is kept of an event that was refused.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{
    domain::{
        batch::DeadLetter,
        event::{Field, Incoming, Received, Rejection},
        privacy::Privacy,
    },
    http::auth::EventSender,
};

/// The header of a request that sends dead letters again: the name of the source that they are from, which
/// their events keep. What is refused of it makes no new letter, since the old one still waits.
pub const AGAIN: &str = "x-dead-letters-again";

/// What a refused event says of itself, where it could be read.
#[derive(Debug, Default)]
pub struct ReadParts {
    /// Its sender gave it an id.
    pub identified: bool,
    /// Its own time, Unix ms.
    pub time: Option<i64>,
    /// The event in the native format; empty where it came so.
    pub event: String,
}

impl ReadParts {
    /// Those of an event that was read. `is_native` says that it came in the native format.
    pub fn of(incoming: &Incoming<'_>, received: Received, is_native: bool) -> ReadParts {
        ReadParts {
            identified: incoming.is_identified(),
            time: incoming.moment(received).ok().map(|(at, _)| at),
            event: if is_native { String::new() } else { incoming.in_native_form() },
        }
    }

    /// Those of a text that is no event: it may have an id all the same.
    pub fn of_text(as_sent: &[u8]) -> ReadParts {
        #[derive(Deserialize)]
        struct WithId<'a> {
            #[serde(borrow)]
            id: Field<'a>,
        }
        let text = String::from_utf8_lossy(as_sent);
        let identified = serde_json::from_str::<WithId<'_>>(&text)
            .is_ok_and(|event| Incoming { id: event.id, ..Incoming::default() }.is_identified());
        ReadParts { identified, ..ReadParts::default() }
    }
}

/// The letter of one event, with at most `max_bytes` of its text, and without what is never stored.
pub fn dead_letter(
    as_sent: &[u8],
    reason: &Rejection,
    parts: ReadParts,
    (received, sender, dialect): (Received, &EventSender, &str),
    (max_bytes, privacy): (usize, &Privacy),
) -> DeadLetter {
    let kept = &as_sent[..as_sent.len().min(max_bytes)];
    let ReadParts { identified, time, event } = parts;
    // A native form that is not whole is of no use to anybody.
    let event = if event.len() > max_bytes { String::new() } else { event };
    DeadLetter {
        received_at: received.at,
        code: reason.code().to_owned(),
        message: reason.to_string(),
        raw: privacy.kept(storable(kept)),
        cut: kept.len() < as_sent.len(),
        digest: identified.then(|| DeadLetter::digest_of(as_sent)),
        source: sender.source.clone(),
        key: sender.fingerprint.clone(),
        dialect: dialect.to_owned(),
        event: privacy.kept(event),
        time,
    }
}

/// Bytes as text that a database takes: a column of type `text` in PostgreSQL can't hold NUL.
fn storable(bytes: &[u8]) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::privacy::Addresses;

    fn letter(as_sent: &[u8], max_bytes: usize) -> DeadLetter {
        let received = Received { at: 9, sent_at: None };
        let privacy = Privacy::new(Addresses::Dropped, &[]);
        let about = (received, &EventSender::unnamed(None, String::new()), "native");
        dead_letter(
            as_sent,
            &Rejection::MissingType,
            ReadParts::of_text(as_sent),
            about,
            (max_bytes, &privacy),
        )
    }

    #[test]
    fn a_long_event_is_known_again_by_all_of_it() {
        let long = |end: &str| format!(r#"{{"id":7,"x":"{}{end}"}}"#, "x".repeat(100));
        let (one, other) = (letter(long("a").as_bytes(), 20), letter(long("b").as_bytes(), 20));
        assert_eq!(one.raw, other.raw);
        assert!(one.cut && one.digest.is_some() && one.digest != other.digest);
    }

    #[test]
    fn only_what_has_an_id_is_known_again() {
        for (raw, known) in [
            (&b"{\"id\":\"a\"}"[..], true),
            (b"{\"id\":7,\"b\":\"\xff\"}", true),
            (b"{\"id\":\"\"}", false),
            (b"{\"id\":[]}", false),
            (b"{\"a\":1}", false),
            (b"{\"id\":\"a\"", false),
            (b"7", false),
        ] {
            assert_eq!(letter(raw, 99).digest.is_some(), known, "{raw:?}");
        }
        assert_eq!(letter(b"a\0b", 99).raw, "a\u{fffd}b");
    }
}
