//! `[retention]`: how long what the store has is kept. The numbers of charts come from rollups, so they
//! stay what they are when rows of events go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[retention]`: how long what the store has is kept; 0 is for good.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// For how many days, beside today, events are kept.
    pub events_days: u64,
    /// For how many days events of a type are kept, where that is shorter.
    pub by_type: BTreeMap<String, u64>,
    /// For how many days rollups are kept, which charts are drawn from.
    pub rollups_days: u64,
    /// For how many days dead letters are kept.
    pub dead_letters_days: u64,
    /// For how many days alerts that are over are kept.
    pub alerts_days: u64,
    /// How often it is looked for what is too old.
    pub interval_s: u64,
    /// How much room the store has, in bytes; 0: what its disk has, where this machine can see it.
    pub store_max_bytes: u64,
    /// How many days before the store is full `/readyz` says so.
    pub warn_days: u64,
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::config::{Config, Overrides};

    fn load(text: &str, variable: Option<&str>) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let name = "FLOODMARK_RETENTION__BY_TYPE".to_owned();
        let variables = variable.map(|value| (name, value.to_owned()));
        Config::load(Some(file.path()), variables.into_iter(), &Overrides::default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn types_have_days_of_their_own() {
        let text =
            "[retention]\nevents_days = 400\nby_type = { page_view = 90, 'add to cart' = 5 }";
        let config = load(text, None).unwrap().retention;
        assert_eq!((config.events_days, config.by_type.len()), (400, 2));
        assert_eq!(config.by_type["add to cart"], 5);
        let of_table = load("[retention.by_type]\nerror = 7", None).unwrap().retention;
        assert_eq!(of_table.by_type["error"], 7);
        let of_variable = load(text, Some("{ error = 8 }")).unwrap().retention;
        assert_eq!(of_variable.by_type.into_iter().collect::<Vec<_>>(), [("error".to_owned(), 8)]);
    }

    #[test]
    fn days_that_make_no_sense_are_refused() {
        for (text, words) in [
            ("by_type = { error = 0 }", "retention.by_type: error = 0"),
            ("by_type = { error = 'x' }", "a table of whole numbers"),
            ("by_type = 5", "a table of whole numbers"),
            ("rollups_days = 3", "must be 0 or at least 15"),
            ("interval_s = 0", "retention.interval_s: must be more than 0"),
        ] {
            let refused = load(&format!("[retention]\n{text}"), None).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
