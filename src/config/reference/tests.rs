//! The committed reference is the one that the code makes, and it leaves nothing out.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;

/// Above this line of `docs/CONFIGURATION.md` stands prose, below it what is made here.
const MARKER: &str = "<!-- Everything below is made from the code. -->\n";

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md")
}

/// With which version each key came, as the committed reference says. It is the only memory of that.
fn known_versions(text: &str) -> BTreeMap<String, String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let version = cells.get(4).filter(|_| cells.len() == 6)?;
        Some((cells[0].trim_end_matches('`').to_owned(), version.to_string()))
    };
    rows.filter_map(cells).collect()
}

#[test]
fn the_committed_reference_is_what_the_code_makes() {
    let committed = fs::read_to_string(document()).expect("docs/CONFIGURATION.md is there");
    let (prose, below) = committed.split_once(MARKER).expect("the marker stands in it");
    let versions = known_versions(below);
    let new = env!("CARGO_PKG_VERSION").to_owned();
    let made = tables(|key| versions.get(key).unwrap_or(&new).clone());
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        fs::write(document(), format!("{prose}{MARKER}{made}")).unwrap();
        return;
    }
    assert!(
        below == made,
        "docs/CONFIGURATION.md is older than the code; write it anew with\n    \
         WRITE_REFERENCE=1 cargo nextest run --lib -E 'test(committed_reference)'"
    );
}

#[test]
fn every_key_says_what_it_is() {
    let facts = keys();
    let of_server = super::super::layers::built_in_keys();
    let mut listed: Vec<_> = facts.iter().map(|facts| facts.key.clone()).collect();
    listed.sort();
    assert_eq!(listed, of_server);
    for facts in &facts {
        assert!(!facts.meaning.is_empty(), "{}: has no comment in config/default.toml", facts.key);
        assert!(!facts.unit.is_empty() && !facts.default.is_empty(), "{facts:?}");
    }
}

#[test]
fn limits_are_those_of_keys_that_exist() {
    let known = super::super::layers::built_in_keys();
    for key in limits::named() {
        assert!(known.iter().any(|known| known == key), "{key} has a limit and is no key");
    }
}

#[test]
fn every_key_of_a_rule_is_explained_where_the_reference_says() {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs");
    for list in rule_lists() {
        assert!(list.keys.len() > 1, "{}: {:?}", list.name, list.keys);
        let text = fs::read_to_string(docs.join(list.explained)).unwrap();
        for key in list.keys {
            let explained = [format!("`{key}`"), format!("{key} = "), format!("#   {key} ")];
            let is_there = explained.iter().any(|form| text.contains(form.as_str()));
            assert!(is_there, "{}: {key} is not explained in {}", list.name, list.explained);
        }
    }
}

#[test]
fn a_key_is_read_with_its_unit_limits_and_whole_comment() {
    let facts = keys();
    let of = |key: &str| facts.iter().find(|facts| facts.key == key).unwrap();
    let tick = of("stream.tick_ms");
    assert_eq!((&*tick.default, &*tick.unit), ("200", "milliseconds"));
    assert_eq!(tick.limits, "1 or more; at most `stream.heartbeat_ms`");
    let keep = of("spool.keep_s");
    assert_eq!(keep.limits, "0 or more");
    assert!(keep.meaning.ends_with("lost its last writes; 0: not kept"), "{}", keep.meaning);
    assert_eq!(of("http.client_inflight_percent").limits, "1 to 100");
    assert_eq!(of("live.active_window_s").limits, "1 or more; at most 3600 x `ledger.keep_hours`");
    assert_eq!(of("http.client_events_per_s").unit, "events per second");
    assert_eq!(of("log.format").limits, "auto, text, json");
    assert_eq!(of("auth.write_keys").unit, "list of texts");
}
