//! Charts of what is older than the mirror's 24 hours, and baselines, over HTTP.

use std::{collections::BTreeMap, path::Path};

use crate::support::{
    amount_of,
    batches::{Event, seal},
    postgres::Postgres,
    program::wait_until,
    server::Server,
};
use floodmark::{
    domain::{
        batch::NodeId,
        money::Amount,
        time::{DAY, HOUR, MINUTE, Millis, bucket, now_ms},
    },
    store::{BatchStore, sqlite::SqliteStore},
};
use serde_json::{Value, json};

/// Pages of the shop.
const PAGES: usize = 12;

/// The events of nine days up to `now`, one every four minutes: page views, and some purchases.
fn nine_days(now: Millis) -> Vec<Event> {
    let mut at = now - 9 * DAY;
    let mut events = Vec::new();
    while at < now {
        let n = events.len();
        let mut event = Event::at(at, format!("{n}"));
        // Every seventh page view has no path.
        if n % 7 != 0 {
            event.properties = format!(r#"{{"path":"/p/{}"}}"#, n % PAGES);
        }
        if n % 5 == 0 {
            event.kind = "purchase".to_owned();
            event.properties = format!(r#"{{"amount":{}.25}}"#, n % 90);
        }
        events.push(event);
        at += 4 * MINUTE + 1_009;
    }
    events
}

/// Fills a data folder as a server would that ran for nine days.
async fn fill(dir: &Path, events: &[Event]) {
    let store = SqliteStore::open(dir).unwrap();
    for (n, events) in events.chunks(40).enumerate() {
        store.write(&seal(NodeId::from_u128(7), n as u64 + 1, events)).await.unwrap();
    }
}

struct Charts {
    server: Server,
    events: Vec<Event>,
    now: Millis,
}

impl Charts {
    fn points(&self, query: &str) -> Vec<(Millis, Value)> {
        let body = self.server.get_text(&format!("/api/analytics/timeseries?{query}"));
        let points: Vec<Value> = serde_json::from_str(&body).unwrap();
        let point = |point: Value| (point["timestamp"].as_i64().unwrap(), point["count"].clone());
        points.into_iter().map(point).collect()
    }

    fn views(&self, from: Millis, to: Millis) -> Value {
        let inside = |event: &&Event| (from..to).contains(&event.time);
        let views = self.events.iter().filter(inside).filter(|event| event.kind == "page_view");
        json!(views.count())
    }

    fn revenue(&self, from: Millis, to: Millis) -> Value {
        let inside = |event: &&Event| (from..to).contains(&event.time) && event.kind == "purchase";
        let amounts = self.events.iter().filter(inside);
        let sum =
            amounts.map(|event| amount_of(&serde_json::from_str(&event.properties).unwrap())).sum();
        serde_json::from_str(&serde_json::to_string(&Amount(sum)).unwrap()).unwrap()
    }

    /// What a breakdown of page views by path says of a span.
    fn paths(&self, query: &str) -> (Value, String, String) {
        let path = format!("/api/analytics/breakdown?type=page_view&property=path&{query}");
        let answer = self.server.request("GET", &path).send().unwrap();
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let header = |name: &str| answer.header(name).unwrap().to_owned();
        (answer.json(), header("x-floodmark-total"), header("x-floodmark-max-error"))
    }

    /// The same by the events.
    fn exact_paths(&self, from: Millis, to: Millis) -> (Value, String, String) {
        let inside = |event: &&Event| (from..to).contains(&event.time);
        let views: Vec<&Event> =
            self.events.iter().filter(inside).filter(|event| event.kind == "page_view").collect();
        let path = |event: &&Event| -> Value {
            serde_json::from_str::<Value>(&event.properties).unwrap()["path"].clone()
        };
        let of = |page: &str| views.iter().filter(|view| path(view) == page).count();
        let mut rows: Vec<(String, usize)> =
            (0..PAGES).map(|n| (format!("/p/{n}"), of(&format!("/p/{n}")))).collect();
        rows.retain(|(_, n)| *n > 0);
        rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let row = |(value, count)| json!({"value": value, "count": count});
        let mut rows: Vec<Value> = rows.into_iter().map(row).collect();
        let none = views.iter().filter(|view| path(view).is_null()).count();
        if none > 0 {
            rows.push(json!({"value": "(none)", "count": none, "none": true}));
        }
        (Value::from(rows), views.len().to_string(), "0".to_owned())
    }

    fn all(&self, from: Millis, to: Millis) -> Value {
        json!(self.events.iter().filter(|event| (from..to).contains(&event.time)).count())
    }
}

#[test]
fn charts_reach_back_as_far_as_the_rollups() {
    let dir = tempfile::tempdir().unwrap();
    let now = bucket(now_ms(), MINUTE);
    let events = nine_days(now);
    tokio::runtime::Runtime::new().unwrap().block_on(fill(dir.path(), &events));
    let settings = [("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20")];
    let server = Server::on(dir.path(), &settings);
    let charts = Charts { server, events, now };
    let Charts { now, .. } = charts;
    wait_until("all is folded and counted", || {
        let points = charts.points(&format!("metric=events&from={}&interval=1d", now - 10 * DAY));
        let sum: i64 = points.iter().map(|point| point.1.as_i64().unwrap()).sum();
        if sum == charts.events.len() as i64 { Ok(()) } else { Err(points) }
    });

    // The first range is older than the 24 hours of the mirror. The others begin before that edge
    // and end after it, by minute, hour and day.
    type Exact = fn(&Charts, Millis, Millis) -> Value;
    let charted: [(&str, Exact); 3] = [
        ("type=page_view", Charts::views),
        ("metric=revenue", Charts::revenue),
        ("metric=events", Charts::all),
    ];
    for (what, exact) in charted {
        for (from, to, interval, width) in [
            (now - 4 * DAY, now - 2 * DAY, "1h", HOUR),
            (now - DAY - HOUR, now - DAY + HOUR, "1m", MINUTE),
            (now - 2 * DAY, now, "1h", HOUR),
            (now - 9 * DAY, now, "1d", DAY),
        ] {
            let points = charts.points(&format!("{what}&from={from}&to={to}&interval={interval}"));
            assert!(points.len() as Millis >= (to - from) / width);
            for (start, count) in &points {
                assert_eq!(*count, exact(&charts, *start, start + width), "{what} {interval}");
            }
        }
        // Yesterday comes from memory, last week from the store. All days are equally long, since
        // the zone is UTC.
        for (name, days) in [("yesterday", 1), ("last_week", 7)] {
            for (span, width) in [("hours=1", MINUTE), ("hours=5&interval=1h", HOUR)] {
                let before = now_ms();
                let points = charts.points(&format!("{what}&{span}&baseline={name}"));
                let after = now_ms();
                assert!(points.len() >= 5);
                for (start, count) in &points {
                    let then = start - days * DAY;
                    // The hour in progress is compared up to the last full minute, which may have changed
                    // while the server was asked.
                    let until = |at: Millis| match width {
                        MINUTE => then + MINUTE,
                        _ => then + (at - at % MINUTE - start).clamp(0, width),
                    };
                    let told = [before, after].map(|at| exact(&charts, then, until(at)));
                    assert!(told.contains(count), "{what} {span} {name}: {count} of {told:?}");
                }
            }
        }
        // Nothing is known from before the first event.
        let (from, to) = (now - 4 * DAY, now - 3 * DAY);
        let points =
            charts.points(&format!("{what}&from={from}&to={to}&interval=1h&baseline=last_week"));
        assert!(points.iter().all(|point| point.1.is_null()), "{points:?}");
    }
}

/// What all breakdowns say of an hour up to `end`, and of the hour before, is what the one says of both.
fn all_at_once_are_as_one_by_one(server: &Server, end: Millis) {
    let path = format!("/api/analytics/breakdowns?minutes=60&limit=100&to={end}");
    let all = server.get(&path);
    let is_paths = |it: &&Value| it["type"] == "page_view" && it["property"] == "path";
    let found = all["breakdowns"].as_array().unwrap().iter().find(is_paths).expect("paths");
    let counts = |from: Millis, to: Millis| -> BTreeMap<String, u64> {
        let one = "/api/analytics/breakdown?type=page_view&property=path&limit=100";
        let rows = server.get(&format!("{one}&from={from}&to={to}"));
        let named = rows.as_array().unwrap().iter().filter(|row| row["none"] != true);
        named
            .map(|row| (row["value"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap()))
            .collect()
    };
    let (now, before) = (counts(end - HOUR, end), counts(end - 2 * HOUR, end - HOUR));
    let values = found["values"].as_array().unwrap();
    assert_eq!(values.len(), now.len(), "{end}: {found}");
    for row in values {
        let value = row["value"].as_str().unwrap();
        assert_eq!(row["count"].as_u64(), now.get(value).copied(), "{end}: {row}");
        let was = before.get(value).copied().unwrap_or(0);
        assert_eq!(row["before"].as_u64(), Some(was), "{end}: {row}");
    }
}

#[test]
fn breakdowns_reach_back_as_far_as_the_rollups() {
    let dir = tempfile::tempdir().unwrap();
    let now = bucket(now_ms(), MINUTE);
    let events = nine_days(now);
    tokio::runtime::Runtime::new().unwrap().block_on(fill(dir.path(), &events));
    let server = Server::on(dir.path(), &[("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20")]);
    let charts = Charts { server, events, now };
    let all = format!("from={}&limit=100", now - 10 * DAY);
    wait_until("all is folded and counted", || {
        let (_, total, _) = charts.paths(&all);
        let expected = charts.exact_paths(0, Millis::MAX).1;
        if total == expected { Ok(()) } else { Err(total) }
    });
    // Days that are over, the edge of the mirror's 24 hours in the middle of a span, and today; by quarters of
    // an hour and by the minutes at their ends.
    for (from, to) in [
        (now - 10 * DAY, now),
        (now - 4 * DAY - 7 * MINUTE, now - 2 * DAY + 3 * MINUTE),
        (now - 3 * DAY, now - 3 * DAY + 9 * MINUTE),
        (now - DAY - 2 * HOUR, now - DAY + 2 * HOUR),
        (now - 2 * DAY, now - HOUR),
        (now - 3 * HOUR, now),
    ] {
        let found = charts.paths(&format!("from={from}&to={to}&limit=100"));
        assert_eq!(found, charts.exact_paths(from, to), "{from} to {to}");
    }
    for end in [now, now - HOUR, now - DAY + 20 * MINUTE, now - 3 * DAY - 5 * MINUTE] {
        all_at_once_are_as_one_by_one(&charts.server, end);
    }
    let (largest, ..) = charts.paths(&format!("from={}&to={now}&limit=1", now - 3 * DAY));
    assert_eq!(largest.as_array().unwrap().len(), 2, "the largest, and those without: {largest}");
    for (query, about) in [
        (format!("from={}&minutes=5", now - DAY), "minutes"),
        (format!("to={now}"), "to"),
        (format!("from={}", now + DAY), "from"),
        ("from=yesterday-ish".to_owned(), "from"),
        ("from=2019-01-01".to_owned(), "from"),
        (format!("from={}&to={now}", bucket(now - 500 * DAY, HOUR) + MINUTE), "from"),
    ] {
        let path = format!("/api/analytics/breakdown?type=page_view&property=path&{query}");
        let answer = charts.server.request("GET", &path).send().unwrap();
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        let text = answer.text();
        assert!(text.contains(&format!("\"message\":\"{about}")), "{query}: {text}");
    }
}

#[test]
fn a_chart_that_asks_for_too_much_is_refused() {
    let server = Server::start();
    for (query, about) in [
        ("from=0", "interval"),
        ("baseline=tomorrow", "baseline"),
        ("baseline=yesterday&interval=1s&hours=0.1", "baseline"),
        ("from=2020-01-01T00:00:00Z&interval=1s", "from"),
    ] {
        let path = format!("/api/analytics/timeseries?type=page_view&{query}");
        let answer = server.request("GET", &path).send().unwrap();
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        let message = format!("\"message\":\"{about}=");
        assert!(answer.text().contains(&message), "{query}: {}", answer.text());
    }
}

#[test]
fn a_shop_on_its_first_day_is_shown_no_baseline() {
    let server = Server::with(&[("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20")]);
    server.post(br#"{"type":"page_view","sessionId":"s"}"#);
    server.until("it is folded", |server| server.count("rollups") == 1);
    for query in ["hours=1", "hours=24&interval=1h"] {
        let path = format!("/api/analytics/timeseries?type=page_view&{query}");
        let today = server.get(&path);
        let past = server.get(&format!("{path}&baseline=yesterday"));
        let (today, past) = (today.as_array().unwrap(), past.as_array().unwrap());
        assert_eq!(today.len(), past.len());
        for (today, past) in today.iter().zip(past) {
            assert_eq!(past["timestamp"], today["timestamp"]);
            assert_eq!(past["inProgress"], today["inProgress"]);
            assert!(past["count"].is_null(), "{past}");
        }
    }
}

#[test]
fn the_last_24_hours_need_no_store() {
    let mut postgres = Postgres::start();
    let server = Server::with(&[("FLOODMARK_POSTGRES__URL", &postgres.url())]);
    server.post(br#"{"type":"page_view","sessionId":"s"}"#);
    server.until("it is counted", |server| server.current()["pageViews"] == 1);
    postgres.stop_immediate();
    let path = "/api/analytics/timeseries?type=page_view&hours=24";
    let points = server.get(path);
    let counts = points.as_array().unwrap().iter().map(|point| point["count"].as_i64().unwrap());
    assert_eq!(counts.sum::<i64>(), 1);
    let from = now_ms() - 3 * DAY;
    let path = format!("/api/analytics/timeseries?type=page_view&from={from}&interval=1h");
    let answer = server.request("GET", &path).send().unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text().contains("history_unavailable"), "{}", answer.text());

    postgres.start_again();
    server.until("it answers again", |server| {
        server.request("GET", &path).send().is_ok_and(|answer| answer.status == 200)
    });
}
