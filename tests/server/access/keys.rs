//! Write keys of the store: what may be sent with each, and who may not send any more.

use serde_json::Value;

use super::{command, post, refused, soon};
use crate::support::{program::scratch, server::Server};

const VIEW: &str = r#"{"type":"page_view"}"#;

#[test]
fn a_key_is_good_from_its_making_to_its_revocation() {
    let server = Server::start();
    let data = server.data();
    assert_eq!(post(&server, "", VIEW), 202, "there is no key yet");
    let key = command(&data, &["keys", "add", "web", "--source", "shop"]);
    assert!(key.starts_with("fm_sk_"), "{key}");
    soon("nobody sends unknown", || post(&server, "", VIEW) == 401);
    assert_eq!(post(&server, &key, VIEW), 202);
    assert_eq!(post(&server, &key.to_lowercase(), VIEW), 401);
    server.until("the source stands at its events", |server| {
        let sql = "SELECT count(*) FROM events WHERE source = 'shop'";
        server.database().query_row(sql, [], |row| row.get::<_, i64>(0)) == Ok(1)
    });
    assert!(server.has_metric(r#"floodmark_events_accepted_total{source="shop"} 1"#));
    // While one takes the place of another, both are good.
    let next = command(&data, &["keys", "add", "web-2", "--source", "shop"]);
    soon("the next key is good", || post(&server, &next, VIEW) == 202);
    command(&data, &["keys", "revoke", "web"]);
    soon("the first is not", || post(&server, &key, VIEW) == 401);
    command(&data, &["keys", "revoke", "web-2"]);
    soon("nor is the next", || post(&server, &next, VIEW) == 401);
    assert_eq!(post(&server, "", VIEW), 401, "and the door does not open again");
    let file = std::fs::read(data.join("floodmark.db")).unwrap();
    let wal = std::fs::read(data.join("floodmark.db-wal")).unwrap_or_default();
    for secret in [&key, &next] {
        let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!is_in(&file) && !is_in(&wal), "a key is kept as it is");
    }
}

#[test]
fn a_key_sends_what_it_is_for_from_where_it_is_for() {
    let server = Server::start();
    let origin = ["--origin", "https://shop.example"];
    let types = ["--event-type", "page_view,click"];
    let args = [&["keys", "add", "web", "--public"][..], &origin, &types].concat();
    let key = command(&server.data(), &args);
    assert!(key.starts_with("fm_pk_"), "{key}");
    soon("nobody sends unknown", || post(&server, "", VIEW) == 401);
    let from = |origin: &str| {
        let request = server.request("POST", "/v1/events").header("Origin", origin);
        let answer = request.header("X-Write-Key", &key).body(VIEW).send().unwrap();
        (answer.status, answer.json())
    };
    assert_eq!(from("https://shop.example").0, 202);
    let (status, answer) = from("https://other.example");
    assert_eq!((status, &answer["error"]["code"]), (403, &Value::from("origin")));
    let request = server.request("POST", "/v1/events").header("X-Write-Key", &key);
    let answer = request.body(r#"[{"type":"purchase"},{"type":"click"}]"#).send().unwrap();
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &Value::from(1)));
    assert_eq!(answer.json()["rejected"][0]["code"], "type_not_allowed");
}

#[test]
fn a_key_has_a_rate_and_in_pages_each_address_has_it() {
    let server = Server::with(&[("FLOODMARK_HTTP__TRUSTED_PROXIES", "127.0.0.1")]);
    let data = server.data();
    let secret = command(&data, &["keys", "add", "back-end", "--events-per-s", "5"]);
    let public = command(&data, &["keys", "add", "web", "--public", "--events-per-s", "5"]);
    soon("nobody sends unknown", || post(&server, "", VIEW) == 401);
    soon("both are known", || post(&server, &public, VIEW) == 202);
    let burst = format!("[{}]", [VIEW; 50].join(","));
    let send = |key: &str, from: &str| {
        let request = server.request("POST", "/v1/events").header("X-Write-Key", key);
        let request = request.header("X-Forwarded-For", from).body(burst.as_bytes());
        request.send().unwrap().status
    };
    assert_eq!(send(&secret, "192.0.2.1"), 202);
    assert_eq!(send(&secret, "192.0.2.2"), 429, "the key's rate is used up, whoever has it");
    assert_eq!(send(&public, "192.0.2.1"), 202);
    assert_eq!(send(&public, "192.0.2.1"), 429);
    assert_eq!(send(&public, "192.0.2.2"), 202, "another visitor of the page");
}

#[test]
fn commands_say_what_there_is_and_what_can_not_be() {
    let (_folder, data) = scratch("data");
    command(&data, &["keys", "add", "web", "--public", "--expires", "1d"]);
    let listed = command(&data, &["keys", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["public"]), (&"web".into(), &true.into()));
    assert!(listed[0]["expiresAt"].is_i64() && listed[0].get("secret").is_none(), "{listed}");
    assert!(command(&data, &["keys", "list"]).starts_with("key web ("));
    assert!(refused(&data, &["keys", "add", "web"]).contains("a key named \"web\" already"));
    assert!(refused(&data, &["keys", "revoke", "nobody"]).contains("no key \"nobody\""));
    assert!(refused(&data, &["keys", "add", "http"]).contains("source"));
    assert!(refused(&data, &["links", "add", "tv"]).contains("add a user first"));
    let audit = command(&data, &["audit"]);
    assert!(audit.contains("command line (") && audit.contains(": add key web"), "{audit}");
}

#[test]
fn a_key_that_is_over_is_refused() {
    let server = Server::start();
    let moment = floodmark::domain::time::rfc3339(floodmark::domain::time::now_ms() + 4000);
    let key = command(&server.data(), &["keys", "add", "web", "--expires", &moment]);
    server.until("it is good", |_| post(&server, &key, VIEW) == 202);
    server.until("it is over", |_| post(&server, &key, VIEW) == 401);
}

/// What clients of four vendors send that have no key: each as its own script does.
#[test]
fn an_id_stands_for_a_public_key_of_the_store() {
    let server = Server::start();
    let data = server.data();
    let ids = ["--id", "shop.example,94db1cb1-74f4-4a40-ad6c-962362670409", "--id", "7,shop-app"];
    let why = refused(&data, &[&["keys", "add", "web"][..], &ids].concat());
    assert!(why.contains("only a public key"), "{why}");
    command(&data, &[&["keys", "add", "web", "--public"][..], &ids].concat());
    let why = refused(&data, &["keys", "add", "other", "--public", "--id", "7"]);
    assert!(why.contains("the key web has the id"), "{why}");
    soon("nobody sends unknown", || post(&server, "", VIEW) == 401);

    let plausible = |domain: &str| {
        let body = serde_json::json!({"n": "pageview", "u": "https://shop.example/", "d": domain});
        let request = server.request("POST", "/api/event").header("Content-Type", "text/plain");
        request.body(body.to_string()).send().unwrap().status
    };
    let umami = |website: &str| {
        let payload =
            serde_json::json!({"website": website, "url": "/", "hostname": "shop.example"});
        let body = serde_json::json!({"type": "event", "payload": payload});
        let request = server.request("POST", "/api/send").header("User-Agent", "Mozilla/5.0");
        let request = request.header("Content-Type", "application/json");
        request.body(body.to_string()).send().unwrap().status
    };
    let matomo = |site: &str| {
        let target =
            format!("/matomo.php?idsite={site}&rec=1&action_name=Shop&url=https://shop.example/");
        server.request("POST", &target).body("").send().unwrap().status
    };
    let snowplow = |app: &str| {
        let data = serde_json::json!([{"e": "pv", "aid": app, "p": "web", "tv": "js-4", "url": "https://shop.example/"}]);
        let schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
        let body = serde_json::json!({"schema": schema, "data": data});
        let path = "/com.snowplowanalytics.snowplow/tp2";
        let request = server.request("POST", path).header("Content-Type", "application/json");
        request.body(body.to_string()).send().unwrap().status
    };
    let good = [
        plausible("shop.example"),
        umami("94db1cb1-74f4-4a40-ad6c-962362670409"),
        matomo("7"),
        snowplow("shop-app"),
    ];
    assert!(good.iter().all(|status| (200..300).contains(status)), "{good:?}");
    let unknown = || [plausible("other.example"), umami("1"), matomo("8"), snowplow("other")];
    assert_eq!(unknown(), [401; 4]);
    server.until("the source has one event of each", |server| {
        let sql = "SELECT count(*) FROM events WHERE source = 'web'";
        server.database().query_row(sql, [], |row| row.get::<_, i64>(0)) == Ok(4)
    });
    command(&data, &["keys", "revoke", "web"]);
    soon("its ids are good no more", || matomo("7") == 401);
}
