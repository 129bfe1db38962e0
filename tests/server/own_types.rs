//! Which event types have counters of their own, and what is said of those that have none.

use serde_json::{Value, json};

use crate::support::server::Server;

fn post(server: &Server, kinds: &[&str]) {
    let events: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let answer = server.post(json!(events).to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
}

fn counts(server: &Server) -> Value {
    server.current()["counts"].clone()
}

/// The answer for one bucket that holds today.
fn asked(server: &Server, kind: &str) -> Value {
    let month = format!("/api/analytics/timeseries?interval=1mo&hours=1&type={kind}");
    server.get(&month)[0]["count"].clone()
}

#[test]
fn a_counter_goes_on_over_a_restart_and_what_has_none_is_null() {
    let mut server = Server::with(&[("FLOODMARK_LIVE__MAX_EVENT_TYPES", "2")]);
    post(&server, &["chat", "wish", "late", "late", "page_view"]);
    server.until("all are counted", |server| server.current()["events"] == 5);
    assert_eq!(counts(&server), json!({"chat": 1, "wish": 1, "other": 2, "page_view": 1}));
    assert_eq!(server.current()["overflow"], 2);

    for (sent, stops) in [(9, true), (14, false)] {
        if stops {
            server.terminate();
        }
        server.restart();
        // Those come first that had no counter.
        post(&server, &["late", "later", "chat", "chat", "wish"]);
        server.until("all are counted", |server| server.current()["events"] == sent + 1);
    }
    assert_eq!(counts(&server), json!({"chat": 5, "wish": 3, "other": 6, "page_view": 1}));
    assert_eq!(server.current()["overflow"], 6);

    assert_eq!(asked(&server, "chat"), 5);
    assert_eq!(asked(&server, "late"), Value::Null);
    assert_eq!(asked(&server, "never_sent"), Value::Null);
    assert_eq!(asked(&server, "other"), 6);
    assert_eq!(asked(&server, "(other)"), 6);
    // A rule names errors, so they always have a counter.
    assert_eq!(asked(&server, "error"), 0);
    // In a minute without events a type that has a counter is 0, and one that has none is not known.
    let minutes = |kind: &str| -> Vec<Value> {
        let path = format!("/api/analytics/timeseries?interval=1h&hours=2&type={kind}");
        let points = server.get(&path);
        points.as_array().unwrap().iter().map(|point| point["count"].clone()).collect()
    };
    assert!(minutes("chat").iter().all(Value::is_number));
    assert!(minutes("late").contains(&Value::Null));
}

#[test]
fn a_type_that_is_called_other_is_told_from_the_overflow() {
    let server = Server::with(&[("FLOODMARK_LIVE__MAX_EVENT_TYPES", "1")]);
    post(&server, &["other", "other", "surplus"]);
    server.until("all are counted", |server| server.current()["events"] == 3);
    assert_eq!(counts(&server), json!({"other": 3}));
    assert_eq!(server.current()["overflow"], 1);
    assert_eq!(asked(&server, "other"), 3);
    assert_eq!(asked(&server, "(other)"), 1);
}
