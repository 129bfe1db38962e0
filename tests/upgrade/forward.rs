//! What the oldest version has left behind is read: its data dirs, with what lay in their spools, and dumps
//! of its database.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    oldest,
    shop::{Live, Shop, drained, ready},
    support::{
        postgres::Postgres,
        program::{this_version, wait_until},
        redis::RedisServer,
        server::Server,
        sums::Sums,
    },
};

/// Events with ids of their own: views and orders.
fn events(name: &str, count: usize) -> Vec<Value> {
    let event = |n: usize| match n % 4 {
        0 => json!({"type": "purchase", "id": format!("{name}{n}"), "sessionId": format!("s{n}"),
                    "properties": {"amount": format!("{n}.25")}}),
        _ => json!({"type": "page_view", "id": format!("{name}{n}"), "sessionId": format!("s{n}"),
                    "properties": {"path": format!("/{}", n % 7)}}),
    };
    (0..count).map(event).collect()
}

fn send(node: &Server, events: &[Value]) -> Value {
    let answer = node.post(serde_json::to_vec(events).unwrap());
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()
}

fn add(sums: &mut Sums, events: &[Value]) {
    events.iter().for_each(|event| sums.add_event(event));
}

fn shows(node: &Server, sums: &Sums) {
    wait_until("the sums are what was sent", || {
        let shown = Sums::of_current(&node.current());
        if shown == *sums { Ok(()) } else { Err(shown) }
    });
}

/// What an older node has refused, by code.
fn refused(node: &Server) -> BTreeSet<String> {
    let letters = node.get("/api/analytics/dead-letters");
    let groups = letters["groups"].as_array().expect("groups").iter();
    groups.map(|group| group["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn a_data_dir_with_sqlite_is_read_on() {
    let mut node = Server::of_build(oldest(), &[]);
    let (stored, spooled, more) = (events("a", 400), events("b", 400), events("c", 40));
    send(&node, &stored);
    // An amount that is none: it is kept as a dead letter.
    let wrong = json!([{"type": "purchase", "id": "wrong", "properties": {"amount": "much"}},
                       {"type": "page_view", "id": "right"}]);
    assert_eq!(node.post(wrong.to_string()).json()["rejected"].as_array().unwrap().len(), 1);
    // An open batch is not behind yet, so a lag of 0 does not say that the letter is there.
    wait_until("the letter is stored", || match refused(&node).len() {
        1 => Ok(()),
        others => Err(others),
    });
    let before = refused(&node);
    let mut sums = Sums::default();
    add(&mut sums, &stored);
    add(&mut sums, &[json!({"type": "page_view"})]);
    shows(&node, &sums);
    // Killed right after the answer: this may lie in an open batch, in a sealed one, or be half stored.
    send(&node, &spooled);
    node.exchange(&this_version(), Signal::SIGKILL);
    add(&mut sums, &spooled);
    shows(&node, &sums);
    assert_eq!(send(&node, &spooled)["duplicates"], 400, "ids are known from before");
    assert_eq!(send(&node, &stored)["duplicates"], 400, "those of what was stored, too");
    send(&node, &more);
    add(&mut sums, &more);
    shows(&node, &sums);
    assert_eq!(refused(&node), before);
    wait_until("all rows are there", || match node.count("events") {
        rows if rows == sums.events() => Ok(()),
        rows => Err(rows),
    });
    let ids = "SELECT count(DISTINCT id) FROM events";
    let ids: i64 = node.database().query_row(ids, [], |row| row.get(0)).unwrap();
    assert_eq!(ids as u64, sums.events(), "each once");
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn a_spool_that_waited_for_postgres_is_read_on() {
    let live = Live::Single(RedisServer::start());
    let mut shop = Shop::of_build(&oldest(), 1, Postgres::start(), live);
    let (stored, spooled) = (events("a", 300), events("b", 900));
    send(&shop.nodes[0], &stored);
    drained(&shop.nodes[0]);
    shop.postgres.stop_immediate();
    spooled.chunks(100).for_each(|some| _ = send(&shop.nodes[0], some));
    let mut sums = Sums::default();
    add(&mut sums, &stored);
    add(&mut sums, &spooled);
    shows(&shop.nodes[0], &sums);
    shop.nodes[0].exchange(&this_version(), Signal::SIGKILL);
    shop.postgres.start_again();
    ready(&shop.nodes[0]);
    shop.agrees(&sums);
}

#[test]
#[ignore = "needs builds of earlier versions: ./test --upgrade"]
fn a_dump_is_restored_into_a_new_installation() {
    let live = Live::Single(RedisServer::start());
    let mut shop = Shop::of_build(&oldest(), 1, Postgres::start(), live);
    let kept = events("a", 2_000);
    kept.chunks(500).for_each(|some| _ = send(&shop.nodes[0], some));
    let mut sums = Sums::default();
    add(&mut sums, &kept);
    shop.agrees(&sums);
    let dump = shop.postgres.dump();
    shop.nodes.clear();
    shop.postgres.restore(&dump);
    // A new machine: an empty data dir, and an empty Redis, which is counted anew from the ledger.
    let live = RedisServer::start();
    let variables = [
        ("FLOODMARK_POSTGRES__URL", &*shop.postgres.url()),
        ("FLOODMARK_REDIS__URLS", &*live.url()),
    ];
    shop.nodes.push(Server::with(&variables));
    ready(&shop.nodes[0]);
    shop.agrees(&sums);
    let more = events("b", 200);
    send(&shop.nodes[0], &more);
    add(&mut sums, &more);
    shop.agrees(&sums);
}
