//! What senders of all kinds do, seen from outside: other types, names, encodings, notations of time
//! and money. Each is taken as it was meant.

use std::io::Write;

use serde_json::json;

use crate::support::{client::Answer, server::Server};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("to memory");
    encoder.finish().expect("to memory")
}

fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = server.request("POST", path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(body).send().expect("the server answers")
}

#[test]
fn whatever_a_body_is_called_and_however_it_is_packed() {
    let server = Server::start();
    let one = br#"{"type":"page_view"}"#;
    let lines = b"\xef\xbb\xbf{\"type\":\"page_view\"}\r\n\xef\xbb\xbf{\"type\":\"page_view\"}\n\0";
    let (twice, packed) = (gzip(&gzip(one)), gzip(one));
    let mut expected = 0;
    for (path, headers, body, accepted) in [
        ("/v1/events/", vec![], &one[..], 1),
        ("//v1/events", vec![], one, 1),
        ("/v1/events", vec![("Content-Type", "text/json; charset=utf-8")], one, 1),
        ("/v1/events", vec![("Content-Type", "application/vnd.shop+json")], one, 1),
        ("/v1/events", vec![("Content-Type", "application/jsonlines")], lines, 2),
        ("/v1/events", vec![("Content-Type", "application/json")], lines, 2),
        ("/v1/events", vec![("Content-Type", "text/plain")], lines, 2),
        ("/v1/events", vec![("Content-Encoding", "gzip, gzip")], &twice, 1),
        ("/v1/events", vec![("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")], &twice, 1),
        ("/v1/events", vec![("Content-Encoding", "identity, gzip")], &packed, 1),
    ] {
        let answer = send(&server, path, &headers, body);
        assert_eq!(answer.status, 202, "{path} {headers:?} {answer:?}");
        assert_eq!(answer.json()["accepted"], accepted, "{path} {headers:?} {answer:?}");
        expected += accepted;
    }
    let many = [("Content-Encoding", "gzip, gzip, gzip")];
    assert_eq!(send(&server, "/v1/events", &many, &gzip(&twice)).status, 415);
    server.until("all are stored", |server| server.count("events") == expected);
}

#[test]
fn one_event_that_is_no_json_costs_no_other() {
    let server = Server::start();
    let good = r#"{"type":"page_view"}"#;
    for bad in [
        &b"{\"type\":\"a\",\"properties\":{\"x\":NaN}}"[..],
        b"{\"type\":\"\xff\"}",
        b"{\"type\":\"\x01\"}",
    ] {
        let list = [b"[", good.as_bytes(), b",", bad, b"]"].concat();
        let batch = [b"{\"batch\":", &list[..], b",\"sentAt\":\"never\"}"].concat();
        for body in [list, batch] {
            let answer = send(&server, "/v1/events", &[], &body).json();
            assert_eq!(
                (&answer["accepted"], &answer["rejected"][0]["code"]),
                (&json!(1), &json!("malformed"))
            );
        }
    }
    let cut = format!("[{good},{{\"type\":NaN}},{good}");
    assert_eq!(send(&server, "/v1/events", &[], cut.as_bytes()).status, 400, "it is not whole");
    server.until("the good ones are stored", |server| server.count("events") == 6);
}

#[test]
fn money_and_time_are_counted_as_they_were_meant() {
    let server = Server::with_config("[rates]\nJPY = 0.01\n");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let (s, us, ns) = (now.as_secs(), now.as_micros(), now.as_nanos());
    let body = format!(
        r#"[{{"type":"purchase","timestamp":{s},"properties":{{"amount":1}}}},
            {{"type":"purchase","timestamp":"{s}","properties":{{"amount":2}}}},
            {{"type":"purchase","timestamp":{us},"properties":{{"amount":4}}}},
            {{"type":"purchase","timestamp":{ns},"properties":{{"amount":8}}}},
            {{"type":"purchase","timestamp":0,"properties":{{"amount":16}}}},
            {{"type":"purchase","properties":{{"amount":5000,"currency":{{"code":"JPY"}}}}}},
            {{"type":"purchase","properties":{{"amount":5000,"currency":["JPY"]}}}},
            {{"type":"purchase","properties":{{"amount":5,"amount":32}}}},
            {{"type":"refund","properties":{{"amount":-3}}}},
            {{"type":"purchase","userId":{{"id":7}},"properties":{{"amount":64}}}}]"#
    );
    let answer = send(&server, "/v1/events", &[], body.as_bytes()).json();
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["index"]), (&json!(9), &json!(6)));
    assert_eq!(answer["rejected"][0]["code"], "invalid_amount");
    let codes = answer["notes"].as_array().unwrap().iter().map(|note| note["code"].clone());
    assert_eq!(
        codes.collect::<Vec<_>>(),
        ["timestamp_replaced", "key_repeated", "user_id_dropped"]
    );
    server.until("all of today's revenue is there", |server| {
        let now = server.current();
        now["revenue"] == json!(177) && now["metrics"]["refunds"] == json!(3)
    });
}

#[test]
fn a_page_of_another_site_may_send_with_credentials() {
    let server = Server::with(&[("FLOODMARK_AUTH__WRITE_KEYS", "w1")]);
    let origin = ("Origin", "https://shop.example");
    let preflight = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type,authorization"),
    ];
    let mut request = server.request("OPTIONS", "/v1/events");
    for (name, value) in preflight {
        request = request.header(name, value);
    }
    let asked = request.send().expect("an answer");
    assert_eq!(asked.header("access-control-max-age"), Some("86400"), "{asked:?}");
    let refused = send(&server, "/v1/events", &[origin], b"{}");
    let taken = send(&server, "/v1/events?key=w1", &[origin], br#"{"type":"page_view"}"#);
    assert_eq!((refused.status, taken.status), (401, 202));
    for answer in [asked, refused, taken] {
        let header = |name: &str| answer.header(name).unwrap_or_default().to_ascii_lowercase();
        assert_eq!(header("access-control-allow-origin"), "https://shop.example", "{answer:?}");
        assert_eq!(header("access-control-allow-credentials"), "true", "{answer:?}");
    }
    let read = server.request("GET", "/api/analytics/current").header("Origin", origin.1).send();
    assert_eq!(read.unwrap().header("access-control-allow-credentials"), None, "not for reading");
}

#[test]
fn each_event_says_who_sent_it_and_how() {
    let server = Server::with_config(
        "[[source]]\nname = 'web'\nkey = 'w1'\npublic = true\n\
         allowed_origins = 'https://shop.example'\n\
         [[source]]\nname = 'back-end'\nkey = ['b1', 'b2']\n\
         [auth]\nwrite_keys = ['plain']\n",
    );
    let event = br#"{"type":"page_view"}"#;
    for (key, status) in [("w1", 202), ("b1", 202), ("b2", 202), ("plain", 202), ("web", 401)] {
        let answer = send(&server, &format!("/v1/events?key={key}"), &[], event);
        assert_eq!(answer.status, status, "{key} {answer:?}");
    }
    let track = br#"{"batch":[{"type":"track","event":"a","messageId":"1"}],"writeKey":"b1"}"#;
    assert_eq!(send(&server, "/v1/batch", &[], track).status, 200);
    for (origin, status) in [("https://shop.example", 202), ("https://other.example", 403)] {
        let answer = send(&server, "/v1/events?key=w1", &[("Origin", origin)], event);
        assert_eq!(answer.status, status, "{origin} {answer:?}");
    }
    server.until("all are stored", |server| server.count("events") == 6);
    let database = server.database();
    let sql = "SELECT source, dialect, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2";
    let mut select = database.prepare(sql).expect("the columns are there");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<(String, String, i64)> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let expected = [
        ("back-end", "native", 2),
        ("back-end", "segment", 1),
        ("http", "native", 1),
        ("web", "native", 2),
    ];
    let expected = expected.map(|(source, dialect, n)| (source.to_owned(), dialect.to_owned(), n));
    assert_eq!(rows, expected);
    for line in [
        r#"floodmark_events_accepted_total{source="back-end"} 3"#,
        r#"floodmark_events_accepted_total{source="web"} 2"#,
        r#"floodmark_events_accepted_total{source="http"} 1"#,
        r#"floodmark_dialect_events_accepted_total{dialect="native"} 5"#,
        r#"floodmark_dialect_events_accepted_total{dialect="segment"} 1"#,
        r#"floodmark_dialect_events_accepted_total{dialect="sentry"} 0"#,
    ] {
        assert!(server.has_metric(line), "{line}");
    }
}

#[test]
fn a_client_that_sends_an_id_is_let_in_by_its_source() {
    let server = Server::with_config(
        "[[source]]\nname = 'pages'\npublic = true\nids = ['shop.example', 'w1', '7', 'app', 'G-1']\n\
         [[source]]\nname = 'back-end'\nkey = 'b1'\n",
    );
    let snowplow = "/com.snowplowanalytics.snowplow/tp2";
    let json = ("Content-Type", "application/json");
    let log = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":17}]}]}]}"#;
    let mixpanel = r#"[{"event":"Signed Up","properties":{"token":"b1"}}]"#;
    let cloud = r#"{"specversion":"1.0","type":"cart","source":"/s","id":"1"}"#;
    for (path, body, status) in [
        ("/api/event", r#"{"n":"pageview","u":"https://shop.example/a","d":"shop.example"}"#, 202),
        ("/api/event", r#"{"n":"pageview","u":"https://shop.example/a","d":"other"}"#, 401),
        ("/api/send", r#"{"type":"event","payload":{"website":"w1","url":"/a"}}"#, 200),
        ("/api/send", r#"{"type":"event","payload":{"url":"/a"}}"#, 401),
        ("/matomo.php?idsite=7&url=https%3A%2F%2Fshop.example%2Fa", "", 200),
        ("/matomo.php?idsite=8", "", 401),
        ("/matomo.php", r#"{"requests":["?idsite=7&idgoal=0&ec_id=o1&revenue=2"]}"#, 200),
        (snowplow, r#"{"schema":"x","data":[{"e":"pv","aid":"app","duid":"d"}]}"#, 200),
        (snowplow, r#"{"schema":"x","data":[{"e":"pv"}]}"#, 401),
        ("/g/collect?tid=G-1&en=page_view&cid=1", "", 204),
        ("/g/collect?tid=G-2&en=page_view&cid=1", "", 401),
        ("/mp/collect?api_secret=b1", r#"{"client_id":"1","events":[{"name":"sign_up"}]}"#, 204),
        ("/mp/collect?api_secret=no", r#"{"client_id":"1","events":[{"name":"sign_up"}]}"#, 401),
        ("/track", mixpanel, 200),
        ("/track", r#"[{"event":"Signed Up","properties":{"token":"no"}}]"#, 401),
        ("/v1/logs?key=b1", log, 200),
        ("/v1/logs", log, 401),
        ("/v1/cloudevents?key=b1", cloud, 202),
    ] {
        let answer = send(&server, path, &[json], body.as_bytes());
        assert_eq!(answer.status, status, "{path} {body} {answer:?}");
    }
    // The same event again, at the path of Floodmark's own.
    let kind = ("Content-Type", "application/cloudevents-batch+json");
    let again = send(&server, "/v1/events?key=b1", &[kind], format!("[{cloud}]").as_bytes());
    assert_eq!(again.json()["duplicates"], 1, "{again:?}");
    server.until("all are stored", |server| server.count("events") == 10);
    let database = server.database();
    let sql = "SELECT source || ' ' || dialect || ' ' || type FROM events ORDER BY 1";
    let mut select = database.prepare(sql).expect("the columns are there");
    let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let rows: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
    assert_eq!(
        rows,
        [
            "back-end cloudevents cart",
            "back-end ga4 signup",
            "back-end mixpanel signup",
            "back-end otlp error",
            "pages ga4 page_view",
            "pages matomo page_view",
            "pages matomo purchase",
            "pages plausible page_view",
            "pages snowplow page_view",
            "pages umami page_view",
        ]
    );
    let sessions = "SELECT count(DISTINCT session_id) FROM events WHERE length(session_id) = 32";
    let sessions: i64 = database.query_row(sessions, [], |row| row.get(0)).unwrap();
    assert_eq!(sessions, 3, "a visitor of each system that names no session");
}
