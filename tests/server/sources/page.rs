//! Runs a page from its first paste to its last row.

use tempfile::TempDir;

use super::{
    paste::{FOLDER, PasteKind, page_text, pastes},
    runner::Runner,
    stored::Stored,
};
use crate::{
    openapi::document::Document,
    support::{certificate, server::Server},
};

/// The server's name in the pages.
const HOST: &str = "floodmark.example";

/// Checks that the paths of a configuration which can't be run are those of routes that take events.
fn leads_to_routes(at: &str, text: &str) {
    let words = text.split(|c: char| c.is_whitespace() || "\"'".contains(c));
    let paths: Vec<String> =
        words.filter_map(|word| word.find("/v1/").map(|from| word[from..].to_owned())).collect();
    assert!(!paths.is_empty(), "{at} leads nowhere");
    let document = Document::load();
    for path in paths {
        assert!(document.operation("POST", &path).is_some(), "{at}: no route is {path}");
    }
}

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
            PasteKind::Config => {}
            PasteKind::NotRun => leads_to_routes(&at, &paste.text),
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
