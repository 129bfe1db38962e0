//! Another database answers behind the address of Postgres: that of another shop, an empty one, or
//! a second one that was split off from the first.

use super::{
    data_dir::mixed,
    installation::{Installation, goes_on},
    judge::Cell,
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
            said |= shop.nodes[0].reasons().iter().any(|reason| reason.starts_with("store"));
            std::thread::sleep(std::time::Duration::from_millis(50));
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
