//! Bots are labelled, and nothing of theirs is dropped: what pages send is judged by the page's user agent, in
//! each dialect that has one; what servers send is not. Metrics count people, the rows are of all.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::server::Server;

const PERSON: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/142.0.0.0 Safari/537.36";
const BOT: &str = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; \
                   +https://openai.com/gptbot)";
/// HTTP clients of servers, as they call themselves.
const SERVERS: [&str; 5] = [
    "python-requests/2.32.5",
    "Go-http-client/2.0",
    "node",
    "GuzzleHttp/7",
    "WordPress/6.8; https://shop.example",
];

const SOURCES: &str = "[[source]]\nname = 'web'\nkey = 'pk'\npublic = true\n\
                       ids = ['shop.example', 'w1', '7', 'app', 'G-1']\n\
                       [[source]]\nname = 'back-end'\nkey = 'sk'\n";

/// Sends what must be taken, with this user agent.
fn send(server: &Server, path: &str, body: &str, agent: &str) {
    let method = if path.contains("pixel") { "GET" } else { "POST" };
    let request = server.request(method, path).header("User-Agent", agent);
    let answer = request.header("Content-Type", "application/json").body(body).send();
    let answer = answer.expect("the server answers");
    assert!((200..300).contains(&answer.status), "{path} {body} {answer:?}");
}

/// For each dialect the label of its event, as the store has it; there must be `events` of them.
fn labels(server: &Server, events: u64) -> BTreeMap<String, Option<bool>> {
    server.until("all are stored and counted", |server| {
        let metrics = &server.current()["metrics"];
        let counted = metrics["events"].as_u64().unwrap() + metrics["bots"].as_u64().unwrap();
        server.count("events") == events && counted == events
    });
    let database = server.database();
    // JSON's true and false are 1 and 0 in SQLite.
    let sql = "SELECT dialect || ' ' || type, json_extract(properties, '$.\"$bot\"') FROM events";
    let mut select = database.prepare(sql).unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// How many visitors there were.
fn sessions(server: &Server) -> u64 {
    let sql = "SELECT count(DISTINCT coalesce(session_id, user_id)) FROM events";
    let found: i64 = server.database().query_row(sql, [], |row| row.get(0)).unwrap();
    found.try_into().expect("a number of rows")
}

/// A page view in each dialect that pages send, by their tags or with a public key.
fn of_pages() -> Vec<(&'static str, String)> {
    let segment = json!({"batch": [{"type": "page", "messageId": "m", "anonymousId": "a"}], "writeKey": "pk"});
    let posthog = json!({"api_key": "pk", "batch": [{"event": "$pageview", "distinct_id": "d", "uuid": "u"}]});
    let amplitude = json!({"api_key": "pk", "events": [{"event_type": "[Amplitude] Page Viewed", "device_id": "d"}]});
    let sentry = format!(
        "{}\n{}\n{}\n",
        json!({"event_id": "9ec79c33ec9942ab8353589fcb2e04dc"}),
        json!({"type": "event"}),
        json!({"level": "error", "message": "broken"}),
    );
    vec![
        ("/v1/events?key=pk", r#"{"type":"page_view","sessionId":"s"}"#.to_owned()),
        ("/v1/pixel.gif?key=pk", String::new()),
        ("/v1/batch", segment.to_string()),
        ("/batch/", posthog.to_string()),
        ("/2/httpapi", amplitude.to_string()),
        ("/track", r#"[{"event":"$mp_web_page_view","properties":{"token":"pk"}}]"#.to_owned()),
        ("/api/1/envelope/?sentry_key=pk", sentry),
        (
            "/api/event",
            r#"{"n":"pageview","u":"https://shop.example/a","d":"shop.example"}"#.to_owned(),
        ),
        ("/api/send", r#"{"type":"event","payload":{"website":"w1","url":"/a"}}"#.to_owned()),
        ("/matomo.php?idsite=7&url=https%3A%2F%2Fshop.example%2Fa", String::new()),
        (
            "/com.snowplowanalytics.snowplow/tp2",
            r#"{"schema":"x","data":[{"e":"pv","aid":"app","duid":"d"}]}"#.to_owned(),
        ),
        ("/g/collect?tid=G-1&en=page_view&cid=1", String::new()),
    ]
}

#[test]
fn in_every_dialect_of_pages_the_user_agent_decides() {
    for (agents, label) in [(&[BOT][..], Some(true)), (&[PERSON], None), (&SERVERS, None)] {
        let server = Server::with_config(SOURCES);
        let pages = of_pages();
        for agent in agents {
            pages.iter().for_each(|(path, body)| send(&server, path, body, agent));
        }
        // What has an id is there once, whoever else sends it again.
        let identified = 2;
        let events = pages.len() * agents.len() - identified * (agents.len() - 1);
        let found = labels(&server, events as u64);
        assert_eq!(found.len(), pages.len(), "{found:?}");
        assert!(found.values().all(|found| *found == label), "{agents:?} {found:?}");
        let current = server.current();
        let views = if label.is_some() { 0 } else { events - agents.len() };
        assert_eq!(current["pageViews"], views, "{current}");
        assert_eq!(current["metrics"]["page_views"], views);
        assert_eq!(current["metrics"]["bots"], if label.is_some() { events } else { 0 });
        // Who is active is counted a moment later; a person who comes last shows that all others are.
        let sessions = if label.is_some() { 0 } else { sessions(&server) };
        send(&server, "/v1/events?key=pk", r#"{"type":"end","sessionId":"last"}"#, PERSON);
        server.until("the last one is active", |server| {
            server.current()["activeUsers"] == sessions + 1
        });
    }
}

#[test]
fn what_a_server_sends_is_never_judged() {
    let server = Server::with_config(SOURCES);
    let said = json!({"type": "page_view", "context": {"userAgent": BOT}}).to_string();
    send(&server, "/v1/events?key=sk", &said, BOT);
    let track = json!({"type": "track", "event": "a", "messageId": "1", "writeKey": "sk",
                       "context": {"userAgent": BOT}});
    send(&server, "/v1/track", &track.to_string(), BOT);
    let measured = r#"{"client_id":"1","events":[{"name":"page_view"}]}"#;
    send(&server, "/mp/collect?api_secret=sk", measured, BOT);
    let found = labels(&server, 3);
    assert!(found.values().all(Option::is_none), "{found:?}");
    assert_eq!(server.current()["pageViews"], 2);
    // Nor where anybody may send, since nobody says that it is a page.
    let open = Server::start();
    send(&open, "/v1/events", &said, BOT);
    assert!(labels(&open, 1).values().all(Option::is_none));
}

#[test]
fn the_event_itself_says_better_who_has_sent_it() {
    let server = Server::with_config(SOURCES);
    // A proxy of the shop passes events on, and says for whom.
    for (agent, kind) in [(BOT, "by_bot"), (PERSON, "by_person")] {
        let native = json!({"type": kind, "context": {"userAgent": agent}});
        send(&server, "/v1/events?key=pk", &native.to_string(), "proxy/1");
        let segment = json!({"type": "track", "event": kind, "messageId": kind, "writeKey": "pk",
                             "context": {"userAgent": agent}});
        send(&server, "/v1/track", &segment.to_string(), BOT);
        let posthog = json!({"api_key": "pk", "event": kind, "uuid": format!("p-{kind}"), "distinct_id": "d",
                             "properties": {"$raw_user_agent": agent}});
        send(&server, "/e/", &posthog.to_string(), BOT);
        let amplitude = json!({"api_key": "pk", "events": [{"event_type": kind, "device_id": "d",
                               "user_agent": agent}]});
        send(&server, "/2/httpapi", &amplitude.to_string(), BOT);
        let umami = json!({"type": "event", "payload": {"website": "w1", "name": kind, "userAgent": agent}});
        send(&server, "/api/send", &umami.to_string(), BOT);
        let snowplow =
            json!({"schema": "x", "data": [{"e": kind, "aid": "app", "duid": "d", "ua": agent}]});
        send(&server, "/com.snowplowanalytics.snowplow/tp2", &snowplow.to_string(), BOT);
    }
    let matomo = format!("idsite=7&e_c=by&e_a=bot&ua={}", BOT.replace('+', "%2B"));
    send(&server, &format!("/matomo.php?{}", matomo.replace(' ', "+")), "", PERSON);
    let found = labels(&server, 13);
    for (name, label) in &found {
        assert_eq!(*label, name.contains("bot").then_some(true), "{found:?}");
    }
}

#[test]
fn orders_always_count_and_the_shop_has_the_last_word() {
    let server = Server::with_config(&format!(
        "[bots]\nalso = ['ShelfScanner']\npeople = ['KioskShell']\n{SOURCES}\
         [[metric]]\nname = 'all_views'\nkind = 'count'\nevent = 'page_view'\n\
         where = {{ '$bot' = ['*', '!*'] }}\n"
    ));
    let native = "/v1/events?key=pk";
    let order = r#"{"type":"purchase","sessionId":"agent","properties":{"amount":9.5}}"#;
    send(&server, native, order, BOT);
    send(&server, native, r#"{"type":"refund","properties":{"amount":2}}"#, BOT);
    send(&server, native, r#"{"type":"page_view"}"#, &format!("{PERSON} shelfscanner/1"));
    send(&server, native, r#"{"type":"page_view"}"#, &format!("{BOT} KioskShell/3"));
    // Whoever knows better says so, whatever key there is.
    let own = r#"[{"type":"page_view","properties":{"path":"/","$bot":true}},
                  {"type":"page_view","properties":{"bot":true}}]"#;
    send(&server, "/v1/events?key=sk", own, "node");
    send(&server, native, r#"{"type":"page_view","properties":{"$bot":false}}"#, BOT);
    labels(&server, 7);
    let current = server.current();
    assert_eq!((&current["purchases"], &current["revenue"]), (&json!(1), &json!(9.5)));
    assert_eq!(current["metrics"]["refunds"], 2);
    assert_eq!((&current["pageViews"], &current["events"]), (&json!(3), &json!(5)), "{current}");
    assert_eq!(current["metrics"]["bots"], 2);
    assert_eq!(current["metrics"]["all_views"], 5);
    server.until("who has bought is active", |server| server.current()["activeUsers"] == 1);
    let past = server.get("/api/analytics/timeseries?metric=bots&hours=1");
    let past = past.as_array().unwrap().iter().map(|point| point["count"].as_u64().unwrap());
    assert_eq!(past.sum::<u64>(), 2);
    let paths = server.get("/api/analytics/breakdown?type=page_view&property=path&minutes=15");
    let none = json!([{"value": "(none)", "count": 3, "none": true}]);
    assert_eq!(paths, none, "breakdowns are of people, and none of them named a path");
}

#[test]
fn judging_can_be_turned_off() {
    let server = Server::with_config(&format!("[bots]\nlabel = false\n{SOURCES}"));
    of_pages().iter().for_each(|(path, body)| send(&server, path, body, BOT));
    let events = of_pages().len() as u64;
    assert!(labels(&server, events).values().all(Option::is_none));
    assert_eq!(server.current()["pageViews"], events - 1);
}

#[test]
fn a_schema_knows_nothing_of_the_label() {
    let schema = r#"{"properties": {"path": {"type": "string"}}, "additionalProperties": false}"#;
    let rule = format!("[[schema]]\ntype = 'page_view'\nmode = 'reject'\nschema = '{schema}'\n");
    let server = Server::with_config(&format!("{SOURCES}{rule}"));
    let view = r#"{"type":"page_view","properties":{"path":"/"}}"#;
    send(&server, "/v1/events?key=pk", view, BOT);
    send(&server, "/v1/events?key=pk", view, PERSON);
    server.until("both are stored", |server| server.count("events") == 2);
    let learnt = || server.get("/api/analytics/schema?type=page_view").to_string();
    server.until("the property is learnt", |_| learnt().contains("path"));
    assert!(!learnt().contains("$bot"), "{}", learnt());
}
