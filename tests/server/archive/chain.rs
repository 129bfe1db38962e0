//! The chain of hashes vouches for rows in files as for those in the store, on both stores.

use super::{A_DAY, DAYS, Shop, day, said};

/// What lines of an output count that have these words, added up.
fn told(words: &str, of: &str) -> i64 {
    let number = |line: &str| -> i64 {
        let count = line.split(": ").nth(1).and_then(|it| it.split(' ').next());
        count.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    words.lines().filter(|line| line.contains(of)).map(number).sum()
}

#[actix_web::test]
async fn rows_in_files_are_vouched_for_and_missing_ones_are_named() {
    for shop in Shop::on_both() {
        shop.done(&["archive"]);
        let words = shop.done(&["verify", "--chain", "--all"]);
        assert_eq!(told(&words, "as they were written"), DAYS * A_DAY, "{words}");
        shop.done(&["forget", "--user", "u3"]);
        let left = shop.export("").lines().count() as i64;
        let words = shop.done(&["verify", "--chain", "--all"]);
        assert_eq!(told(&words, "as they were written"), left, "{words}");
        let forgotten = told(&words, "were of people who were forgotten");
        assert_eq!(forgotten, DAYS * A_DAY - left, "{words}");
        // A file that is off the list is one whose rows are missing.
        let lose = "DELETE FROM archive_files WHERE path =
            (SELECT min(path) FROM archive_files WHERE type = 'purchase')";
        shop.sql(lose, lose).await;
        let lost = shop.command(&["verify", "--chain", "--day", &day(4)], None);
        let words = said(&lost);
        assert_eq!(lost.status.code(), Some(1), "{words}");
        assert!(words.contains("missing: ") && words.contains("Z purchase 4-005, row "), "{words}");
    }
}
