//! Nodes come, move to other hosts and go for good; the totals stay what was sent.

use std::{path::Path, process::Command};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    shop::{Live, Shop, ready},
    support::{
        postgres::Postgres,
        process::run,
        program::{floodmark, wait_until},
        redis::RedisServer,
        server::Server,
    },
};

/// What a command of the operator said, and whether it did what it was told.
struct Said {
    well: bool,
    words: String,
}

fn ask(shop: &Shop, arguments: &[&str]) -> Said {
    let Live::Single(redis) = &shop.live else { panic!("these shops have one Redis") };
    // The command runs anywhere: it has no data dir.
    let elsewhere = TempDir::new().expect("a folder");
    let output = floodmark()
        .args(arguments)
        .env("FLOODMARK_POSTGRES__URL", shop.postgres.url())
        .env("FLOODMARK_REDIS__URLS", redis.url())
        .env("FLOODMARK_TIMEZONE", crate::support::program::noon_zone())
        .current_dir(elsewhere.path())
        .output()
        .expect("the program was built");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8(words).expect("words");
    Said { well: output.status.success(), words }
}

/// The lines of `floodmark nodes`.
fn listed(shop: &Shop) -> Vec<String> {
    let said = ask(shop, &["nodes"]);
    assert!(said.well, "{}", said.words);
    said.words.lines().map(str::to_owned).collect()
}

/// The id that a data dir has.
fn id_of(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("node.id")).expect("the node has written it");
    text.lines().next().expect("the id").trim().to_owned()
}

/// The state of a node in the list.
fn state(shop: &Shop, id: &str) -> Option<String> {
    let line = listed(shop).into_iter().find(|line| line.starts_with(id))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

fn is_in_state(shop: &Shop, id: &str, wanted: &str) {
    wait_until("the node is listed like this", || match state(shop, id) {
        Some(state) if state == wanted => Ok(()),
        other => Err(other),
    });
}

fn more(shop: &mut Shop, sums: &mut crate::support::sums::Sums) {
    let mut load = shop.load(4_000, 0);
    load.wait();
    sums.revenue += load.sums.revenue;
    for (kind, count) in &load.sums.counts {
        *sums.counts.entry(kind.clone()).or_default() += count;
    }
    shop.agrees(sums);
}

fn start(shop: &Shop, data: &Path) -> Server {
    let Live::Single(redis) = &shop.live else { panic!("these shops have one Redis") };
    let node = Server::on(
        data,
        &[
            ("FLOODMARK_POSTGRES__URL", &shop.postgres.url()),
            ("FLOODMARK_REDIS__URLS", &redis.url()),
        ],
    );
    ready(&node);
    node
}

#[test]
fn a_shop_grows_and_shrinks_and_its_totals_stay() {
    let mut shop = Shop::open();
    let mut sums = crate::support::sums::Sums::default();
    more(&mut shop, &mut sums);
    // It grows.
    let data = TempDir::new().unwrap();
    let third = start(&shop, data.path());
    shop.nodes.push(third);
    shop.shows(&sums);
    let third = id_of(data.path());
    is_in_state(&shop, &third, "alive");
    assert_eq!(listed(&shop).len(), 3);
    // It shrinks: not while the node is there, and then without a word about lost events.
    let mut going = shop.nodes.remove(0);
    let id = id_of(&going.data());
    let refused = ask(&shop, &["retire", &id, "--lose-events"]);
    assert!(!refused.well && refused.words.contains("is alive"), "{}", refused.words);
    assert_eq!(going.terminate().code(), Some(0), "both sinks have everything");
    is_in_state(&shop, &id, "stopped");
    let retired = ask(&shop, &["retire", &id[..8]]);
    assert!(retired.well && !retired.words.contains("lost"), "{}", retired.words);
    assert_eq!(state(&shop, &id), None);
    assert!(!ask(&shop, &["retire", &id]).well, "it is gone already");
    shop.shows(&sums);
    // What it has counted is counted anew without it.
    let rebuilt = ask(&shop, &["rebuild"]);
    assert!(rebuilt.well, "{}", rebuilt.words);
    shop.shows(&sums);
    // Should somebody start it again, nothing is counted twice, and it is a node like any other.
    going.restart();
    ready(&going);
    shop.nodes.push(going);
    more(&mut shop, &mut sums);
    is_in_state(&shop, &id, "alive");
}

#[test]
fn a_node_moves_to_another_host_with_what_waits_in_its_data_dir() {
    let mut shop = Shop::open();
    let mut sums = crate::support::sums::Sums::default();
    more(&mut shop, &mut sums);
    let mut old = shop.nodes.remove(0);
    let id = id_of(&old.data());
    // Postgres is away, so what the node takes waits in its data dir.
    shop.postgres.stop_immediate();
    let event = json!({"type": "page_view", "sessionId": "s", "id": "moved"});
    assert_eq!(old.post(event.to_string()).status, 202);
    sums.add_event(&event);
    assert_eq!(old.terminate().code(), Some(3), "events wait in the spool");
    shop.postgres.start_again();
    // The move: the data dir is copied as a whole.
    let host = TempDir::new().unwrap();
    let data = host.path().join("floodmark-data");
    run(Command::new("cp").arg("-a").arg(old.data()).arg(&data));
    drop(old);
    let node = start(&shop, &data);
    shop.nodes.push(node);
    shop.agrees(&sums);
    let moved = id_of(&data);
    assert_ne!(moved, id, "a copy is a node of its own");
    is_in_state(&shop, &moved, "alive");
    // Postgres was away for the last word of the old one, so nobody but the operator knows where its events are.
    is_in_state(&shop, &id, "silent");
    let refused = ask(&shop, &["retire", &id]);
    assert!(!refused.well && refused.words.contains("did not stop in order"), "{}", refused.words);
    let retired = ask(&shop, &["retire", &id, "--lose-events"]);
    assert!(retired.well, "{}", retired.words);
    more(&mut shop, &mut sums);
}

#[test]
fn the_ids_of_a_node_that_never_comes_back_are_free_once_it_is_retired() {
    let (postgres, redis) = (Postgres::start(), RedisServer::start());
    let (url, live) = (postgres.url(), redis.url());
    let shared = [
        ("FLOODMARK_POSTGRES__URL", url.as_str()),
        ("FLOODMARK_REDIS__URLS", live.as_str()),
        ("FLOODMARK_DEDUPE__SHARED", "true"),
    ];
    let data = TempDir::new().unwrap();
    // It dies between its claim on ids and the write to its disk.
    let dying =
        Server::on(data.path(), &[&shared[..], &[("FAILPOINTS", "ids-claimed=return")]].concat());
    let shop = Shop::of(vec![Server::with(&shared)], postgres, Live::Single(redis));
    ready(&dying);
    let id = id_of(data.path());
    is_in_state(&shop, &id, "alive");
    let event = r#"{"type":"page_view","id":"once","sessionId":"s"}"#;
    let send = |node: &Server| node.request("POST", "/v1/events").body(event).send();
    wait_until("it dies with the ids that it has claimed", || match send(&dying) {
        Err(_) => Ok(()),
        // It does not know the ids of Redis yet.
        Ok(answer) => Err(answer),
    });
    let other = &shop.nodes[0];
    let mut answer = send(other).expect("it answers");
    assert_eq!(answer.status, 503, "{answer:?}");
    // It says nothing any more, which is no promise that its data dir is empty.
    is_in_state(&shop, &id, "silent");
    let refused = ask(&shop, &["retire", &id]);
    assert!(!refused.well && refused.words.contains("did not stop in order"), "{}", refused.words);
    answer = send(other).expect("it answers");
    assert_eq!(answer.status, 503, "its claim stands: {answer:?}");
    let retired = ask(&shop, &["retire", &id, "--lose-events"]);
    assert!(
        retired.well && retired.words.contains("waits for none of its ids"),
        "{}",
        retired.words
    );
    wait_until("the other node takes the event", || match send(other) {
        Ok(answer) if answer.status == 202 => Ok(()),
        other => Err(other),
    });
    wait_until("it is counted once", || match shop.nodes[0].current()["events"].as_u64() {
        Some(1) => Ok(()),
        other => Err(other),
    });
}
