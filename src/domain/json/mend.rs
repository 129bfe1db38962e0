//! Mends JSON that stores would refuse, or read in different ways.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What has to be mended in a text of JSON, as [`super::check`] finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blemishes {
    /// A string holds NUL or half of a surrogate pair.
    pub text: bool,
    /// An object may have a key twice.
    pub keys: bool,
}

/// JSON that every store takes, and reads alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// An object did have a key twice.
    pub repeated: bool,
}

impl Blemishes {
    /// Mends well-formed JSON: puts U+FFFD in the place of characters that can't be kept, and leaves
    /// the last value of a key that stands twice.
    pub fn mend(self, json: &str) -> Mended<'_> {
        let text = match self.text {
            true => replaced(json),
            false => Cow::Borrowed(json),
        };
        if !self.keys {
            return Mended { text, repeated: false };
        }
        let mut out = String::with_capacity(text.len());
        match rewrite(&text, &mut out) {
            true => Mended { text: Cow::Owned(out), repeated: true },
            false => Mended { text, repeated: false },
        }
    }
}

/// Bytes of `\uXXXX`.
pub(super) const ESCAPE: usize = 6;

/// What stands after a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// A character; with the bytes of its escape, or escapes.
    Fine(usize),
    /// NUL or half of a surrogate pair, in [`ESCAPE`] bytes.
    Bad,
}

/// Judges the escape that begins with the backslash at `at`.
pub(super) fn escape(bytes: &[u8], at: usize) -> Escape {
    match code_unit(bytes, at) {
        None => Escape::Fine(2),
        Some(0 | 0xDC00..=0xDFFF) => Escape::Bad,
        Some(0xD800..=0xDBFF) => match code_unit(bytes, at + ESCAPE) {
            Some(0xDC00..=0xDFFF) => Escape::Fine(2 * ESCAPE),
            _ => Escape::Bad,
        },
        Some(_) => Escape::Fine(ESCAPE),
    }
}

/// The value of `\uXXXX` at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
    u16::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| all_hex)?, 16).ok()
}

/// The text with U+FFFD in the place of each escape that is NUL or half of a surrogate pair. The text
/// need not be well-formed: a backslash is taken for the beginning of an escape wherever it stands.
pub fn replaced(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(skip) = memchr::memchr(b'\\', &bytes[at..]) {
        at += skip;
        at += match escape(bytes, at) {
            Escape::Fine(len) => len,
            Escape::Bad => {
                out.push_str(&json[copied..at]);
                out.push_str("\\ufffd");
                copied = at + ESCAPE;
                ESCAPE
            }
        };
        if at >= bytes.len() {
            break;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// Writes JSON anew, without white space, and with the last value of each key. Returns whether any
/// key stood twice. How deep the text is nested was limited before, so the recursion is, too.
fn rewrite(json: &str, out: &mut String) -> bool {
    match json.as_bytes().first() {
        Some(b'{') => {
            let Ok(ObjectMembers(members)) = serde_json::from_str(json) else { return false };
            let mut repeated = false;
            let mut kept: Vec<(String, &RawValue)> = Vec::with_capacity(members.len());
            let mut places = hashbrown::HashMap::new();
            for (key, value) in members {
                match places.get(&key) {
                    Some(&place) => {
                        repeated = true;
                        let (_, before): &mut (String, &RawValue) = &mut kept[place];
                        *before = value;
                    }
                    None => {
                        places.insert(key.clone(), kept.len());
                        kept.push((key, value));
                    }
                }
            }
            out.push('{');
            for (n, (key, value)) in kept.iter().enumerate() {
                let comma = if n > 0 { "," } else { "" };
                out.push_str(comma);
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                repeated |= rewrite(value.get(), out);
            }
            out.push('}');
            repeated
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) else { return false };
            let mut repeated = false;
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                repeated |= rewrite(item.get(), out);
            }
            out.push(']');
            repeated
        }
        _ => {
            out.push_str(json);
            false
        }
    }
}

/// The members of an object as they stand there, repeated keys included.
struct ObjectMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for ObjectMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = ObjectMembers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &RawValue>()? {
                    members.push(member);
                }
                Ok(ObjectMembers(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;

    fn mended(json: &str) -> (String, bool) {
        let mended = check(json, 8).unwrap().mend(json);
        (mended.text.into_owned(), mended.repeated)
    }

    #[test]
    fn characters_that_no_database_takes_are_replaced() {
        for (json, expected) in [
            (r#"{"a":"x\u0000y"}"#, r#"{"a":"x\ufffdy"}"#),
            (r#"{"\u0000":1}"#, r#"{"\ufffd":1}"#),
            (r#"["\ud800"]"#, r#"["\ufffd"]"#),
            (r#"["\ud800\n"]"#, r#"["\ufffd\n"]"#),
            (r#"["\ude00\ud83d"]"#, r#"["\ufffd\ufffd"]"#),
            (r#"["\ud83d\ude00\ud83d"]"#, r#"["\ud83d\ude00\ufffd"]"#),
            (r#"["\\\u0000\\u0000"]"#, r#"["\\\ufffd\\u0000"]"#),
        ] {
            assert_eq!(mended(json), (expected.to_owned(), false), "{json}");
        }
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_value_is_kept() {
        for (json, expected) in [
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"a":1, "\u0061":[{"x":1,"x":{}}]}"#, r#"{"a":[{"x":{}}]}"#),
            (r#"{"\u0000":1,"\ud800":2}"#, "{\"\u{fffd}\":2}"),
        ] {
            assert_eq!(mended(json), (expected.to_owned(), true), "{json}");
        }
        let escaped = r#"{"a\"b":1, "c":2}"#;
        assert_eq!(mended(escaped), (escaped.to_owned(), false), "nothing is repeated");
    }
}
