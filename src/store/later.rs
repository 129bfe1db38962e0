//! What a version does with a schema that a later version has migrated: it works beside additions. So the
//! nodes of an installation are exchanged one by one, and back again, while all of them write.
//!
//! A migration therefore only adds: tables, indexes, columns that earlier versions need not fill. One that
//! earlier versions can't work beside has a name that begins with [`BREAKING`], and they refuse the store
//! from then on. `tests/house/migrations.rs` reads the files for what would break without being called so.

use refinery::Migration;

/// What the name of a migration begins with that earlier versions can't work beside.
pub const BREAKING: &str = "breaking_";

/// What `floodmark migrate` did, by the names of migrations.
#[derive(Clone, Debug, Default)]
pub struct Migrated {
    /// Applied now.
    pub applied: Vec<String>,
    /// Those of later versions that the store has, and that this version works beside.
    pub later: Vec<String>,
}

/// Judges a migration that a store has and this version lacks: its name in full where this version works
/// beside it. `newest` is the newest migration of this version.
///
/// # Errors
/// It can't, in words.
pub fn judge(version: i64, name: &str, newest: i64) -> Result<String, String> {
    let full = format!("V{version}__{name}");
    match version > newest && !name.starts_with(BREAKING) {
        true => Ok(full),
        false => Err(format!(
            "it has migration {full}, which this version of Floodmark does not have and can't work \
             beside: run the version that made it, or a newer one"
        )),
    }
}

/// Checks that a store with migrations of later versions has all of this version's: nobody has tried one
/// after a later one.
///
/// # Errors
/// It lacks `missing`, in words.
pub fn in_order(missing: Option<&Migration>, later: &[String]) -> Result<(), String> {
    match (missing, later.first()) {
        (Some(missing), Some(later)) => Err(format!(
            "it has migration {later} of a later version of Floodmark and lacks {missing}, which comes \
             before: run the version that made it, or a newer one"
        )),
        _ => Ok(()),
    }
}

impl Migrated {
    /// What else there is to say: which migrations of later versions the store has. Empty where it has none.
    pub fn beside(&self) -> String {
        match self.later.is_empty() {
            true => String::new(),
            false => format!(
                "; it has {} of a later version, which this version works beside",
                self.later.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_of_later_versions_are_worked_beside_and_nothing_else() {
        assert_eq!(judge(15, "coupons", 14).unwrap(), "V15__coupons");
        assert!(judge(15, "breaking_coupons", 14).unwrap_err().contains("V15__breaking_coupons"));
        assert!(
            judge(6, "of_nobody", 14).is_err(),
            "a hole in our own numbers is another's schema"
        );
        assert!(judge(14, "other_words", 14).is_err(), "so is our number with other contents");
    }
}
