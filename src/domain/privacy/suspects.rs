//! Finds texts of JSON in which something may have to be taken out. Nearly all texts have nothing of the
//! kind, so this has to be quick: it looks only at what stands before and behind quotes.

use crate::domain::{packed::BASE64_BEGINS, plain::until_special};

/// Knows how names end that are looked for.
pub(super) struct Suspects {
    /// Ends of names, in small letters.
    endings: Vec<Vec<u8>>,
    /// Which bytes such an end has at its own end, in small letters and capitals.
    last: [bool; 256],
}

impl Suspects {
    /// Looks for names with these ends. They are found in letters of any size, as far as they are letters
    /// of ASCII.
    pub fn new(endings: impl IntoIterator<Item = String>) -> Suspects {
        let endings: Vec<Vec<u8>> =
            endings.into_iter().map(|ending| ending.to_ascii_lowercase().into_bytes()).collect();
        let mut last = [false; 256];
        for byte in endings.iter().filter_map(|ending| ending.last()) {
            last[usize::from(*byte)] = true;
            last[usize::from(byte.to_ascii_uppercase())] = true;
        }
        Suspects { endings, last }
    }

    /// Whether a text has such a name, or what may be JSON in base64, in which there may be one.
    pub fn is_match(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(until_special) {
            at += found;
            // In JSON inside a text at least one backslash stands before each quote.
            if matches!(text[at], b'"' | b'\\') && self.ends_here(&text[..at]) {
                return true;
            }
            at += 1;
            if text[at - 1] == b'"' && begins_base64(&text[at..]) {
                return true;
            }
        }
        false
    }

    fn ends_here(&self, before: &[u8]) -> bool {
        let Some(last) = before.last() else { return false };
        let is_it = |ending: &Vec<u8>| {
            let from = before.len().checked_sub(ending.len());
            from.is_some_and(|from| before[from..].eq_ignore_ascii_case(ending))
        };
        self.last[usize::from(*last)] && self.endings.iter().any(is_it)
    }
}

fn begins_base64(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'e' | b'W'))
        && BASE64_BEGINS.iter().any(|begin| text.starts_with(begin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(text: &str) -> bool {
        Suspects::new(["ip".to_owned(), "Address".to_owned()]).is_match(text)
    }

    #[test]
    fn ends_of_names_and_base64_are_found_and_nothing_else() {
        for text in
            [r#"{"ip":1}"#, r#"{"a":{"client.IP":1}}"#, r#"["{\"userAddress\":1}"]"#, r#"ip""#]
        {
            assert!(finds(text), "{text}");
        }
        for begin in BASE64_BEGINS {
            assert!(begins_base64(begin.as_bytes()), "the first letters above have to be theirs");
            assert!(finds(&format!(r#"{{"a":"{begin}IiOiJ"}}"#)), "{begin}");
        }
        for text in [r#"{"ips":"192.0.2.1"}"#, "ip", "p\"", "\"", "", r#"{"a":"ip address"}"#] {
            assert!(!finds(text) || text.contains("address\""), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_found_wherever_it_stands(before in r#"[a-z"\\{:é\n]{0,40}"#, after in r#"[a-z"\\}]{0,20}"#) {
            let in_json = format!(r#"{before}iP"{after}"#);
            let in_text = format!(r#"{before}address\{after}"#);
            prop_assert!(finds(&in_json) && finds(&in_text));
        }
    }
}
