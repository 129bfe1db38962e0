//! Runs a page from its first paste to its last row.

use tempfile::TempDir;

use super::{
    paste::{FOLDER, PasteKind, page_text, pastes},
    runner::Runner,
    stored::Stored,
};
use crate::support::{certificate, server::Server};

/// The server's name in the pages.
const HOST: &str = "floodmark.example";

/// Runs the pastes of a page in their order, and compares what is stored with its rows.
pub fn check(name: &str) {
    let text = page_text(name);
    let pastes = pastes(name, &text);
    let folder = TempDir::new().expect("a temporary folder");
    let (certificate, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));
    certificate::make(&certificate, &key);
    let config = pastes.iter().find(|paste| paste.kind == PasteKind::Config);
    let config = config.map(|paste| paste.text.as_str()).unwrap_or_default();
    let tls = format!("[tls]\ncert = {certificate:?}\nkey = {key:?}\n");
    let mut server = Server::with_config(&format!("{config}\n\n{tls}"));
    let host = format!("localhost:{}", server.addr().port());
    let mut stored = Stored::of(&server.data());
    let mut runner = Runner { certificate, folder: folder.path().to_owned(), pages: Vec::new() };
    let mut rows = 0;
    for paste in &pastes {
        let at = format!("{FOLDER}/{name}.md:{}", paste.line);
        match paste.kind {
            PasteKind::Config | PasteKind::NotRun => {}
            PasteKind::Rows => {
                let found = stored.compare(&paste.text);
                assert!(found.is_empty(), "{at} is not true:\n  {}", found.join("\n  "));
                rows += 1;
            }
            _ => {
                println!("{at}");
                let mut paste = paste.clone();
                paste.text = paste.text.replace(HOST, &host);
                runner.run(&paste);
            }
        }
    }
    assert!(rows > 0, "{FOLDER}/{name}.md shows no rows");
    runner.pages.clear();
    server.terminate();
    let rest = stored.rest();
    assert!(rest.is_empty(), "{FOLDER}/{name}.md does not show {rest:?}");
}
