//! What is never stored, is nowhere: whatever dialect an event came in, neither the store nor the spool, the
//! dead letters nor the log have the address of its visitor or a property that is named.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::server::Server;

const ADDRESS: &str = "203.0.113.77";
const MAIL: &str = "jon@shop.example";

/// A path, headers and a body.
type Sent = (&'static str, Vec<(&'static str, &'static str)>, String);

/// A request of each dialect that may carry an address, with it and with a property `email`.
fn requests() -> Vec<Sent> {
    let json_type = ("Content-Type", "application/json");
    let own =
        json!({"ip": ADDRESS, "email": MAIL, "nested": {"client_ip": ADDRESS, "Email": MAIL}});
    let native = json!({"type": "page_view", "properties": own});
    let refused = json!({"type": "purchase", "id": "o", "properties": own});
    let segment = json!({"batch": [{"type": "track", "event": "Looked", "messageId": "m",
        "anonymousId": "a", "context": {"ip": ADDRESS}, "properties": own}]});
    let posthog = json!({"api_key": "k", "batch": [{"event": "looked", "distinct_id": "d", "uuid": "u",
        "properties": {"$ip": ADDRESS, "email": MAIL}}]});
    let amplitude = json!({"api_key": "k", "events": [{"event_type": "Looked", "device_id": "d",
        "ip": ADDRESS, "event_properties": own}]});
    let mixpanel =
        json!([{"event": "Looked", "properties": {"token": "k", "ip": ADDRESS, "email": MAIL}}]);
    let ga4 = json!({"client_id": "c", "ip_override": ADDRESS,
        "events": [{"name": "looked", "params": own}]});
    let cloud =
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "looked", "data": own});
    let otlp = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "looked",
        "attributes": [{"key": "client.address", "value": {"stringValue": ADDRESS}},
                       {"key": "email", "value": {"stringValue": MAIL}}]}]}]}]});
    let sentry = format!(
        "{}\n{}\n{}\n",
        json!({"event_id": "9ec79c33ec9942ab8353589fcb2e04dc"}),
        json!({"type": "event"}),
        json!({"level": "error", "user": {"id": "7", "ip_address": ADDRESS, "email": MAIL},
               "tags": {"ip": ADDRESS, "email": MAIL}, "message": "broken"}),
    );
    vec![
        ("/v1/events", vec![], native.to_string()),
        ("/v1/events", vec![], refused.to_string()),
        (
            "/v1/events",
            vec![],
            format!(
                "[{{\"type\":\"a\"}},{{\"type\":NaN,\"ip\":\"{ADDRESS}\",\"email\":\"{MAIL}\"}}]"
            ),
        ),
        ("/v1/batch", vec![json_type], segment.to_string()),
        ("/batch/", vec![json_type], posthog.to_string()),
        ("/2/httpapi", vec![json_type], amplitude.to_string()),
        ("/track", vec![json_type], mixpanel.to_string()),
        ("/mp/collect?measurement_id=G-1&api_secret=k", vec![json_type], ga4.to_string()),
        (
            "/v1/cloudevents",
            vec![("Content-Type", "application/cloudevents+json")],
            cloud.to_string(),
        ),
        ("/v1/logs", vec![json_type], otlp.to_string()),
        ("/api/1/envelope/?sentry_key=k", vec![], sentry),
        (
            "/matomo.php?idsite=1&rec=1&cip=203.0.113.77&url=https://shop.example/",
            vec![],
            String::new(),
        ),
    ]
}

/// The files below a folder that have one of the texts.
fn files_with(dir: &Path, texts: &[&str], found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("the data dir").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, texts, found);
            continue;
        }
        // A file may go while it is looked for, as a segment does.
        let bytes = fs::read(&path).unwrap_or_default();
        let has = |text: &&&str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
        found.extend(texts.iter().find(has).map(|text| format!("{}: {text}", path.display())));
    }
}

fn send_all(server: &Server) {
    for (path, headers, body) in requests() {
        let mut request = server.request("POST", path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().expect("an answer");
        assert!(answer.status < 500, "{path}: {answer:?}");
    }
    server.until("all are stored", |server| {
        server.count("events") == 11 && server.count("dead_letters") == 2
    });
}

#[test]
fn what_is_never_stored_is_in_no_file() {
    let server = Server::with_config("[privacy]\nnever_store = ['email']\n");
    send_all(&server);
    let mut found = Vec::new();
    files_with(&server.data(), &[ADDRESS, MAIL], &mut found);
    // The configuration and the names of the test's own files have neither.
    assert_eq!(found, Vec::<String>::new());
    // Kept, it is found.
    let server = Server::with_config("[privacy]\nip = 'keep'\n");
    send_all(&server);
    files_with(&server.data(), &[ADDRESS], &mut found);
    assert!(!found.is_empty());
}

#[test]
fn addresses_are_cut_or_kept_where_the_shop_wants_that() {
    let of = |word: &str| -> Vec<String> {
        let server = Server::with_config(&format!("[privacy]\nip = '{word}'\n"));
        send_all(&server);
        let database = server.database();
        let sql = "SELECT properties ->> '$.ip' FROM events WHERE type = 'page_view' AND dialect = 'native'";
        let mut select = database.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(of("cut"), ["203.0.113.0"]);
    assert_eq!(of("keep"), [ADDRESS]);
}
