//! Redis comes back from an older file, or with what belongs to another shop.

use super::{
    installation::{Installation, goes_on},
    judge::Cell,
};
use crate::{
    load::Plan,
    support::{
        client::{Answer, Request},
        redis::RedisServer,
    },
    wait::{PATIENCE, until},
};

/// Redis starts again on the file that it saved earlier.
fn goes_back(cell: Cell, nodes: usize) {
    let mut shop = Installation::on_servers(0, &[]);
    for _ in 1..nodes {
        shop.add_node(&[]);
    }
    shop.sends(400);
    shop.settles();
    shop.servers().redis.run::<()>(&["SAVE"]);
    shop.under_load(400, |shop| {
        let more = shop.load();
        goes_on(&more, 800);
        shop.account.add(more.stop());
        shop.servers().redis.restart();
    });
    cell.close(&mut [&mut shop]);
}

#[test]
fn redis_goes_back() {
    let cell = Cell::new(
        ["Redis", "older copy"],
        "redis_goes_back",
        "Redis crashes under load and starts again on an older file",
        "the nodes count again what it lacks",
    );
    goes_back(cell, 1);
}

#[test]
fn redis_goes_back_under_two_nodes() {
    let cell = Cell::new(
        ["Redis", "older copy"],
        "redis_goes_back_under_two_nodes",
        "Redis crashes under two nodes and starts again on an older file",
        "both show the same, exactly",
    );
    goes_back(cell, 2);
}

#[test]
fn redis_goes_back_while_ids_are_shared() {
    let mut cell = Cell::new(
        ["Redis", "older copy"],
        "redis_goes_back_while_ids_are_shared",
        "Redis starts again on a file that lacks the ids of the last events, which then come again, \
         at another node (dedupe.shared)",
        "every one of them is a duplicate",
    );
    let mut shop = Installation::on_servers(0, &[("FLOODMARK_DEDUPE__SHARED", "true")]);
    shop.add_node(&[]);
    for node in &shop.nodes {
        until("the node may claim ids", || {
            node.log().contains("knows the ids").then_some(()).ok_or_else(|| node.log())
        });
    }
    let with_ids = Plan { senders: 2, events: 20, rate: Some(2000), ids: true, twice: true };
    let load = shop.load_with(with_ids);
    goes_on(&load, 400);
    shop.account.add(load.stop());
    shop.servers().redis.run::<()>(&["SAVE"]);
    let plan = Plan { events: 49, ..with_ids };
    // No load of this test has a number as high as this one.
    let number = 1 << 45;
    let body = crate::load::body(number, plan);
    let answer = send_until_202(shop.nodes[0].addr(), &body);
    assert_eq!(answer.json()["accepted"], 49, "they are new");
    crate::load::numbers(number, plan).for_each(|n| shop.account.answered(n));
    shop.servers().redis.restart();
    let again = send_until_202(shop.nodes[1].addr(), &body).json();
    if again["duplicates"] != 49 {
        cell.complain(format!(
            "of 49 events that came again the other node took {}",
            again["accepted"]
        ));
    }
    cell.close(&mut [&mut shop]);
}

/// Sends until the answer is 202, since a node may not know yet whether an id is new.
fn send_until_202(addr: std::net::SocketAddr, body: &str) -> Answer {
    let begin = std::time::Instant::now();
    loop {
        let answer = Request::post(addr, "/v1/events", body).send().expect("an answer");
        if answer.status == 202 {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "never 202: {:?}", answer.json());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn redis_of_another_shop() {
    let cell = Cell::new(
        ["Redis", "foreign"],
        "redis_of_another_shop",
        "Redis crashes under load and starts again on the file of another shop's Redis",
        "the other shop's counts are never added to this shop's",
    );
    let mut shop = Installation::on_servers(0, &[]);
    let mut other = Installation::on_servers(100, &[]);
    shop.sends(400);
    other.sends(1000);
    other.settles();
    other.servers().redis.run::<()>(&["SAVE"]);
    other.node().terminate();
    let file = other.servers().redis.saved();
    shop.under_load(400, |shop| {
        shop.servers().redis.stop();
        std::fs::copy(&file, shop.servers().redis.saved()).expect("the other shop's file");
        shop.servers().redis.restart();
    });
    other.node().restart();
    cell.close(&mut [&mut shop, &mut other]);
}

#[test]
fn redis_of_another_shop_for_a_while() {
    let cell = Cell::new(
        ["Redis", "foreign"],
        "redis_of_another_shop_for_a_while",
        "the same, and then Redis starts again on the older file of this shop",
        "the nodes count again what it lacks",
    );
    let mut shop = Installation::on_servers(0, &[]);
    let mut other = Installation::on_servers(100, &[]);
    shop.sends(400);
    other.sends(1000);
    for shop in [&mut shop, &mut other] {
        shop.settles();
        shop.servers().redis.run::<()>(&["SAVE"]);
    }
    other.node().terminate();
    let own = shop.servers().redis.saved();
    let aside = own.with_file_name("aside");
    let file = other.servers().redis.saved();
    shop.under_load(400, |shop| {
        shop.servers().redis.stop();
        std::fs::rename(&own, &aside).expect("the shop's own file");
        std::fs::copy(&file, &own).expect("the other shop's file");
        shop.servers().redis.restart();
        let more = shop.load();
        goes_on(&more, 400);
        shop.account.add(more.stop());
        shop.servers().redis.stop();
        std::fs::rename(&aside, &own).expect("the shop's own file");
        shop.servers().redis.restart();
    });
    other.node().restart();
    cell.close(&mut [&mut shop, &mut other]);
}

#[test]
fn redis_split_in_two() {
    let cell = Cell::new(
        ["Redis", "clone"],
        "redis_split_in_two",
        "a copy of Redis takes the counts of one of two nodes, until both nodes use the copy",
        "the copy gets what was counted in the other alone",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.settles();
    shop.servers().redis.run::<()>(&["SAVE"]);
    let mut copy = RedisServer::start();
    copy.stop();
    std::fs::copy(shop.servers().redis.saved(), copy.saved()).expect("a copy");
    copy.restart();
    let url = copy.url();
    shop.add_node(&[("FLOODMARK_REDIS__URLS", &url)]);
    shop.under_load(400, |shop| {
        let more = shop.load();
        goes_on(&more, 800);
        shop.account.add(more.stop());
        shop.nodes[0].set("FLOODMARK_REDIS__URLS", &url);
        shop.nodes[0].restart();
        shop.servers().redis = copy;
    });
    cell.close(&mut [&mut shop]);
}
