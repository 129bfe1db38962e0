//! A dead letter as the event that is sent again.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::fix::Fix;
use crate::store::letters::StoredLetter;

/// An event that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// The letter that it is made of.
    pub letter: Uuid,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The source that it is from; empty where that is not known.
    pub source: String,
    /// Its time, Unix ms, as far as the letter says it.
    pub time: i64,
    /// The event, as one line of JSON.
    pub line: String,
}

/// Why a letter is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// Only its beginning was kept.
    Cut,
    /// It is no JSON object.
    Unreadable,
    /// It may have been sent, and the rows by which that would be known were removed.
    RowsGone,
    /// The filter gave nothing.
    LeftOut,
    /// The filter failed, with what it says.
    NotFixed(String),
}

/// The members of an event, as they are written.
type RawMembers = BTreeMap<String, Box<RawValue>>;

/// Makes the event of a letter. It has the time that it would have had at first. Where it has no id,
/// the letter's name makes one, so that it counts once however often it is sent.
pub(super) fn ready(letter: &StoredLetter, fix: Option<&Fix>) -> Result<Ready, Unsent> {
    if letter.cut {
        return Err(Unsent::Cut);
    }
    let before: RawMembers = serde_json::from_str(&letter.event).map_err(|_| Unsent::Unreadable)?;
    let mut members = match fix {
        None => before.clone(),
        Some(fix) => {
            let fixed = fix.apply(&letter.event).map_err(Unsent::NotFixed)?;
            let fixed = fixed.ok_or(Unsent::LeftOut)?;
            serde_json::from_str(&fixed)
                .map_err(|_| Unsent::NotFixed("it makes no object of the event".to_owned()))?
        }
    };
    // The sender's clock and the time of receipt are in the letter's time already. A filter that
    // sets another time has the last word.
    let written = |members: &RawMembers| members.get("timestamp").map(|raw| raw.get().to_owned());
    let time = match (letter.time, written(&members)) {
        (Some(time), now) if now == written(&before) => Some(time),
        (None, None) => Some(letter.received_at),
        _ => None,
    };
    if let Some(time) = time {
        members.insert("timestamp".to_owned(), raw(&time));
    }
    let id = match text(&members, "id") {
        Some(id) if !id.is_empty() => id,
        _ => {
            let id = format!("letter:{}", letter.letter);
            members.insert("id".to_owned(), raw(&id));
            id
        }
    };
    let kind = text(&members, "type").unwrap_or_default();
    Ok(Ready {
        letter: letter.letter,
        kind: kind.trim().to_owned(),
        source: letter.source.clone(),
        id,
        time: time.unwrap_or(letter.received_at),
        line: serde_json::to_string(&members).map_err(|_| Unsent::Unreadable)?,
    })
}

/// A member that is a text or a whole number, as text.
fn text(members: &RawMembers, name: &str) -> Option<String> {
    match serde_json::from_str(members.get(name)?.get()).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a number or a text always encodes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(event: &str, time: Option<i64>) -> StoredLetter {
        let letter = Uuid::from_u128(7);
        let (event, source) = (event.to_owned(), "web".to_owned());
        StoredLetter { letter, received_at: 50, event, cut: false, time, source, sending: false }
    }

    #[test]
    fn an_event_is_sent_at_its_own_time_under_an_id_of_its_own() {
        let sent = ready(&letter(r#"{"type":"a","timestamp":"x"}"#, Some(40)), None).unwrap();
        let id = format!("letter:{}", Uuid::from_u128(7));
        assert_eq!(sent.line, format!(r#"{{"id":"{id}","timestamp":40,"type":"a"}}"#));
        assert_eq!((sent.id, sent.kind.as_str(), sent.time), (id, "a", 40));
        assert_eq!(sent.source, "web");

        let sent = ready(&letter(r#"{"type":"a","id":17,"x":1.50}"#, None), None).unwrap();
        assert_eq!(sent.line, r#"{"id":17,"timestamp":50,"type":"a","x":1.50}"#);
        assert_eq!(sent.id, "17");
    }

    #[test]
    fn a_time_that_a_filter_sets_stands() {
        let fix = Fix::new(".timestamp = 45").unwrap();
        let sent = ready(&letter(r#"{"type":"a","timestamp":"x"}"#, None), Some(&fix)).unwrap();
        assert!(sent.line.contains(r#""timestamp":45"#), "{}", sent.line);
    }

    #[test]
    fn what_is_not_whole_is_not_sent() {
        let cut = StoredLetter { cut: true, ..letter("{}", None) };
        assert_eq!(ready(&cut, None), Err(Unsent::Cut));
        assert_eq!(ready(&letter("{", None), None), Err(Unsent::Unreadable));
        assert_eq!(ready(&letter("7", None), None), Err(Unsent::Unreadable));
        let nothing = Fix::new("empty").unwrap();
        assert_eq!(ready(&letter("{}", None), Some(&nothing)), Err(Unsent::LeftOut));
    }
}
