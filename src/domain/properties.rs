//! Picks single properties out of an event's raw `properties`, in one walk and without
//! parsing the others into values.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::domain::{
    number::canonical,
    plain::{Scalar, Scan},
};

/// The values of the `wanted` top-level properties of a JSON object, by the same index:
/// the text of a string, a number as [`canonical`] writes it, `true` or `false`; `None` where it is
/// absent, null, an object or an array. Of a name that comes twice the last counts, as in
/// PostgreSQL's jsonb.
pub fn pick<'a>(properties: &'a str, wanted: &[String]) -> Vec<Option<Cow<'a, str>>> {
    let mut found = vec![None; wanted.len()];
    if pick_plain(properties, wanted, &mut found).is_none() {
        found.fill(None);
        pick_any(properties, wanted, &mut found);
    }
    found
}

/// The properties with more members, whose values are JSON. A member that is there already is
/// replaced. Text that is no object is given back as it is.
pub fn with(properties: &str, more: &[(&str, Cow<'_, str>)]) -> String {
    let wanted: Vec<String> = more.iter().map(|(key, _)| (*key).to_owned()).collect();
    let is_there = pick(properties, &wanted).iter().any(Option::is_some);
    let without = if is_there { without(properties, &wanted) } else { None };
    let own = without.as_deref().unwrap_or(properties).trim();
    let Some(own) = own.strip_prefix('{').and_then(|own| own.strip_suffix('}')) else {
        return properties.to_owned();
    };
    let mut all = String::with_capacity(own.len() + more.len() * 40);
    for (key, value) in more {
        all.push(if all.is_empty() { '{' } else { ',' });
        all.push_str(&serde_json::Value::from(*key).to_string());
        all.push(':');
        all.push_str(value);
    }
    if !own.trim().is_empty() {
        all.push(',');
        all.push_str(own);
    }
    all.push('}');
    all
}

/// The properties without some members; `None` where they are no object.
pub fn without(properties: &str, keys: &[String]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(properties).ok()?;
    let left = members.iter().filter(|(key, _)| !keys.contains(key));
    serde_json::to_string(&left.collect::<BTreeMap<_, _>>()).ok()
}

/// The names, texts, numbers and words of any JSON, at any depth and in their order. A text is what it stands
/// for, and a number as it is written.
pub fn texts(json: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || "{}[],:".contains(c));
        let end = match rest.as_bytes().first()? {
            b'"' => end_of_text(rest),
            _ => rest.find(|c: char| c.is_ascii_whitespace() || "{}[],:\"".contains(c)),
        };
        let (token, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(match token.starts_with('"') {
            true => scalar(token).unwrap_or_default(),
            false => token.into(),
        })
    })
}

/// Where a JSON text ends that `json` begins with, its last quote included.
fn end_of_text(json: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map(|at| at + 2)
}

/// The fast way. Returns `None` where the properties are not all plain; `found` may then be
/// filled in part and must not be used.
fn pick_plain<'a>(
    properties: &'a str,
    wanted: &[String],
    found: &mut [Option<Cow<'a, str>>],
) -> Option<()> {
    Scan::new(properties).object(|scan, key| {
        let value = scan.scalar()?;
        if let Some(index) = wanted.iter().position(|name| name == key) {
            found[index] = match value {
                Scalar::Text(text) | Scalar::Bool(text) => Some(text.into()),
                Scalar::Number(number) => Some(canonical(number)),
                Scalar::Null => None,
            };
        }
        Some(())
    })
}

/// The general way, which takes any JSON.
fn pick_any<'a>(properties: &'a str, wanted: &[String], found: &mut [Option<Cow<'a, str>>]) {
    let mut json = serde_json::Deserializer::from_str(properties);
    // The door lets only well-formed objects in, so there is no error to be had.
    let _ = json.deserialize_map(Pick { wanted, found });
}

struct Pick<'w, 'f, 'a> {
    wanted: &'w [String],
    found: &'f mut [Option<Cow<'a, str>>],
}

impl<'a> Visitor<'a> for Pick<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(index) = map.next_key_seed(Index(self.wanted))? {
            match index {
                Some(index) => self.found[index] = scalar(map.next_value::<&'a RawValue>()?.get()),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a key as its place among the wanted ones.
struct Index<'w>(&'w [String]);

impl<'a> DeserializeSeed<'a> for Index<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, key: D) -> Result<Option<usize>, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Index<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| name == key))
    }
}

fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' if raw.contains('\\') => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        b'"' => Some(Cow::Borrowed(raw.get(1..raw.len() - 1)?)),
        b'{' | b'[' | b'n' => None,
        b't' | b'f' => Some(Cow::Borrowed(raw)),
        _ => Some(canonical(raw)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picked(properties: &str, wanted: &[&str]) -> Vec<Option<String>> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        pick(properties, &wanted).into_iter().map(|value| value.map(Cow::into_owned)).collect()
    }

    #[test]
    fn scalars_are_picked_as_text() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            picked(
                r#"{"z":{"a":1},"a":"x\"\u00fc","b":-1.50,"c":true,"d":null,"e":[1],"f":"", "a2":1}"#,
                &["a", "b", "c", "d", "e", "f", "nope"],
            ),
            [some("x\"ü"), some("-1.5"), some("true"), None, None, some(""), None]
        );
        assert_eq!(picked(r#"{"a":1,"a":"two"}"#, &["a"]), [some("two")]);
        assert_eq!(picked("{}", &["a"]), [None]);
    }

    #[test]
    fn texts_are_names_and_values_at_any_depth() {
        let json = r#"{"a":"x\"\u00fc","b c" : [-1.50,{"d":null}], "":"","e":[true,"\\"]}"#;
        let found: Vec<_> = texts(json).collect();
        let all = ["a", "x\"ü", "b c", "-1.50", "d", "null", "", "", "e", "true", "\\"];
        assert_eq!(found, all);
        assert_eq!(texts("{\"cut").collect::<Vec<_>>(), ["cu"]);
    }

    proptest! {
        #[test]
        fn plain_and_any_pick_the_same(
            members in proptest::collection::vec(
                ("[abc]", r#"-?[0-9]{1,3}(\.[0-9]{1,2})?([eE][0-9])?|"[a-zü/. ]{0,6}"|"\\\\n"|true|null|1e2|\[\]|\{"a":1\}"#),
                0..5,
            ),
            space in "[ \n]?",
        ) {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{space}\"{key}\":{space}{value}")).collect();
            let text = format!("{{{}{space}}}", members.join(","));
            prop_assume!(serde_json::from_str::<IgnoredAny>(&text).is_ok());
            let wanted = ["b".to_owned(), "a".to_owned()];
            let mut any = vec![None; 2];
            pick_any(&text, &wanted, &mut any);
            prop_assert_eq!(pick(&text, &wanted), any, "{}", text);
        }
    }
}
