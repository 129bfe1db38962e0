//! What is shown of an event that somebody sent: without secrets.
//!
//! A refused event is kept as it came, and may hold a password that somebody put into a field by
//! mistake. Whoever looks at numbers need not see it.

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

fn veil(value: &mut Value, hidden: &[String]) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match is_hidden(name, hidden) {
                    true => *value = VEILED.into(),
                    false => veil(value, hidden),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| veil(item, hidden)),
        Value::String(text) => {
            let Some(packed) = PackedJson::of(text) else { return };
            let Ok(plain) = serde_json::from_str::<Value>(&packed.json) else { return };
            let mut shown = plain.clone();
            veil(&mut shown, hidden);
            if shown != plain {
                *text = packed.repacked(&shown.to_string());
            }
        }
        _ => {}
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
