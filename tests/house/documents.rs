//! What documents and comments name must exist: keys of the configuration, and paths of the tree.

use std::{collections::BTreeSet, fs, path::Path};

use super::source::{SourceFile, files, root};

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
        texts.push(SourceFile { path: name.to_owned(), text });
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

#[test]
fn every_path_that_is_named_exists() {
    let tree = tree();
    let mut named = 0;
    let mut missing = Vec::new();
    for file in documents().iter().chain(&files(&["src", "tests"], &[".rs"])) {
        let is_code = file.path.ends_with(".rs");
        for (number, line) in file.text.lines().enumerate() {
            if is_code && !line.trim_start().starts_with("//") {
                continue;
            }
            let in_code = line.split('`').skip(1).step_by(2);
            // A comment may name a path without backticks: (tests/support/mod.rs).
            let bare = line.split([' ', '`', '(', ')']).filter(|_| is_code);
            for path in in_code.chain(bare).filter_map(|word| as_path(word, &tree)) {
                // The recipes of CONTRIBUTING.md call a file that is yet to be written NAME.
                if path.contains("NAME") {
                    continue;
                }
                named += 1;
                if !path_exists(path, &file.path, &tree) {
                    missing.push(format!("{}:{}: `{path}`", file.path, number + 1));
                }
            }
        }
    }
    assert!(named > 100, "only {named} paths are named: does the search still work?");
    assert!(missing.is_empty(), "paths that are not in the tree:\n{}", missing.join("\n"));
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut missing = Vec::new();
    for file in documents() {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for link in file.text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let is_ours = !target.is_empty() && !target.contains("://");
            if is_ours && !root().join(folder).join(target).exists() {
                missing.push(format!("{}: {target}", file.path));
            }
        }
    }
    assert!(missing.is_empty(), "links that lead nowhere:\n{}", missing.join("\n"));
}

/// All Markdown files that people read.
fn documents() -> Vec<SourceFile> {
    let mut found = files(&["docs", "examples"], &[".md"]);
    for entry in fs::read_dir(root()).expect("the root can be listed") {
        let path = entry.expect("the root can be listed").path();
        if path.extension().is_some_and(|end| end == "md") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
            found.push(SourceFile { path: name, text });
        }
    }
    found
}

/// Every file and folder of the tree, relative to the root. What builds and npm make is left out.
fn tree() -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut BTreeSet<String>) {
        let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder of the project can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if matches!(name.as_str(), "node_modules" | "dist" | "target" | ".git") {
                continue;
            }
            let relative = path.strip_prefix(root()).expect("below the root");
            found.insert(relative.to_string_lossy().replace('\\', "/"));
            if path.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&root(), &mut found);
    found
}

/// The path that stands between two backticks, if it is one of this tree: it begins with a folder of
/// the root, or it has a folder in it and ends as our source files do (`http/mod.rs`). `serve` and
/// `text/plain` are no paths, and what a build makes (`target/…`) is not in the tree.
fn as_path<'a>(word: &'a str, tree: &BTreeSet<String>) -> Option<&'a str> {
    // `load-tests/run black-friday` is a command, `src/fuzz.rs::native` names an item of a file.
    let path = word.split([' ', ':']).next()?.trim_end_matches(['/', '.', ',', ';']);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-*{},".contains(c);
    let (first, _) = word.split_once('/')?;
    if !path.chars().all(is_plain) {
        return None;
    }
    let source =
        [".rs", ".ts", ".tsx", ".mjs", ".sh", ".sql"].iter().any(|end| path.ends_with(end));
    let in_root = root().join(first).is_dir() && tree.contains(first);
    (in_root || (source && path.contains('/') && !path.starts_with('/'))).then_some(path)
}

/// Whether a file or folder has this path from the root, from `src/` or from the folder of the file
/// that names it. Alternatives in braces must all exist; a star stands for any part of one name.
fn path_exists(path: &str, named_in: &str, tree: &BTreeSet<String>) -> bool {
    let beside = named_in.rsplit_once('/').map_or("", |(folder, _)| folder);
    alternatives(path).iter().all(|path| {
        let places = [path.clone(), format!("src/{path}"), format!("{beside}/{path}")];
        places.iter().any(|place| tree.contains(place) || tree.iter().any(|file| fits(place, file)))
    })
}

/// A path with alternatives in braces, written out: a{b,c}d is abd and acd.
fn alternatives(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((inner, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    let each = inner.split(',').map(|one| format!("{before}{one}{after}"));
    each.flat_map(|one| alternatives(&one)).collect()
}

/// Whether a pattern with stars fits a path, name by name.
fn fits(pattern: &str, path: &str) -> bool {
    if !pattern.contains('*') || pattern.split('/').count() != path.split('/').count() {
        return false;
    }
    pattern.split('/').zip(path.split('/')).all(|(pattern, name)| match pattern.split_once('*') {
        None => pattern == name,
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
    })
}
