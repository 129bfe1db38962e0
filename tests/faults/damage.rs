//! Spool files that are cut, damaged or deleted. Events that stood only in them can't come back;
//! the node reports these, and everything else is stored and counted.

use std::path::Path;

use crate::{
    load::{Account, Load, Plan},
    shop::Shop,
    verdict::Row,
};

/// Fills the spool while both sinks are down, kills the node, damages the spool and starts the node
/// again. `damage` returns how many batches that may cost.
fn damaged(row: Row, damage: impl FnOnce(&[std::path::PathBuf]) -> u64) {
    let (mut shop, account) = with_a_spool_of_its_own();
    let most = damage(&shop.node.segments());
    shop.node.restart();
    shop.postgres().start_again();
    shop.redis().restart();
    let mut account = account;
    let load = Load::start(shop.node.addr(), 1, Plan::PLAIN);
    load.goes_on(1000);
    account.add(load.stop());
    shop.node.settled();
    let batches = shop.node.metric("floodmark_spool_damaged_batches");
    assert!((1.0..=most as f64).contains(&batches), "{batches} batches reported as lost");
    assert!(shop.node.log().contains("spool"), "the log says so");
    row.close_after_damage(&mut shop, &account, None, batches as u64 * 500);
}

/// The paths of several segments that no sink has read yet.
fn with_a_spool_of_its_own() -> (Shop, Account) {
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    load.goes_on(1000);
    shop.postgres().stop_immediate();
    shop.redis().stop();
    let segments = shop.node.segments().len();
    while shop.node.segments().len() < segments + 4 {
        load.goes_on(200);
    }
    let account = load.stop();
    shop.node.kill();
    (shop, account)
}

fn flip(segment: &Path, at: f64) {
    let mut bytes = std::fs::read(segment).expect("a segment");
    let at = (bytes.len() as f64 * at) as usize;
    bytes[at] ^= 0x10;
    std::fs::write(segment, bytes).expect("a segment");
}

#[test]
fn spool_file_flipped() {
    let row = Row::new(
        "spool_file_flipped",
        "a bit of a spool file flips while no sink has its events",
        "it costs the batch that it lies in, is reported, and nothing else",
    );
    damaged(row, |segments| {
        flip(&segments[segments.len() - 2], 0.5);
        1
    });
}

#[test]
fn spool_file_cut() {
    let row = Row::new(
        "spool_file_cut",
        "a spool file that no sink has seen loses its second half",
        "it costs the batches that lay there, is reported, and nothing else",
    );
    damaged(row, |segments| {
        let segment = &segments[segments.len() - 2];
        let file = std::fs::File::options().write(true).open(segment).expect("a segment");
        let half = file.metadata().expect("a segment").len() / 2;
        file.set_len(half).expect("a shorter segment");
        1000
    });
}

#[test]
fn spool_file_removed() {
    let row = Row::new(
        "spool_file_removed",
        "a spool file that no sink has seen is deleted",
        "it costs the batches that lay there, is reported, and nothing else",
    );
    damaged(row, |segments| {
        std::fs::remove_file(&segments[segments.len() - 2]).expect("a segment");
        1000
    });
}

#[test]
fn spool_file_with_a_torn_end() {
    let row = Row::new(
        "spool_file_with_a_torn_end",
        "half a record and a page of zeros behind the newest spool file",
        "the torn end is cut",
    );
    let (mut shop, mut account) = with_a_spool_of_its_own();
    let newest = shop.node.segments().pop().expect("a segment");
    let mut bytes = std::fs::read(&newest).expect("a segment");
    let some = bytes[64..164.min(bytes.len())].to_vec();
    bytes.extend(some);
    bytes.extend([0; 4096]);
    std::fs::write(&newest, bytes).expect("a segment");
    shop.node.restart();
    shop.postgres().start_again();
    shop.redis().restart();
    let load = Load::start(shop.node.addr(), 1, Plan::PLAIN);
    load.goes_on(1000);
    account.add(load.stop());
    row.close(&mut shop, &account, None);
}

#[test]
fn cursor_file_removed() {
    let row = Row::new(
        "cursor_file_removed",
        "the cursor file is deleted under a killed node",
        "batches are sent again, and ledger and guards refuse them",
    );
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let load = Load::start(shop.node.addr(), 0, Plan::PLAIN);
    load.goes_on(3000);
    shop.node.kill();
    std::fs::remove_file(shop.node.data().join("spool/cursors")).expect("the cursor file");
    shop.node.restart();
    load.goes_on(1000);
    let account = load.stop();
    row.close(&mut shop, &account, None);
}
