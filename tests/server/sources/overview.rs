//! The table of `docs/SOURCES.md` is that of the pages: what a page shows as a row of some type stands in
//! the column of that type, and the words that a cell quotes are those of the page.

use std::{collections::BTreeSet, fs};

use super::{
    paste::{FOLDER, PasteKind, page_text, pastes},
    plain, sdk,
};

const PATH: &str = "docs/SOURCES.md";

fn overview() -> String {
    let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).expect("the overview is there")
}

/// The rows of the table, each as its cells; the first is that of the headings.
fn table(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = |line: &str| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The page that the first cell of a row links to.
fn linked(cell: &str) -> &str {
    let link = cell.split("](sources/").nth(1).and_then(|rest| rest.split(".md)").next());
    link.unwrap_or_else(|| panic!("{PATH}: {cell} links to no page"))
}

#[test]
fn every_page_is_run_and_stands_in_the_table() {
    let run: BTreeSet<String> =
        plain::PAGES.iter().chain(sdk::PAGES).map(|name| (*name).to_owned()).collect();
    let folder = format!("{}/{FOLDER}", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).expect("the pages are there").map(|entry| {
        let name = entry.expect("the pages can be listed").file_name();
        name.to_string_lossy().trim_end_matches(".md").to_owned()
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), run, "{FOLDER} and the tests");
    let text = overview();
    let named = table(&text).iter().skip(1).map(|row| linked(&row[0]).to_owned()).collect();
    assert_eq!(run, named, "{FOLDER} and {PATH}");
}

#[test]
fn the_table_says_what_the_pages_show() {
    let text = overview();
    let table = table(&text);
    let types: Vec<&str> =
        table[0].iter().map(|heading| quoted(heading).next().unwrap_or_default()).collect();
    let mut wrong = Vec::new();
    for row in &table[1..] {
        let name = linked(&row[0]);
        let page = page_text(name);
        let rows: Vec<String> = pastes(name, &page)
            .into_iter()
            .filter(|paste| paste.kind == PasteKind::Rows)
            .map(|paste| paste.text)
            .collect();
        for (kind, cell) in types.iter().zip(row) {
            let is_shown = rows.iter().any(|row| row.contains(&format!("\"type\": \"{kind}\"")));
            if !kind.is_empty() && is_shown == (cell == "–") {
                wrong.push(format!("{name}: {kind} is {cell}, and the page shows otherwise"));
            }
            for word in quoted(cell).filter(|word| !page.contains(word)) {
                wrong.push(format!("{name}: the page does not have {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{PATH} is not true:\n  {}", wrong.join("\n  "));
}
