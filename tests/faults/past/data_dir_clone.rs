//! Two processes have the same data folder, or each has a copy of it.

use std::time::{Duration, Instant};

use super::{
    installation::{Installation, copy_folder, goes_on},
    judge::Cell,
};
use crate::{node::Node, support::client::Request};

/// Adds a node on a copy of the first node's data folder.
fn add_clone(shop: &mut Installation) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let data = scratch.path().join("data");
    copy_folder(shop.nodes[0].data(), &data);
    shop.attempt_node_on(scratch, data, &[]).unwrap_or_else(|log| panic!("the clone: {log}"));
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
    let load = shop.load();
    goes_on(&load, 600);
    let mut loads = vec![load];
    let data = shop.nodes[0].data().to_owned();
    // The process may notice this at once, and stop before there is another one.
    std::fs::remove_file(data.join("lock")).expect("a lock file");
    let scratch = tempfile::tempdir().expect("a temporary folder");
    // A twin that refuses to start is as good as a first process that stops.
    if shop.attempt_node_on(scratch, data, &[]).is_ok() {
        // The load so far goes to the first process only, this one to both.
        let both = shop.load();
        std::thread::sleep(Duration::from_secs(3));
        let begin = Instant::now();
        // A process that is only late with something says so for a moment, too.
        let mut since = begin;
        while since.elapsed() < Duration::from_secs(1) && begin.elapsed() < Duration::from_secs(15)
        {
            std::thread::sleep(Duration::from_millis(50));
            if taking(&mut shop) > 1 {
                since = Instant::now();
            }
        }
        if since.elapsed() < Duration::from_secs(1) {
            cell.complain("both processes take events into one data folder");
        }
        both.last_call();
        loads.push(both);
    }
    // An operator ends both and starts one of them.
    for load in loads {
        load.last_call();
        shop.account.add(load.stop());
    }
    shop.nodes.iter_mut().for_each(Node::kill);
    shop.nodes.truncate(1);
    shop.today.truncate(1);
    shop.node().restart();
    shop.sends(200);
    cell.close(&mut [&mut shop]);
}

/// How many processes live and say that they take events.
fn taking(shop: &mut Installation) -> usize {
    let living = shop.living();
    let ready = living.into_iter().filter(|node| {
        // It may end at any moment.
        let asked = Request::get(shop.nodes[*node].addr(), "/readyz").send();
        asked.is_ok_and(|answer| answer.status == 200)
    });
    ready.count()
}
