//! Visitors who refuse to be analysed: what they do counts, and nothing says who they are.

use serde_json::{Value, json};

use super::{files_with, has};
use crate::support::server::Server;

/// What would say who somebody is.
const WHO: &str = "visitor-4711";

fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: &Value) -> String {
    let mut request = server.request("POST", path).header("Content-Type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.body(body.to_string()).send().expect("the server answers");
    assert!(answer.status < 300, "{path}: {answer:?}");
    answer.text().to_owned()
}

/// The stored events: type, whether they have a user and a session, and their properties.
fn rows(server: &Server) -> Vec<(String, bool, bool, String)> {
    let database = server.database();
    let sql = "SELECT type, user_id IS NOT NULL, session_id IS NOT NULL, properties FROM events ORDER BY type";
    let mut select = database.prepare(sql).unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// An event of Segment, with what its visitor chose.
fn segment(kind: &str, event: &str, consent: &Value) -> Value {
    json!({"type": kind, "event": event, "messageId": event, "userId": WHO, "anonymousId": WHO,
        "context": consent, "traits": {"email": WHO, "plan": WHO},
        "properties": {"total": 59.97, "order_id": "o-1", "email": WHO}})
}

#[test]
fn what_refusing_visitors_do_counts_and_nobody_knows_them() {
    let mut server = Server::with_config("");
    let order = json!({"type": "purchase", "id": "o-9", "userId": WHO, "sessionId": WHO,
        "properties": {"amount": 10, "customer": {"name": WHO}, "device_id": WHO, "gateway": "card"}});
    let answer = send(&server, "/v1/events", &[("Sec-GPC", "1")], &order);
    assert!(answer.contains("identity_dropped"), "{answer}");
    let refused = json!({"type": "purchase", "userId": WHO, "properties": {"email": WHO}});
    let answer = server.request("POST", "/v1/events").header("Sec-GPC", "1");
    assert_eq!(answer.body(refused.to_string()).send().unwrap().status, 422);

    let no = |category: &str| json!({"consent": {"categoryPreferences": {category: false, "Other": true}}});
    let rudder =
        json!({"consentManagement": {"deniedConsentIds": ["c0002"], "allowedConsentIds": []}});
    let batch = json!({"batch": [
        segment("track", "Order Completed", &no("Analytics")),
        segment("track", "Looked", &rudder),
        segment("identify", "", &no("performance")),
    ]});
    send(&server, "/v1/batch", &[], &batch);
    let gtag = format!("/g/collect?tid=G-1&en=page_view&cid={WHO}&sid={WHO}&uid={WHO}&gcs=G110");
    send(&server, &gtag, &[], &Value::Null);
    let protocol = json!({"client_id": WHO, "user_id": WHO, "consent": {"analytics_storage": "DENIED"},
        "events": [{"name": "measured", "params": {"session_id": WHO, "coupon": "X"}}]});
    send(&server, "/mp/collect?api_secret=k", &[], &protocol);

    server.until("they are stored", |server| {
        (server.count("events"), server.count("dead_letters")) == (6, 1)
    });
    server.until("orders count", |server| server.current()["revenue"] == json!(69.97));
    assert_eq!(server.current()["purchases"], 2);
    assert_eq!(server.current()["activeUsers"], 0);
    for (kind, has_user, has_session, properties) in rows(&server) {
        assert!(!has_user && !has_session, "{kind} {properties}");
    }
    let purchase = rows(&server).iter().any(|row| row.3.contains(r#""gateway":"card""#));
    assert!(purchase, "{:?}", rows(&server));
    for (signal, events) in [("gpc", 1), ("dnt", 0), ("consent", 5)] {
        let name = "floodmark_events_without_identity_total";
        assert!(server.has_metric(&format!("{name}{{signal=\"{signal}\"}} {events}")), "{signal}");
    }
    server.terminate();
    let mut found = Vec::new();
    files_with(&server.data(), &[WHO], &mut found);
    found.extend(has(server.log().as_bytes(), &[WHO], "the log"));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn who_refuses_nothing_is_known_and_the_shop_decides_what_a_refusal_is() {
    let looked = json!({"type": "looked", "userId": WHO, "sessionId": WHO});
    let known = |config: &str, headers: &[(&str, &str)]| {
        let server = Server::with_config(config);
        send(&server, "/v1/events", headers, &looked);
        let ads =
            json!({"consent": {"categoryPreferences": {"Advertising": false, "Analytics": true}}});
        send(&server, "/v1/batch", &[], &json!({"batch": [segment("track", "Read", &ads)]}));
        server.until("they are stored", |server| server.count("events") == 2);
        rows(&server).iter().map(|row| row.1 && row.2).collect::<Vec<_>>()
    };
    assert_eq!(known("", &[]), [true, true]);
    assert_eq!(known("", &[("DNT", "1"), ("Sec-GPC", "0")]), [true, true]);
    assert_eq!(known("privacy.respect_dnt = true", &[("DNT", "1")]), [true, false]);
    let ads = "privacy.respect_gpc = false\nprivacy.consent_categories = ['advertising']";
    assert_eq!(known(ads, &[("Sec-GPC", "1")]), [false, true]);
}
