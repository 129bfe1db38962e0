//! Two nodes without any fault show the same totals everywhere.

use crate::shop::Shop;

#[test]
fn two_nodes_show_the_same_and_keep_everything() {
    let shop = Shop::open();
    let mut load = shop.load(100_000, 0);
    load.wait();
    shop.agrees(&load.sums);
}

#[test]
#[ignore = "a minute in a debug build: for the long suite"]
fn a_million_events_through_two_nodes_agree_everywhere() {
    let shop = Shop::open();
    let mut load = shop.load(500_000, 0);
    assert_eq!(load.sums.events(), 1_000_000);
    load.wait();
    shop.agrees(&load.sums);
}
