//! Sources: who may send events, each under a name of its own (`[[source]]`).
//!
//! A source is a shop's web page, its back end, its app. It has keys, or ids for clients that can't send
//! a key: the `domain` of Plausible, the `website` of Umami, the `idsite` of Matomo, the app id of
//! Snowplow. The name goes into the column `source` of every event.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::domain::{
    metric::Names,
    rule::{Fault, List, MAX_NAME, MAX_RULES},
};

/// The name of those who send with a key of `auth.write_keys`, or to a server without keys.
pub const UNNAMED: &str = "http";

/// Who sent an event, and in which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// The name of its source.
    pub source: &'a str,
    /// The name of its dialect.
    pub dialect: &'a str,
}

/// `[[source]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// What it is called in events and metrics: 1 to 64 characters of `A-Z a-z 0-9 _ . : -`.
    pub name: String,
    /// Its write key, or several: while one takes the place of another, both are good.
    #[serde(default)]
    pub key: Names,
    /// What its clients send in place of a key. Everybody can read it in a page, so only a public
    /// source has any.
    #[serde(default)]
    pub ids: Names,
    /// Whether its key stands in pages and apps, where everybody can read it.
    #[serde(default)]
    pub public: bool,
    /// The origins whose pages may send for it (`https://shop.example`); empty: those of all.
    #[serde(default)]
    pub allowed_origins: Names,
    /// `true` takes the entry of the same name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// Looks whether the sources can be used together.
///
/// # Errors
/// Every entry that can't, with its place in the list.
pub fn check(specs: &[SourceSpec]) -> Result<(), Vec<Fault>> {
    let (mut names, mut keys, mut ids) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut faults = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let mut wrong =
            |message: String| faults.push(Fault { list: List::Sources, index, message });
        let name = &spec.name;
        if !is_name(name) {
            wrong(format!("name {name:?}: 1 to {MAX_NAME} characters of A-Z a-z 0-9 _ . : -"));
        }
        if name == UNNAMED || !names.insert(name) {
            wrong(format!("{name}: another source has this name"));
        }
        if spec.key.0.is_empty() && spec.ids.0.is_empty() {
            wrong(format!("{name}: needs a key, or ids for clients that send no key"));
        }
        if !spec.ids.0.is_empty() && !spec.public {
            wrong(format!("{name}: ids stand in pages, so a source with ids needs public = true"));
        }
        for key in &spec.key.0 {
            // The message leaves the key out, since it is a secret.
            match key.trim().is_empty() {
                true => wrong(format!("{name}: an empty key would let anyone in; remove it")),
                false if !keys.insert(key) => wrong(format!("{name}: a key is there twice")),
                false => {}
            }
        }
        for id in &spec.ids.0 {
            match id.trim().is_empty() {
                true => wrong(format!("{name}: an id is empty")),
                false if !ids.insert(id) => wrong(format!("{name}: the id {id:?} is there twice")),
                false => {}
            }
        }
        for origin in &spec.allowed_origins.0 {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                wrong(format!("{name}: {origin:?} is not an origin such as https://shop.example"));
            }
        }
    }
    if specs.len() > MAX_RULES {
        let message = format!("more than {MAX_RULES} of them");
        faults.push(Fault { list: List::Sources, index: MAX_RULES, message });
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, keys: &[&str], ids: &[&str], public: bool) -> SourceSpec {
        let names = |texts: &[&str]| Names(texts.iter().map(ToString::to_string).collect());
        let (name, allowed_origins) = (name.to_owned(), Names::default());
        SourceSpec { name, key: names(keys), ids: names(ids), public, allowed_origins, off: false }
    }

    #[test]
    fn sources_are_told_apart_by_name_key_and_id() {
        let web = || spec("web", &["w"], &["shop.example"], true);
        assert_eq!(check(&[web(), spec("back-end", &["b1", "b2"], &[], false)]), Ok(()));
        for (wrong, message) in [
            (spec("web", &["x"], &[], true), "another source has this name"),
            (spec("http", &["x"], &[], true), "another source has this name"),
            (spec("a b", &["x"], &[], true), "1 to 64 characters"),
            (spec("b", &[], &[], true), "needs a key"),
            (spec("b", &["w"], &[], true), "a key is there twice"),
            (spec("b", &[" "], &[], true), "an empty key"),
            (spec("b", &["x"], &["shop.example"], true), "is there twice"),
            (spec("b", &["x"], &["other.example"], false), "needs public = true"),
        ] {
            let faults = check(&[web(), wrong]).unwrap_err();
            assert!(faults[0].message.contains(message), "{faults:?}");
            assert_eq!((faults.len(), faults[0].index), (1, 1));
        }
    }
}
