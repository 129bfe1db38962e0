//! The file of SQLite comes back as it was before, is gone, or is that of another shop.

use std::path::{Path, PathBuf};

use super::{
    installation::{Installation, copy_folder, goes_on, replace_folder},
    judge::Cell,
    postgres::keeping_nothing,
};

const FILES: [&str; 3] = ["floodmark.db", "floodmark.db-wal", "floodmark.db-shm"];

/// Copies the database to a folder, whose path is returned.
fn copy(data: &Path, name: &str) -> PathBuf {
    let folder = data.with_file_name(name);
    std::fs::create_dir(&folder).expect("a folder");
    for file in FILES.iter().filter(|file| data.join(file).exists()) {
        std::fs::copy(data.join(file), folder.join(file)).expect("a copy");
    }
    folder
}

fn remove(data: &Path) {
    for file in FILES.iter().filter(|file| data.join(file).exists()) {
        std::fs::remove_file(data.join(file)).expect("it can be removed");
    }
}

/// Puts a copied database in the place of the one that is there.
fn put_back(data: &Path, copy: &Path) {
    remove(data);
    for file in FILES.iter().filter(|file| copy.join(file).exists()) {
        std::fs::copy(copy.join(file), data.join(file)).expect("a copy");
    }
}

/// The database goes back to a copy that was taken while the node was stopped.
fn goes_back(cell: Cell, settings: &[(&str, &str)]) {
    let mut shop = Installation::embedded(0, settings);
    shop.sends(400);
    shop.settles();
    shop.node().terminate();
    let data = shop.nodes[0].data().to_owned();
    let older = copy(&data, "older");
    shop.node().restart();
    shop.sends(1600);
    shop.settles();
    let ledger = shop.ledger();
    shop.known.extend(ledger);
    shop.node().kill();
    put_back(&data, &older);
    shop.node().restart();
    shop.sends(400);
    cell.close(&mut [&mut shop]);
}

#[test]
fn sqlite_goes_back() {
    let cell = Cell::new(
        ["SQLite", "older copy"],
        "sqlite_goes_back",
        "the database file is put back to an older copy while the node is stopped",
        "the spool still has what the copy lacks, and fills it in",
    );
    goes_back(cell, &[]);
}

#[test]
fn sqlite_goes_back_and_the_spool_kept_nothing() {
    let cell = Cell::new(
        ["SQLite", "older copy"],
        "sqlite_goes_back_and_the_spool_kept_nothing",
        "the same, and the spool keeps no settled batches",
        "`/readyz` and the metric say exactly how many batches are missing",
    );
    goes_back(cell.may_miss(), &keeping_nothing());
}

/// The database is replaced by what `fault` puts there. A node that refuses to start with it gets
/// its own file back; one that starts has to fill in or to name what is missing.
fn replaced(mut cell: Cell, settings: &[(&str, &str)], fault: impl FnOnce(&Path)) {
    let mut shop = Installation::embedded(0, settings);
    shop.sends(1600);
    shop.settles();
    let ledger = shop.ledger();
    shop.known.extend(ledger);
    shop.node().terminate();
    let data = shop.nodes[0].data().to_owned();
    let own = copy(&data, "own");
    fault(&data);
    let before = shop.nodes[0].log().len();
    if shop.node().attempt(&[]).is_err() {
        if !shop.nodes[0].log()[before..].contains("floodmark.db") {
            cell.complain("it refuses to start and does not name the file");
        }
        put_back(&data, &own);
        shop.node().restart();
    }
    shop.sends(400);
    cell.close(&mut [&mut shop]);
}

#[test]
fn sqlite_deleted() {
    let cell = Cell::new(
        ["SQLite", "older copy"],
        "sqlite_deleted",
        "the database file is deleted while the node is stopped",
        "it is not taken for that of a new shop: it is filled in from the spool, or the node refuses \
         to start without it",
    );
    replaced(cell, &[], remove);
}

#[test]
fn sqlite_deleted_and_the_spool_kept_nothing() {
    let cell = Cell::new(
        ["SQLite", "older copy"],
        "sqlite_deleted_and_the_spool_kept_nothing",
        "the same, and the spool keeps no settled batches",
        "the node says exactly how many batches are missing, or refuses to start without it",
    );
    replaced(cell.may_miss(), &keeping_nothing(), remove);
}

#[test]
fn sqlite_of_another_shop() {
    let cell = Cell::new(
        ["SQLite", "foreign"],
        "sqlite_of_another_shop",
        "the database file is that of another shop",
        "the node refuses to start with it, or stores all that is its own and shows what it stores",
    );
    let mut other = Installation::embedded(100, &[]);
    other.sends(400);
    other.settles();
    other.node().terminate();
    let theirs = copy(other.nodes[0].data(), "theirs");
    replaced(cell, &[], |data| put_back(data, &theirs));
}

#[test]
fn spool_goes_back_beside_sqlite() {
    let cell = Cell::new(
        ["SQLite", "ahead"],
        "spool_goes_back_beside_sqlite",
        "the spool's folder is put back to an older copy, and the database file is not",
        "batches with numbers that the database knows are not taken for replays",
    );
    let mut shop = Installation::embedded(0, &[]);
    shop.sends(400);
    shop.node().terminate();
    let spool = shop.nodes[0].data().join("spool");
    let older = shop.nodes[0].data().with_file_name("older");
    copy_folder(&spool, &older);
    shop.node().restart();
    shop.sends(400);
    shop.settles();
    shop.node().kill();
    replace_folder(&spool, &older);
    let load = shop.load();
    shop.node().restart();
    goes_on(&load, 400);
    shop.account.add(load.stop());
    cell.close(&mut [&mut shop]);
}
