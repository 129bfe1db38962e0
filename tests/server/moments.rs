//! What was true at moments of the past, on both stores: the sums are those of the events that were sent, and
//! those of the time series.

use floodmark::domain::time::{BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND, bucket, now_ms};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{postgres::Postgres, server::Server},
};

/// Moments that are asked for.
const MOMENTS: i64 = 40;

struct Shop {
    server: Server,
    events: Vec<Value>,
    zone: BusinessZone,
    postgres: Option<Postgres>,
}

impl Shop {
    fn on_both() -> [Shop; 2] {
        let postgres = Postgres::start();
        let of_postgres = Server::with(&[("FLOODMARK_POSTGRES__URL", &postgres.url())]);
        [Shop::new(Server::start(), None), Shop::new(of_postgres, Some(postgres))]
    }

    /// A shop of three days, all of which is folded.
    fn new(server: Server, postgres: Option<Postgres>) -> Shop {
        let now = now_ms();
        let events: Vec<Value> = (0..1_500).map(|n| event(n, now)).collect();
        for batch in events.chunks(300) {
            let (status, answer) = post_json(&server, &json!(batch).to_string());
            assert_eq!((status, &answer["accepted"]), (202, &json!(batch.len())));
        }
        let zone = server.get("/api/analytics/current")["timezone"].clone();
        let zone = BusinessZone::named(zone.as_str().expect("a zone")).expect("a zone");
        let shop = Shop { server, events, zone, postgres };
        let days = "/api/analytics/timeseries?metric=events&interval=1d&hours=120";
        let folded = |server: &Server| {
            let days = server.get(days);
            let counts = days.as_array().expect("a list").iter().map(|it| it["count"].as_u64());
            let human = shop.events.iter().filter(|it| it["properties"]["$bot"] != true).count();
            counts.sum::<Option<u64>>() == Some(human as u64)
        };
        shop.server.until("all is counted and folded", folded);
        shop
    }

    fn at(&self, time: Millis) -> Value {
        self.server.get(&format!("/api/analytics/at?time={time}"))
    }

    /// The people's events of a span.
    fn people(&self, from: Millis, to: Millis) -> impl Iterator<Item = &Value> {
        let within = move |it: &&Value| (from..to).contains(&time_of(it));
        self.events.iter().filter(within).filter(|it| it["properties"]["$bot"] != true)
    }

    /// Holds what is said of a moment against the events.
    fn check(&self, time: Millis) -> Value {
        let said = self.at(time);
        let as_of = said["asOf"].as_i64().expect("a moment");
        let width = if said["resolution"] == "1s" { SECOND } else { MINUTE };
        assert_eq!(as_of, bucket(time, width), "{said}");
        let day = self.zone.day_of(time);
        assert_eq!(said["day"], day.date.to_string());
        let of = |kind: &str| {
            self.people(day.start, as_of).filter(|it| it["type"] == kind).count() as u64
        };
        let orders = self.people(day.start, as_of).filter(|it| it["type"] == "purchase");
        let amounts = orders.filter_map(|it| it["properties"]["amount"].as_f64());
        assert_eq!(said["events"], self.people(day.start, as_of).count(), "{time}: {said}");
        assert_eq!(said["pageViews"], of("page_view"), "{time}: {said}");
        assert_eq!(said["purchases"], of("purchase"), "{time}: {said}");
        assert_eq!(said["revenue"].as_f64(), Some(amounts.sum::<f64>()), "{time}: {said}");
        said
    }
}

/// Some are sent by a bot, some by users without a session.
fn event(n: i64, now: Millis) -> Value {
    let mut event = json!({
        "type": if n % 3 == 0 { "purchase" } else { "page_view" },
        "timestamp": now - 3 * DAY + n * (3 * DAY / 1_500) + n * 7_919 % 60_000,
        "properties": {"amount": n as f64 / 4.0, "currency": "USD", "a": 1},
    });
    match n % 5 {
        0 => event["userId"] = json!(format!("u{}", n / 20)),
        _ => event["sessionId"] = json!(format!("s{}", n / 4)),
    }
    if n % 3 == 1 {
        event["properties"] = json!({"path": "/"});
    }
    if n % 3 == 1 && n % 7 == 0 {
        event["properties"] = json!({"path": "/", "$bot": true, "z": 1});
    }
    event
}

fn time_of(event: &Value) -> Millis {
    event["timestamp"].as_i64().expect("a time")
}

#[test]
fn a_moment_has_the_sums_of_the_events_before_it() {
    for shop in Shop::on_both() {
        let now = now_ms();
        for n in 0..MOMENTS {
            // Spread over the days, the last 24 hours and the last hour, at any millisecond.
            let span = [3 * DAY, DAY, HOUR][n as usize % 3];
            let time = now - (n * 7_919_993 % (span / 1_000)) * 1_000 - n * 37 % 1_000 - 1;
            let said = shop.check(time);
            assert_eq!(said["resolution"], "1s", "{said}");
        }
        // The moment of an event, and the one after it.
        let at = time_of(&shop.events[700]);
        shop.check(at);
        shop.check(at + SECOND);
        // The sums are those of the time series.
        for n in 1..10 {
            let time = bucket(now - n * 5 * HOUR, MINUTE);
            let start = shop.zone.day_of(time).start;
            let said = shop.at(time);
            if start == time {
                continue;
            }
            for (metric, field) in [("events", "events"), ("revenue", "revenue"), ("bots", "bots")]
            {
                let query = format!("metric={metric}&interval=1m&from={start}&to={time}");
                let points = shop.server.get(&format!("/api/analytics/timeseries?{query}"));
                let points = points.as_array().expect("a list");
                let sum: f64 = points.iter().map(|it| it["count"].as_f64().expect("a sum")).sum();
                let value = if field == "bots" { &said["metrics"]["bots"] } else { &said[field] };
                assert_eq!(value.as_f64(), Some(sum), "{query}: {said}");
            }
        }
    }
}

#[test]
fn visitors_of_a_moment_are_those_of_its_events() {
    for shop in Shop::on_both() {
        for n in [200usize, 650, 1_400] {
            let time = time_of(&shop.events[n]) + 2 * SECOND;
            let said = shop.at(time);
            let as_of = said["asOf"].as_i64().expect("a moment");
            let visitor =
                |it: &Value| it["sessionId"].as_str().or(it["userId"].as_str()).map(str::to_owned);
            let seen: std::collections::BTreeSet<_> =
                shop.people(as_of - 5 * MINUTE, as_of).filter_map(visitor).collect();
            assert!(!seen.is_empty());
            assert_eq!(said["activeUsers"], seen.len(), "{said}");
        }
    }
}

/// Of a minute whose events are gone only its sums are known.
#[tokio::test]
async fn what_is_gone_is_not_made_up() {
    let postgres = Postgres::start();
    let server = Server::with(&[("FLOODMARK_POSTGRES__URL", &postgres.url())]);
    let shop = Shop::new(server, Some(postgres));
    let n = (300..400).find(|n| {
        let at = time_of(&shop.events[*n]);
        (10 * SECOND..50 * SECOND).contains(&(at % MINUTE))
            && shop.events[*n]["properties"]["$bot"] != true
    });
    let event = time_of(&shop.events[n.expect("an event within its minute")]);
    let before = shop.check(event + 5 * SECOND);
    assert_eq!(before["resolution"], "1s");
    let postgres = shop.postgres.as_ref().expect("a database");
    postgres.sql("DELETE FROM events").await;
    // Minutes with and without that event end before it.
    let after = shop.check(event + 5 * SECOND);
    assert_eq!(after["resolution"], "1m");
    let later = shop.check(event + 2 * MINUTE);
    assert_eq!(
        (&later["activeUsers"], &later["activeUsersUnknown"]),
        (&json!(null), &json!("not_kept"))
    );
    let empty = shop.at(event - 100 * DAY);
    assert_eq!((&empty["activeUsers"], &empty["resolution"]), (&json!(0), &json!("1s")));
}

#[test]
fn a_moment_shows_no_money_to_who_may_not_see_it() {
    let (_folder, data) = crate::support::program::scratch("data");
    crate::access::command(&data, &["users", "add", "admin", "--role", "admin"]);
    let blind = crate::access::command(&data, &["tokens", "add", "tv", "--hide-money"]);
    let key = crate::access::command(&data, &["keys", "add", "web"]);
    let server = Server::on(&data, &[]);
    let order = r#"{"type":"purchase","properties":{"amount":98765.43,"currency":"USD"}}"#;
    crate::access::soon("the key is known", || {
        let request = server.request("POST", "/v1/events").header("X-Write-Key", &key).body(order);
        request.send().is_ok_and(|answer| answer.status == 202)
    });
    let ask = || {
        let path = format!("/api/analytics/at?time={}", now_ms() - 1);
        let request =
            server.request("GET", &path).header("Authorization", &format!("Bearer {blind}"));
        request.send().expect("an answer")
    };
    crate::access::soon("the order is counted", || {
        let answer = ask();
        answer.status == 200 && answer.json()["purchases"] == 1
    });
    let text = ask().text().to_owned();
    assert!(!text.contains("98765"), "{text}");
    let shown: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&shown["revenue"], &shown["currencies"]), (&json!(0), &json!({})));
    assert_eq!(shown["metrics"]["average_order_value"], Value::Null);
}
