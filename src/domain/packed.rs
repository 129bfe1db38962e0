//! JSON that stands inside a text of JSON: written out, or in base64. Snowplow's trackers send contexts so,
//! and a search for names has to look into it.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Base64 of URLs, with or without the `=` at its end.
pub const URL_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How base64 of an object of JSON begins, or of a list of objects or lists, with or without a blank or a line
/// end behind the bracket. In others there are no names to look for.
pub const BASE64_BEGINS: [&str; 6] = ["ey", "ew", "W3", "W1", "Wy", "Ww"];

/// An object or a list of JSON that was found in a text.
#[derive(Debug, PartialEq, Eq)]
pub struct PackedJson {
    /// The JSON, which was not looked at beyond its first character.
    pub json: String,
    is_base64: bool,
}

impl PackedJson {
    /// The JSON that a text holds; `None` where it is a text like any other.
    pub fn of(text: &str) -> Option<PackedJson> {
        let text = text.trim();
        if text.starts_with(['{', '[']) {
            return Some(PackedJson { json: text.to_owned(), is_base64: false });
        }
        if !BASE64_BEGINS.iter().any(|begin| text.starts_with(begin)) {
            return None;
        }
        // The usual alphabet differs by two characters from that of URLs.
        let bytes = URL_BASE64.decode(text.replace('+', "-").replace('/', "_")).ok()?;
        // Where it was cut, half of a character may stand at its end.
        let json = String::from_utf8_lossy(&bytes).into_owned();
        let inside = json.strip_prefix(['{', '['])?.trim_start();
        // A word that begins like base64 is mostly followed by anything.
        inside
            .starts_with(['"', '{', '[', '}', ']'])
            .then_some(PackedJson { json, is_base64: true })
    }

    /// Other JSON as a text, in the same way.
    pub fn repacked(&self, json: &str) -> String {
        match self.is_base64 {
            true => URL_BASE64.encode(json),
            false => json.to_owned(),
        }
    }
}

/// What is packed in a text that is no JSON: a query, a form, or the beginning of a body.
pub fn packed_within(text: &str) -> impl Iterator<Item = PackedJson> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_+/=".contains(c)));
    // In a form the name of a parameter and a `=` stand before it.
    let values = words.map(|word| {
        let word = word.trim_end_matches('=');
        word.rfind('=').map_or(word, |at| &word[at + 1..])
    });
    values.filter_map(|value| {
        // A value that was cut off still tells what it begins with: whole groups of four.
        PackedJson::of(value).or_else(|| PackedJson::of(value.get(..value.len() / 4 * 4)?))
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn json_is_found_in_base64_of_either_alphabet_and_in_texts() {
        let json = r#"{"ü":"???>>>","ip":1}"#;
        for packed in [
            URL_BASE64.encode(json),
            URL_BASE64.encode(json).trim_end_matches('=').to_owned(),
            STANDARD.encode(json),
            json.to_owned(),
        ] {
            let found = PackedJson::of(&packed).unwrap();
            assert_eq!(found.json, json);
            assert_eq!(PackedJson::of(&found.repacked("[{}]")).unwrap().json, "[{}]");
        }
        for other in ["", "eyeliner", "W3C", "ey.J", "Mug {red}", "7"] {
            assert_eq!(PackedJson::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_query_and_a_cut_text_have_it_too() {
        let packed = URL_BASE64.encode(r#"{"ip":"192.0.2.1","more":"xxxxxxxxxxxxxx"}"#);
        for text in [format!("e=pv&cx={packed}&aid=a"), format!(r#"{{"cx":"{}"#, &packed[..31])] {
            let found: Vec<PackedJson> = packed_within(&text).collect();
            assert!(found.len() == 1 && found[0].json.contains(r#""ip""#), "{text}: {found:?}");
        }
    }
}
