//! Checks that `docs/IMPORT.md` is true: its commands are run, in their order, against a real server, and each line that
//! the page shows stands in what they print.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use crate::support::{program::this_version, server::Server};

const PATH: &str = "docs/IMPORT.md";

/// The files of the commands, and the exports that stand for them.
const FILES: &[(&str, &str)] = &[("orders_export.csv", "shopify.csv"), ("own.csv", "own.csv")];

/// The blocks of a page: the language and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => blocks.push((language.to_owned(), String::new())),
            (Some(_), true) => {}
            (None, true) => {
                let (_, text) = blocks.last_mut().expect("one is open");
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
        open ^= line.starts_with("```");
    }
    blocks
}

#[test]
fn the_commands_of_the_page_print_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join(PATH)).expect("the page is there");
    let server = Server::with(&[("FLOODMARK_AUTH__WRITE_KEYS", "write_key")]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(this_version(), folder.path().join("floodmark")).expect("a link");
    for (name, export) in FILES {
        std::fs::copy(root.join("tests/exports").join(export), folder.path().join(name))
            .expect("a copy");
    }
    let (mut printed, mut shown) = (String::new(), 0);
    for (language, text) in blocks(&page) {
        match language.as_str() {
            "toml" => {
                std::fs::write(folder.path().join("own.toml"), text).expect("it can be written")
            }
            "sh" => {
                let line = text.replace("https://floodmark.example", &server.url());
                let path = format!("{}:/usr/bin:/bin", folder.path().display());
                let output = Command::new("sh")
                    .args(["-c", &line])
                    .current_dir(folder.path())
                    .env("PATH", path)
                    .output()
                    .expect("sh");
                // A row of each file can't be read.
                assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
                printed = String::from_utf8(output.stdout).expect("text");
            }
            "text" => {
                for line in text.lines() {
                    assert!(
                        printed.lines().any(|known| known == line),
                        "{line:?} is not in\n{printed}"
                    );
                    shown += 1;
                }
            }
            other => panic!("{PATH} has a block of {other:?}"),
        }
    }
    assert!(shown >= 15, "{shown} lines");
    assert_eq!(server.count("events"), 5);
}
