//! What the dashboard reads, against `tests/golden/*.json`: one file for each route and frame, in
//! which every key is as the real server writes it. `dashboard/test/golden.test.ts` reads the same
//! files with the page's parsers, so neither side can change a shape alone.
//!
//! A shape is the set of JSON types at each path, `firing[].since: number` for example. The values
//! are free: the server's differ in every run. After a change of a shape, edit the file by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use crate::support::{
    client::WebSocket,
    program::PATIENCE,
    server::Server,
    viewer::{frame, watch},
};
use serde_json::{Value, json};

/// The rules of two alerts, of which one clears soon after it fired.
const RULES: &str = "
    [[alert]]
    name = 'many_errors'
    metric = 'errors'
    severity = 'critical'
    window = '10m'
    above = 3
    for = '1s'
    explain = ['error/gateway']

    [[alert]]
    name = 'burst_of_errors'
    metric = 'errors'
    severity = 'warning'
    window = '10s'
    above = 3
    for = '1s'
    clear_for = '1s'
    explain = ['error/gateway']
";

/// Objects whose keys are names and not fields, by the end of their path: any name may stand there.
const MAPS: [&str; 5] = ["counts", "metrics", "currencies", "currencies.*", "leftOut"];

/// What may be on one side only: (file, path, type), where a key that is left out has the type
/// `absent`. Each has its reason.
const OPTIONAL: [(&str, &str, &str); 15] = [
    // Frames and `/current` say how far the numbers lag behind only while they do.
    ("current", "behindMs", "number"),
    ("snapshot", "behindMs", "number"),
    ("snapshot", "snapshot.behindMs", "number"),
    ("delta", "behindMs", "number"),
    ("delta", "behindMs", "absent"),
    // A delta has what has changed.
    ("delta", "alerts", "absent"),
    ("delta", "marks", "absent"),
    ("delta", "seconds", "absent"),
    ("delta", "minutes", "absent"),
    // A ratio is null while it divides by nothing, which depends on what else has come in.
    ("current", "metrics.*", "null"),
    ("snapshot", "snapshot.metrics.*", "null"),
    // Only a rule that compares has a baseline and its name; the rules of this test have a fixed
    // limit.
    ("alerts", "firing[].baseline", "number"),
    ("alerts", "firing[].against", "string"),
    ("delta", "alerts.firing[].baseline", "number"),
    ("delta", "alerts.firing[].against", "string"),
];

/// The types at each path. A key that only some of the objects have also has the type `absent`.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

/// Adds the shapes of these values, which all stand at `path`.
fn add(shape: &mut Shape, path: &str, values: &[&Value]) {
    let types = values.iter().map(|value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    });
    shape.entry(path.to_owned()).or_default().extend(types);
    let elements: Vec<&Value> = values.iter().filter_map(|it| it.as_array()).flatten().collect();
    if !elements.is_empty() {
        add(shape, &format!("{path}[]"), &elements);
    }
    let objects: Vec<_> = values.iter().filter_map(|value| value.as_object()).collect();
    let is_map = MAPS.iter().any(|map| path == *map || path.ends_with(&format!(".{map}")));
    for key in objects.iter().flat_map(|object| object.keys()).collect::<BTreeSet<_>>() {
        let found: Vec<&Value> = objects.iter().filter_map(|object| object.get(key)).collect();
        let name = if is_map { "*" } else { key };
        let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        add(shape, &inner, &found);
        if !is_map && found.len() < objects.len() {
            shape.entry(inner).or_default().insert("absent");
        }
    }
}

/// The differences between the golden file of this name and the server's answer.
fn differences(file: &str, said: &[Value]) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let golden: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let (mut expected, mut found) = (Shape::new(), Shape::new());
    add(&mut expected, "", &[&golden]);
    add(&mut found, "", &said.iter().collect::<Vec<_>>());
    let types = |shape: &Shape| -> BTreeSet<(String, &'static str)> {
        let each = shape.iter().flat_map(|(path, types)| types.iter().map(move |it| (path, it)));
        each.map(|(path, kind)| (path.clone(), *kind))
            .filter(|(path, kind)| !OPTIONAL.contains(&(file, path.as_str(), *kind)))
            .collect()
    };
    let (expected, found) = (types(&expected), types(&found));
    let line = |side: &str, (path, kind): &(String, &str)| {
        format!("tests/golden/{file}.json: `{path}: {kind}` only in {side}")
    };
    let missing = expected.difference(&found).map(|it| line("the file", it));
    let new = found.difference(&expected).map(|it| line("the server's answer", it));
    missing.chain(new).collect()
}

/// Sends one event of each kind, and enough errors for an alert.
fn post_events(server: &Server) -> usize {
    let error = json!({"type": "error", "sessionId": "s1",
        "properties": {"code": "E42", "gateway": "adyen", "path": "/checkout/pay"}});
    let ten_minutes_ago = floodmark::domain::time::now_ms() - 10 * 60_000;
    let mut events = vec![
        json!({"type": "page_view", "sessionId": "s1", "properties": {"path": "/sale"}}),
        json!({"type": "page_view", "sessionId": "s2", "timestamp": ten_minutes_ago}),
        json!({"type": "purchase", "sessionId": "s1",
            "properties": {"amount": 19.99, "currency": "USD", "gateway": "paypal"}}),
        json!({"type": "purchase", "sessionId": "s1",
            "properties": {"amount": 10, "currency": "GBP", "gateway": "paypal"}}),
    ];
    events.extend(vec![error; 8]);
    let answer = server
        .request("POST", "/v1/events")
        .header("Content-Type", "application/json")
        .body(json!(events).to_string())
        .send()
        .expect("the server answers");
    assert_eq!(answer.status, 202, "{answer:?}");
    events.len()
}

/// Reads deltas up to the one in which an alert fires.
fn deltas_to_alert(viewer: &mut WebSocket) -> Vec<Value> {
    let (begin, mut deltas) = (Instant::now(), Vec::new());
    loop {
        let delta = frame(viewer);
        assert_eq!(delta["type"], "delta");
        let fires = delta["alerts"]["firing"].as_array().is_some_and(|firing| !firing.is_empty());
        deltas.push(delta);
        if fires {
            return deltas;
        }
        assert!(begin.elapsed() < PATIENCE, "no alert fires");
    }
}

#[test]
fn what_the_server_says_has_the_shape_that_the_dashboard_reads() {
    let server = Server::with_config(RULES);
    let mut viewer = watch(&server, "");
    assert_eq!(frame(&mut viewer)["type"], "snapshot");
    let until = floodmark::domain::time::now_ms() + 1_000;
    let whole = json!({"title": "deploy 4f2c", "until": until, "link": "https://ci.example/run/7"});
    for body in [json!({"title": "sale"}), whole] {
        assert_eq!(crate::marks::mark(&server, &body).status, 201);
    }
    let sent = post_events(&server);
    let deltas = deltas_to_alert(&mut viewer);
    server.until("all are counted", |server| server.current()["events"] == sent);
    let snapshot = frame(&mut watch(&server, ""));
    assert_eq!(snapshot["type"], "snapshot");
    server.until("one alert is over", |server| {
        server.get("/api/analytics/alerts")["history"] != json!([])
    });

    let get = |path: &str| vec![server.get(&format!("/api/analytics/{path}"))];
    let said = [
        ("current", get("current")),
        ("metrics", get("metrics")),
        ("timeseries", get("timeseries?metric=checkout_error_rate&hours=1")),
        ("breakdown", get("breakdown?type=error&property=gateway&minutes=15")),
        ("breakdowns", get("breakdowns?minutes=15")),
        ("alerts", get("alerts")),
        ("snapshot", vec![snapshot]),
        ("delta", deltas),
    ];
    let all: Vec<String> = said.iter().flat_map(|(file, said)| differences(file, said)).collect();
    assert!(all.is_empty(), "the shapes differ:\n{}", all.join("\n"));
}
