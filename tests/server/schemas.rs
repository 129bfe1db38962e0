//! What the properties of events have to be (`[[schema]]`), in whatever format they come.

use serde_json::{Value, json};

use crate::{
    dead_letters::retry,
    door::post_json,
    support::{
        program::{floodmark_output, scratch},
        server::Server,
    },
};

const SCHEMAS: &str = r#"
[[schema]]
type = "search"
mode = "reject"
schema = '{"required": ["words"], "properties": {"words": {"type": "string"}, "hits": {"minimum": 0}}}'

[[schema]]
type = "signup"
schema = '{"properties": {"seats": {"type": "integer"}}}'
"#;

#[test]
fn events_that_break_their_schema_are_refused_or_noted_and_mended_ones_are_taken() {
    let server = Server::with_config(SCHEMAS);
    let (status, answer) = post_json(
        &server,
        r#"[{"type":"search","id":"1","properties":{"words":"shoe","hits":7}},
            {"type":"search","id":"2","properties":{"words":7,"hits":"secret"}},
            {"type":"search","id":"3","properties":{"words":"shoe","hits":-1}},
            {"type":"signup","properties":{"seats":"5"}},
            {"type":"signup","properties":{"seats":"6"}},
            {"type":"page_view"}]"#,
    );
    let refused = |index: usize, message: &str| json!({"index": index, "code": "schema_violated", "message": message});
    let expected = json!([
        refused(1, "properties/words: value is not of type \"string\""),
        refused(2, "properties/hits: value is less than the minimum of 0"),
    ]);
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (202, &json!(4), &expected));
    let note = json!([{"index": 3, "events": 2, "code": "schema_violated",
        "message": "properties/seats: value is not of type \"integer\""}]);
    assert_eq!(answer["notes"], note);

    // A dialect keeps its own words; the event is refused all the same.
    let track = json!({"batch": [{"type": "track", "event": "search", "messageId": "m",
        "anonymousId": "a", "properties": {"word": "shoe"}}]});
    let batch = server.request("POST", "/v1/batch").header("Content-Type", "application/json");
    batch.body(track.to_string()).send().expect("the server answers");
    for line in [
        "floodmark_schema_violations_total{mode=\"warn\"} 2",
        "floodmark_schema_violations_total{mode=\"reject\"} 3",
        "floodmark_events_rejected_total{code=\"schema_violated\"} 3",
    ] {
        assert!(server.has_metric(line), "{line}: {}", server.get_text("/metrics"));
    }
    let letters = || -> Value {
        server.get("/api/analytics/dead-letters?code=schema_violated")["groups"][0].clone()
    };
    server.until("they are dead letters", |_| letters()["count"] == 3);
    assert!(letters()["samples"].to_string().contains("properties/words"), "{}", letters());

    // What is still wrong stays a letter; what is mended is taken.
    let fix = [".properties.words |= tostring", ".properties.hits = 1"].join(" | ");
    let again = retry(&server, &["--code", "schema_violated", "--fix", &fix], None);
    assert_eq!(letters()["count"], 0, "{again:?}");
    server.until("all are stored", |server| server.count("events") == 7);
}

#[test]
fn a_schema_that_can_not_be_used_stops_the_start_with_its_line() {
    let (_folder, path) = scratch("floodmark.toml");
    std::fs::write(&path, "\n[[schema]]\ntype = \"a\"\nschema = '{\"type\":\"txt\"}'\n").unwrap();
    let output = floodmark_output(&["check", "--config", path.to_str().unwrap()]);
    let said =
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("[[schema]]: a: schema: is no JSON Schema") && said.contains(":2"),
        "{said}"
    );
}
