//! What replay changes in an event before it sends it: the timestamp, if it was asked to, and the
//! id, if there is none. The rest of the line stays as it is, byte for byte.

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::time::{LATEST, Millis, parse_rfc3339};

/// What is changed in each event.
#[derive(Clone, Debug, Default)]
pub struct Stamp {
    /// Shift timestamps so that the first one is this moment (Unix ms).
    pub begin: Option<Millis>,
    /// Give events without an id one that consists of this prefix and the event's number. Then
    /// a batch that has to be sent twice is still counted once.
    pub ids: Option<String>,
    /// Replace the ids that events already have, too.
    pub replace_ids: bool,
}

/// The two keys of an event that replay looks at. A line that is no event is sent as it is, with
/// neither key, and the server says what is wrong with it.
#[derive(Deserialize, Default)]
pub struct EventHead<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'a RawValue>,
    #[serde(skip)]
    is_event: bool,
}

/// Keeps a key with the value `null` apart from a key that is missing: the former is replaced in
/// its place, the latter is added.
fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl EventHead<'_> {
    /// Reads the two keys of a line.
    pub fn of(line: &[u8]) -> EventHead<'_> {
        match serde_json::from_slice::<EventHead<'_>>(line) {
            Ok(head) if line.trim_ascii_start().starts_with(b"{") => {
                EventHead { is_event: true, ..head }
            }
            _ => EventHead::default(),
        }
    }

    /// The event's timestamp, Unix ms.
    pub fn moment(&self) -> Option<Millis> {
        let raw = self.timestamp?.get();
        match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
            Some(text) => parse_rfc3339(text),
            None => raw.parse().ok().filter(|at| (0..=LATEST).contains(at)),
        }
    }
}

/// Appends the line to `out`, changed as `stamp` says. `first` is the timestamp of the file's
/// first event. `due` is when this event is sent, if that follows the timestamps. `number` is
/// unique in the file.
pub fn stamp(
    line: &[u8],
    head: &EventHead<'_>,
    stamp: &Stamp,
    first: Option<Millis>,
    due: Option<Duration>,
    number: u64,
    out: &mut Vec<u8>,
) {
    if !head.is_event {
        return out.extend_from_slice(line);
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    if let (Some(begin), Some(raw), Some(at), Some(first)) =
        (stamp.begin, head.timestamp, head.moment(), first)
    {
        // If events are sent faster than they were recorded, their timestamps have to be as
        // much closer together. `due` has been scaled already.
        let since = due.map_or(at - first, |due| due.as_millis() as Millis);
        edits.push((range_of(raw, line), (begin + since).to_string()));
    }
    if let Some(prefix) = &stamp.ids {
        match head.id {
            Some(raw) if stamp.replace_ids || raw.get() == "null" => {
                edits.push((range_of(raw, line), format!("\"{prefix}{number}\"")));
            }
            Some(_) => {}
            None => {
                let open = line.len() - line.trim_ascii_start().len() + 1;
                let is_empty = line[open..].trim_ascii_start().starts_with(b"}");
                if !is_empty {
                    edits.push((open..open, format!("\"id\":\"{prefix}{number}\",")));
                }
            }
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut from = 0;
    for (range, text) in edits {
        out.extend_from_slice(&line[from..range.start]);
        out.extend_from_slice(text.as_bytes());
        from = range.end;
    }
    out.extend_from_slice(&line[from..]);
}

/// The range of the line that `raw` was borrowed from.
fn range_of(raw: &RawValue, line: &[u8]) -> Range<usize> {
    let start = raw.get().as_ptr().addr() - line.as_ptr().addr();
    start..start + raw.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(line: &str, how: &Stamp, due: Option<Duration>) -> String {
        let head = EventHead::of(line.as_bytes());
        let mut out = Vec::new();
        stamp(line.as_bytes(), &head, how, Some(1000), due, 7, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn ids() -> Stamp {
        Stamp { ids: Some("r-".to_owned()), ..Stamp::default() }
    }

    #[test]
    fn nothing_asked_changes_nothing() {
        for line in ["{\"timestamp\":1, \"id\" : null}", "{", "[1]", "{}", ""] {
            assert_eq!(stamped(line, &Stamp::default(), None), line);
        }
    }

    #[test]
    fn timestamps_shift_and_the_rest_stays() {
        let how = Stamp { begin: Some(50_000), ..Stamp::default() };
        assert_eq!(
            stamped(r#"{"a": 1.50,"timestamp" : 3000 , "b":"é"}"#, &how, None),
            r#"{"a": 1.50,"timestamp" : 52000 , "b":"é"}"#
        );
        assert_eq!(
            stamped(r#"{"timestamp":"1970-01-01T00:00:04Z"}"#, &how, None),
            r#"{"timestamp":53000}"#
        );
        let due = Some(Duration::from_millis(200));
        assert_eq!(stamped(r#"{"timestamp":3000}"#, &how, due), r#"{"timestamp":50200}"#);
        for unclear in [r#"{"timestamp":"noon"}"#, r#"{"timestamp":1.5}"#, r#"{"a":1}"#] {
            assert_eq!(stamped(unclear, &how, None), unclear);
        }
    }

    #[test]
    fn an_event_without_an_id_gets_one() {
        assert_eq!(stamped(r#" {"type":"a"}"#, &ids(), None), r#" {"id":"r-7","type":"a"}"#);
        assert_eq!(
            stamped(r#"{"id":null,"a":{"id":1}}"#, &ids(), None),
            r#"{"id":"r-7","a":{"id":1}}"#
        );
        assert_eq!(stamped(r#"{"a":{"id":1}}"#, &ids(), None), r#"{"id":"r-7","a":{"id":1}}"#);
        for kept in [r#"{"id":"mine"}"#, r#"{"id":5}"#, "{}", "{ }", "nonsense"] {
            assert_eq!(stamped(kept, &ids(), None), kept);
        }
        let replace = Stamp { replace_ids: true, ..ids() };
        assert_eq!(
            stamped(r#"{"id":"mine","timestamp":5}"#, &replace, None),
            r#"{"id":"r-7","timestamp":5}"#
        );
    }
}
