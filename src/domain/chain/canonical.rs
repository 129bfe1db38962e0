//! The canonical form of a row: bytes that are the same for what a client sent, for what PostgreSQL gives back
//! of its jsonb, for what SQLite has as text, and for what a file of the archive has.
//!
//! ```text
//!  1 byte    the version of this form: 1
//!  8 bytes   event time, Unix ms         (all integers are big-endian)
//!  8 bytes   when it was received, Unix ms
//!  id, type, user, session, source, dialect, each: 0 for none, or 1 and a text
//!  properties: a value
//!
//!  a text:   its length in 4 bytes, and so many bytes of UTF-8
//!  a value:  n | t | f                   null, true, false
//!            d text                      a number, as domain/number writes it: 100, 100.0 and 1E2 are one
//!            s text                      a string, with its escapes read
//!            [ count value…              an array; the count in 4 bytes
//!            { count (text value)…       an object: by the bytes of its names; of a name that comes twice the
//!                                        last one counts, as in jsonb
//!            x text                      what is no JSON, as it stands
//! ```

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::domain::{
    number::canonical,
    plain::{Scalar, Scan},
    row::Row,
};

/// The version of the form.
const VERSION: u8 = 1;

/// The deepest level that is read. The door takes no event that has so many; whatever somebody has put into the
/// table besides is taken as it stands from there on.
const MAX_DEPTH: usize = 128;

/// Appends the canonical form of a row.
pub fn write(row: &Row<'_>, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&row.time.to_be_bytes());
    out.extend_from_slice(&row.received_at.to_be_bytes());
    let some = [Some(row.id), Some(row.kind), row.user_id, row.session_id, row.source, row.dialect];
    for field in some {
        match field {
            None => out.push(0),
            Some(field) => {
                out.push(1);
                text(field, out);
            }
        }
    }
    if plain(row.properties, out).is_none() {
        value(row.properties.trim(), 0, out);
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn length(length: usize, out: &mut Vec<u8>) {
    // An event is some kilobytes at most.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// The fast way, for an object of scalars without escapes, as nearly all are. `None`, with nothing written, where
/// it is something else.
fn plain(properties: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut scan = Scan::new(properties);
    let mut members: Vec<(&str, Scalar<'_>)> = Vec::with_capacity(16);
    scan.object(|scan, key| {
        members.push((key, scan.scalar()?));
        Some(())
    })?;
    // More may stand behind the object only where it is no JSON.
    if scan.peek().is_some() {
        return None;
    }
    sort(&mut members);
    out.push(b'{');
    length(members.len(), out);
    for (key, scalar) in members {
        text(key, out);
        match scalar {
            Scalar::Null => out.push(b'n'),
            Scalar::Bool(word) => out.push(word.as_bytes()[0]),
            Scalar::Number(number) => tagged(b'd', &canonical(number), out),
            Scalar::Text(string) => tagged(b's', string, out),
        }
    }
    Some(())
}

fn tagged(tag: u8, content: &str, out: &mut Vec<u8>) {
    out.push(tag);
    text(content, out);
}

/// Brings members into the order of their names, and leaves the last of each name.
fn sort<K: Ord, V>(members: &mut Vec<(K, V)>) {
    // It is stable, so the last of a name is the last of its neighbours.
    members.sort_by(|a, b| a.0.cmp(&b.0));
    if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        members.reverse();
        members.dedup_by(|a, b| a.0 == b.0);
        members.reverse();
    }
}

/// Any JSON, `depth` levels deep in another.
fn value(json: &str, depth: usize, out: &mut Vec<u8>) {
    if any(json, depth, out).is_none() {
        tagged(b'x', json, out);
    }
}

fn any(json: &str, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match json.as_bytes().first()? {
        b'{' => {
            let RawMembers(mut members) = serde_json::from_str(json).ok()?;
            sort(&mut members);
            out.push(b'{');
            length(members.len(), out);
            for (key, member) in members {
                text(&key, out);
                value(member.get(), depth + 1, out);
            }
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            out.push(b'[');
            length(items.len(), out);
            items.iter().for_each(|item| value(item.get(), depth + 1, out));
        }
        b'"' => tagged(b's', &serde_json::from_str::<String>(json).ok()?, out),
        b'n' if json == "null" => out.push(b'n'),
        b't' if json == "true" => out.push(b't'),
        b'f' if json == "false" => out.push(b'f'),
        // Whoever gave it as a part of JSON has looked that it is a number.
        b'-' | b'0'..=b'9' => tagged(b'd', &canonical(json), out),
        _ => return None,
    }
    Some(())
}

/// The members of an object, in their order.
struct RawMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct RawName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for RawMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawMembers<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some((RawName(name), member)) =
                    map.next_entry::<RawName<'de>, &RawValue>()?
                {
                    members.push((name, member));
                }
                Ok(RawMembers(members))
            }
        }

        from.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(properties: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let row = Row { id: "1", kind: "purchase", properties, ..Row::default() };
        write(&row, &mut out);
        out
    }

    #[test]
    fn what_is_equal_has_one_form_and_nothing_else_has_it() {
        let ways: &[&[&str]] = &[
            &["{}", " { } ", "{\n}"],
            &[
                r#"{"a":100}"#,
                r#"{"a":100.0}"#,
                r#"{"a" : 1E2}"#,
                r#"{"a":1.00e+2}"#,
                r#"{"a":7,"a":100}"#,
            ],
            &[r#"{"a":0}"#, r#"{"a":-0}"#, r#"{"a":-0.0}"#, r#"{"a":0e5}"#],
            &[r#"{"a":"100"}"#],
            &[
                r#"{"b":1,"a":2}"#,
                r#"{"a":2,"b":1}"#,
                r#"{"a":[],"b":1,"a":2}"#,
                r#"{"\u0061":2,"b":1}"#,
            ],
            &[r#"{"a":"ü\n"}"#, r#"{"a":"\u00fc\u000a"}"#, r#"{"a":"\u00FC\n"}"#],
            &[r#"{"a":"😀"}"#, r#"{"a":"\ud83d\ude00"}"#],
            &[
                r#"{"a":{"y":null,"x":[1,true,{"q":"\""}]}}"#,
                r#"{"a": {"x":[1.0 , true,{"q":"\u0022"}],"y":null}}"#,
            ],
            &[r#"{"a":[true,1,{"q":"\""}]}"#],
            &[r#"{"a":{"x":1},"b":2}"#],
            &[r#"{"a":{"x":1,"b":2}}"#],
            &[r#"{"a":["x","y"]}"#],
            &[r#"{"a":["xy"]}"#],
            &[r#"{"a":[["x"],"y"]}"#],
            &[r#"{"a":"","b":"cd"}"#],
            &[r#"{"a":"","bc":"d"}"#],
            &[r#"{"a":null}"#],
            &[r#"{"a":"null"}"#],
            &[r#"{"a":false}"#],
            &[
                r#"{"a":123456789012345678901234567890}"#,
                r#"{"a":123456789012345678901234567890.000}"#,
            ],
            &[r#"{"a":123456789012345678901234567891}"#],
            &[r#"{"a":1e400}"#, r#"{"a":10e399}"#],
            &[r#"{"a":1e99999999999999999999}"#],
            &["no JSON"],
            &[r#"{"a":1} x"#],
            &[r#"{"a":"\ud800"}"#],
            &[""],
        ];
        for (n, same) in ways.iter().enumerate() {
            for way in *same {
                assert_eq!(form(way), form(same[0]), "{way}");
                let others = ways.iter().enumerate().filter(|(other, _)| *other != n);
                for (_, others) in others {
                    assert_ne!(form(way), form(others[0]), "{way} {}", others[0]);
                }
            }
        }
    }

    #[test]
    fn each_field_counts() {
        let row =
            Row { time: 1, received_at: 2, id: "i", kind: "k", properties: "{}", ..Row::default() };
        let rows = [
            row,
            Row { time: 2, ..row },
            Row { received_at: 1, ..row },
            Row { id: "k", kind: "i", ..row },
            Row { user_id: Some(""), ..row },
            Row { user_id: Some("u"), ..row },
            Row { session_id: Some("u"), ..row },
            Row { source: Some("u"), ..row },
            Row { dialect: Some("u"), ..row },
        ];
        let forms: std::collections::BTreeSet<Vec<u8>> = rows
            .iter()
            .map(|row| {
                let mut out = Vec::new();
                write(row, &mut out);
                out
            })
            .collect();
        assert_eq!(forms.len(), rows.len());
    }

    proptest! {
        /// The fast way and the general one write the same.
        #[test]
        fn plain_objects_are_as_any(
            members in proptest::collection::vec(
                ("[abc]{0,2}", r#"-?[0-9]{1,3}(\.[0-9]{1,2})?|"[a-zü/. ]{0,6}"|true|false|null"#), 0..6,
            ),
            space in "[ \n]?",
        ) {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{space}\"{key}\":{space}{value}")).collect();
            let json = format!("{{{}{space}}}", members.join(","));
            prop_assume!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            let (mut fast, mut general) = (Vec::new(), Vec::new());
            prop_assert!(plain(&json, &mut fast).is_some());
            value(&json, 0, &mut general);
            prop_assert_eq!(fast, general, "{}", json);
        }

        #[test]
        fn no_text_panics(json in ".{0,60}") {
            form(&json);
        }
    }
}
