//! Splits a body of which a part is no JSON.
//!
//! A parser stops at the first mistake, and one event with `NaN`, a byte that is no UTF-8 or a raw
//! control character would cost all of its neighbours. Here only brackets, commas and strings are
//! looked at. The body has to close every bracket that it opens, and to end with the last one, since
//! a body that was cut short must not pass for a whole one.

/// The parts of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BodyPieces<'a> {
    /// The text of each event.
    pub events: Vec<&'a [u8]>,
    /// The value of `sentAt`, as it is written.
    pub sent_at: Option<&'a [u8]>,
}

/// The parts of an array, or of an object whose `batch` is an array; `None` for any other text, and
/// for one that is not whole.
pub(super) fn of(body: &[u8]) -> Option<BodyPieces<'_>> {
    match body.first()? {
        b'[' => Some(BodyPieces { events: items(body)?, sent_at: None }),
        b'{' => {
            let mut pieces = BodyPieces { events: Vec::new(), sent_at: None };
            let mut is_batch = false;
            for member in items(body)? {
                let (key, value) = key_and_value(member)?;
                match key {
                    b"batch" if value.first() == Some(&b'[') => {
                        pieces.events = items(value)?;
                        is_batch = true;
                    }
                    b"sentAt" => pieces.sent_at = Some(value),
                    _ => {}
                }
            }
            is_batch.then_some(pieces)
        }
        _ => None,
    }
}

/// Whether a text is an object or array that closes every bracket that it opens, and ends there.
pub(super) fn is_whole(text: &[u8]) -> bool {
    items(text).is_some()
}

/// What stands between the commas of an array or object, which has to be all of the text.
fn items(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut items = Vec::new();
    // The closing brackets that are due, the innermost last.
    let mut open = Vec::new();
    let (mut at, mut from) = (0, 1);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at)?,
            b'[' => open.push(b']'),
            b'{' => open.push(b'}'),
            b']' | b'}' => {
                if open.pop()? != *byte {
                    return None;
                }
                if open.is_empty() {
                    let last = text[from..at].trim_ascii();
                    if !last.is_empty() {
                        items.push(last);
                    } else if !items.is_empty() {
                        return None;
                    }
                    return text[at + 1..].trim_ascii().is_empty().then_some(items);
                }
            }
            b',' if open.len() == 1 => {
                items.push(text[from..at].trim_ascii());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that begins at `start` has its closing quote.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text[at] {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// The two sides of the colon of a member. The key is taken as it is written.
fn key_and_value(member: &[u8]) -> Option<(&[u8], &[u8])> {
    (member.first() == Some(&b'"')).then_some(())?;
    let end = string_end(member, 0)?;
    let value = member[end + 1..].trim_ascii_start().strip_prefix(b":")?;
    Some((&member[1..end], value.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(body: &[u8]) -> Option<Vec<String>> {
        let pieces = of(body)?;
        Some(pieces.events.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
    }

    #[test]
    fn each_event_stands_alone_whatever_is_in_it() {
        assert_eq!(
            events(b"[{\"a\":NaN}, {\"b\":\"]},\"} ]").unwrap(),
            ["{\"a\":NaN}", "{\"b\":\"]},\"}"]
        );
        assert_eq!(
            events(b"[\"\\\"[\",[1,2],x\xff]").unwrap(),
            ["\"\\\"[\"", "[1,2]", "x\u{fffd}"]
        );
        assert_eq!(events(b"[]").unwrap(), [""; 0]);
        let batch = b" {\"sentAt\": 17 , \"x\":{\"batch\":[1]},\"batch\":[{\"a\":Infinity},2]}"
            .trim_ascii();
        assert_eq!(events(batch).unwrap(), ["{\"a\":Infinity}", "2"]);
        assert_eq!(of(batch).unwrap().sent_at, Some(&b"17"[..]));
    }

    #[test]
    fn a_body_that_is_not_whole_has_no_pieces() {
        for body in [
            "[{\"a\":1}",
            "[{\"a\":1},",
            "[{\"a\":1]",
            "[{\"a\":\"1}]",
            "[1]]",
            "[1] x",
            "[1,]",
            "[\"\\",
            "{\"batch\":[1,2}",
            "{\"batch\":[1,2]",
            "{batch:[1]}",
            "{\"a\":[1]}",
            "1",
            "",
        ] {
            assert_eq!(of(body.as_bytes()), None, "{body}");
        }
    }
}
