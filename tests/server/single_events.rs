//! Single events over HTTP, on both stores: filters, pages, sessions, and what is not shown.

use std::collections::BTreeSet;

use floodmark::domain::time::{BusinessZone, DAY, HOUR, MINUTE, Millis, now_ms};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{postgres::Postgres, server::Server},
};

/// A secret that a shop has sent by mistake.
const SECRET: &str = "hunter2";

/// The types of events, in turn.
const KINDS: [&str; 4] = ["purchase", "page_view", "page_view", "error"];

/// What a shop has sent, in the order of time and id.
struct Shop {
    server: Server,
    events: Vec<Value>,
    _postgres: Option<Postgres>,
}

impl Shop {
    /// A shop of three days, with a server on each store.
    fn on_both() -> [Shop; 2] {
        let postgres = Postgres::start();
        let of_postgres = Server::with(&[("FLOODMARK_POSTGRES__URL", &postgres.url())]);
        [Shop::new(Server::start(), None), Shop::new(of_postgres, Some(postgres))]
    }

    fn new(server: Server, postgres: Option<Postgres>) -> Shop {
        let now = now_ms();
        let mut events: Vec<Value> = (0..1_100).map(|n| event(n, now)).collect();
        for batch in events.chunks(200) {
            let (status, answer) = post_json(&server, &json!(batch).to_string());
            assert_eq!((status, &answer["accepted"]), (202, &json!(batch.len())));
        }
        events.sort_by_key(key);
        let shop = Shop { server, events, _postgres: postgres };
        shop.server.until("all are stored", |_| shop.all("limit=500").len() == shop.events.len());
        shop
    }

    /// All events of a query, page by page.
    fn all(&self, query: &str) -> Vec<Value> {
        self.all_after(query, String::new())
    }

    /// Those from a page on.
    fn all_after(&self, query: &str, mut after: String) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.server.get(&format!("/api/analytics/events?{query}{after}"));
            all.extend(page["events"].as_array().expect("a list").clone());
            let Some(next) = page["next"].as_str() else { return all };
            after = format!("&after={next}");
        }
    }

    /// The first page of a query with so many events, and where it goes on. An answer may have fewer, where
    /// the machine is so slow that the time of a search was over.
    fn first(&self, query: &str, events: usize) -> (Vec<Value>, String) {
        let (mut all, mut after) = (Vec::new(), String::new());
        while all.len() < events {
            let limit = events - all.len();
            let query = format!("/api/analytics/events?{query}&limit={limit}{after}");
            let page = self.server.get(&query);
            all.extend(page["events"].as_array().expect("a list").clone());
            after = format!("&after={}", page["next"].as_str().expect("there are more"));
        }
        (all, after)
    }

    /// What one visitor did, and in how many answers.
    fn visit(&self, query: &str) -> (Vec<Value>, usize) {
        let (mut all, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = self.server.get(&format!("/api/analytics/session?{query}{after}"));
            all.extend(page["events"].as_array().expect("a list").clone());
            pages += 1;
            let Some(next) = page["next"].as_str() else { return (all, pages) };
            after = format!("&after={next}");
        }
    }

    /// The ids of the events that pass, the newest first.
    fn expected(&self, passes: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.events.iter().rev().filter(|it| passes(it)).map(|it| it["id"].clone()).collect()
    }

    #[track_caller]
    fn assert_found(&self, query: &str, passes: impl Fn(&Value) -> bool) {
        let expected = self.expected(passes);
        assert!(!expected.is_empty(), "{query} is a test of something");
        assert_eq!(ids(&self.all(query)), expected, "{query}");
    }
}

/// Some have the same time. Sessions have some ten events, users a hundred.
fn event(n: i64, now: Millis) -> Value {
    let properties = match n % 4 {
        0 => {
            json!({"amount": n as f64 / 2.0, "currency": "USD", "items": [{"sku": format!("T-{n}")}]})
        }
        1 => json!({"path": format!("/checkout/{}", n % 3), "api_token": SECRET}),
        2 => json!({"path": "/café", "first": n % 8 == 2}),
        _ => json!({"code": if n % 8 == 3 { "E42" } else { "E43" }}),
    };
    let mut event = json!({
        "type": KINDS[n as usize % KINDS.len()],
        "id": format!("e-{n:04}"),
        "timestamp": now - 3 * DAY + n / 5 * 5 * 3 * DAY / 1_100,
        "sessionId": format!("s{}", n / 10),
        "properties": properties,
    });
    if n % 2 == 0 {
        event["userId"] = json!(format!("u{}", n % 10));
    }
    event
}

fn key(event: &Value) -> (i64, String) {
    (event["timestamp"].as_i64().expect("a time"), event["id"].as_str().expect("an id").to_owned())
}

fn ids(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["id"].clone()).collect()
}

#[test]
fn events_are_found_by_what_they_are() {
    for shop in Shop::on_both() {
        let of = |kind: &'static str| move |it: &Value| it["type"] == kind;
        shop.assert_found("limit=97", |_| true);
        shop.assert_found("type=purchase&limit=7", of("purchase"));
        let amount = |it: &Value| it["properties"]["amount"].as_f64();
        shop.assert_found("where.amount=%3E%3D300", |it| amount(it).is_some_and(|it| it >= 300.0));
        shop.assert_found("where.amount=50.0", |it| amount(it) == Some(50.0));
        shop.assert_found("where.code=E42&where.code=E99", |it| it["properties"]["code"] == "E42");
        shop.assert_found("where.first=true", |it| it["properties"]["first"] == true);
        shop.assert_found("type=error&where.code=!E42", |it| it["properties"]["code"] == "E43");
        shop.assert_found("where.path=/checkout*&where.amount=!*&limit=11", |it| {
            it["properties"]["path"].as_str().is_some_and(|path| path.starts_with("/checkout"))
        });
        shop.assert_found("text=caf%C3%A9", |it| it["properties"]["path"] == "/café");
        shop.assert_found("text=T-100", |it| {
            it["properties"]["items"][0]["sku"].as_str().is_some_and(|sku| sku.contains("T-100"))
        });
        shop.assert_found("text=e-0007", |it| it["id"] == "e-0007");
        shop.assert_found("text=s33&limit=3", |it| it["sessionId"] == "s33");
        let times: Vec<i64> = shop.events.iter().map(|it| key(it).0).collect();
        let (from, to) = (times[300], times[700]);
        shop.assert_found(&format!("from={from}&to={to}&limit=50"), |it| {
            (from..to).contains(&key(it).0)
        });
        assert_eq!(shop.all("text=no-such-thing"), Vec::<Value>::new());
        assert_eq!(shop.all("from=2001-01-01&to=2001-01-02"), Vec::<Value>::new());
        // Far more time than there are events is gone over in a few steps.
        shop.assert_found("from=1990-01-01&type=error", of("error"));

        let newest = &shop.first("", 1).0[0];
        let sent = shop.events.last().expect("events");
        for field in ["timestamp", "id", "type", "sessionId", "properties"] {
            assert_eq!(newest[field], sent[field], "{field}");
        }
        assert_eq!((&newest["dialect"], &newest["source"]), (&json!("native"), &json!("http")));
        assert!(
            newest["receivedAt"].as_i64().is_some_and(|at| (0..HOUR).contains(&(now_ms() - at)))
        );
    }
}

#[test]
fn pages_stay_as_they_are_while_events_come() {
    for shop in Shop::on_both() {
        let (first, after) = shop.first("", 400);
        let oldest_shown = key(&first[399]).0;
        // Some are newer than all, some lie among those that were shown already.
        for (n, at) in [now_ms(), oldest_shown + 7, oldest_shown + MINUTE].into_iter().enumerate() {
            let late = json!({"type": "late", "id": format!("late-{n}"), "timestamp": at});
            assert_eq!(post_json(&shop.server, &late.to_string()).0, 202);
        }
        shop.server.until("these are stored", |_| shop.all("type=late").len() == 3);
        let mut found = ids(&first);
        found.extend(ids(&shop.all_after("limit=300", after)));
        assert_eq!(found, shop.expected(|_| true));
    }
}

#[test]
fn a_visit_is_told_in_order() {
    for shop in Shop::on_both() {
        let of_visit = |field: &str, value: &str| -> Vec<Value> {
            let is = |it: &&Value| it[field] == value;
            shop.events.iter().filter(is).map(|it| it["id"].clone()).collect()
        };
        let day = format!("from={}", now_ms() - 4 * DAY);
        let visit = shop.visit(&format!("id=s33&{day}")).0;
        assert_eq!(ids(&visit), of_visit("sessionId", "s33"));
        // A user has 110 events, so this answer is cut, says so, and goes on.
        let (all, pages) = shop.visit(&format!("user=u4&limit=50&{day}"));
        assert_eq!((ids(&all), pages >= 3), (of_visit("userId", "u4"), true));
        // Today begins at the zone's midnight.
        let zone = shop.server.get("/api/analytics/current")["timezone"].clone();
        let zone = BusinessZone::named(zone.as_str().expect("a zone")).expect("a zone");
        let midnight = zone.day_of(now_ms()).start;
        let today = shop.visit("user=u4").0;
        let of_today =
            shop.events.iter().filter(|it| it["userId"] == "u4" && key(it).0 >= midnight);
        assert_eq!(ids(&today), of_today.map(|it| it["id"].clone()).collect::<Vec<_>>());
    }
}

#[test]
fn secrets_are_neither_shown_nor_found() {
    for shop in Shop::on_both() {
        let all = shop.all("type=page_view&limit=500");
        assert!(!json!(all).to_string().contains(SECRET));
        let views: BTreeSet<String> = all
            .iter()
            .filter_map(|it| Some(it["properties"]["api_token"].as_str()?.to_owned()))
            .collect();
        assert_eq!(views, BTreeSet::from(["(not shown)".to_owned()]));
        assert_eq!(shop.all(&format!("text={SECRET}")), Vec::<Value>::new());
        let refused = shop.server.request("GET", "/api/analytics/events?where.api_token=h*");
        let refused = refused.send().expect("an answer");
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (400, &json!("invalid_parameter"))
        );
    }
}

#[test]
fn events_are_given_as_csv() {
    let [shop, _] = Shop::on_both();
    // Five events have this time, so all of them are in the first stretch that is searched.
    let to = key(&shop.events[500]).0 + 1;
    let query = &format!("/api/analytics/events?to={to}&limit=3");
    let answer = shop.server.request("GET", query).header("Accept", "text/csv").send().unwrap();
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let text = String::from_utf8(answer.body.clone()).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    let json = shop.server.get(query);
    for (line, event) in lines[1..].iter().zip(json["events"].as_array().expect("a list")) {
        let begin = format!(
            "{},{},{}",
            event["timestamp"],
            event["receivedAt"],
            event["id"].as_str().unwrap()
        );
        assert!(line.starts_with(&begin), "{line}");
        let properties = line.split_once(",\"{").expect("quoted JSON").1.replace("\"\"", "\"");
        let properties: Value =
            serde_json::from_str(&format!("{{{}", &properties[..properties.len() - 1])).unwrap();
        assert_eq!(properties, event["properties"]);
    }
    let next = answer.header("x-floodmark-next").expect("there are more");
    assert_eq!(json["next"], next);
    assert_eq!(answer.header("x-floodmark-searched-to"), Some(&*json["searchedTo"].to_string()));
}
