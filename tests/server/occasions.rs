//! Occasions: each minute of a day is held against its minute of the last such day, on both stores.

use std::collections::BTreeMap;

use floodmark::domain::time::{BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND, now_ms, rfc3339};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{postgres::Postgres, server::Server},
};

/// Minutes of a day.
const MINUTES: usize = 1_440;

/// Events of 26 hours from a moment on, at any millisecond, and some minutes without any.
fn events(from: Millis) -> Vec<Value> {
    let at = |n: i64| from + n * 31 * SECOND + n * 7_919 % 29_000;
    let quiet = |at: &Millis| (at / MINUTE) % 17 != 3;
    let times = (0..3_000).map(at).filter(quiet).enumerate();
    times
        .map(|(n, time)| {
            let kind = if n % 5 == 0 { "purchase" } else { "page_view" };
            json!({"type": kind, "timestamp": time, "sessionId": format!("s{}", n / 7),
                "properties": {"amount": n as f64 / 4.0, "currency": "USD"}})
        })
        .collect()
}

async fn rows_by_minute(server: &Server, postgres: Option<&Postgres>) -> BTreeMap<Millis, u64> {
    let Some(postgres) = postgres else {
        let database = server.database();
        let sql =
            "SELECT time / 60000 * 60000, count(*) FROM events WHERE type = 'purchase' GROUP BY 1";
        let mut statement = database.prepare(sql).unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))).unwrap();
        return rows.collect::<Result<_, _>>().unwrap();
    };
    let sql = "SELECT (extract(epoch FROM date_trunc('minute', time)) * 1000)::bigint, count(*)
               FROM events WHERE type = 'purchase' GROUP BY 1";
    let rows = postgres.sql(sql).await;
    rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect()
}

#[test]
fn every_minute_of_a_day_is_held_against_that_of_the_occasion() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let zone = BusinessZone::named("America/New_York").unwrap();
    // Two days that are over; on the later one the shop opens two hours later.
    let now = zone.day_of(zone.day_of(now_ms()).start - DAY).start;
    let then = zone.day_of(zone.same_moment(now, 364)).start;
    let (opening, before) = (now + 8 * HOUR, then + 6 * HOUR);
    let occasion = |name: &str, start: Millis, end: Millis| {
        format!(
            "[[occasion]]\nname = \"{name}\"\nstart = \"{}\"\nend = \"{}\"\n",
            rfc3339(start),
            rfc3339(end)
        )
    };
    let postgres = Postgres::start();
    let config = format!(
        "timezone = \"America/New_York\"\n{}{}",
        occasion("last_time", before, before + 16 * HOUR),
        occasion("this_time", opening, opening + 16 * HOUR),
    );
    let on_postgres = format!("postgres.url = \"{}\"\n{config}", postgres.url());
    let shops = [
        (Server::with_config(&config), None),
        (Server::with_config(&on_postgres), Some(&postgres)),
    ];
    for (server, postgres) in shops {
        let events = events(then - HOUR);
        for batch in events.chunks(500) {
            assert_eq!(post_json(&server, &json!(batch).to_string()).0, 202);
        }
        let end = zone.day_of(now).end;
        let path =
            format!("/api/analytics/timeseries?type=purchase&interval=1m&from={now}&to={end}");
        let with = |baseline: &str| format!("{path}&baseline={baseline}");
        let counts = |server: &Server| -> Vec<(Millis, u64)> {
            let points = server.get(&with("last_time"));
            let count =
                |it: &Value| (it["timestamp"].as_i64().unwrap(), it["count"].as_u64().unwrap_or(0));
            points.as_array().expect("a list").iter().map(count).collect()
        };
        let expected = |rows: &BTreeMap<Millis, u64>| -> Vec<(Millis, u64)> {
            let shift = opening - before;
            let minutes = (now..end).step_by(MINUTE as usize);
            minutes.map(|at| (at, rows.get(&(at - shift)).copied().unwrap_or(0))).collect()
        };
        server.until("all is stored and folded", |server| {
            let rows = runtime.block_on(rows_by_minute(server, postgres));
            let purchases = events.iter().filter(|it| it["type"] == "purchase").count() as u64;
            rows.values().sum::<u64>() == purchases && counts(server) == expected(&rows)
        });
        let told = counts(&server);
        assert!(told.len() >= MINUTES - 60 && told.iter().filter(|it| it.1 > 0).count() > 400);
        ask_otherwise(&server, &with, (opening, before), &told);
    }
}

/// Other questions about the same days.
fn ask_otherwise(
    server: &Server,
    with: &impl Fn(&str) -> String,
    (opening, before): (Millis, Millis),
    told: &[(Millis, u64)],
) {
    // Hours have what their minutes have.
    let by_hour = server.get(&with("last_time").replace("interval=1m", "interval=1h"));
    let sum: u64 = by_hour.as_array().unwrap().iter().filter_map(|it| it["count"].as_u64()).sum();
    assert_eq!(sum, told.iter().map(|it| it.1).sum::<u64>());
    // One that lies ahead of the span is no baseline of it, nor is one that is not there.
    for wrong in ["this_time", "next_time"] {
        let answer = server.request("GET", &with(wrong)).send().unwrap();
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    let listed = server.get("/api/analytics/occasions");
    assert_eq!(
        listed[1],
        json!({"name": "this_time", "title": "this_time", "start": opening, "end": opening + 16 * HOUR})
    );
    // Why it differs is asked by the same name.
    let explain = format!(
        "/api/analytics/explain?metric=purchases&from={}&to={}&baseline=last_time",
        opening + HOUR,
        opening + 2 * HOUR
    );
    let said = server.get(&explain);
    assert_eq!(said["baseline"], json!({"from": before + HOUR, "to": before + 2 * HOUR}), "{said}");
}
