//! Compares answers with those of the document, which have placeholders for values that differ from
//! run to run.
//!
//! `<number>`, `<string>`, `<bool>` and `<any>` stand for one value, in quotes for (a part of) a
//! text. `<string:name>` also keeps what came; in a later request `<name>` is it. `…` in an object
//! stands for further fields, in an array for any number of elements like the one before. In a
//! request, `<5000 bytes>` is so many letters, and `<now>` the time.

use std::collections::BTreeMap;

use floodmark::domain::time::now_ms;
use serde_json::Value;

/// The values that `<kind:name>` has kept, by name.
pub type Kept = BTreeMap<String, String>;

/// A mark before a placeholder that stands outside of a JSON text. JSON itself never has this
/// character.
const BARE: char = '\u{1}';
/// Stands for further fields or further elements.
const MORE: &str = "…";

/// Fills the placeholders of a request: kept values, the time, and runs of letters.
pub fn filled(text: &str, kept: &Kept) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, placeholder, behind)) = next_placeholder(rest) {
        out += before;
        if let Some(count) = placeholder.strip_suffix(" bytes") {
            out += &"x".repeat(count.parse().expect("a number of bytes"));
        } else if placeholder == "now" {
            out += &now_ms().to_string();
        } else {
            let value = kept.get(placeholder);
            out += value.unwrap_or_else(|| panic!("nothing was kept as {placeholder:?}"));
        }
        rest = behind;
    }
    out + rest
}

/// Splits a text into the parts before, inside and after the first `<…>`.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('<')?;
    let (inside, behind) = rest.split_once('>')?;
    Some((before, inside, behind))
}

/// Whether a text fits the pattern.
pub fn matches_text(pattern: &str, text: &str, kept: &mut Kept) -> bool {
    let Some((before, placeholder, behind)) = next_placeholder(pattern) else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let (kind, name) = placeholder.split_once(':').unwrap_or((placeholder, ""));
    // The longest match is tried first, so that nothing is left over at the end.
    let ends = (0..=rest.len()).rev().filter(|end| rest.is_char_boundary(*end));
    for end in ends {
        let (value, after) = rest.split_at(end);
        let fits = match kind {
            "number" => value.parse::<f64>().is_ok(),
            "string" => !value.is_empty() && !value.contains('\n'),
            "any" => true,
            other => panic!("there is no placeholder <{other}>"),
        };
        if fits && matches_text(behind, after, kept) {
            if !name.is_empty() {
                kept.insert(name.to_owned(), value.to_owned());
            }
            return true;
        }
    }
    false
}

/// The differences between a JSON text with placeholders and a value; empty if there are none.
pub fn differences(pattern: &str, value: &Value, kept: &mut Kept) -> Vec<String> {
    let pattern = as_json(pattern);
    let pattern: Value =
        serde_json::from_str(&pattern).unwrap_or_else(|e| panic!("no JSON ({e}): {pattern}"));
    let mut found = Vec::new();
    compare(&pattern, value, "$", kept, &mut found);
    found
}

/// Makes the pattern valid JSON: a placeholder outside of a text becomes a text with a mark.
fn as_json(pattern: &str) -> String {
    let mut out = String::new();
    let (mut brackets, mut in_text) = (Vec::new(), false);
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' => in_text = !in_text,
            '\\' if in_text => {
                out.push(character);
                out.extend(rest.next());
                continue;
            }
            '{' | '[' if !in_text => brackets.push(character),
            '}' | ']' if !in_text => drop(brackets.pop()),
            '…' if !in_text => {
                let is_field = brackets.last() == Some(&'{');
                out += &format!("\"{MORE}\"{}", if is_field { ":null" } else { "" });
                continue;
            }
            '<' if !in_text => {
                let inside: String = rest.by_ref().take_while(|next| *next != '>').collect();
                out += &format!("\"\\u0001<{inside}>\"");
                continue;
            }
            _ => {}
        }
        out.push(character);
    }
    out
}

fn compare(pattern: &Value, value: &Value, at: &str, kept: &mut Kept, found: &mut Vec<String>) {
    let is_same = match (pattern, value) {
        (Value::Object(fields), Value::Object(values)) => {
            let is_open = fields.contains_key(MORE);
            for (name, field) in fields.iter().filter(|(name, _)| *name != MORE) {
                match values.get(name) {
                    Some(value) => compare(field, value, &format!("{at}.{name}"), kept, found),
                    None => found.push(format!("{at}.{name} is documented and did not come")),
                }
            }
            for name in values.keys().filter(|name| !is_open && !fields.contains_key(*name)) {
                let value = &values[name];
                found.push(format!("{at}.{name} came ({value}) and is not documented"));
            }
            return;
        }
        (Value::Array(elements), Value::Array(values)) => {
            return compare_arrays(elements, values, at, kept, found);
        }
        (Value::String(text), value) if text.starts_with(BARE) => {
            stands_for(text.trim_start_matches(BARE), value, kept)
        }
        (Value::String(text), Value::String(value)) => matches_text(text, value, kept),
        // 1 and 1.0 are the same number.
        (Value::Number(number), Value::Number(value)) => number.as_f64() == value.as_f64(),
        (pattern, value) => pattern == value,
    };
    if !is_same {
        let pattern = pattern.to_string().replace("\\u0001", "");
        found.push(format!("{at} is documented as {pattern} and came as {value}"));
    }
}

fn compare_arrays(
    elements: &[Value],
    values: &[Value],
    at: &str,
    kept: &mut Kept,
    found: &mut Vec<String>,
) {
    let more = |element: &Value| element == MORE;
    let mut values = values.iter().enumerate();
    for (n, element) in elements.iter().enumerate() {
        if more(element) {
            let behind = elements.len() - n - 1;
            let Some(before) = n.checked_sub(1).map(|before| &elements[before]) else {
                values.by_ref().for_each(drop);
                continue;
            };
            while values.len() > behind {
                let Some((index, value)) = values.next() else { break };
                compare(before, value, &format!("{at}[{index}]"), kept, found);
            }
            continue;
        }
        match values.next() {
            Some((index, value)) => {
                compare(element, value, &format!("{at}[{index}]"), kept, found);
            }
            None => found.push(format!("{at}: {element} is documented and did not come")),
        }
    }
    for (index, value) in values {
        found.push(format!("{at}[{index}] came ({value}) and is not documented"));
    }
}

/// Whether a placeholder stands for this value.
fn stands_for(placeholder: &str, value: &Value, kept: &mut Kept) -> bool {
    let inside = placeholder.trim_matches(['<', '>']);
    let (kind, name) = inside.split_once(':').unwrap_or((inside, ""));
    let (fits, text) = match (kind, value) {
        ("number", Value::Number(number)) => (true, number.to_string()),
        ("string", Value::String(text)) => (true, text.clone()),
        ("bool", Value::Bool(is)) => (true, is.to_string()),
        ("any", value) => (true, value.to_string()),
        ("number" | "string" | "bool", _) => (false, String::new()),
        (other, _) => panic!("there is no placeholder <{other}>"),
    };
    if fits && !name.is_empty() {
        kept.insert(name.to_owned(), text);
    }
    fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_stand_for_what_they_say() {
        let mut kept = Kept::new();
        let pattern = r#"{"a":<number>,"b":"x-<string:b>","c":[{"d":<any>}, …],"e":{…}}"#;
        let came = json!({"a":1.5,"b":"x-y<z","c":[{"d":1},{"d":null}],"e":{"f":1}});
        assert_eq!(differences(pattern, &came, &mut kept), Vec::<String>::new());
        assert_eq!(filled("<b>, <3 bytes>", &kept), "y<z, xxx");
    }

    #[test]
    fn what_differs_is_named() {
        let differ = |pattern, value| differences(pattern, &value, &mut Kept::new()).len();
        assert_eq!(differ(r#"{"a":<number>}"#, json!({"a":"1"})), 1);
        assert_eq!(differ(r#"{"a":1}"#, json!({"a":1,"b":2})), 1);
        assert_eq!(differ(r#"{"a":1,"b":2}"#, json!({"a":1})), 1);
        assert_eq!(differ(r#"[{"a":1}, …]"#, json!([{"a":1},{"a":2}])), 1);
        assert_eq!(differ("[1]", json!([1, 2])), 1);
        assert_eq!(differ("[1, 2]", json!([1])), 1);
        assert_eq!(differ(r#""<string>""#, json!("")), 1);
    }
}
