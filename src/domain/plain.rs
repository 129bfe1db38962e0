//! Plain JSON, as nearly all events are: objects of scalars, strings without a backslash, numbers
//! without an exponent. A cursor over that is many times as fast as a parser that has to take
//! everything. Where a text is not plain, for whatever reason, these functions return `None`, and
//! the caller reads it with `serde_json` instead. So whatever is read here must mean the same
//! there; property tests in [`super::properties`] and in the native dialect compare the two.

/// Longest number that is plain, in characters. A longer one might be beyond what PostgreSQL
/// takes, which [`super::json`] finds out.
const MAX_NUMBER: usize = 24;

/// The most keys of an object that is plain.
const MAX_KEYS: usize = 32;

/// A cursor over a text.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// A value that is no object and no array, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// What stands between the quotes.
    Text(&'a str),
    /// An integer or a decimal number.
    Number(&'a str),
    /// `true` or `false`.
    Bool(&'a str),
    /// `null`.
    Null,
}

impl<'a> Scan<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What was read since `from`.
    pub fn since(&self, from: usize) -> Option<&'a str> {
        self.text.get(from..self.at)
    }

    /// The next byte that is no white space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Takes this byte, which has to be the next.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Reads an object. `each` is given every key, and reads its value.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&mut Scan<'a>, &'a str) -> Option<()>,
    ) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            each(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.take(b'}'),
            }
        }
    }

    /// Reads an object of scalars in which no key stands twice.
    pub fn flat_object(&mut self) -> Option<()> {
        // A bit for each key by its length and its ends. Only where two keys have the same bit are
        // they compared: that is rare, and comparing all of them would cost more than reading them.
        let (mut bits, mut keys, mut count) = (0u64, [""; MAX_KEYS], 0);
        self.object(|scan, key| {
            let bytes = key.as_bytes();
            let ends =
                bytes.first().zip(bytes.last()).map_or(0, |(a, z)| *a as usize + 7 * *z as usize);
            let bit = 1 << ((bytes.len() * 31 + ends) % 64);
            if count == MAX_KEYS || (bits & bit != 0 && keys[..count].contains(&key)) {
                return None;
            }
            bits |= bit;
            keys[count] = key;
            count += 1;
            scan.scalar().map(drop)
        })
    }

    /// Reads a scalar.
    pub fn scalar(&mut self) -> Option<Scalar<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Scalar::Text),
            b't' => self.word("true").map(Scalar::Bool),
            b'f' => self.word("false").map(Scalar::Bool),
            b'n' => self.word("null").map(|_| Scalar::Null),
            _ => self.number().map(Scalar::Number),
        }
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        // The quote ends it; a backslash is an escape, and JSON has no control characters in
        // strings.
        let len = until_special(rest)?;
        let text = self.text.get(self.at..self.at + len)?;
        self.at += len;
        self.take_at_once(b'"')?;
        Some(text)
    }

    fn word(&mut self, word: &str) -> Option<&'a str> {
        let from = self.at;
        self.text[from..].starts_with(word).then(|| self.at += word.len())?;
        self.since(from)
    }

    fn number(&mut self) -> Option<&'a str> {
        let from = self.at;
        let _ = self.take_at_once(b'-');
        let leading_zero = self.text.as_bytes().get(self.at) == Some(&b'0');
        if (leading_zero && self.digits()? > 1) || (!leading_zero && self.digits()? == 0) {
            return None;
        }
        if self.take_at_once(b'.').is_some() && self.digits()? == 0 {
            return None;
        }
        let goes_on = matches!(self.text.as_bytes().get(self.at), Some(b'e' | b'E'));
        if goes_on || self.at - from > MAX_NUMBER {
            return None;
        }
        self.since(from)
    }

    /// Takes this byte, where nothing stands before it.
    fn take_at_once(&mut self, byte: u8) -> Option<()> {
        (self.text.as_bytes().get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn digits(&mut self) -> Option<usize> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += len;
        Some(len)
    }
}

/// Bytes before the first quote, backslash or control character.
pub(super) fn until_special(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let marks = special(u64::from_le_bytes(*eight));
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let is_special = |b: &u8| matches!(b, b'"' | b'\\' | ..b' ');
    bytes[at..].iter().position(is_special).map(|len| at + len)
}

/// Marks special bytes among eight: the highest bit of the first one is set, and none before it.
/// The bits behind the first mark mean nothing.
/// Source: "Bit Twiddling Hacks", S. E. Anderson, "Determine if a word has a zero byte".
fn special(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below =
        |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word & (EACH << 7);
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    below(word, b' ') | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(text: &str) -> Option<Scalar<'_>> {
        let mut scan = Scan::new(text);
        let scalar = scan.scalar()?;
        (scan.position() == text.len()).then_some(scalar)
    }

    #[test]
    fn plain_scalars_are_read_and_all_others_are_not() {
        assert_eq!(scalar(" \"ü x\""), Some(Scalar::Text("ü x")));
        assert_eq!(scalar("\"\""), Some(Scalar::Text("")));
        assert_eq!(scalar("true"), Some(Scalar::Bool("true")));
        assert_eq!(scalar("null"), Some(Scalar::Null));
        for number in ["0", "-0", "-0.50", "17", "19.99", "123456789012345678901234"] {
            assert_eq!(scalar(number), Some(Scalar::Number(number)), "{number}");
        }
        for other in [
            "",
            "\"",
            "\"a",
            "\"a\\n\"",
            "\"\t\"",
            "\"\u{0}\"",
            "tru",
            "nul",
            "-",
            "01",
            "-01",
            "1.",
            ".5",
            "+1",
            "1e3",
            "1.5E3",
            "1234567890123456789012345",
            "{}",
            "[1]",
            "x",
        ] {
            assert_eq!(scalar(other), None, "{other}");
        }
    }

    #[test]
    fn an_object_gives_its_members() {
        let members = |text: &str| {
            let mut found = Vec::new();
            let mut scan = Scan::new(text);
            scan.object(|scan, key| {
                found.push((key.to_owned(), format!("{:?}", scan.scalar()?)));
                Some(())
            })?;
            Some((found.len(), scan.position()))
        };
        assert_eq!(members("{}x"), Some((0, 2)));
        assert_eq!(members(" { \"a\" : 1 ,\n\"b\":\"\"}"), Some((2, 20)));
        for other in
            ["", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":1 \"b\":2}", "[]"]
        {
            assert_eq!(members(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn the_first_special_byte_is_found(
            bytes in proptest::collection::vec(prop_oneof![8 => 32..=255u8, 1 => any::<u8>()], 0..40),
        ) {
            let one_by_one = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | ..b' '));
            prop_assert_eq!(until_special(&bytes), one_by_one);
        }
    }
}
