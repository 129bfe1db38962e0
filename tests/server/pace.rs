//! Targets: what came, what should have come by now, and what will.

use floodmark::domain::time::{BusinessZone, DAY, HOUR, Millis, now_ms};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{program::noon_zone, server::Server},
};

/// Days before today that have orders.
const DAYS: u16 = 30;

fn order(at: Millis, day: u16, hour: i64) -> Value {
    let id = format!("{day}-{hour}");
    let amount = 10 + i64::from(day * 7 % 5) + hour % 3;
    json!({"type": "purchase", "timestamp": at, "id": id, "properties": {"amount": amount, "currency": "USD"}})
}

/// An order each hour of a day, up to a moment.
fn orders(zone: &BusinessZone, now: Millis, days_back: u16) -> Vec<Value> {
    let day = zone.day_of(zone.same_moment(now, days_back));
    let at = |hour: i64| (hour, day.start + hour * HOUR + HOUR / 3);
    let came = (0..24).map(at).filter(|(_, at)| *at <= now);
    came.map(|(hour, at)| order(at, days_back, hour)).collect()
}

fn sum(orders: &[Value]) -> f64 {
    orders.iter().map(|it| it["properties"]["amount"].as_f64().unwrap()).sum()
}

fn config(zone: &str) -> String {
    let target = |name: &str, more: &str| {
        format!("[[target]]\nname = \"{name}\"\nmetric = \"revenue\"\namount = 300\n{more}\n")
    };
    let rules = [
        target("day", "title = \"Today\""),
        target("straight", "curve = \"straight\""),
        target("week", "span = \"week\""),
        target("as_then", "curve = \"last_time\""),
    ];
    format!("timezone = \"{zone}\"\nledger.fold_interval_ms = 100\n{}", rules.concat())
}

#[test]
fn a_target_is_told_by_the_days_before() {
    let zone_name = noon_zone();
    let zone = BusinessZone::named(&zone_name).unwrap();
    let then = zone.day_of(zone.same_moment(now_ms(), 10)).date;
    let occasion = format!(
        "[[occasion]]\nname = \"last_time\"\nstart = \"{then}T00:00\"\nend = \"{then}T23:00\"\n"
    );
    let server = Server::with_config(&format!("{}{occasion}", config(&zone_name)));
    let now = now_ms();
    let days: Vec<Vec<Value>> = (0..=DAYS).map(|back| orders(&zone, now, back)).collect();
    for day in &days {
        assert_eq!(post_json(&server, &json!(day).to_string()).0, 202);
    }
    let (all, today) = (days.iter().map(|day| sum(day)).sum::<f64>(), sum(&days[0]));
    let start = zone.day_of(zone.same_moment(now, DAYS)).start;
    let series = format!("/api/analytics/timeseries?metric=revenue&interval=1d&from={start}");
    server.until("all days are folded", |server| {
        let points = server.get(&series);
        let counts = points.as_array().unwrap().iter().filter_map(|it| it["count"].as_f64());
        counts.sum::<f64>() == all
    });

    let paces = server.get("/api/analytics/pace");
    let [day, straight, week, as_then] = &paces.as_array().unwrap()[..] else {
        panic!("{paces}");
    };
    assert_eq!(
        (&day["title"], &day["span"], &day["curve"]),
        (&json!("Today"), &json!("day"), &json!("usual"))
    );
    assert_eq!(
        (day["value"].as_f64(), day["amount"].as_f64()),
        (Some(today), Some(300.0)),
        "{day}"
    );
    // Orders come evenly, so that about as much of the target should be there as of the day is over.
    let (from, to) = (day["from"].as_i64().unwrap(), day["to"].as_i64().unwrap());
    let over = (day["asOf"].as_i64().unwrap() - from) as f64 / (to - from) as f64;
    for (pace, tolerance) in [(day, 15.0), (as_then, 20.0), (straight, 0.1)] {
        let should = pace["should"].as_f64().unwrap_or_else(|| panic!("{pace}"));
        assert!((should - 300.0 * over).abs() < tolerance, "{pace}");
    }
    let forecast = &day["forecast"];
    let [low, value, high] = ["low", "value", "high"].map(|it| forecast[it].as_f64().unwrap());
    assert!(today < low && low < value && value < high, "{day}");
    // A day has 24 orders of 10 to 16.
    assert!((250.0..380.0).contains(&value) && high - low < 80.0, "{day}");
    assert!((0.0..=1.0).contains(&forecast["chance"].as_f64().unwrap()));
    let (monday, _) = zone.week_of(now);
    let in_week = days.iter().flatten().filter(|it| it["timestamp"].as_i64().unwrap() >= monday);
    let came: f64 = in_week.map(|it| it["properties"]["amount"].as_f64().unwrap()).sum();
    assert_eq!(week["value"].as_f64(), Some(came), "{week}");
    assert!(week["forecast"]["value"].as_f64().unwrap() >= value, "{week}");

    let with_points = server.get("/api/analytics/pace?target=day&points=true");
    let points = with_points[0]["points"].as_array().expect("points");
    assert!((97..=98).contains(&points.len()), "{}", points.len());
    let last = points.last().unwrap();
    assert_eq!((&last["timestamp"], &last["should"]), (&json!(to), &json!(300.0)));
    assert_eq!(last["expected"], with_points[0]["forecast"]["value"]);
    let times: Vec<i64> = points.iter().map(|it| it["timestamp"].as_i64().unwrap()).collect();
    assert!(times.is_sorted());
    let known: Vec<f64> = points.iter().filter_map(|it| it["value"].as_f64()).collect();
    assert!(known.is_sorted() && known.last() == Some(&today), "{known:?}");

    for wrong in ["target=none", "points=yes", "metric=revenue"] {
        let answer = server.request("GET", &format!("/api/analytics/pace?{wrong}")).send().unwrap();
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
}

#[test]
fn a_new_shop_is_told_that_nothing_is_known() {
    let server = Server::with_config(&config("UTC").replace("last_time", "usual"));
    let now = now_ms();
    let sale = json!([order(now - now % DAY, 0, 0)]).to_string();
    assert_eq!(post_json(&server, &sale).0, 202);
    server.until("the order counts", |server| server.current()["purchases"] == 1);
    let paces = server.get("/api/analytics/pace");
    let (day, straight) = (&paces[0], &paces[1]);
    assert_eq!((&day["should"], &day["forecast"]), (&Value::Null, &Value::Null));
    assert_eq!((&straight["value"], &straight["forecast"]), (&json!(10.0), &Value::Null));
    assert!(straight["should"].is_number());
    for pace in [day, straight] {
        assert!(pace["why"].as_str().unwrap().contains("too few days"), "{pace}");
    }
}
