//! Which folder of `src/` imports which. An event goes one way through the house; so do the
//! imports, and there is no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::rust;

/// The folders of `src/` (and its single files), each with what it imports. A folder imports
/// only what stands above it in this list: so there is no circle and no arrow back. The list is
/// exact; an import that is gone has to leave it.
const HOUSE: &[(&str, &[&str])] = &[
    // What knows nothing of ours, and what serves all.
    ("domain", &[]),
    ("failpoint", &[]),
    ("trust", &[]),
    ("config", &["domain"]),
    ("open_files", &["config"]),
    ("retry", &["config"]),
    ("panics", &["failpoint", "retry"]),
    ("telemetry", &["config", "panics", "trust"]),
    // The way of an event behind the door: the log, then the sinks.
    ("spool", &["domain", "failpoint"]),
    ("sink", &["config", "domain", "panics", "retry", "spool", "telemetry"]),
    ("ingest", &["config", "domain", "panics", "sink", "spool", "telemetry"]),
    ("store", &["config", "domain", "failpoint", "panics", "retry", "sink", "telemetry", "trust"]),
    ("export", &["domain", "sink", "store"]),
    (
        "archive",
        &["config", "domain", "export", "failpoint", "sink", "store", "telemetry", "trust"],
    ),
    ("access", &["config", "domain", "sink", "store", "telemetry"]),
    (
        "live",
        &[
            "config",
            "domain",
            "failpoint",
            "panics",
            "retry",
            "sink",
            "store",
            "telemetry",
            "trust",
        ],
    ),
    ("counter", &["domain", "live", "panics", "sink"]),
    // Reading, and who is told.
    ("numbers", &["config", "domain", "live", "panics", "retry", "sink", "store"]),
    ("causes", &["domain", "sink", "store"]),
    ("broadcast", &["config", "domain", "live", "numbers", "panics", "telemetry"]),
    (
        "alert",
        &[
            "causes",
            "config",
            "domain",
            "failpoint",
            "numbers",
            "panics",
            "retry",
            "sink",
            "store",
            "telemetry",
        ],
    ),
    ("reload", &["alert", "config", "telemetry"]),
    // The door, and what puts all of it together.
    (
        "http",
        &[
            "access",
            "broadcast",
            "causes",
            "config",
            "domain",
            "export",
            "failpoint",
            "ingest",
            "live",
            "numbers",
            "panics",
            "reload",
            "sink",
            "spool",
            "store",
            "telemetry",
            "trust",
        ],
    ),
    ("fuzz", &["config", "domain", "http", "sink", "spool"]),
    (
        "server",
        &[
            "access",
            "alert",
            "archive",
            "broadcast",
            "causes",
            "config",
            "counter",
            "domain",
            "http",
            "ingest",
            "live",
            "numbers",
            "open_files",
            "panics",
            "reload",
            "retry",
            "sink",
            "spool",
            "store",
            "telemetry",
            "trust",
        ],
    ),
    ("demo", &["domain"]),
    (
        "cli",
        &[
            "access",
            "alert",
            "archive",
            "causes",
            "config",
            "demo",
            "domain",
            "export",
            "failpoint",
            "http",
            "live",
            "open_files",
            "panics",
            "server",
            "sink",
            "spool",
            "store",
            "telemetry",
            "trust",
        ],
    ),
];

/// Crates that `domain/` may use: none that reads, writes, waits or knows the web.
const PURE: &[&str] = &[
    "aho_corasick",
    "base64",
    "core",
    "bytes",
    "datasketches",
    "fancy_regex",
    "hashbrown",
    "iso_currency",
    "jiff",
    "memchr",
    "parking_lot",
    "percent_encoding",
    "postcard",
    "regex",
    "serde",
    "serde_json",
    "sha2",
    "std",
    "thiserror",
    "toml",
    "uuid",
    "xxhash_rust",
];

#[test]
fn imports_go_one_way() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust().iter().filter(|file| !file.is_test()) {
        let imports = imported(&file.code());
        let others = imports.into_iter().filter(|room| room != file.room());
        found.entry(file.room().to_owned()).or_default().extend(others);
    }
    for (at, (room, allowed)) in HOUSE.iter().enumerate() {
        let above: Vec<&str> = HOUSE[..at].iter().map(|(room, _)| *room).collect();
        for import in *allowed {
            assert!(above.contains(import), "{room} -> {import} is an arrow back");
        }
        let imports = found.remove(*room).unwrap_or_else(|| panic!("there is no src/{room}"));
        let allowed: BTreeSet<String> = allowed.iter().map(ToString::to_string).collect();
        let more: Vec<_> = imports.difference(&allowed).collect();
        let gone: Vec<_> = allowed.difference(&imports).collect();
        assert!(more.is_empty(), "{room} imports {more:?}, which it must not");
        assert!(
            gone.is_empty(),
            "{room} does not import {gone:?} any more: take them off the list"
        );
    }
    for room in ["lib", "main"] {
        found.remove(room);
    }
    assert!(found.is_empty(), "folders that are not in the list: {found:#?}");
}

#[test]
fn the_domain_knows_no_server() {
    for file in rust().iter().filter(|file| file.room() == "domain" && !file.is_test()) {
        for line in file.code().lines() {
            let Some(path) = line.trim_start().strip_prefix("use ") else { continue };
            let name = path.split([':', ';', ' ']).next().unwrap_or_default();
            let known = PURE.contains(&name) || matches!(name, "crate" | "super" | "self");
            assert!(known, "{} uses {name}", file.path);
        }
        for word in ["actix", "tokio", "awc::", "redis::", "rusqlite", "std::net", "std::fs"] {
            assert!(!file.code().contains(word), "{} uses {word}", file.path);
        }
    }
}

#[test]
fn routes_hang_in_scopes_and_nowhere_else() {
    for file in rust().iter().filter(|file| !file.is_test()) {
        // The commands' unit tests have small servers of their own, which code() leaves out.
        let code = file.code();
        for word in ["App::new", "ServiceConfig", "web::scope("] {
            let may = file.path == "src/http/scope/mod.rs";
            assert!(may || !code.contains(word), "{} has {word}", file.path);
        }
    }
}

#[test]
fn one_place_says_whom_tls_trusts() {
    for file in rust().iter().filter(|file| !file.is_test()) {
        let code = file.code();
        for word in ["install_default", "pem_file_iter", "pem_slice_iter"] {
            // What the server shows of itself is no authority that it trusts.
            let may = file.path == "src/trust.rs"
                || (file.path == "src/http/tls/certificate.rs" && word == "pem_file_iter");
            assert!(may || !code.contains(word), "{} has {word}", file.path);
        }
    }
    let calls: Vec<String> = rust()
        .iter()
        .filter(|file| file.code().contains("trust::use_ring()"))
        .map(|file| file.path.clone())
        .collect();
    assert_eq!(
        calls,
        ["src/cli/connect.rs", "src/server/mod.rs"],
        "TLS is told its cryptography where a server starts, and where a command opens what a server has"
    );
}

/// The names behind every `crate::` of some code, also of `crate::{a::b, c}`.
fn imported(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.insert(first_word(rest).to_owned()),
            Some(list) => {
                found.extend(top_level(list).into_iter().map(str::to_owned));
                true
            }
        };
    }
    // Macros of the root have no folder.
    found.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    found
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first words of a list `a::{b, c}, d}` up to the brace that closes it.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut starts) = (0, vec![0]);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    let words = starts.into_iter().map(|start| first_word(list[start..].trim_start()));
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::{\n    a::{x, y::z},\n    b,\n    c::D,\n};\nlet e = crate::e::f();\nuse subcrate::g;";
    let found: Vec<String> = imported(code).into_iter().collect();
    assert_eq!(found, ["a", "b", "c", "e"]);
}
