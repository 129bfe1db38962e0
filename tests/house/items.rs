//! Names and docs of what a file gives to others.

use std::collections::BTreeMap;

use super::source::{SourceFile, rust};

/// Type names that stand twice in the tree, each with its reason.
const TWICE: &[(&str, &str)] = &[];

#[test]
fn a_name_of_a_type_means_one_thing_in_the_whole_tree() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust().iter().filter(|file| !file.is_test()) {
        for line in file.code().lines() {
            if let Some(name) = type_name(line) {
                places.entry(name.to_owned()).or_default().push(file.path.clone());
            }
        }
    }
    let twice: Vec<String> = places
        .into_iter()
        .filter(|(name, at)| at.len() > 1 && !TWICE.iter().any(|(known, _)| known == name))
        .map(|(name, at)| format!("{name}: {}", at.join(", ")))
        .collect();
    assert!(twice.is_empty(), "one name for several things:\n{}", twice.join("\n"));
}

/// The name that a line declares, where it declares a type at the top of a file.
fn type_name(line: &str) -> Option<&str> {
    let declared = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) "));
    let declared = declared.or_else(|| line.strip_prefix("pub(super) ")).unwrap_or(line);
    let kinds = ["struct ", "enum ", "trait ", "union "];
    let name = kinds.iter().find_map(|kind| declared.strip_prefix(kind))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

#[test]
fn every_public_item_says_what_it_is() {
    let undocumented: Vec<String> = rust()
        .iter()
        .filter(|file| !file.is_test())
        .flat_map(|file| undocumented(file).into_iter().map(|item| format!("{}:{item}", file.path)))
        .collect();
    assert!(undocumented.is_empty(), "without a doc comment:\n{}", undocumented.join("\n"));
}

/// Public items of a file that no doc comment stands before: `LINE: the line`.
fn undocumented(file: &SourceFile) -> Vec<String> {
    let tests = file.text.find("#[cfg(test)]\nmod tests {").unwrap_or(file.text.len());
    let lines: Vec<&str> = file.text[..tests].lines().collect();
    let is_item = |line: &str| {
        let line = line.trim_start();
        // `pub mod` and `pub use` are documented where they lead.
        line.starts_with("pub ") && !line.starts_with("pub mod ") && !line.starts_with("pub use ")
    };
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_item(line)) {
        // Attributes, also over several lines, stand between an item and its doc.
        let before = lines[..at].iter().rev().map(|line| line.trim());
        let mut before = before.skip_while(|line| {
            line.starts_with("#[")
                || line.ends_with(")]")
                || line.ends_with("],")
                || *line == ")]"
                || (line.ends_with(',') && !line.starts_with("pub ") && !line.contains(": "))
        });
        if !before.next().is_some_and(|line| line.starts_with("///") || line.starts_with("//!")) {
            found.push(format!("{}: {}", at + 1, line.trim()));
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_about() {
    let silent: Vec<String> = rust()
        .iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path.clone())
        .collect();
    assert!(silent.is_empty(), "without a doc comment at the top:\n{}", silent.join("\n"));
}

#[test]
fn nothing_is_let_off() {
    for file in rust() {
        for word in ["allow(missing_docs)", "allow(dead_code)", "too_many_arguments", "DESIGN"] {
            assert!(!file.text.contains(word), "{} has {word}", file.path);
        }
    }
}
