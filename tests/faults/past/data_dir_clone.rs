//! Two processes have the same data folder, or each has a copy of it.

use std::time::{Duration, Instant};

use super::{
    installation::{Installation, copy_folder, goes_on},
    judge::Cell,
};
use crate::node::Node;

/// Adds a node on a copy of the first node's data folder.
fn add_clone(shop: &mut Installation) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let data = scratch.path().join("data");
    copy_folder(shop.nodes[0].data(), &data);
    shop.add_node_on(scratch, data, &[]);
}

#[test]
fn data_dir_cloned() {
    let cell = Cell::new(
        ["data dir", "clone"],
        "data_dir_cloned",
        "the data folder of a stopped node is copied, and both run at once on the same servers",
        "each has an identity of its own",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.node().terminate();
    add_clone(&mut shop);
    shop.node().restart();
    shop.sends(1000);
    cell.close(&mut [&mut shop]);
}

#[test]
fn data_dir_cloned_under_load() {
    let cell = Cell::new(
        ["data dir", "clone"],
        "data_dir_cloned_under_load",
        "the data folder is copied under the running node, and both run at once on the same servers",
        "the batch that was open in the copy is stored once",
    );
    let mut shop = Installation::on_servers(0, &[("FLOODMARK_BATCH__FLUSH_INTERVAL_MS", "300")]);
    shop.under_load(400, add_clone);
    shop.sends(1000);
    cell.close(&mut [&mut shop]);
}

#[test]
fn data_dir_cloned_and_killed_in_turn() {
    let cell = Cell::new(
        ["data dir", "clone"],
        "data_dir_cloned_and_killed_in_turn",
        "both nodes of a cloned data folder run on the same servers and are killed in turn",
        "each start is a life of its own",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.node().terminate();
    add_clone(&mut shop);
    shop.node().restart();
    let load = shop.load();
    for node in [0, 1, 0, 1] {
        goes_on(&load, 200);
        shop.nodes[node].kill();
        shop.nodes[node].restart();
    }
    goes_on(&load, 200);
    shop.account.add(load.stop());
    cell.close(&mut [&mut shop]);
}

#[test]
fn data_dir_of_two_processes() {
    let mut cell = Cell::new(
        ["data dir", "clone"],
        "data_dir_of_two_processes",
        "the lock file is removed, and a second process is started on the same data folder",
        "one of the two stops taking events; what either has answered is there when one of them is \
         started again",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    std::fs::remove_file(shop.nodes[0].data().join("lock")).expect("a lock file");
    let data = shop.nodes[0].data().to_owned();
    let load = shop.load();
    goes_on(&load, 200);
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let twin = Node::on(scratch, data, &shop.settings_with(&[]), &[]);
    shop.nodes.push(twin);
    shop.today.push("true");
    // The load so far goes to the first process only, this one to both.
    let both = shop.load();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let living = shop.living();
    let take: Vec<usize> =
        living.into_iter().filter(|node| shop.nodes[*node].reasons().is_empty()).collect();
    if take.len() > 1 {
        cell.complain("both processes take events into one data folder");
    }
    // An operator ends both and starts one of them.
    shop.nodes[1].kill();
    shop.nodes[0].kill();
    shop.account.add(load.stop());
    shop.account.add(both.stop());
    shop.nodes.truncate(1);
    shop.node().restart();
    shop.sends(200);
    cell.close(&mut [&mut shop]);
}
