//! Another database answers behind the address of Postgres: that of another shop, an empty one, or
//! a second one that was split off from the first.

use std::time::{Duration, Instant};

use super::{
    data_dir::mixed,
    installation::{Installation, goes_on},
    judge::Cell,
    postgres::keeping_nothing,
};
use crate::shop::runtime;

#[test]
fn postgres_of_another_shop() {
    let mut cell = Cell::new(
        ["Postgres", "foreign"],
        "postgres_of_another_shop",
        "the database of another shop is behind the address of Postgres for a while, under load",
        "nothing is written there; the spool keeps it until the shop's own database is back",
    );
    let mut shop = Installation::on_servers(0, &[]);
    let mut other = Installation::on_servers(100, &[]);
    shop.sends(400);
    other.sends(400);
    other.settles();
    other.node().terminate();
    let exchange = |shop: &mut Installation, other: &mut Installation| {
        shop.servers().postgres.stop_in_order();
        other.servers().postgres.stop_in_order();
        shop.servers().postgres.exchange(&mut other.servers().postgres);
        shop.servers().postgres.start_again();
        other.servers().postgres.start_again();
    };
    let mut said = false;
    shop.under_load(400, |shop| {
        exchange(shop, &mut other);
        let more = shop.load();
        goes_on(&more, 400);
        shop.account.add(more.stop());
        // A sink that has been refused says so once it has tried again.
        for _ in 0..40 {
            said |= !shop.nodes[0].reasons().is_empty();
            std::thread::sleep(Duration::from_millis(50));
        }
        exchange(shop, &mut other);
    });
    let mixed = mixed(&other, &shop);
    if mixed > 0 {
        cell.complain(format!("{mixed} events of this shop are in the other shop's database"));
    }
    if !said {
        cell.complain("`/readyz` never said that the database is another one");
    }
    other.node().restart();
    cell.close(&mut [&mut shop, &mut other]);
}

#[test]
fn postgres_split_in_two() {
    let cell = Cell::new(
        ["Postgres", "clone"],
        "postgres_split_in_two",
        "a standby is promoted while the old primary still runs: one node writes to the one, one to \
         the other, until the address leads to the new one only",
        "the new one gets what was written to the old one alone",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.settles();
    let standby = shop.servers().postgres.standby();
    runtime().block_on(standby.cut_off());
    assert_eq!(runtime().block_on(standby.sql("SELECT pg_promote()")), [["t"]]);
    // The new node finds the promoted one, and the first node still the old primary.
    let new = standby.url();
    shop.add_node(&[("FLOODMARK_POSTGRES__URL", &new)]);
    shop.under_load(400, |shop| {
        let more = shop.load();
        goes_on(&more, 800);
        shop.account.add(more.stop());
        shop.look(|shop| shop.servers().postgres.stop_immediate());
        let mut standby = standby;
        standby.stop_in_order();
        shop.servers().postgres.put_back(&standby.files());
        shop.servers().postgres.start_again();
        let [postgres, _] = shop.servers().settings();
        shop.nodes[1].set(&postgres.0, &postgres.1);
        shop.nodes[1].restart();
    });
    cell.close(&mut [&mut shop]);
}

#[test]
fn postgres_emptied() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_emptied",
        "an empty database takes the place of the one in use, under load",
        "the spool fills in what it has and the node says how many batches are missing, or it names \
         the database and waits for the old one",
    );
    let mut shop = Installation::on_servers(0, &keeping_nothing());
    shop.sends(2000);
    shop.settles();
    shop.under_load(400, |shop| shop.look(|shop| shop.servers().postgres.set_aside()));
    let begin = Instant::now();
    while shop.unsettled().is_some() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    if shop.unsettled().is_some() && !shop.nodes[0].reasons().is_empty() {
        shop.servers().postgres.bring_back();
    }
    cell.may_miss().close(&mut [&mut shop]);
}
