//! The corpus in `tests/corpus/` holds inputs that decoders may stumble over. Each goes through the
//! function that the fuzzer calls with inputs of its own (`src/fuzz.rs`). An input that a fuzzer
//! finds is added to the corpus with its fix.

use std::path::Path;

/// Runs every file of a folder of the corpus; says which of them failed.
fn run(of: &str, target: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(of);
    let mut failed = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus").flatten() {
        let input = std::fs::read(entry.path()).expect("an input");
        files += 1;
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            failed.push(entry.file_name());
        }
    }
    assert!(files > 5, "{files} inputs");
    assert!(failed.is_empty(), "{failed:?} of {of}; what they said is above");
}

#[test]
fn native() {
    run("native", floodmark::fuzz::native);
}

#[test]
fn ndjson() {
    run("ndjson", floodmark::fuzz::ndjson);
}

#[test]
fn dialects() {
    run("dialects", floodmark::fuzz::dialect);
}

#[test]
fn unpack() {
    run("unpack", floodmark::fuzz::unpack);
}

#[test]
fn encoded_rows() {
    run("encoded_rows", floodmark::fuzz::encoded_rows);
}

#[test]
fn delta() {
    run("delta", floodmark::fuzz::delta);
}

#[test]
fn segment() {
    run("segment", |input| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        floodmark::fuzz::segment(input, dir.path());
    });
}
