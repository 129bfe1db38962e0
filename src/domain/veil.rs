//! What is shown of an event that somebody sent: without secrets.
//!
//! A refused event is kept as it came, and may hold a password that somebody put into a field by
//! mistake. Whoever looks at numbers need not see it.

use std::borrow::Cow;

use serde_json::{Value, value::RawValue};

use crate::domain::packed::{PackedJson, packed_within};

/// Parts of names of properties whose values are not shown, as [`plain_name`] gives them.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "writekey",
    "privatekey",
    "authorization",
    "cookie",
    "cardnumber",
    "cvc",
    "cvv",
    "iban",
    "pin",
    "ssn",
];

/// What stands in the place of a value.
const VEILED: &str = "(not shown)";

/// The text of an event with the values of secrets, and of the properties in `hidden`, replaced. A text
/// that is no JSON, as where only its beginning was kept, is shown only where it names none of them.
pub fn veiled(text: &str, hidden: &[String]) -> String {
    match serde_json::from_str::<&RawValue>(text).and_then(|_| serde_json::from_str(text)) {
        Ok(mut value) => {
            veil(&mut value, hidden);
            value.to_string()
        }
        Err(_) if words(text).any(|word| is_hidden(word, hidden)) => VEILED.to_owned(),
        Err(_) if packed_within(text).any(|it| veiled(&it.json, hidden) != it.json) => {
            VEILED.to_owned()
        }
        Err(_) => text.to_owned(),
    }
}

/// The properties of a stored event with the values of secrets replaced; as they are where there are none.
pub fn veiled_properties(properties: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Value>(properties) {
        Ok(mut value) => match veil(&mut value, &[]) {
            true => value.to_string().into(),
            false => properties.into(),
        },
        // A store holds objects only, so this is a row that somebody else has written.
        Err(_) => "{}".into(),
    }
}

/// Whether the values of a property are secrets by its name.
pub fn names_secret(property: &str) -> bool {
    is_hidden(property, &[])
}

/// Replaces what is hidden, and says whether anything was.
fn veil(value: &mut Value, hidden: &[String]) -> bool {
    match value {
        Value::Object(members) => {
            let mut any = false;
            for (name, value) in members {
                if is_hidden(name, hidden) {
                    *value = VEILED.into();
                    any = true;
                } else {
                    any |= veil(value, hidden);
                }
            }
            any
        }
        Value::Array(items) => {
            let mut any = false;
            for item in items {
                any |= veil(item, hidden);
            }
            any
        }
        Value::String(text) => {
            let Some(packed) = PackedJson::of(text) else { return false };
            let Ok(mut shown) = serde_json::from_str::<Value>(&packed.json) else { return false };
            let any = veil(&mut shown, hidden);
            if any {
                *text = packed.repacked(&shown.to_string());
            }
            any
        }
        _ => false,
    }
}

fn is_hidden(name: &str, hidden: &[String]) -> bool {
    let plain = plain_name(name);
    // A short part counts only as the whole name: there is "pin" in "shipping".
    let secret = |part: &&str| if part.len() < 5 { plain == **part } else { plain.contains(*part) };
    SECRET.iter().any(secret) || hidden.iter().any(|hidden| hidden == name)
}

/// The words of a text, which may be names.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '$' | '_' | '-' | '.')))
}

/// A name as it is compared: in small letters, and without what stands between its words.
pub(super) fn plain_name(name: &str) -> String {
    let between = |c: &char| matches!(c, '$' | '_' | '-' | '.');
    name.chars().filter(|c| !between(c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;
    use crate::domain::packed::URL_BASE64;

    #[test]
    fn secrets_are_not_shown_wherever_they_are() {
        let shown = veiled(
            r#"{"type":7,"properties":{"api_key":"k","a":[{"Password":{"x":1}}],"shipping":5,"mail":"m"}}"#,
            &["mail".to_owned()],
        );
        assert_eq!(
            shown,
            r#"{"properties":{"a":[{"Password":"(not shown)"}],"api_key":"(not shown)","mail":"(not shown)","shipping":5},"type":7}"#
        );
    }

    #[test]
    fn stored_properties_without_secrets_stay_as_they_are() {
        let plain = r#"{"z": 1.50, "a":[{"pins":1}], "a":2}"#;
        assert!(matches!(veiled_properties(plain), Cow::Borrowed(text) if text == plain));
        let secret = r#"{"z":{"pin":1},"a":"b"}"#;
        assert_eq!(veiled_properties(secret), r#"{"a":"b","z":{"pin":"(not shown)"}}"#);
        assert!(names_secret("user.API-Key") && !names_secret("pinned"));
    }

    #[test]
    fn what_is_packed_is_looked_into() {
        let context = r#"{"data":[{"token":"t","n":1}]}"#;
        let shown = r#"{"data":[{"n":1,"token":"(not shown)"}]}"#;
        let of = |context: &str| {
            serde_json::json!({"co": context, "cx": URL_BASE64.encode(context)}).to_string()
        };
        assert_eq!(veiled(&of(context), &[]), of(shown));
        let untouched = of(r#"{"z":1,"a":[2]}"#);
        assert_eq!(veiled(&untouched, &[]), untouched);
        let query = |context| format!("e=ue&cx={}", URL_BASE64.encode(context));
        assert_eq!(veiled(&query(context), &[]), VEILED);
        assert_eq!(veiled(&query("{}"), &[]), query("{}"));
    }

    #[test]
    fn a_text_that_can_not_be_read_is_shown_only_without_secrets() {
        assert_eq!(veiled(r#"{"amount":NaN"#, &[]), r#"{"amount":NaN"#);
        assert_eq!(veiled(r#"{"user_password":"x"#, &[]), VEILED);
        assert_eq!(veiled(r#"{"mail":"x"#, &["mail".to_owned()]), VEILED);
    }
}
