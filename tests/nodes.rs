//! Several nodes on one Postgres and one Redis act as one: the same totals on each, equal to
//! the file, to the rows and to the ledger; and a Redis that is emptied or a Postgres that
//! crashes in the middle changes nothing in the end.

mod support;

use std::process::{Child, Command};

use serde_json::Value;
use support::{postgres::Postgres, program::wait_until, redis::RedisServer, server::Server};

const EVENTS: u64 = 40_000;

struct Shop {
    postgres: Postgres,
    redis: RedisServer,
    nodes: [Server; 2],
}

impl Shop {
    fn open() -> Shop {
        let (postgres, redis) = (Postgres::start(), RedisServer::start());
        let node = || {
            Server::with(&[
                ("FLOODMARK_POSTGRES__URL", &postgres.url()),
                ("FLOODMARK_REDIS__URLS", &redis.url()),
                ("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "50"),
            ])
        };
        let nodes = [node(), node()];
        for node in &nodes {
            wait_until("it is ready", || match node.request("GET", "/readyz", "", b"") {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        Shop { postgres, redis, nodes }
    }

    /// Replays a file of its own to each node.
    fn load(&self, rate: &str) -> Vec<Child> {
        let replay = |(seed, node): (usize, &Server)| {
            let file = node.data().join("events.ndjson");
            let (file, seed, events) =
                (file.to_str().unwrap(), seed.to_string(), EVENTS.to_string());
            let program = env!("CARGO_BIN_EXE_floodmark");
            let written = Command::new(program)
                .args(["demo", "--write", file, "--events", &events, "--seed", &seed])
                .output()
                .unwrap();
            assert!(written.status.success(), "{written:?}");
            Command::new(program)
                .args(["replay", file, "--to", &node.url(), "--rate", rate])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        };
        self.nodes.iter().enumerate().map(replay).collect()
    }

    /// Waits until everything is there, and compares.
    fn agrees(&self, load: Vec<Child>) {
        for mut replay in load {
            assert!(replay.wait().unwrap().success(), "every event was accepted");
        }
        let total = EVENTS * self.nodes.len() as u64;
        let (mut counts, mut revenue) = (std::collections::BTreeMap::<String, u64>::new(), 0);
        for node in &self.nodes {
            let file = std::fs::read_to_string(node.data().join("events.ndjson")).unwrap();
            for line in file.lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                let kind = event["type"].as_str().unwrap();
                *counts.entry(kind.to_owned()).or_default() += 1;
                if kind == "purchase" {
                    revenue += support::amount_of(&event["properties"]);
                }
            }
        }
        for node in &self.nodes {
            wait_until("each node shows what the files hold", || {
                let current = node.current();
                let shown = (current["revenue"].as_f64().unwrap() * 10_000.0).round() as i64;
                let same = current["counts"] == serde_json::json!(counts) && shown == revenue;
                if same { Ok(()) } else { Err(current) }
            });
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let count = |sql: &str| {
            let rows = runtime.block_on(self.postgres.sql(sql));
            rows[0][0].parse::<u64>().unwrap()
        };
        wait_until("all rows are there", || match count("SELECT count(*) FROM events") {
            rows if rows == total => Ok(()),
            rows => Err(rows),
        });
        assert_eq!(count("SELECT count(DISTINCT id) FROM events"), total);
        assert_eq!(count("SELECT sum(events) FROM ledger"), total);
        let folded = "SELECT coalesce(sum(value), 0) FROM rollups WHERE series LIKE 'c:%'";
        wait_until("the rollups hold each event once", || match count(folded) {
            events if events == total => Ok(()),
            events => Err(events),
        });
        let rolled_up = count("SELECT sum(value) FROM rollups WHERE series = 's:revenue'");
        assert_eq!(rolled_up as i64, revenue);
        let rows = "SELECT (10000 * sum((properties->>'amount')::numeric))::bigint FROM events \
                    WHERE type = 'purchase'";
        assert_eq!(count(rows) as i64, revenue);
    }
}

#[test]
fn two_nodes_show_the_same_and_keep_everything() {
    let shop = Shop::open();
    let load = shop.load("20000");
    shop.agrees(load);
}

#[test]
fn an_emptied_redis_and_a_crashed_postgres_under_load_change_nothing() {
    let mut shop = Shop::open();
    let load = shop.load("8000");
    let some = |shop: &Shop, events: u64| {
        wait_until("some are counted", || match shop.nodes[0].current()["events"].as_u64() {
            Some(seen) if seen >= events => Ok(()),
            seen => Err(seen),
        });
    };
    some(&shop, 10_000);
    shop.redis.flushall();
    some(&shop, 20_000);
    shop.postgres.stop_immediate();
    some(&shop, 40_000);
    shop.postgres.start_again();
    shop.agrees(load);
}
