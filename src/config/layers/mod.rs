//! How the configuration is put together from five layers: `config/default.toml`, then a file, then
//! systemd's credentials, then `FLOODMARK_…` variables (or the files that they name), then flags.
//! Each overrides the ones before.
//!
//! The built-in layer is also the schema. A key that it doesn't have is an error, and every other
//! layer must give a value of the type that it has there. All mistakes of all layers are reported
//! at once, each with the place at which it was made.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::{
    Spanned, Table, Value,
    de::{DeString, DeTable, DeValue},
};

use super::{
    Config, ConfigError, ConfigOrigin, DEFAULT_TOML, Place, PrivacyConfig, Problem,
    environment::{Environment, GivenValue},
    rules::RuleLayers,
    variable::variable_name,
};
use crate::domain::{privacy::Privacy, time::BusinessZone};

/// The values of flags. `None` and an empty list leave the lower layers as they are.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--postgres`
    pub postgres: Option<String>,
    /// `--redis`, all of them
    pub redis: Vec<String>,
    /// `--insecure`; `false` leaves `auth.insecure` as it is
    pub insecure: bool,
}

impl Config {
    /// Puts the layers together and checks the result.
    ///
    /// `variables` is the whole environment. Names that don't begin with `FLOODMARK_` are ignored,
    /// except for those that a rule asks for (`${NAME}`) and for where systemd's credentials lie.
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: &Overrides,
    ) -> Result<Config, ConfigError> {
        let mut layers = Layers::new();
        if let Some(path) = file {
            let text = fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            layers.file(path, &text)?;
        }
        let environment = Environment::new(variables);
        layers.environment(&environment);
        layers.flags(flags);
        layers.rules.fill_in(&environment, &mut layers.problems);
        let mut config = layers.finish()?;
        config.check()?;
        config.origin = ConfigOrigin { file: file.map(Path::to_owned), flags: flags.clone() };
        Ok(config)
    }
}

/// The layers as far as they were read.
struct Layers {
    /// Every key of the built-in layer by its dotted name, with the value of the highest layer
    /// so far.
    values: BTreeMap<String, Value>,
    /// Metrics, alerts and the like, which are added to each other instead of overridden.
    rules: RuleLayers,
    /// The mistakes so far.
    problems: Vec<Problem>,
}

impl Default for Config {
    fn default() -> Self {
        Layers::new().finish().expect("config/default.toml is a whole configuration")
    }
}

impl Layers {
    fn new() -> Layers {
        let defaults: Table = DEFAULT_TOML.parse().expect("config/default.toml is TOML");
        let mut values = BTreeMap::new();
        for (name, value) in defaults {
            match value {
                _ if RuleLayers::has(&name) => {}
                Value::Table(section) => {
                    for (key, value) in section {
                        values.insert(format!("{name}.{key}"), value);
                    }
                }
                value => {
                    values.insert(name, value);
                }
            }
        }
        let (mut rules, mut problems) = (RuleLayers::default(), Vec::new());
        let document = DeTable::parse(DEFAULT_TOML).expect("config/default.toml is TOML");
        let place = |at| line_of(Path::new("config/default.toml"), DEFAULT_TOML, at);
        rules.add(document.get_ref(), place, &mut problems);
        Layers { values, rules, problems }
    }

    fn file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let place = |offset: usize| line_of(path, text, offset);
        let document = DeTable::parse(text).map_err(|e| ConfigError::Syntax {
            place: place(e.span().map_or(0, |span| span.start)),
            message: e.message().to_owned(),
        })?;
        self.rules.add(document.get_ref(), place, &mut self.problems);
        let is_rules = |name: &str| RuleLayers::has(name);
        let mut entries: Vec<_> =
            document.get_ref().iter().filter(|(name, _)| !is_rules(name.get_ref())).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let at = place(name.span().start);
            if self.values.contains_key(name.get_ref().as_ref()) {
                self.toml(at, name.get_ref(), value);
            } else if !self.is_section(name.get_ref()) {
                let is_section = matches!(value.get_ref(), DeValue::Table(_));
                self.unknown_key(at, name.get_ref().to_string(), is_section);
            } else if let DeValue::Table(section) = value.get_ref() {
                let mut entries: Vec<_> = section.iter().collect();
                entries.sort_by_key(|(key, _)| key.span().start);
                for (key, value) in entries {
                    let at = place(key.span().start);
                    let key = format!("{}.{}", name.get_ref(), key.get_ref());
                    if self.values.contains_key(&key) {
                        self.toml(at, &key, value);
                    } else {
                        self.unknown_key(at, key, false);
                    }
                }
            } else {
                self.problems.push(Problem::WrongType {
                    place: at,
                    key: name.get_ref().to_string(),
                    expected: format!("a section, [{}]", name.get_ref()),
                    got: in_words(value.get_ref(), false),
                });
            }
        }
        Ok(())
    }

    fn environment(&mut self, environment: &Environment) {
        let mut given = environment.credentials(&mut self.problems);
        let is_key = |key: &str| self.values.contains_key(key);
        given.extend(environment.values(is_key, &mut self.problems));
        for value in given {
            self.given(value);
        }
    }

    /// Sets a key from text, whose form the type of the built-in value decides.
    fn given(&mut self, GivenValue { place, key, text }: GivenValue) {
        let text = text.as_str();
        let Some(known) = self.values.get(&key) else {
            self.problems.push(match place {
                Place::Variable(name) => {
                    let names = self.values.keys().map(|key| variable_name(key));
                    Problem::UnknownVariable { nearest: nearest(&name, names), name }
                }
                place => {
                    let nearest = nearest(&key, self.values.keys().cloned());
                    Problem::UnknownKey { place, key, nearest }
                }
            });
            return;
        };
        let parsed = match known {
            Value::Array(_) if !text.trim_start().starts_with('[') => Some(list(text)),
            Value::String(_) => Some(Value::String(text.to_owned())),
            _ => match DeValue::parse(text.trim()) {
                Ok(value) => return self.toml(place, &key, &value),
                Err(_) => None,
            },
        };
        match parsed {
            Some(value) => {
                self.values.insert(key, value);
            }
            None => self.problems.push(Problem::WrongType {
                expected: type_of(known).to_owned(),
                got: shown(text, is_secret(&key)),
                place,
                key,
            }),
        }
    }

    fn flags(&mut self, flags: &Overrides) {
        let mut set = |key: &str, value: Value| {
            self.values.insert(key.to_owned(), value);
        };
        if let Some(listen) = &flags.listen {
            set("listen", listen.clone().into());
        }
        if let Some(dir) = &flags.data_dir {
            set("data_dir", dir.to_string_lossy().into_owned().into());
        }
        if let Some(url) = &flags.postgres {
            set("postgres.url", url.clone().into());
        }
        if !flags.redis.is_empty() {
            set("redis.urls", flags.redis.clone().into());
        }
        if flags.insecure {
            set("auth.insecure", true.into());
        }
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        let base = self.values.get("currency").and_then(Value::as_str).unwrap_or_default();
        let privacy = self.privacy();
        // A name that is no zone is reported by another check.
        let zone = self.values.get("timezone").and_then(Value::as_str).unwrap_or_default();
        let zone = BusinessZone::named(zone).unwrap_or_else(|_| BusinessZone::utc());
        let rules = self.rules.finish((base, &zone), &privacy, &mut self.problems);
        if !self.problems.is_empty() {
            return Err(ConfigError::Invalid(self.problems));
        }
        let mut whole = Table::new();
        for (key, value) in self.values {
            match key.split_once('.') {
                None => {
                    whole.insert(key, value);
                }
                Some((section, key)) => {
                    let section =
                        whole.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(section) = section {
                        section.insert(key.to_owned(), value);
                    }
                }
            }
        }
        // Types were checked already, so this fails only for a number that is too large for its
        // field: the types of TOML can't tell that.
        let config: Config = whole.try_into().map_err(|e: toml::de::Error| {
            ConfigError::Invalid(vec![Problem::Check(e.to_string())])
        })?;
        Ok(Config { rules, ..config })
    }

    /// What is never stored, for the rules that may not look at it.
    fn privacy(&self) -> Privacy {
        let keys = self.values.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix("privacy.")?.to_owned(), value.clone()))
        });
        let section: Result<PrivacyConfig, _> = keys.collect::<Table>().try_into();
        section.expect("each key has the type of its default").rules()
    }

    /// Sets a known key from TOML, if the value has the type of the built-in one.
    fn toml(&mut self, place: Place, key: &str, value: &Spanned<DeValue<'_>>) {
        let known = &self.values[key];
        match converted(known, value.get_ref()) {
            Some(value) => {
                self.values.insert(key.to_owned(), value);
            }
            None => self.problems.push(Problem::WrongType {
                place,
                key: key.to_owned(),
                expected: type_of(known).to_owned(),
                got: in_words(value.get_ref(), is_secret(key)),
            }),
        }
    }

    fn is_section(&self, name: &str) -> bool {
        let within = |key: &String| key.split_once('.').is_some_and(|(s, _)| s == name);
        self.values.keys().any(within)
    }

    fn unknown_key(&mut self, place: Place, key: String, is_section: bool) {
        // A key in the wrong section is a likelier mistake than a misspelling, so a key of the
        // same name in another section is suggested first.
        let leaf = key.rsplit('.').next().unwrap_or(&key);
        let same_leaf = self.values.keys().find(|known| {
            let known = known.rsplit('.').next().unwrap_or(known);
            known == leaf
        });
        let section_of = |known: &String| Some(known.split_once('.')?.0.to_owned());
        let nearest = match same_leaf {
            _ if is_section => nearest(&key, self.values.keys().filter_map(section_of)),
            Some(known) => known.clone(),
            None => nearest(&key, self.values.keys().cloned()),
        };
        self.problems.push(Problem::UnknownKey { place, key, nearest });
    }
}

/// The line of a file at a byte offset of its text.
fn line_of(path: &Path, text: &str, offset: usize) -> Place {
    let line = 1 + text[..offset.min(text.len())].matches('\n').count();
    Place::File(path.to_owned(), line)
}

/// The keys of the built-in layer, sorted.
#[cfg(test)]
pub(super) fn built_in_keys() -> Vec<String> {
    Layers::new().values.into_keys().collect()
}

/// Whether messages must not show the value of a key.
pub(super) fn is_secret(key: &str) -> bool {
    // A URL may hold a password.
    const SECRETS: [&str; 6] = [
        "archive.secret_access_key",
        "auth.write_keys",
        "auth.viewer_tokens",
        "oidc.client_secret",
        "otlp.headers",
        "postgres.read_url",
    ];
    SECRETS.contains(&key) || key.contains(".url")
}

/// The known name with the fewest letters different.
fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    known
        .min_by_key(|known| strsim::damerau_levenshtein(name, known))
        .expect("the built-in layer has keys")
}

/// A list with commas, or with lines as in a file; empty text is the empty list.
fn list(text: &str) -> Value {
    let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(Value::from).collect())
}

/// A value of TOML as one of the type of `known`; `None` where it has another type.
fn converted(known: &Value, value: &DeValue<'_>) -> Option<Value> {
    match (known, value) {
        (Value::String(_), DeValue::String(text)) => Some(Value::String(text.to_string())),
        (Value::Boolean(_), DeValue::Boolean(value)) => Some(Value::Boolean(*value)),
        (Value::Integer(_), DeValue::Integer(value)) => {
            let value = i64::from_str_radix(value.as_str(), value.radix()).ok()?;
            (value >= 0).then_some(Value::Integer(value))
        }
        (Value::Array(_), DeValue::Array(items)) => {
            let item = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => Some(Value::String(text.to_string())),
                _ => None,
            };
            items.iter().map(item).collect::<Option<_>>().map(Value::Array)
        }
        (Value::Table(_), DeValue::Table(entries)) => {
            let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
                let number = converted(&Value::Integer(0), value.get_ref())?;
                Some((key.get_ref().to_string(), number))
            };
            entries.iter().map(entry).collect::<Option<_>>().map(Value::Table)
        }
        _ => None,
    }
}

/// The type of a value, for messages.
fn type_of(known: &Value) -> &'static str {
    match known {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number, 0 or more",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of strings",
        Value::Table(_) => "a table of whole numbers such as { page_view = 90 }",
        _ => "a section",
    }
}

/// A value that was given, for messages.
fn in_words(value: &DeValue<'_>, secret: bool) -> String {
    match value {
        DeValue::String(text) => shown(text, secret),
        DeValue::Integer(number) => format!("{number}"),
        DeValue::Float(number) => format!("{number}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(moment) => format!("the moment {moment}"),
        DeValue::Array(_) => "a list that holds other things".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}

/// A text that was given, for messages.
fn shown(text: &str, secret: bool) -> String {
    if secret { "a string".to_owned() } else { format!("the string {text:?}") }
}

#[cfg(test)]
mod tests;
