//! Metrics, dashboard and alerts, as a real Prometheus sees them.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    prometheus::{Prometheus, deploy},
    support::{
        client::Request, postgres::Postgres, process, program::PATIENCE, redis::RedisServer,
        server::Server, viewer,
    },
};

const TOKEN: &str = "viewer-token";

fn promtool() -> Command {
    Command::new(process::find("promtool", &[], "apt-get install prometheus"))
}

/// Sends one event of each shipped kind, and one that is refused.
fn some_traffic(server: &Server) {
    let events = r#"[{"type":"page_view","sessionId":"s"},{"type":"purchase","properties":{"amount":5}},
        {"type":"purchase","properties":{}}]"#;
    let answer = server.request("POST", "/v1/events").header("Authorization", "Bearer key");
    assert_eq!(answer.body(events).send().expect("it answers").status, 202);
}

fn server_of(postgres: &Postgres, redis: &RedisServer) -> Server {
    Server::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "key"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", TOKEN),
        ("FLOODMARK_POSTGRES__URL", &postgres.url()),
        ("FLOODMARK_REDIS__URLS", &redis.url()),
    ])
}

#[test]
#[ignore = "needs promtool: ./test --deploy"]
fn alert_rules_fire_on_what_they_are_made_for_and_on_nothing_else() {
    let mut command = promtool();
    let test = deploy("prometheus/floodmark.test.yml");
    let said = process::run(command.args(["test", "rules"]).arg(test));
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
#[ignore = "needs promtool: ./test --deploy"]
fn every_alert_is_tried() {
    let rules = std::fs::read_to_string(deploy("prometheus/floodmark.rules.yml")).unwrap();
    let tests = std::fs::read_to_string(deploy("prometheus/floodmark.test.yml")).unwrap();
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("- name: {alert}\n")), "{alert} has no test");
    }
}

#[test]
#[ignore = "needs promtool: ./test --deploy"]
fn promtool_finds_nothing_to_say_about_our_metrics() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let server = server_of(&postgres, &redis);
    some_traffic(&server);
    let scrape = Request::get(server.addr(), "/metrics")
        .header("Authorization", &format!("Bearer {TOKEN}"))
        .send()
        .expect("it answers");
    assert_eq!(scrape.status, 200);
    assert!(scrape.text().contains("floodmark_events_accepted_total{source=\"http\"} 2"));
    let mut check = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(scrape.text().as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
#[ignore = "needs prometheus: ./test --deploy"]
fn a_real_prometheus_answers_every_query_of_the_dashboard() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let server = server_of(&postgres, &redis);
    let prometheus = Prometheus::start(server.addr(), TOKEN);
    let _viewer = viewer::watch(&server, &format!("?token={TOKEN}"));
    let mut left = queries();
    assert!(left.len() > 40, "{}", left.len());
    // A rate needs two scrapes, and a histogram something that was measured between them.
    let begun = std::time::Instant::now();
    while !left.is_empty() {
        some_traffic(&server);
        left.retain(|query| prometheus.query(query).iter().all(is_no_number));
        assert!(begun.elapsed() < PATIENCE, "never answered: {left:#?}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let rules = prometheus.get("/api/v1/rules");
    let groups = rules["data"]["groups"].as_array().expect("groups of rules");
    let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    for rule in all {
        assert!(rule["lastError"].is_null(), "{rule}");
    }
    let targets = prometheus.get("/api/v1/targets");
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up", "{targets}");
    assert!(prometheus.query("ALERTS{alertname=\"FloodmarkDown\"}").is_empty());
}

/// The queries of the dashboard, with its variables as Grafana would put them in.
fn queries() -> Vec<String> {
    let text = std::fs::read_to_string(deploy("grafana/dashboards/floodmark.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let filled = |target: &Value| {
        let query = target["expr"].as_str().expect("a target has a query");
        let query = query
            .replace("$__rate_interval", "15s")
            .replace("$instance", ".*")
            .replace("$job", "floodmark");
        assert!(!query.contains('$'), "{query}");
        query
    };
    targets.map(filled).collect()
}

fn is_no_number(sample: &Value) -> bool {
    sample["value"][1].as_str().is_none_or(|text| text == "NaN")
}
