//! Walks the members of a JSON object that is known to be well-formed, for their names and the types of
//! their values. The values are skipped and not read, so this is several times as fast as a parser.

use std::borrow::Cow;

use super::JsonType;
use crate::domain::plain::until_special;

/// What a walk does after a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward<'a> {
    /// The walk ends.
    Stop,
    /// It goes on.
    On,
    /// It goes on, and the next member probably has this name. Where it does, the name need not be looked
    /// for and compared once more.
    Expect(&'a str),
}

/// The name of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberName<'a> {
    /// It is the one that was expected.
    Expected,
    /// Any other.
    Read(Cow<'a, str>),
}

/// Calls `each` with the name of every member and the type of its value, in the order of the text,
/// until it says that the walk ends. The first member is probably called `first`. `None` where the text is
/// no JSON object; what was called until then counts for nothing. Text that is no JSON at all never panics.
pub fn members<'a>(
    object: &'a str,
    first: Option<&'a str>,
    mut each: impl FnMut(MemberName<'a>, JsonType) -> Onward<'a>,
) -> Option<()> {
    let mut walk = Walk { text: object, at: 0 };
    walk.take(b'{')?;
    if walk.peek()? == b'}' {
        return Some(());
    }
    let mut expected = first;
    loop {
        let name = match expected.and_then(|name| walk.name(name)) {
            Some(()) => MemberName::Expected,
            None => MemberName::Read(walk.any_name()?),
        };
        walk.take(b':')?;
        let of = walk.value()?;
        expected = match each(name, of) {
            Onward::Stop => return Some(()),
            Onward::On => None,
            Onward::Expect(name) => Some(name),
        };
        match walk.peek()? {
            b',' => walk.at += 1,
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Takes this name with its quotes, if it comes next.
    fn name(&mut self, name: &str) -> Option<()> {
        self.peek()?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let rest = rest.strip_prefix(b"\"")?.strip_prefix(name.as_bytes())?;
        (rest.first() == Some(&b'"')).then(|| self.at += name.len() + 2)
    }

    fn any_name(&mut self) -> Option<Cow<'a, str>> {
        let name = self.string()?;
        match name.contains('\\') {
            false => Some(Cow::Borrowed(&name[1..name.len() - 1])),
            true => serde_json::from_str(name).ok().map(Cow::Owned),
        }
    }

    /// A string with its quotes, as it is written.
    fn string(&mut self) -> Option<&'a str> {
        self.peek()?;
        let from = self.at;
        self.take(b'"')?;
        self.end_of_string()?;
        self.text.get(from..self.at)
    }

    /// Goes behind the quote that ends the string.
    fn end_of_string(&mut self) -> Option<()> {
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let found = until_special(rest)?;
            self.at += found + 1;
            match rest[found] {
                b'"' => return Some(()),
                // What is escaped is skipped with its backslash, a quote above all.
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    /// Goes behind a value, and says what it is.
    fn value(&mut self) -> Option<JsonType> {
        let of = match self.peek()? {
            b'"' => JsonType::String,
            b't' | b'f' => JsonType::Boolean,
            b'n' => JsonType::Null,
            b'{' => JsonType::Object,
            b'[' => JsonType::Array,
            b'-' | b'0'..=b'9' => JsonType::Number,
            _ => return None,
        };
        match of {
            JsonType::String => {
                self.at += 1;
                self.end_of_string()?;
            }
            JsonType::Object | JsonType::Array => self.nested()?,
            _ => {
                let rest = self.text.as_bytes().get(self.at..)?;
                let ends = |b: &u8| matches!(b, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
                self.at += rest.iter().position(ends)?;
            }
        }
        Some(of)
    }

    /// Goes behind an object or array. The text is well-formed, so counting brackets is enough.
    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let byte = self.byte()?;
            self.at += 1;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                b'"' => self.end_of_string()?,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn walked(text: &str) -> Option<Vec<(String, JsonType)>> {
        let mut found = Vec::new();
        members(text, None, |name, of| {
            let MemberName::Read(name) = name else { panic!("nothing was expected") };
            found.push((name.into_owned(), of));
            Onward::On
        })?;
        Some(found)
    }

    fn type_of(value: &Value) -> JsonType {
        match value {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            ".{0,6}|[\"\\\\{}\\[\\],:]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_walked_is_what_a_parser_finds(
            map in proptest::collection::btree_map(".{0,4}", values(), 0..6),
            pretty in any::<bool>(),
        ) {
            let object: Map<String, Value> = map.into_iter().collect();
            let expected: Vec<_> =
                object.iter().map(|(name, value)| (name.clone(), type_of(value))).collect();
            let text = match pretty {
                true => serde_json::to_string_pretty(&object),
                false => serde_json::to_string(&object),
            };
            prop_assert_eq!(walked(&text.unwrap()), Some(expected));
        }

        #[test]
        fn what_is_expected_changes_nothing(
            text in r#"\{("[ab\\\\]{0,2}":(1|"x"),?){0,5}\}?"#,
            expected in proptest::collection::vec(proptest::option::of("[ab]{0,2}"), 6..7),
        ) {
            let mut found = Vec::new();
            let mut coming = expected.iter().map(Option::as_deref);
            let mut now = coming.next().flatten();
            let walk = members(&text, now, |name, of| {
                let name = match name {
                    MemberName::Expected => now.expect("one was expected").to_owned(),
                    MemberName::Read(name) => name.into_owned(),
                };
                found.push((name, of));
                now = coming.next().flatten();
                now.map_or(Onward::On, Onward::Expect)
            });
            prop_assert_eq!(walk.map(|()| found), walked(&text));
        }

        #[test]
        fn any_text_is_walked_without_a_panic(text in r#"[{}\[\]":,\\ ant0-9é]{0,40}"#) {
            let _ = walked(&text);
            let _ = walked(&format!("{{\"a\":{text}"));
        }
    }

    #[test]
    fn a_walk_ends_where_it_is_told_to() {
        let mut names = Vec::new();
        members(r#"{"a":1,"b":2,"c":"#, None, |name, _| {
            names.push(name);
            if names.len() < 2 { Onward::On } else { Onward::Stop }
        })
        .expect("what comes later is not looked at");
        let read = |name: &'static str| MemberName::Read(name.into());
        assert_eq!(names, [read("a"), read("b")]);
        for no_object in ["", "[]", "{", "{\"a\"}", "{\"a\":1", "{\"a\":}", "{\"a\":1 2}", "7"] {
            assert_eq!(walked(no_object), None, "{no_object}");
        }
    }
}
