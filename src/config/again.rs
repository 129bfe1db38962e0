//! Reading the configuration of a running process again, and what differs then.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use super::{Config, ConfigError, Overrides, variables};

/// Where a configuration was read from: what [`Config::load`] was given, beside the environment.
#[derive(Clone, Debug, Default)]
pub struct ConfigOrigin {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// The flags.
    pub flags: Overrides,
}

impl Config {
    /// Reads the same file again, with the environment and the flags that this process was started with,
    /// and checks the result.
    ///
    /// # Errors
    /// The file can't be read, or something in it is wrong.
    pub fn read_again(&self) -> Result<Config, ConfigError> {
        Config::load(self.origin.file.as_deref(), variables(), &self.origin.flags)
    }

    /// The names of what differs in another configuration: keys (`log.level`) and lists of rules
    /// (`[[alert]]`), sorted. Their values are left out, since they may be secrets.
    pub fn differences(&self, other: &Config) -> Vec<String> {
        let (here, there) = (self.values(), other.values());
        let differs = |name: &&String| here.get(*name) != there.get(*name);
        let mut names: Vec<String> = here.keys().filter(differs).cloned().collect();
        names.extend(there.keys().filter(|name| !here.contains_key(*name)).cloned());
        let (old, new) = (&self.rules.written, &other.rules.written);
        let lists = [
            ("[[metric]]", old.metrics == new.metrics),
            ("[[breakdown]]", old.breakdowns == new.breakdowns),
            ("[rates]", old.rates == new.rates),
            ("[[alert]]", old.alerts == new.alerts),
            ("[[webhook]]", old.webhooks == new.webhooks),
            ("[[map]]", old.maps == new.maps),
            ("[[source]]", old.sources == new.sources),
            ("[[schema]]", old.schemas == new.schemas),
            ("[[occasion]]", old.occasions == new.occasions),
            ("[[target]]", old.targets == new.targets),
        ];
        names.extend(lists.iter().filter(|(_, same)| !same).map(|(name, _)| (*name).to_owned()));
        names.sort();
        names
    }

    /// The value of each key by its dotted name.
    pub(super) fn values(&self) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::new();
        let Ok(Value::Object(keys)) = serde_json::to_value(self) else { return values };
        for (name, value) in keys {
            match value {
                Value::Object(section) => {
                    let keys = section.into_iter();
                    values.extend(keys.map(|(key, value)| (format!("{name}.{key}"), value)));
                }
                value => {
                    values.insert(name, value);
                }
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("floodmark.toml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), std::iter::empty(), &Overrides::default()).unwrap()
    }

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let (one, same) = (of("[log]\nlevel = 'warn'"), of("[log]\nlevel = 'warn'"));
        assert_eq!(one.differences(&same), Vec::<String>::new());
        let other = of("currency = 'EUR'\n[auth]\nwrite_keys = ['k']\n[rates]\nUSD = 1.1\n
            [[webhook]]\nname = 'desk'\nurl = 'http://127.0.0.1:9/secret'\n
            [[metric]]\nname = 'signups'\nkind = 'count'\nevent = 'signup'\noff = true");
        assert_eq!(
            one.differences(&other),
            ["[[metric]]", "[[webhook]]", "[rates]", "auth.write_keys", "currency", "log.level"]
        );
        let secret = |text| of(&format!("[[webhook]]\nname = 'desk'\nurl = '{text}'"));
        let (one, other) = (secret("http://127.0.0.1:9/a"), secret("http://127.0.0.1:9/b"));
        assert_eq!(one.differences(&other), ["[[webhook]]"]);
    }
}
