//! A replica for charts: it answers while it keeps up, and the primary does where it does not, with all that is there.

use floodmark::domain::time::{DAY, HOUR, now_ms};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{postgres::Postgres, server::Server},
};

/// Orders two days ago, as a chart says. That is older than what is in memory, so a store says it.
fn orders(server: &Server) -> u64 {
    let (from, to) = (now_ms() - 3 * DAY, now_ms() - DAY - 2 * HOUR);
    let path = format!("/api/analytics/timeseries?type=purchase&interval=1h&from={from}&to={to}");
    let hours = server.get(&path);
    hours.as_array().expect("a list").iter().filter_map(|it| it["count"].as_u64()).sum()
}

fn send(server: &Server, n: i64) {
    let order = |n: i64| {
        json!({"type": "purchase", "timestamp": now_ms() - 2 * DAY + n * 1_000,
            "properties": {"amount": 5, "currency": "USD"}})
    };
    let events: Vec<Value> = (0..n).map(order).collect();
    assert_eq!(post_json(server, &json!(events).to_string()).0, 202);
}

/// How many rows of charts a server was asked for.
async fn asked(postgres: &Postgres) -> u64 {
    let sql =
        "SELECT coalesce(sum(xact_commit), 0) FROM pg_stat_database WHERE datname = 'postgres'";
    postgres.sql(sql).await[0][0].parse().unwrap()
}

fn reason(server: &Server) -> Option<String> {
    let reasons = server.get("/readyz")["reasons"].clone();
    let mut reasons = reasons.as_array().expect("a list").iter().filter_map(Value::as_str);
    reasons.find(|it| it.starts_with("replica: ")).map(str::to_owned)
}

#[test]
fn charts_come_from_the_replica_while_it_keeps_up_and_else_from_the_primary() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let primary = Postgres::start();
    let standby = primary.standby();
    let server = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", &primary.url()),
        ("FLOODMARK_POSTGRES__READ_URL", &standby.url()),
        ("FLOODMARK_POSTGRES__READ_MAX_LAG_MS", "8000"),
    ]);
    server.until("the replica has the schema and keeps up", |server| reason(server).is_none());
    send(&server, 7);
    server.until("the chart has all", |server| orders(server) == 7);
    let before = runtime.block_on(asked(&standby));
    server.until("the replica is asked", |server| {
        assert_eq!(orders(server), 7);
        runtime.block_on(asked(&standby)) > before + 5
    });
    // From here on the replica has nothing new.
    runtime.block_on(standby.cut_off());
    send(&server, 4);
    server.until("the primary has all, and is asked", |server| orders(server) == 11);
    server.until("it is said", |server| reason(server).is_some_and(|it| it.contains("behind")));
    let lag = server.get_text("/metrics");
    let lag = lag.lines().find_map(|it| it.strip_prefix("floodmark_store_read_lag_seconds "));
    assert!(lag.expect("a metric").parse::<f64>().unwrap() > 8.0, "{lag:?}");
    assert!(server.log().contains("charts ask the primary"));
}

#[test]
fn the_database_of_another_shop_is_no_replica_and_one_that_is_away_stops_nothing() {
    let mut other = Postgres::start();
    let elsewhere = Server::with(&[("FLOODMARK_POSTGRES__URL", &other.url())]);
    send(&elsewhere, 3);
    elsewhere.until("the other shop has orders", |server| orders(server) == 3);
    let primary = Postgres::start();
    let server = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", &primary.url()),
        ("FLOODMARK_POSTGRES__READ_URL", &other.url()),
    ]);
    server.until("it is said", |server| reason(server).is_some());
    send(&server, 5);
    server.until("the own orders are shown", |server| match orders(server) {
        0 => false,
        n => n == 5,
    });
    other.stop_immediate();
    assert_eq!(orders(&server), 5);
}
