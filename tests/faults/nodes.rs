//! Two nodes that share ids (`dedupe.shared`): an event counts once, whichever node gets it and
//! however often.

use std::time::{Duration, Instant};

use floodmark::ingest::dedupe::Dedupe;
use serde_json::json;

use crate::{
    load::{Load, Plan},
    node::Node,
    shop::{BRISK, Servers, Shop},
    support::{client::Request, redis::RedisCluster},
    verdict::Row,
};

/// A shop with a second node on the same servers.
struct Pair {
    shop: Shop,
    other: Node,
}

impl Pair {
    fn start(once: &[(&str, &str)]) -> Pair {
        let shop = Shop::armed(&[("FLOODMARK_DEDUPE__SHARED", "true")], once);
        let servers = shop.servers.as_ref().expect("it has servers");
        let other = node_on(&servers.settings(), true);
        let pair = Pair { shop, other };
        for node in [&pair.shop.node, &pair.other] {
            node.until("it may claim ids", |node| node.log().contains("knows the ids"));
        }
        pair
    }

    fn load(&self, plan: Plan) -> Load {
        Load::over(&[self.shop.node.addr(), self.other.addr()], 0, plan)
    }

    fn close(mut self, row: Row, account: &crate::load::Account) {
        self.other.settled();
        row.close(&mut self.shop, account, None);
    }
}

fn node_on(servers: &[(String, String)], shared: bool) -> Node {
    let mut settings: Vec<(&str, &str)> = BRISK.to_vec();
    settings.extend(servers.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    settings.push(("FLOODMARK_DEDUPE__SHARED", if shared { "true" } else { "false" }));
    Node::start(&settings)
}

/// Sends each request to one node until it is answered with 202, and then to the other.
const TO_BOTH: Plan = Plan { senders: 4, events: 20, rate: None, ids: true, twice: true };

#[test]
fn ids_over_two_nodes() {
    let row = Row::new(
        "ids_over_two_nodes",
        "every request goes to both nodes, which are killed in turn, twice each",
        "the second node says that all of it are duplicates (dedupe.shared)",
    );
    let mut pair = Pair::start(&[]);
    let load = pair.load(TO_BOTH);
    for _ in 0..2 {
        load.goes_on(1000);
        pair.shop.node.kill();
        pair.shop.node.restart();
        load.goes_on(1000);
        pair.other.kill();
        pair.other.restart();
    }
    load.goes_on(1000);
    let account = load.stop();
    pair.close(row, &account);
}

/// Kills one node at a kill point. Its clients try the other node, which answers 503 until the
/// first node is up again.
fn killed_at(row: Row, point: &str) {
    let when = format!("{point}=60*off->return");
    let mut pair = Pair::start(&[("FAILPOINTS", &when)]);
    let load = pair.load(TO_BOTH);
    pair.shop.node.ended(point);
    load.wait("undecided ids are refused", |load| load.refused() > 0);
    pair.shop.node.restart();
    load.goes_on(2000);
    let account = load.stop();
    pair.close(row, &account);
}

#[test]
fn kill_9_between_claim_and_write() {
    let row = Row::new(
        "kill_9_between_claim_and_write",
        "kill -9 of a node that has claimed ids and written nothing (dedupe.shared)",
        "a retry at the other node waits (503) until the first is back, and is then accepted",
    );
    killed_at(row, "ids-claimed");
}

#[test]
fn kill_9_between_fsync_and_keep() {
    let row = Row::new(
        "kill_9_between_fsync_and_keep",
        "kill -9 of a node whose events are on disk before Redis is told (dedupe.shared)",
        "a retry at the other node waits (503) until the first is back, and is then a duplicate",
    );
    killed_at(row, "ids-appended");
}

#[test]
fn redis_gone_while_ids_are_shared() {
    let row = Row::new(
        "redis_gone_while_ids_are_shared",
        "Redis is halted, then emptied, while nodes share ids (dedupe.shared)",
        "meanwhile events with ids get 503, those without are taken; then all goes on",
    );
    let mut pair = Pair::start(&[]);
    let load = pair.load(TO_BOTH);
    load.goes_on(1000);
    pair.shop.redis().pause();
    load.wait("requests with ids are refused", |load| load.refused() > 0);
    // The numbers of these events are so high that no load reaches them.
    let (plain, known) = (1u64 << 61, (1u64 << 60)..(1 << 60) + 50);
    let event = |n: u64| json!({"type": "a", "properties": {"n": n}});
    let body = serde_json::to_vec(&event(plain)).expect("JSON");
    let told = Request::post(pair.other.addr(), "/v1/events", body).send().expect("an answer");
    assert_eq!(told.status, 202, "an event without an id");
    pair.shop.redis().resume();
    load.goes_on(2000);
    let mut account = load.stop();
    account.answered(plain);
    let with_id = |n: u64| {
        let mut event = event(n);
        event["id"] = n.to_string().into();
        event
    };
    let events: Vec<_> = known.clone().map(with_id).collect();
    let body = serde_json::to_vec(&events).expect("JSON");
    let until_202 = |node: &Node| {
        let begin = Instant::now();
        loop {
            let answer = Request::post(node.addr(), "/v1/events", &body[..]).send().expect("one");
            if answer.status == 202 {
                return answer.json();
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", answer.json());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert_eq!(until_202(&pair.shop.node)["accepted"], 50);
    known.for_each(|n| account.answered(n));
    pair.shop.redis().flushall();
    assert_eq!(until_202(&pair.shop.node)["duplicates"], 50, "its own index");
    assert_eq!(until_202(&pair.other)["duplicates"], 50, "told to Redis again");
    pair.close(row, &account);
}

#[test]
fn ids_over_a_cluster() {
    let row = Row::new(
        "ids_over_a_cluster",
        "every request goes to both nodes, on a Redis Cluster (dedupe.shared)",
        "the second node says that all of it are duplicates",
    );
    let servers = Servers::start();
    let cluster = RedisCluster::start();
    let places = [
        servers.settings()[0].clone(),
        ("FLOODMARK_REDIS__URLS".to_owned(), cluster.urls().join(",")),
    ];
    let (node, other) = (node_on(&places, true), node_on(&places, true));
    let pair = Pair { shop: Shop { node, servers: Some(servers) }, other };
    let load = pair.load(TO_BOTH);
    load.goes_on(4000);
    let account = load.stop();
    pair.close(row, &account);
}

/// Measures what ids cost: bytes in the index and in Redis, and the rate of intake with and without
/// `dedupe.shared`, in turns. `report.mjs` writes the figures into docs/RELIABILITY.md.
#[test]
#[ignore = "long: ./test --soak"]
fn cost_of_ids() {
    let servers = Servers::start();
    let nodes = [false, true].map(|shared| node_on(&servers.settings(), shared));
    nodes[1].until("it may claim ids", |node| node.log().contains("knows the ids"));
    let redis = |field: &str| {
        let info: String = servers.redis.run(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|value| value.trim().parse::<u64>().ok()).expect("a number")
    };
    let plan = Plan { senders: 4, events: 100, rate: None, ids: true, twice: false };
    let mut rates = [Vec::new(), Vec::new()];
    let (mut before, mut with_ids) = (0, 0);
    for round in 0..6 {
        let shared = round % 2;
        // The counters exist since the first round, so from now on Redis grows only by ids.
        if round == 3 {
            before = redis("used_memory:");
        }
        let load = Load::start(nodes[shared].addr(), round as u64, plan);
        let begin = Instant::now();
        std::thread::sleep(Duration::from_secs(10));
        let rate = load.answered() as f64 / begin.elapsed().as_secs_f64();
        let _ = load.stop();
        nodes[shared].settled();
        rates[shared].push(rate);
        if round == 3 {
            with_ids = (rate * begin.elapsed().as_secs_f64()) as u64;
            before = (redis("used_memory:") - before) / with_ids.max(1);
        }
    }
    let line = json!({
        "events_a_second": rates[0], "events_a_second_shared": rates[1],
        "bytes_in_redis": before, "ids": with_ids,
        "bytes_in_index_uuid": index_bytes(|n| uuid::Uuid::from_u128(n.wrapping_mul(0x9e3779b97f4a7c15f39cc0605cedc835)).to_string()),
        "bytes_in_index_text": index_bytes(|n| format!("event-{n:018}")),
    });
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults");
    std::fs::create_dir_all(&folder).expect("target can be written");
    std::fs::write(folder.join("cost.json"), format!("{line}\n")).expect("it can be written");
}

/// The bytes that an id takes in the node's index, when there are two million of them.
fn index_bytes(id: impl Fn(u128) -> String) -> u64 {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("a /proc");
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
    };
    const IDS: u128 = 2_000_000;
    let before = resident();
    let mut index = Dedupe::new(900_000, 4_000_000);
    for n in 0..IDS {
        assert!(index.insert(&id(n), 0));
    }
    let bytes = (resident() - before) / IDS as u64;
    drop(index);
    bytes
}
