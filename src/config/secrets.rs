//! The secrets of a configuration, for texts in which none of them may stand.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Config, layers::is_secret};

/// What stands in the place of a secret.
const STRUCK: &str = "(secret)";
/// A secret of fewer bytes is struck out only where it stands as a word: others would tear words apart.
const LEAST_ANYWHERE: usize = 6;

/// The secrets, to be struck out of texts.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// All that a configuration has: the values of secret keys, and what is secret of rules.
    pub fn of(config: &Config) -> Secrets {
        let written = &config.rules.written;
        let mut texts: Vec<String> = Vec::new();
        for (_, value) in config.values().into_iter().filter(|(key, _)| is_secret(key)) {
            match value {
                Value::Array(items) => {
                    texts.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                value => texts.extend(value.as_str().map(str::to_owned)),
            }
        }
        // A header may be told whole, by its value, or by what follows the scheme in that.
        for (_, value) in config.otlp.header_pairs().unwrap_or_default() {
            texts.extend(value.split_once(' ').map(|(_, credentials)| credentials.to_owned()));
            texts.push(value);
        }
        for source in &written.sources {
            texts.extend(source.key.0.iter().chain(&source.secret.0).cloned());
        }
        for webhook in &written.webhooks {
            texts.extend([webhook.secret.0.clone(), webhook.url.0.clone()]);
        }
        let mut found: Vec<String> = texts.iter().flat_map(|text| parts(text)).collect();
        found.retain(|secret| !secret.trim().is_empty());
        // A secret that is a part of another one goes after it.
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        found.dedup();
        Secrets(found)
    }

    /// The text without them.
    pub fn struck_out(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if secret.len() >= LEAST_ANYWHERE {
                return text.replace(secret.as_str(), STRUCK);
            }
            without_word(&text, secret)
        })
    }
}

impl Config {
    /// Every key with its value, without those whose values are secrets or have one in them.
    pub fn shown_values(&self) -> BTreeMap<String, Value> {
        let shown = |(key, value): (String, Value)| {
            let is_set = !matches!(&value, Value::String(text) if text.is_empty())
                && !matches!(&value, Value::Array(items) if items.is_empty());
            let value = if is_secret(&key) && is_set { STRUCK.into() } else { value };
            (key, value)
        };
        self.values().into_iter().map(shown).collect()
    }
}

/// A secret, and, where it is a URL, what of it may be one by itself: the password, the path, the query.
fn parts(text: &str) -> Vec<String> {
    let mut found = vec![text.to_owned()];
    let Some((scheme, rest)) = text.split_once("://") else { return found };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some((user, _)) = authority.rsplit_once('@') {
        let password = user.split_once(':').map_or("", |(_, password)| password);
        found.push(password.to_owned());
        found.push(percent_decode_str(password).decode_utf8_lossy().into_owned());
    }
    // The name of a database is no secret. The path of a webhook is how its receiver knows who sends.
    if scheme.starts_with("http") {
        found.push(path.to_owned());
        found.extend(path.split(['/', '?', '&', '=']).map(str::to_owned).filter(|it| it.len() > 8));
    } else if let Some((_, password)) = path.split_once("password=") {
        found.push(password.split('&').next().unwrap_or_default().to_owned());
    }
    found
}

/// The text with a word struck out wherever no letter or digit stands beside it.
fn without_word(text: &str, word: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let last = before.chars().next_back().or(out.chars().next_back());
        out.push_str(before);
        out.push_str(if touches(last) || touches(after.chars().next()) { word } else { STRUCK });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn no_secret_of_a_configuration_is_left_in_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("floodmark.toml");
        let toml = r#"
            auth.write_keys = ["k1"]
            auth.viewer_tokens = ["viewer-token"]
            [postgres]
            url = "postgres://shop:pass%40word@db.example/events"
            [oidc]
            issuer = "https://id.example"
            client_id = "floodmark"
            client_secret = "client-secret-1"
            base_url = "https://live.example"
            admins = ["owners"]
            [redis]
            urls = ["redis://:hush-hush@cache.example"]
            [[source]]
            name = "web"
            key = "source-key"
            [[source]]
            name = "stripe"
            webhook = "stripe"
            secret = "whsec_1"
            [[webhook]]
            name = "desk"
            url = "https://hooks.example/services/T000/B000abcdefg"
            secret = "signing-secret""#;
        std::fs::write(&file, toml).unwrap();
        let flags = Overrides::default();
        let config = Config::load(Some(&file), std::iter::empty(), &flags).unwrap();
        let text = format!(
            "{toml} pass@word k1 block1 B000abcdefg postgres://shop:pass%40word@db.example/events"
        );
        let struck = Secrets::of(&config).struck_out(&text);
        for secret in [
            "\"k1",
            "viewer-token",
            "pass%40word",
            "pass@word",
            "hush-hush",
            "source-key",
            "whsec_1",
            "B000abcdefg",
            "signing-secret",
            "services/T000",
            "client-secret-1",
        ] {
            assert!(!struck.contains(secret), "{secret}: {struck}");
        }
        assert!(struck.contains("block1") && struck.contains("name = \"web\""), "{struck}");
        let shown = config.shown_values();
        assert_eq!(shown["postgres.url"], STRUCK);
        assert_eq!(shown["auth.write_keys"], STRUCK);
        assert_eq!(shown["log.level"], "info");
        assert_eq!(Config::default().shown_values()["postgres.url"], "");
    }
}
