//! What JSON has to be, beyond being well-formed, so that every store takes it and reads it alike.
//!
//! PostgreSQL's `jsonb` refuses `\u0000`, half a surrogate pair, a number beyond `numeric` and
//! bottomless nesting, and with such a row it would refuse all rows of its batch. So this is checked
//! at the door: long numbers and deep nesting are refused ([`JsonFault`]), and characters that can't
//! be kept are replaced ([`Blemishes::mend`]).
//!
//! Of a key that an object has twice, PostgreSQL keeps the last value, SQLite reads the first, and
//! our counters had a view of their own. So the last one is kept before anybody sees the others.

mod mend;

use std::collections::HashSet;

pub use self::mend::{Blemishes, Mended, replaced};

/// Why well-formed JSON is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Nested deeper than allowed.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// A number with more digits, or a larger exponent, than PostgreSQL's numeric holds.
    #[error(
        "a number has more than {MAX_NUMBER_LENGTH} characters or an exponent beyond {MAX_EXPONENT}"
    )]
    NumberTooLong,
}

/// The most characters that a number may have; `numeric` holds 16,383 digits after the point.
const MAX_NUMBER_LENGTH: usize = 1000;
/// The largest exponent that a number may have; `numeric` holds 131,072 digits before the point.
const MAX_EXPONENT: i32 = 1000;

/// Checks well-formed JSON (syntax is not looked at again), and says what has to be mended in it.
///
/// # Errors
/// It is nested deeper than `max_depth`, or has a number that is too long.
pub fn check(json: &str, max_depth: usize) -> Result<Blemishes, JsonFault> {
    let bytes = json.as_bytes();
    let mut blemishes = Blemishes::default();
    let mut levels: Vec<Keys<'_>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string(bytes, at + 1, &mut blemishes);
                if let (true, Some(level)) = (is_key(bytes, end), levels.last_mut()) {
                    blemishes.keys |= level.has(&bytes[at + 1..end.saturating_sub(1)]);
                }
                at = end;
            }
            b'{' | b'[' => {
                if levels.len() == max_depth {
                    return Err(JsonFault::TooDeep(max_depth));
                }
                levels.push(Keys::default());
                at += 1;
            }
            b'}' | b']' => {
                levels.pop();
                at += 1;
            }
            b'-' | b'0'..=b'9' => at = number(bytes, at)?,
            _ => at += 1,
        }
    }
    Ok(blemishes)
}

/// The keys of one object that were seen so far.
#[derive(Default)]
struct Keys<'a> {
    /// The first few. Most objects have no more, and a list is faster then than a set.
    few: Vec<&'a [u8]>,
    /// All others.
    many: HashSet<&'a [u8]>,
}

/// How many keys of an object are compared one by one.
const FEW_KEYS: usize = 16;

impl<'a> Keys<'a> {
    /// Adds a key, as it stands between its quotes. Says whether it may be there already: a key
    /// with an escape may be the same as one that is written in another way.
    fn has(&mut self, key: &'a [u8]) -> bool {
        let seen = self.few.contains(&key) || self.many.contains(key);
        if !seen && self.few.len() < FEW_KEYS {
            self.few.push(key);
        } else if !seen {
            self.many.insert(key);
        }
        seen || key.contains(&b'\\')
    }
}

/// Whether the string that ends before `end` is a key.
fn is_key(bytes: &[u8], end: usize) -> bool {
    let rest = bytes.get(end..).unwrap_or_default();
    rest.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':')
}

/// From the first byte after the opening quote to the first after the closing one.
fn string(bytes: &[u8], mut at: usize, blemishes: &mut Blemishes) -> usize {
    loop {
        // Well-formed JSON closes its strings; the slice end is for safety alone.
        let Some(skip) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) else {
            return bytes.len();
        };
        at += skip;
        if bytes[at] == b'"' {
            return at + 1;
        }
        match mend::escape(bytes, at) {
            mend::Escape::Fine(len) => at += len,
            mend::Escape::Bad => {
                blemishes.text = true;
                at += mend::ESCAPE;
            }
        }
    }
}

/// From the first byte of a number to the first after it.
fn number(bytes: &[u8], start: usize) -> Result<usize, JsonFault> {
    let rest = &bytes[start..];
    let length = rest
        .iter()
        .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        .unwrap_or(rest.len());
    let token = &rest[..length];
    if length > MAX_NUMBER_LENGTH {
        return Err(JsonFault::NumberTooLong);
    }
    if let Some(e) = token.iter().position(|b| matches!(b, b'e' | b'E')) {
        let exponent =
            std::str::from_utf8(&token[e + 1..]).ok().and_then(|digits| digits.parse::<i32>().ok());
        if !exponent.is_some_and(|e| (-MAX_EXPONENT..=MAX_EXPONENT).contains(&e)) {
            return Err(JsonFault::NumberTooLong);
        }
    }
    Ok(start + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_jsonb_takes() {
        for json in [
            r#"{"a":[1,-2.5e3,{"b":"\"{[\\"}],"c":"\ud83d\ude00 \u00fc"}"#,
            r#"{"a":"\\u0000"}"#,
            r#"{"a":{"a":1},"b":[{"a":"a"},{"a" :1}],"":"a"}"#,
            r#"{}"#,
        ] {
            assert_eq!(check(json, 8), Ok(Blemishes::default()), "{json}");
        }
    }

    #[test]
    fn refuses_what_can_not_be_mended() {
        assert_eq!(check("[1e200000]", 8), Err(JsonFault::NumberTooLong));
        assert_eq!(check("[1e-99999999999]", 8), Err(JsonFault::NumberTooLong));
        assert_eq!(check(&format!("[0.{}]", "1".repeat(1000)), 8), Err(JsonFault::NumberTooLong));
        assert_eq!(check("[[[]]]", 3), Ok(Blemishes::default()));
        assert_eq!(check("[[[]]]", 2), Err(JsonFault::TooDeep(2)));
        assert_eq!(check("[]", 0), Err(JsonFault::TooDeep(0)));
    }

    #[test]
    fn a_crowded_object_is_looked_through_as_well() {
        let members = |last: &str| {
            let keys = (0..5_000).map(|n| format!("\"k{n}\":1,")).collect::<String>();
            format!("{{{keys}\"{last}\":2}}")
        };
        assert!(!check(&members("k5000"), 2).unwrap().keys);
        for last in ["k0", "k20", "k4999"] {
            assert!(check(&members(last), 2).unwrap().keys, "{last}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in r#"[\[\]{}"\\ud8c0e1. ]{0,60}"#) {
            // Only well-formed JSON comes here; still, nothing may panic.
            if serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() {
                let _ = check(&text, 4);
            }
        }
    }
}
