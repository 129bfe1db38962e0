//! Compares the tables of the document (routes, codes, headers, metrics) with the running server
//! and with its source.

use std::{collections::BTreeSet, fmt::Debug, fs, path::Path};

use super::blocks::{PATH, document};
use crate::support::{client::Request, server::Server};

/// Codes that no single request to a healthy server causes, each with the reason.
pub const NOT_SHOWN: &[(&str, &str)] = &[
    ("access_unknown", "the store has to be away since before the start"),
    ("dedupe", "Redis has to fail"),
    ("history_unavailable", "the store has to fail"),
    (
        "incomplete_body",
        "the connection has to end within a body, and then nobody reads the answer",
    ),
    ("import_waits", "another node has to import"),
    ("invalid_query", "today's parser makes a list of parameters of every text"),
    ("new_connection_needed", "the connection has to have sent events before"),
    ("login_busy", "other passwords have to be compared"),
    ("provider_unavailable", "an OpenID provider has to be configured, and away"),
    ("shutting_down", "the server has to be on its way down"),
    ("spool_failed", "the disk has to fail"),
    ("spool_full", "the disk has to be full"),
    ("stopping", "the server has to be on its way down"),
    ("store_unavailable", "the store has to fail"),
    ("tls_expected", "the server has to speak TLS"),
    ("too_many_bytes", "other requests have to be under way"),
    ("too_many_exports", "two other exports have to be under way"),
    ("too_many_identities", "there have to be 1,000 of them"),
    ("too_many_connections", "other connections have to be open"),
];

/// Codes that need so much before them that the page for people does not show them. They come in
/// tests/server/openapi/entering.rs and provoked.rs.
const TOO_LONG: &[(&str, &str)] = &[
    ("too_many_attempts", "ten wrong passwords come before it"),
    ("invalid_configuration", "somebody has to break the server's file"),
    ("rows_removed", "a server has to remove rows of past days, by its settings"),
];

/// Headers that every HTTP server sends, and that have no special meaning here.
const EVERYWHERE: &[&str] = &["connection", "content-length", "date", "transfer-encoding"];

/// The rows of the tables between this heading and the next: cells without backticks.
pub fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let from = document.find(&format!("\n## {heading}\n")).expect("the section is there");
    let section = &document[from + 1..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| {
        row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
    };
    rows.map(cells).collect()
}

/// Panics with the names that only the program has, and those that only the document has.
fn assert_same<T: Ord + Clone + Debug>(what: &str, there: &BTreeSet<T>, named: &BTreeSet<T>) {
    let (missing, surplus) = (there - named, named - there);
    assert!(
        there == named,
        "{what}: {PATH} does not name {missing:?}; it names {surplus:?}, which there are not"
    );
}

fn first_cells(document: &str, heading: &str) -> BTreeSet<String> {
    let rows = table(document, heading);
    let names: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(names.len(), rows.len(), "{PATH}: {heading}: a name stands there twice");
    names
}

/// Checks that the table has every header that was sent or received.
pub fn all_headers_are_named(document: &str, came: &BTreeSet<String>) {
    let named = first_cells(document, "Headers");
    let named: BTreeSet<String> = named.iter().map(|name| name.to_ascii_lowercase()).collect();
    let missing: Vec<_> =
        came.iter().filter(|c| !named.contains(*c) && !EVERYWHERE.contains(&c.as_str())).collect();
    assert!(missing.is_empty(), "{PATH} does not name the headers {missing:?}");
}

/// Checks that every code of the table has come in an answer, or is one of those that can't.
pub fn all_codes_are_shown(document: &str, came: &BTreeSet<String>) {
    let excused = NOT_SHOWN.iter().chain(TOO_LONG).map(|(code, _)| (*code).to_owned());
    let excused: BTreeSet<String> = excused.collect();
    let missing: BTreeSet<String> = &first_cells(document, "Errors") - came;
    assert_same("codes without an example", &missing, &excused);
}

/// Checks that the document has a request for every route of the table.
pub fn all_routes_are_shown(document: &str, sent: &BTreeSet<(String, String)>) {
    for row in table(document, "Routes") {
        let (methods, path) = (&row[0], &row[1]);
        let method = methods.split(", ").next().unwrap_or_default();
        // A variable at the end stands for any text.
        let (start, is_open) =
            path.split_once('{').map_or((path.as_str(), false), |it| (it.0, true));
        let is_one = |sent: &str| sent == start || (is_open && sent.starts_with(start));
        let is_shown = sent.iter().any(|(by, sent)| by == method && is_one(sent));
        assert!(is_shown, "{PATH}: no example of {method} {path}");
    }
}

/// The text of every file of the program, without its tests.
fn sources() -> Vec<String> {
    fn collect(folder: &Path, texts: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("it can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_test = name == "tests" || name == "tests.rs" || name.ends_with("_tests.rs");
            if path.is_dir() && !is_test {
                collect(&path, texts);
            } else if name.ends_with(".rs") && !is_test {
                let text = fs::read_to_string(&path).expect("it can be read");
                let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
                texts.push(text[..end].to_owned());
            }
        }
    }
    let mut texts = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    assert!(texts.len() > 50, "only {} files", texts.len());
    texts
}

/// The texts in quotes whose characters are all allowed.
fn literals(source: &str, is_allowed: impl Fn(char) -> bool) -> Vec<&str> {
    // Splitting at quotes gives the code between two texts as well. That has spaces or brackets in
    // it, so it is never made of allowed characters alone.
    let parts = source.split('"');
    parts.filter(|part| !part.is_empty() && part.chars().all(&is_allowed)).collect()
}

fn is_snake(character: char) -> bool {
    character.is_ascii_lowercase() || character == '_'
}

#[test]
fn the_routes_are_those_of_the_server() {
    let document = document();
    let server = Server::start();
    let sources = sources();
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let texts: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| literals(source, is_path))
        .filter(|text| text.starts_with('/'))
        .collect();
    // A route may hang in a scope whose path is one of these texts, too.
    let joined =
        texts.iter().flat_map(|scope| texts.iter().map(move |path| format!("{scope}{path}")));
    let candidates: BTreeSet<String> =
        texts.iter().map(|text| (*text).to_owned()).chain(joined).collect();
    let mut routes = BTreeSet::new();
    for path in candidates.iter().filter(|path| !path.contains("//")) {
        // No route takes this method, so whatever is there says which it takes.
        let answer = Request::new(server.addr(), "PATCH", path).send().expect("an answer");
        if answer.status != 404 {
            let methods = answer.header("allow").unwrap_or("(none)");
            // Any text is the id of an incident.
            let is_incident = path.starts_with("/incidents/");
            let path = if is_incident { "/incidents/{id}" } else { path.as_str() };
            routes.insert((methods.to_owned(), path.to_owned()));
        }
    }
    let rows = table(&document, "Routes");
    let named: BTreeSet<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_same("routes", &routes, &named);
}

#[test]
fn the_codes_are_those_of_the_source() {
    let document = document();
    let sources = sources();
    let named = first_cells(&document, "Errors");
    let mut codes = BTreeSet::new();
    for source in &sources {
        for call in ["ApiError::new(", "::bad_request(", "::unavailable("] {
            for (at, _) in source.match_indices(call) {
                // The code is the first text among the arguments; one call hands on another's.
                let arguments = source[at..].split(';').next().unwrap_or_default();
                let first = arguments.split('"').nth(1).unwrap_or_default();
                if !first.is_empty() && first.chars().all(is_snake) {
                    codes.insert(first);
                }
            }
        }
        // `=> ("code", seconds)` and `=> "code",`, where a reason is given its code.
        let has_codes = source.contains("fn code(&self)") || source.contains("(code, seconds)");
        for line in source.lines().filter(|_| has_codes) {
            let Some((reason, result)) = line.split_once(" => ") else { continue };
            if reason.ends_with('"') {
                continue; // the label of a metric
            }
            let result = result.trim_start_matches('(');
            if let Some(code) = result.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                codes.insert(code);
            }
        }
        for (at, _) in source.match_indices("\"code\": \"") {
            codes.extend(source[at + 9..].split('"').next());
        }
    }
    let codes: BTreeSet<String> = codes.into_iter().map(str::to_owned).collect();
    assert_same("codes", &codes, &named);
}

#[test]
fn the_metrics_are_those_of_the_source_and_of_the_server() {
    let document = document();
    let mut known = BTreeSet::new();
    for source in sources() {
        for part in source.split("\"floodmark_").skip(1) {
            let name: String = part.chars().take_while(|c| is_snake(*c)).collect();
            known.insert(format!("floodmark_{name}"));
        }
    }
    let rows = first_cells(&document, "Metrics");
    let named: BTreeSet<String> =
        rows.iter().map(|row| row.split('{').next().unwrap_or_default().to_owned()).collect();
    assert_same("metrics", &known, &named);

    let server = Server::start();
    let events = r#"[{"type":"page_view"},{"type":7}]"#;
    Request::post(server.addr(), "/v1/events", events).send().expect("an answer");
    server.until("it is counted", |server| server.current()["pageViews"] == 1);
    let shown = server.get_text("/metrics");
    for line in shown.lines().filter(|line| line.starts_with("floodmark_")) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels: Vec<&str> = labels
            .split(',')
            .filter_map(|label| label.split_once('=').map(|(name, _)| name))
            .filter(|label| *label != "le")
            .collect();
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let with = |name: &str| match labels.is_empty() {
            true => name.to_owned(),
            false => format!("{name}{{{}}}", labels.join(",")),
        };
        let is_named =
            rows.contains(&with(name)) || plain.is_some_and(|name| rows.contains(&with(name)));
        assert!(is_named, "{PATH} does not name {}", with(name));
    }
}
