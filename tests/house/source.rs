//! Reads the project's own files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One Rust file.
pub struct SourceFile {
    /// Relative to the project's root, with slashes: `src/spool/mod.rs`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl SourceFile {
    /// What ships: without comments, and without the unit tests, which stand last in a file.
    pub fn code(&self) -> String {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines();
        lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// Whether all of it is a test.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
    }

    /// The folder below `src/` that it lies in, or its own name where it lies in `src/` itself.
    pub fn room(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }
}

/// The project's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below these folders whose names end in one of `ends`, in the order of their paths.
pub fn files(folders: &[&str], ends: &[&str]) -> Vec<SourceFile> {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| collect(&root().join(folder), ends, &mut found));
    assert!(!found.is_empty(), "nothing in {folders:?}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, ends: &[&str], found: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a folder of the project can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // What npm installs and what builds make is not ours.
            if !matches!(name.as_str(), "node_modules" | "dist" | "target" | "corpus") {
                collect(&path, ends, found);
            }
        } else if ends.iter().any(|end| name.ends_with(end)) {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let relative = path.strip_prefix(root()).expect("below the root");
            found.push(SourceFile { path: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

/// Every Rust file of the library and the program.
pub fn rust() -> Vec<SourceFile> {
    files(&["src"], &[".rs"])
}
