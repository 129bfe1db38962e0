//! What JSON has to be, beyond being well-formed, so that PostgreSQL's `jsonb` takes it: without
//! `\u0000`, half a surrogate pair, a number beyond `numeric`, or bottomless nesting. This is
//! checked at the door. Otherwise PostgreSQL would refuse the row later, and with it all rows of
//! its batch.

/// Why well-formed JSON is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Nested deeper than allowed.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// A string holds `\u0000`.
    #[error("a string holds the NUL character \\u0000")]
    Nul,
    /// A string holds half of a surrogate pair.
    #[error("a string holds half of a surrogate pair (\\ud800-\\udfff)")]
    LoneSurrogate,
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

/// Checks well-formed JSON (syntax is not looked at again) against `max_depth` and the
/// faults of [`JsonFault`].
pub fn check(json: &str, max_depth: usize) -> Result<(), JsonFault> {
    let bytes = json.as_bytes();
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string(bytes, at + 1)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > max_depth {
                    return Err(JsonFault::TooDeep(max_depth));
                }
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b'-' | b'0'..=b'9' => at = number(bytes, at)?,
            _ => at += 1,
        }
    }
    Ok(())
}

/// From the first byte after the opening quote to the first after the closing one.
fn string(bytes: &[u8], mut at: usize) -> Result<usize, JsonFault> {
    loop {
        // Well-formed JSON closes its strings; the slice end is for safety alone.
        let Some(skip) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) else {
            return Ok(bytes.len());
        };
        at += skip;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        if bytes.get(at + 1) != Some(&b'u') {
            at += 2;
            continue;
        }
        match code_unit(bytes, at) {
            Some(0) => return Err(JsonFault::Nul),
            Some(0xD800..=0xDBFF) => match code_unit(bytes, at + 6) {
                Some(0xDC00..=0xDFFF) => at += 12,
                _ => return Err(JsonFault::LoneSurrogate),
            },
            Some(0xDC00..=0xDFFF) => return Err(JsonFault::LoneSurrogate),
            _ => at += 6,
        }
    }
}

/// The value of `\uXXXX` at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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
    fn accepts_what_jsonb_accepts() {
        for json in [
            r#"{"a":[1,-2.5e3,{"b":"\"{[\\"}],"c":"\ud83d\ude00 \u00fc"}"#,
            r#"{"a":"\\u0000"}"#,
            r#"{}"#,
        ] {
            assert_eq!(check(json, 8), Ok(()), "{json}");
        }
    }

    #[test]
    fn refuses_what_jsonb_refuses() {
        assert_eq!(check(r#"{"a":"x\u0000"}"#, 8), Err(JsonFault::Nul));
        assert_eq!(check(r#"{"\u0000":1}"#, 8), Err(JsonFault::Nul));
        assert_eq!(check(r#"["\ud800"]"#, 8), Err(JsonFault::LoneSurrogate));
        assert_eq!(check(r#"["\ud800\n"]"#, 8), Err(JsonFault::LoneSurrogate));
        assert_eq!(check(r#"["\ude00\ud83d"]"#, 8), Err(JsonFault::LoneSurrogate));
        assert_eq!(check("[1e200000]", 8), Err(JsonFault::NumberTooLong));
        assert_eq!(check("[1e-99999999999]", 8), Err(JsonFault::NumberTooLong));
        assert_eq!(check(&format!("[0.{}]", "1".repeat(1000)), 8), Err(JsonFault::NumberTooLong));
        assert_eq!(check("[[[]]]", 3), Ok(()));
        assert_eq!(check("[[[]]]", 2), Err(JsonFault::TooDeep(2)));
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
