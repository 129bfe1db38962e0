//! A migration only adds, so that the nodes of the version before work beside it and can come back
//! (`src/store/later.rs`). One that they can't work beside has to say so in its name.

use floodmark::store::later::BREAKING;

use crate::source::files;

/// The last migration of before there was this rule.
const BEFORE_THE_RULE: u32 = 14;

/// What of these statements a version that does not know of them can't work beside, if anything.
fn breaks(sql: &str) -> Option<String> {
    let plain: Vec<&str> =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let plain = plain.join(" ").to_uppercase();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let plain = words.join(" ");
    let made: Vec<&str> =
        words.windows(3).filter(|it| it[..2] == ["CREATE", "TABLE"]).map(|it| it[2]).collect();
    plain.split(';').map(str::trim).find_map(|statement| {
        let has = |words: &str| statement.contains(words);
        // Whatever is done to a table that the same migration makes is nobody else's business.
        let is_of_a_new_table =
            made.iter().any(|table| statement.split([' ', '(']).any(|word| word == *table));
        let alters = statement.starts_with("ALTER TABLE");
        let takes =
            ["DROP ", "RENAME ", "ALTER COLUMN", "ADD CONSTRAINT", "ADD CHECK", "ADD UNIQUE"];
        let is_breaking = (alters && takes.iter().any(|it| has(it)))
            || statement.starts_with("DROP ")
            || (alters && has("NOT NULL") && !has("DEFAULT"))
            || statement.starts_with("CREATE UNIQUE INDEX")
            // It takes as long as there are rows, and nobody writes meanwhile.
            || statement.starts_with("UPDATE ")
            || statement.starts_with("DELETE ");
        (is_breaking && !is_of_a_new_table).then(|| statement.to_owned())
    })
}

#[test]
fn migrations_only_add_or_say_that_they_break() {
    for file in files(&["migrations"], &[".sql"]) {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let (number, name) = name.split_once("__").expect("V15__name.sql");
        let number: u32 = number.trim_start_matches('V').parse().expect("a number");
        if number <= BEFORE_THE_RULE || name.starts_with(BREAKING) {
            continue;
        }
        let found = breaks(&file.text);
        assert_eq!(
            found, None,
            "{}: the version before can't work beside this; add instead of changing, or begin the \
             name with {BREAKING}",
            file.path
        );
    }
}

#[test]
fn the_rule_knows_additions_from_changes() {
    for adds in [
        "CREATE TABLE coupons (id text NOT NULL); CREATE UNIQUE INDEX c ON coupons (id);",
        "ALTER TABLE events ADD COLUMN source text, ADD COLUMN dialect text; -- DROP nothing",
        "ALTER TABLE events ADD COLUMN cut boolean NOT NULL DEFAULT false;",
        "CREATE INDEX by_time ON events (time);",
    ] {
        assert_eq!(breaks(adds), None);
    }
    for changes in [
        "ALTER TABLE events DROP COLUMN source;",
        "DROP TABLE rollups;",
        "ALTER TABLE events RENAME COLUMN source TO sender;",
        "ALTER TABLE events ALTER COLUMN source SET NOT NULL;",
        "ALTER TABLE events ADD COLUMN cut boolean NOT NULL;",
        "CREATE UNIQUE INDEX by_id ON events (id);",
        "UPDATE events SET source = '';",
    ] {
        assert!(breaks(changes).is_some(), "{changes}");
    }
}
