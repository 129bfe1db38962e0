//! Files and functions that can be read at once, and lie where one looks for them.

use super::source::{SourceFile, files};

/// Lines of a file, at most.
const FILE: usize = 400;
/// Lines of a function, at most, from its signature to its last brace.
const FUNCTION: usize = 80;
/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

fn sources() -> Vec<SourceFile> {
    files(
        &["src", "tests", "benches", "examples", "dashboard/src"],
        &[".rs", ".ts", ".tsx", ".css"],
    )
}

#[test]
fn no_file_is_longer_than_one_can_hold_in_mind() {
    let long: Vec<String> = sources()
        .iter()
        .map(|file| (file.path.clone(), file.text.lines().count()))
        .filter(|(path, lines)| *lines > FILE && !LONGER.iter().any(|(known, _)| known == path))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(
        long.is_empty(),
        "over {FILE} lines; split them along their ideas:\n{}",
        long.join("\n")
    );
    for (path, reason) in LONGER {
        let file = sources().into_iter().find(|file| file.path == *path);
        let lines = file.map_or(0, |file| file.text.lines().count());
        assert!(lines > FILE, "{path} is no exception any more ({reason}): take it off the list");
    }
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for file in sources().iter().filter(|file| file.path.ends_with(".rs")) {
        for (name, at, lines) in functions(&file.text) {
            if lines > FUNCTION {
                long.push(format!("{}:{at}: {name} has {lines} lines", file.path));
            }
        }
    }
    assert!(long.is_empty(), "over {FUNCTION} lines:\n{}", long.join("\n"));
}

/// Every function: (name, first line, lines). rustfmt puts the closing brace below the `fn`.
fn functions(text: &str) -> Vec<(&str, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closes = |line: &&str| line.len() == indent + 1 && line.ends_with('}');
        let is_whole =
            |line: &&str| line.trim_end().ends_with(';') || line.trim_end().ends_with('}');
        // A declaration in a trait, or a function on one line.
        if is_whole(line) {
            continue;
        }
        if let Some(end) = lines[at..].iter().position(closes) {
            found.push((name, at + 1, end + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let words = line.trim_start();
    let before = words.find("fn ")?;
    let is_signature = words[..before].split_whitespace().all(|word| {
        matches!(word, "pub" | "async" | "const" | "unsafe" | "extern") || word.starts_with("pub(")
    });
    let name = words[before + 3..].split(['(', '<']).next()?;
    (is_signature && !name.is_empty()).then_some(name)
}

#[test]
fn functions_are_found_with_their_length() {
    let text = "impl A {\n    pub async fn one(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n}\n\
                fn two() {}\nfn three<T>() {\n    let f = || {\n    };\n}\n";
    assert_eq!(functions(text), [("one", 2, 5), ("three", 9, 4)]);
}

#[test]
fn a_module_with_parts_is_a_folder_and_its_tests_are_called_tests() {
    let rust = files(&["src"], &[".rs"]);
    let paths: Vec<&str> = rust.iter().map(|file| file.path.as_str()).collect();
    let mut wrong = Vec::new();
    for path in &paths {
        let folder = format!("{}/", path.trim_end_matches(".rs"));
        if paths.iter().any(|other| other.starts_with(&folder)) {
            wrong.push(format!("{path}: its parts lie in {folder}, so it is {folder}mod.rs"));
        }
        if path.ends_with("_tests.rs") {
            wrong.push(format!("{path}: the tests of a module are tests.rs beside it"));
        }
    }
    assert!(wrong.is_empty(), "another layout than elsewhere:\n{}", wrong.join("\n"));
}
