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

/// Every body goes to every path of every dialect, with every type.
#[test]
fn bodies_of_each_dialect() {
    for name in floodmark::fuzz::dialects() {
        run("bodies", |input| {
            for path in 0..16 {
                for kind in 0..6 {
                    floodmark::fuzz::body_of(name, &[&[path, kind][..], input].concat());
                }
            }
        });
    }
}

/// A dialect without a target would be fuzzed by what others find only.
#[test]
fn each_dialect_has_a_target() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let text = std::fs::read_to_string(path).expect("the targets");
    for name in floodmark::fuzz::dialects() {
        let target = format!("name = \"dialect_{}\"", name.replace('-', "_"));
        assert!(text.contains(&target), "fuzz/Cargo.toml has no {target}");
    }
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
