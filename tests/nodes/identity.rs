//! The identity of a node lies in its data folder, and only one process may use that folder at a
//! time.

use std::process::{Command, Stdio};

use crate::{
    shop::{Shop, drained, ready},
    support::{postgres::Postgres, program::wait_until, server::Server},
};

fn node_id(node: &Server) -> String {
    std::fs::read_to_string(node.data().join("node.id")).unwrap()
}

#[test]
fn a_node_that_dies_comes_back_as_itself_with_its_spool() {
    let mut shop = Shop::open();
    let mut load = shop.load(20_000, 0);
    load.wait();
    shop.agrees(&load.sums);

    // Postgres is down, so the events that the dying node answers stay in its spool.
    shop.postgres.stop_immediate();
    let more = shop.load(5_000, 0);
    let (mut more, mut sums) = (more, load.sums.clone());
    more.wait();
    for (kind, count) in &more.sums.counts {
        *sums.counts.entry(kind.clone()).or_default() += count;
    }
    sums.revenue += more.sums.revenue;
    let before = node_id(&shop.nodes[0]);
    shop.nodes[0].kill();
    shop.postgres.start_again();
    // The other node goes on meanwhile.
    drained(&shop.nodes[1]);
    shop.nodes[0].restart();
    ready(&shop.nodes[0]);
    assert_eq!(node_id(&shop.nodes[0]), before, "the same node");
    drained(&shop.nodes[0]);
    shop.agrees(&sums);
    // What the dead node had taken in is stored as of the run that took it in.
    let runs = shop.sql("SELECT DISTINCT node FROM ledger ORDER BY node");
    assert_eq!(runs.len(), 2, "one run of each node, and no third one has written: {runs:?}");
}

#[test]
fn two_nodes_cant_share_a_data_dir() {
    let node = Server::start();
    let second = Command::new(env!("CARGO_BIN_EXE_floodmark"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(node.data())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success(), "it must not start");
    let said = String::from_utf8_lossy(&second.stderr);
    for part in [node.data().to_str().unwrap(), "is in use", "pid ", "--data-dir"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // The first node is not disturbed.
    ready(&node);
    assert_eq!(node.current()["events"], 0);
}

#[test]
fn a_node_without_redis_starts_while_its_postgres_is_away() {
    let mut postgres = Postgres::start();
    postgres.stop_immediate();
    // A node that has never read its store lets in those whom its configuration names.
    let node = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", &postgres.url()),
        ("FLOODMARK_AUTH__WRITE_KEYS", "w"),
    ]);
    let event = node.request("POST", "/v1/events?key=w").body(br#"{"type":"signup"}"#);
    let answer = event.send().unwrap();
    assert_eq!(answer.status, 202, "it is on disk: {answer:?}");
    let reasons = node.request("GET", "/readyz?sinks").send().unwrap();
    assert_eq!(reasons.status, 503, "{reasons:?}");
    assert!(reasons.text().contains("ledger"), "{reasons:?}");
    postgres.start_again();
    ready(&node);
    wait_until("it knows who has access", || {
        let answer = node.request("GET", "/api/analytics/current").send().unwrap();
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    });
    wait_until("it is counted and stored", || {
        let current = node.current();
        if current["counts"]["signup"] == 1 { Ok(()) } else { Err(current) }
    });
    drained(&node);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rows = runtime.block_on(postgres.sql("SELECT count(*) FROM events"));
    assert_eq!(rows, [["1"]]);
}
