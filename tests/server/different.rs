//! Sessions, conversion and active users of days that are over, over HTTP.

use std::collections::BTreeSet;

use floodmark::{
    domain::{
        batch::NodeId,
        time::{DAY, HOUR, MINUTE, Millis, bucket, now_ms, rfc3339},
    },
    store::{BatchStore, sqlite::SqliteStore},
};
use serde_json::Value;

use crate::support::{
    batches::{Event, seal},
    program::{floodmark_output, wait_until},
    server::Server,
};

/// Days of the shop; the last one is the day before today.
const DAYS: i64 = 5;
/// The day on which more sessions come than a sketch has one by one.
const CROWDED: i64 = 2;

/// Some sessions with a purchase each on every day, one each three minutes, and on one day 4,000 more. Every
/// fifth event comes from a user without a session.
fn events(first: Millis) -> Vec<Event> {
    let mut events = Vec::new();
    for day in 0..DAYS {
        for n in 0..480 {
            let mut event =
                Event::at(first + day * DAY + n * 3 * MINUTE + 1_003, format!("{day}-{n}"));
            event.session = Some(format!("{day}/{}", n / 6));
            if n % 5 == 4 {
                (event.user, event.session) = (Some(format!("user {}", n % 35)), None);
            }
            if n % 12 == 3 {
                event.kind = "purchase".to_owned();
                event.properties = r#"{"amount":5}"#.to_owned();
            }
            events.push(event);
        }
    }
    for n in 0..4_000 {
        let at = first + CROWDED * DAY + 9 * HOUR + n * 200;
        let session = Some(format!("crowd {n}"));
        events.push(Event { session, ..Event::at(at, format!("crowd {n}")) });
    }
    events.sort_by_key(|event| event.time);
    events
}

/// How many different visitors some events are of. Nobody here is known by a user and by a session.
fn visitors<'a>(events: impl Iterator<Item = &'a Event>) -> usize {
    events
        .map(|event| event.session.as_ref().or(event.user.as_ref()))
        .collect::<BTreeSet<_>>()
        .len()
}

struct Shop {
    server: Server,
    events: Vec<Event>,
}

impl Shop {
    fn points(&self, query: &str) -> Vec<Value> {
        let points = self.server.get(&format!("/api/analytics/timeseries?{query}"));
        points.as_array().unwrap().clone()
    }

    fn within(&self, from: Millis, to: Millis) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| (from..to).contains(&event.time))
    }

    fn of_kind(&self, kind: &str, from: Millis, to: Millis) -> impl Iterator<Item = &Event> {
        self.within(from, to).filter(move |event| event.kind == kind)
    }

    /// Whether a point says so many, exactly or within four times the error that it states.
    fn assert_near(point: &Value, exact: f64, is_estimate: bool) {
        let count = point["count"].as_f64().unwrap_or_else(|| panic!("{point}"));
        assert_eq!(point["approximate"], if is_estimate { true.into() } else { Value::Null });
        let error = point["error"].as_f64();
        assert_eq!(error.is_some(), is_estimate, "{point}");
        let off = (count - exact).abs();
        assert!(off <= 4.0 * error.unwrap_or(1e-9), "{point}: {exact}");
        assert!(error.unwrap_or(0.0) <= exact * 0.02, "{point}");
    }

    /// Several metrics are answered as each of them alone, with what is said of estimates.
    fn assert_together(&self, span: &str) {
        let names = ["purchases", "sessions", "active_users"];
        let query = format!("metric={}&interval=1d&{span}", names.join(","));
        let all = self.server.get(&format!("/api/analytics/timeseries?{query}"));
        for name in names {
            let single = self.points(&format!("metric={name}&interval=1d&{span}"));
            for (n, mut point) in single.into_iter().enumerate() {
                let count = point.as_object_mut().unwrap().remove("count").unwrap();
                point["value"] = count;
                assert_eq!(all["metrics"][name][n], point, "{name}");
            }
        }
        assert_eq!(all["metrics"]["sessions"][CROWDED as usize]["approximate"], true);
    }
}

#[test]
fn days_that_are_over_have_their_sessions_conversion_and_active_users() {
    let dir = tempfile::tempdir().unwrap();
    let first = bucket(now_ms(), DAY) - DAYS * DAY;
    let events = events(first);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = SqliteStore::open(dir.path()).unwrap();
        for (n, events) in events.chunks(500).enumerate() {
            store.write(&seal(NodeId::from_u128(7), n as u64 + 1, events)).await.unwrap();
        }
    });
    let settings = [("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "20"), ("FLOODMARK_TIMEZONE", "UTC")];
    let server = Server::on(dir.path(), &settings);
    let shop = Shop { server, events };
    let span = format!("from={first}&to={}", first + DAYS * DAY);
    wait_until("all is folded", || {
        let points = shop.points(&format!("metric=events&interval=1d&{span}"));
        let sum: i64 = points.iter().map(|point| point["count"].as_i64().unwrap()).sum();
        if sum == shop.events.len() as i64 { Ok(()) } else { Err(sum) }
    });
    for (interval, width) in [("1d", DAY), ("1h", HOUR)] {
        let of = |metric: &str| shop.points(&format!("metric={metric}&interval={interval}&{span}"));
        let all = [of("sessions"), of("conversion"), of("active_users")];
        assert_eq!(all[0].len() as i64, DAYS * DAY / width);
        for (n, from) in (first..first + DAYS * DAY).step_by(width as usize).enumerate() {
            let to = from + width;
            let sessions = visitors(shop.of_kind("page_view", from, to));
            let active = visitors(shop.within(from, to));
            let purchases = shop.of_kind("purchase", from, to).count();
            let is_estimate = sessions > 1_536;
            Shop::assert_near(&all[0][n], sessions as f64, is_estimate);
            Shop::assert_near(&all[1][n], purchases as f64 / sessions as f64, is_estimate);
            Shop::assert_near(&all[2][n], active as f64, is_estimate);
        }
    }
    // The rollups of a day are made anew beside the server, and say the same.
    let crowded = first + CROWDED * DAY;
    let asked = format!("metric=sessions&interval=1h&from={crowded}&to={}", crowded + DAY);
    let before = shop.points(&asked);
    let dir = dir.path().to_str().unwrap();
    let rebuild = |at: Millis| {
        floodmark_output(&["rebuild", "--data-dir", dir, "--rollups", &rfc3339(at)[..10]])
    };
    let done = rebuild(crowded);
    let words = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && words.contains("its 4480 events"), "{done:?}");
    assert_eq!(shop.points(&asked), before);
    let refused = rebuild(now_ms());
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not over yet"), "{refused:?}");
    // Visitors are known by minute, and the other day is compared with.
    let crowd = first + CROWDED * DAY + 9 * HOUR;
    let minutes = format!("metric=activeUsers&interval=5m&from={crowd}&to={}", crowd + HOUR);
    for (n, point) in shop.points(&minutes).iter().enumerate() {
        let from = crowd + n as i64 * 5 * MINUTE;
        let exact = visitors(shop.within(from, from + 5 * MINUTE));
        Shop::assert_near(point, exact as f64, exact > 384);
    }
    let next = first + 3 * DAY;
    let asked = format!("interval=1d&from={next}&to={}&baseline=yesterday", next + DAY);
    for metric in ["sessions", "active_users"] {
        let was = shop.points(&format!("metric={metric}&{asked}"));
        let then = format!("interval=1d&from={}&to={next}", first + CROWDED * DAY);
        let same = shop.points(&format!("metric={metric}&{then}"));
        assert_eq!(was[0]["count"], same[0]["count"]);
        assert_eq!(was[0]["timestamp"], next);
        assert!(was[0]["count"].as_i64() > Some(4_000));
    }
    shop.assert_together(&span);
    // Of a day before the shop there is no baseline.
    let asked = format!("interval=1d&from={first}&to={}&baseline=yesterday", first + DAY);
    assert!(shop.points(&format!("metric=sessions&{asked}"))[0]["count"].is_null());
}

#[test]
fn what_is_finer_than_is_kept_is_refused_by_name() {
    let server = Server::start();
    for (query, about) in [
        ("metric=sessions", "ask for 15m or wider"),
        ("metric=conversion&interval=5m", "ask for 15m or wider"),
        ("metric=revenue,conversion&interval=5m", "kept of conversion: ask for 15m or wider"),
        ("metric=active_users&interval=1s&hours=0.1", "ask for 1m or wider"),
    ] {
        let path = format!("/api/analytics/timeseries?{query}");
        let answer = server.request("GET", &path).send().unwrap();
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.text().contains(about), "{query}: {}", answer.text());
    }
    server.post(br#"{"type":"page_view","sessionId":"s"}"#);
    let today = "/api/analytics/timeseries?metric=sessions&interval=1d&hours=24";
    server.until("today is as it is now", |server| server.get(today)[0]["count"] == 1);
}
