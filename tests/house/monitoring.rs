//! What operators are given beside the program names only metrics and alerts that exist.

use std::{collections::BTreeSet, fs};

use super::source::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The metrics of the table in `docs/API.md`, whose completeness another test checks.
fn documented() -> BTreeSet<String> {
    let text = read("docs/API.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `floodmark_"));
    let name = |row: &str| {
        let end = row.find(['{', '`']).expect("a name ends");
        format!("floodmark_{}", &row[..end])
    };
    rows.map(name).collect()
}

/// Every metric of ours that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    let at = text.match_indices("floodmark_").map(|(at, _)| &text[at..]);
    at.map(|rest| rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())].to_owned()).collect()
}

#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let known = documented();
    assert!(known.len() > 40, "{known:?}");
    for path in [
        "deploy/prometheus/floodmark.rules.yml",
        "deploy/grafana/dashboards/floodmark.json",
        "docs/RUNBOOK.md",
    ] {
        let text = read(path);
        for name in named(&text) {
            let base = name.trim_end_matches("_bucket");
            assert!(known.contains(base), "{path} names {name}, which docs/API.md does not have");
        }
    }
    let dashboard = named(&read("deploy/grafana/dashboards/floodmark.json"));
    assert!(dashboard.len() > 25, "{dashboard:?}");
}

#[test]
fn every_alert_has_an_entry_in_the_run_book_and_every_entry_an_alert() {
    let rules = read("deploy/prometheus/floodmark.rules.yml");
    let book = read("docs/RUNBOOK.md");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let entries: Vec<&str> = book.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(alerts, entries, "in the same order");
    for alert in alerts {
        let anchor = format!("runbook: docs/RUNBOOK.md#{}", alert.to_lowercase());
        assert!(rules.contains(&anchor), "{alert} does not lead to its entry");
    }
    for entry in book.split("\n## ").skip(1) {
        let name = entry.lines().next().unwrap_or_default();
        for part in ["**It means**", "**Look at**", "**Do**"] {
            assert!(entry.contains(part), "{name} does not say {part}");
        }
    }
}
