//! Where the rows of a batch are found again: their times, types and ids, packed.
//!
//! ```text
//!  how many types, and their names
//!  of each row: its type, its time less that of the row before it, its id (a UUID as 16 bytes)
//! ```
//!
//! A row that was forgotten has its type and its day (UTC), and no id.

use uuid::Uuid;

use crate::domain::time::{DAY, Millis};

/// What an id of 16 bytes begins with.
const UUID: u64 = 0;
/// What stands in the place of a forgotten id.
const FORGOTTEN: u64 = 1;
/// An id that is a text begins with its length and so much more.
const TEXT: u64 = 2;

/// Where a row is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlace {
    /// Event time, Unix ms; of a forgotten row the midnight (UTC) before it.
    pub time: Millis,
    /// Its type.
    pub kind: String,
    /// Its id; `None` where it was forgotten.
    pub id: Option<String>,
}

/// Packs places one by one.
#[derive(Clone, Debug, Default)]
pub struct PlacesWriter {
    kinds: Vec<String>,
    /// The type of the row before, which is often that of the next.
    last_kind: usize,
    last_time: Millis,
    rows: Vec<u8>,
}

impl PlacesWriter {
    /// Adds a place.
    pub fn add(&mut self, time: Millis, kind: &str, id: Option<&str>) {
        let is_last = self.kinds.get(self.last_kind).is_some_and(|last| last == kind);
        if !is_last {
            self.last_kind = match self.kinds.iter().position(|known| known == kind) {
                Some(known) => known,
                None => {
                    self.kinds.push(kind.to_owned());
                    self.kinds.len() - 1
                }
            };
        }
        let time = if id.is_some() { time } else { time.div_euclid(DAY) * DAY };
        number(self.last_kind as u64, &mut self.rows);
        number(folded(time.wrapping_sub(self.last_time)), &mut self.rows);
        self.last_time = time;
        match id {
            None => number(FORGOTTEN, &mut self.rows),
            Some(id) => match packed(id) {
                Some(uuid) => {
                    number(UUID, &mut self.rows);
                    self.rows.extend_from_slice(uuid.as_bytes());
                }
                None => {
                    number(TEXT + id.len() as u64, &mut self.rows);
                    self.rows.extend_from_slice(id.as_bytes());
                }
            },
        }
    }

    /// All places.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rows.len() + 64);
        number(self.kinds.len() as u64, &mut out);
        for kind in &self.kinds {
            number(kind.len() as u64, &mut out);
            out.extend_from_slice(kind.as_bytes());
        }
        out.extend_from_slice(&self.rows);
        out
    }
}

/// The id as a UUID, where it is one in the form that gives the same text again.
fn packed(id: &str) -> Option<Uuid> {
    if id.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    let uuid = Uuid::try_parse(id).ok()?;
    let mut again = [0; uuid::fmt::Hyphenated::LENGTH];
    (uuid.hyphenated().encode_lower(&mut again) == id).then_some(uuid)
}

/// Unpacks places; `None` where these bytes are none.
pub fn read(bytes: &[u8]) -> Option<Vec<RowPlace>> {
    let mut reader = PlacesReader(bytes);
    let kinds = usize::try_from(reader.number()?).ok()?;
    // A damaged count must not make room for itself.
    let mut names = Vec::with_capacity(kinds.min(bytes.len()));
    for _ in 0..kinds {
        let length = usize::try_from(reader.number()?).ok()?;
        names.push(reader.text(length)?);
    }
    let (mut places, mut time) = (Vec::new(), 0 as Millis);
    while !reader.0.is_empty() {
        let kind = names.get(usize::try_from(reader.number()?).ok()?)?;
        time = time.wrapping_add(unfolded(reader.number()?));
        let id = match reader.number()? {
            UUID => {
                let bytes = reader.take(16)?;
                Some(Uuid::from_slice(bytes).ok()?.hyphenated().to_string())
            }
            FORGOTTEN => None,
            length => {
                let length = usize::try_from(length - TEXT).ok()?;
                Some(reader.text(length)?.to_owned())
            }
        };
        places.push(RowPlace { time, kind: (*kind).to_owned(), id });
    }
    Some(places)
}

struct PlacesReader<'a>(&'a [u8]);

impl<'a> PlacesReader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

/// Seven bits a byte, the lowest first; a byte that is not the last has its highest bit set.
fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Small numbers for those near 0 on both sides.
fn folded(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unfolded(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_come_back(
            rows in proptest::collection::vec(
                (-(1i64 << 50)..1 << 50, "[abc]{1,2}", proptest::option::of(prop_oneof![
                    ".{0,9}",
                    "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
                    "[0-9A-F]{8}-[0-9A-F]{4}-7[0-9A-F]{3}-[0-9A-F]{4}-[0-9A-F]{12}",
                ])),
                0..20,
            ),
        ) {
            let mut writer = PlacesWriter::default();
            rows.iter().for_each(|(time, kind, id)| writer.add(*time, kind, id.as_deref()));
            let expected: Vec<RowPlace> = rows
                .into_iter()
                .map(|(time, kind, id)| {
                    let time = if id.is_some() { time } else { time.div_euclid(DAY) * DAY };
                    RowPlace { time, kind, id }
                })
                .collect();
            prop_assert_eq!(read(&writer.finish()), Some(expected));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
        }
    }
}
