//! The data folder comes back as it was before, or with what belongs to another shop.

use super::{
    installation::{Installation, copy_folder, goes_on, replace_folder},
    judge::Cell,
};
use crate::wait::until;

/// A data folder goes back to `copy`, while store and Redis have more.
fn goes_back(shop: &mut Installation, copy: &std::path::Path) {
    shop.settles();
    shop.node().kill();
    replace_folder(shop.nodes[0].data(), copy);
    let load = shop.load();
    shop.node().restart();
    goes_on(&load, 400);
    shop.account.add(load.stop());
}

#[test]
fn data_dir_goes_back() {
    let cell = Cell::new(
        ["data dir", "older copy"],
        "data_dir_goes_back",
        "the data folder is put back to a copy that was taken while the node was stopped",
        "batches with numbers that store and Redis know are not taken for replays",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.node().terminate();
    let copy = shop.nodes[0].data().with_file_name("copy");
    copy_folder(shop.nodes[0].data(), &copy);
    shop.node().restart();
    shop.sends(400);
    goes_back(&mut shop, &copy);
    cell.close(&mut [&mut shop]);
}

#[test]
fn data_dir_goes_back_with_an_open_tail() {
    let cell = Cell::new(
        ["data dir", "older copy"],
        "data_dir_goes_back_with_an_open_tail",
        "the data folder is put back to a copy of its files that was taken while the node ran, \
         with a batch that was not sealed yet",
        "what the copy has of that batch is not stored a second time",
    );
    // Batches stay open for so long that the copy always has an open one.
    let mut shop = Installation::on_servers(0, &[("FLOODMARK_BATCH__FLUSH_INTERVAL_MS", "300")]);
    let copy = shop.nodes[0].data().with_file_name("copy");
    shop.under_load(600, |shop| copy_folder(shop.nodes[0].data(), &copy));
    goes_back(&mut shop, &copy);
    cell.close(&mut [&mut shop]);
}

#[test]
fn data_dir_goes_back_twice() {
    let cell = Cell::new(
        ["data dir", "older copy"],
        "data_dir_goes_back_twice",
        "the data folder is put back to the same copy twice",
        "the second time is as harmless as the first",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.node().terminate();
    let copy = shop.nodes[0].data().with_file_name("copy");
    let again = shop.nodes[0].data().with_file_name("again");
    copy_folder(shop.nodes[0].data(), &copy);
    copy_folder(shop.nodes[0].data(), &again);
    shop.node().restart();
    shop.sends(400);
    goes_back(&mut shop, &copy);
    goes_back(&mut shop, &again);
    cell.close(&mut [&mut shop]);
}

#[test]
fn data_dir_of_another_shop() {
    let mut cell = Cell::new(
        ["data dir", "foreign"],
        "data_dir_of_another_shop",
        "a node of another shop, whose spool has events that wait for that shop's Postgres, is \
         started with the servers of this shop, and later with its own again",
        "it refuses to start, or says that the servers are not its own; the shops don't mix",
    );
    let mut shop = Installation::on_servers(0, &[]);
    let mut other = Installation::on_servers(100, &[]);
    shop.sends(400);
    other.sends(400);
    other.settles();
    other.servers().postgres.stop_immediate();
    other.sends(400);
    other.node().kill();
    let [postgres, redis] = shop.servers().settings();
    let places = [(&*postgres.0, &*postgres.1), (&*redis.0, &*redis.1)];
    match other.node().attempt(&places) {
        Err(_) => shop.sends(400),
        Ok(()) => {
            let here = shop.load();
            let there = other.load();
            goes_on(&here, 400);
            // A node that knows that these servers are not its own may take nothing at all.
            let says = |other: &Installation| !other.nodes[0].reasons().is_empty();
            until("the foreign node takes events or says why not", || {
                let taken = there.answered() >= 400 || says(&other);
                taken.then_some(()).ok_or_else(|| other.nodes[0].log())
            });
            shop.account.add(here.stop());
            other.account.add(there.stop());
            shop.settles();
            let mixed = mixed(&shop, &other);
            if mixed > 0 && !says(&other) {
                cell.complain(format!("{mixed} events of the other shop are in this shop's store"));
            }
        }
    }
    other.node().kill();
    other.servers().postgres.start_again();
    other.node().restart();
    cell.close(&mut [&mut shop, &mut other]);
}

/// How many events of the other shop are in this shop's store.
pub fn mixed(shop: &Installation, other: &Installation) -> usize {
    let stored = shop.stored().events;
    stored.into_iter().filter(|event| other.account.outcome(*event).is_some()).count()
}
