//! A panic in what several nodes have in the background leaves it working: see `tests/server/held.rs`.

use serde_json::json;

use crate::{
    shop::{Live, Shop, ready},
    support::{postgres::Postgres, redis::RedisServer, server::Server},
};

#[test]
fn what_nodes_share_is_followed_again_after_a_panic() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let parts = ["clock", "dedupe", "feed", "nodes", "rebuild"];
    let points: Vec<String> =
        parts.iter().map(|part| format!("held-{part}=2*panic->off")).collect();
    let (url, live, points) = (postgres.url(), redis.url(), points.join(";"));
    let node = Server::with(&[
        ("FLOODMARK_POSTGRES__URL", url.as_str()),
        ("FLOODMARK_REDIS__URLS", live.as_str()),
        ("FLOODMARK_DEDUPE__SHARED", "true"),
        ("FAILPOINTS", points.as_str()),
    ]);
    for part in parts {
        // Redis is empty, so there is something to rebuild.
        let line = format!("floodmark_restarts_total{{part=\"{part}\"}} 2");
        node.until(&format!("{part} has panicked twice"), |node| node.has_metric(&line));
    }
    ready(&node);
    let shop = Shop::of(vec![node], postgres, Live::Single(redis));
    let node = &shop.nodes[0];
    let event = json!({"type": "page_view", "id": "once", "sessionId": "s"}).to_string();
    assert_eq!(node.post(event.as_str()).status, 202);
    assert_eq!(node.post(event).status, 202);
    node.until("the mirror has the event, once", |node| node.current()["events"] == json!(1));
}
