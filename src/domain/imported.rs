//! Events of the past that were imported: how they are told from others, and by what they are known again.
//!
//! The window in which the intake knows an id ends after some days, and a file may be imported again after a year.
//! So the store keeps a short key of each imported event for good.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    ids::{IdSpace, known_as},
    row::{self, Row},
};

/// What stands in the column `dialect` of an event that was imported.
pub const DIALECT: &str = "import";

/// By what an event is known again: a hash of its id and type, long enough that two events of one shop never share
/// it by chance.
pub type ImportKey = u128;

/// The key of an event with this id and type.
pub fn key(id: &str, kind: &str) -> ImportKey {
    xxh3_128(known_as(id, kind, IdSpace::Shop).as_bytes())
}

/// Whether a row was imported.
pub fn is_imported(row: &Row<'_>) -> bool {
    row.dialect == Some(DIALECT)
}

/// The keys of those rows that were imported, ascending: two lanes that write the same keys then wait for each
/// other in one direction only, and can't deadlock.
pub fn keys_of<'a>(rows: impl Iterator<Item = Row<'a>>) -> Vec<ImportKey> {
    let imported = rows.filter(is_imported);
    let mut keys: Vec<ImportKey> = imported.map(|row| key(row.id, row.kind)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The same, of encoded rows.
pub fn keys_in(chunks: &[Bytes]) -> Vec<ImportKey> {
    static NEEDLE: LazyLock<Finder<'static>> = LazyLock::new(|| {
        let length = (DIALECT.len() as u32).to_be_bytes();
        Finder::new(&[&length, DIALECT.as_bytes()].concat()).into_owned()
    });
    // Most batches have none, and a search of their bytes says so.
    let some = chunks.iter().filter(|chunk| NEEDLE.find(chunk).is_some());
    keys_of(some.flat_map(|chunk| row::rows(chunk).flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_imported_rows_have_keys_and_each_has_one() {
        let row = |id, kind, dialect| Row {
            id,
            kind,
            dialect: Some(dialect),
            properties: r#"{"a":"import"}"#,
            ..Row::default()
        };
        let rows = [
            row("1", "purchase", DIALECT),
            row("1", "refund", DIALECT),
            row("1", "purchase", DIALECT),
            row("2", "purchase", "native"),
        ];
        let encoded = |rows: &[Row<'_>]| {
            let mut chunk = Vec::new();
            rows.iter().for_each(|row| row.encode(&mut chunk));
            Bytes::from(chunk)
        };
        let mut expected = vec![key("1", "purchase"), key("1", "refund")];
        expected.sort_unstable();
        assert_eq!(keys_in(&[encoded(&rows[3..]), encoded(&rows)]), expected);
        assert_eq!(keys_in(&[encoded(&rows[3..])]), []);
        assert_ne!(expected[0], expected[1]);
    }
}
