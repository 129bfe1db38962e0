//! The same event types have counters of their own on each node, one that comes later included.

use serde_json::{Value, json};

use crate::{
    shop::{Live, Shop},
    support::{postgres::Postgres, redis::RedisServer, server::Server},
};

fn post(node: &Server, kinds: &[&str]) {
    let events: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let answer = node.post(json!(events).to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[test]
fn a_type_has_a_counter_on_each_node_or_on_none() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let (postgres_url, redis_urls) = (postgres.url(), redis.url());
    let variables = [
        ("FLOODMARK_POSTGRES__URL", &*postgres_url),
        ("FLOODMARK_REDIS__URLS", &*redis_urls),
        ("FLOODMARK_LIVE__MAX_EVENT_TYPES", "2"),
    ];
    let nodes = vec![Server::with(&variables), Server::with(&variables)];
    let mut shop = Shop::of(nodes, postgres, Live::Single(redis));
    let show = |shop: &Shop, counts: &Value| {
        for node in &shop.nodes {
            node.until("all are counted", |node| node.current()["counts"] == *counts);
        }
    };
    post(&shop.nodes[0], &["chat", "wish", "late"]);
    show(&shop, &json!({"chat": 1, "wish": 1, "other": 1}));
    // The other node has room of its own, and takes none of it.
    post(&shop.nodes[1], &["later", "late", "chat"]);
    show(&shop, &json!({"chat": 2, "wish": 1, "other": 3}));
    // So does a node that comes later, and one that is killed.
    shop.nodes[0].restart();
    shop.nodes.push(Server::with(&variables));
    show(&shop, &json!({"chat": 2, "wish": 1, "other": 3}));
    for node in [0, 2] {
        post(&shop.nodes[node], &["late", "wish", "chat"]);
    }
    show(&shop, &json!({"chat": 4, "wish": 3, "other": 5}));
    for node in &shop.nodes {
        let asked = "/api/analytics/timeseries?interval=1mo&hours=1&type=late";
        assert_eq!(node.get(asked)[0]["count"], Value::Null);
    }
}
