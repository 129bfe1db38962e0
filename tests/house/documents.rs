//! What documents and comments say of the configuration.

use std::{collections::BTreeSet, fs};

use super::source::{files, root};

/// Every key of the configuration, `section.key`, and every section.
fn known() -> (BTreeSet<String>, BTreeSet<String>) {
    let text = fs::read_to_string(root().join("config/default.toml")).expect("it is there");
    let table: toml::Table = text.parse().expect("the built-in configuration is TOML");
    let (mut keys, mut sections) = (BTreeSet::new(), BTreeSet::new());
    for (section, value) in &table {
        if let toml::Value::Table(entries) = value {
            sections.insert(section.clone());
            keys.extend(entries.keys().map(|key| format!("{section}.{key}")));
        }
    }
    (keys, sections)
}

#[test]
fn every_key_that_is_named_exists() {
    let (keys, sections) = known();
    let mut unknown = Vec::new();
    let mut texts = files(&["docs", "src", ".github"], &[".md", ".rs"]);
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        texts.push(super::source::SourceFile { path: name.to_owned(), text });
    }
    let mut named = 0;
    for file in &texts {
        for word in quoted(&file.text) {
            let Some((section, key)) = word.split_once('.') else { continue };
            let is_key =
                key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
            if !sections.contains(section) || !is_key || key.is_empty() || is_file(key) {
                continue;
            }
            named += 1;
            if !keys.contains(word) {
                unknown.push(format!("{}: `{word}`", file.path));
            }
        }
    }
    assert!(named > 100, "only {named} keys are named: does the search still work?");
    assert!(
        unknown.is_empty(),
        "keys that are not in config/default.toml:\n{}",
        unknown.join("\n")
    );
}

/// `store.md` is a file, no key.
fn is_file(key: &str) -> bool {
    matches!(key, "rs" | "md" | "toml" | "sh" | "js" | "mjs" | "json" | "html" | "py")
}

/// What stands between backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}
