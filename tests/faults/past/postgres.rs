//! Postgres comes back without its last commits: from a copy of its files, from a dump, or as a
//! standby that had not received them. The nodes' spools and Redis are ahead of it then.

use super::{
    installation::{Installation, goes_on},
    judge::Cell,
};
use crate::shop::runtime;

/// Settings by which settled batches leave the spool as soon as they may, so that a store that has
/// lost them can't get them back.
pub fn keeping_nothing() -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("FLOODMARK_SPOOL__SEGMENT_BYTES", "32768"),
        ("FLOODMARK_BATCH__MAX_BYTES", "16384"),
        ("FLOODMARK_EVENT__MAX_BYTES", "8192"),
    ];
    // A spool that has no such key keeps nothing anyway.
    if include_str!("../../../config/default.toml").contains("\nkeep_bytes ") {
        settings.push(("FLOODMARK_SPOOL__KEEP_BYTES", "1"));
    }
    settings
}

/// When the first node starts again: the store then lacks batches of several of its lives.
#[derive(Clone, Copy)]
enum Restart {
    Never,
    /// Between the copy and the batches that it lacks.
    After,
    /// While Postgres is gone.
    Meanwhile,
    Both,
}

/// Postgres goes back to a copy of its files while events come in.
fn goes_back(mut cell: Cell, nodes: usize, settings: &[(&str, &str)], restart: Restart) {
    let mut shop = Installation::on_servers(0, settings);
    for _ in 1..nodes {
        shop.add_node(&[]);
    }
    shop.sends(400);
    shop.settles();
    shop.servers().postgres.stop_in_order();
    let copy = shop.servers().postgres.copy();
    shop.servers().postgres.start_again();
    shop.under_load(400, |shop| {
        if matches!(restart, Restart::After | Restart::Both) {
            shop.node().restart();
        }
        // So many batches that some have left a spool that keeps nothing.
        let more = shop.load();
        goes_on(&more, 1200);
        shop.account.add(more.stop());
        shop.look(|shop| shop.servers().postgres.stop_immediate());
        shop.servers().postgres.put_back(&copy);
        if matches!(restart, Restart::Meanwhile | Restart::Both) {
            shop.node().restart();
        }
        shop.servers().postgres.start_again();
    });
    let now = shop.ledger();
    if shop.known.keys().all(|batch| now.contains_key(batch)) && !settings.is_empty() {
        cell.complain("the test has destroyed nothing");
    }
    cell.close(&mut [&mut shop]);
}

#[test]
fn postgres_goes_back() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_goes_back",
        "Postgres is put back to an older copy of its files under load",
        "the spool still has what the copy lacks, and fills it in",
    );
    goes_back(cell, 1, &[], Restart::Never);
}

#[test]
fn postgres_goes_back_under_two_nodes() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_goes_back_under_two_nodes",
        "Postgres is put back to an older copy of its files under two nodes; one is killed meanwhile",
        "each node fills in its own batches",
    );
    goes_back(cell, 2, &[], Restart::Meanwhile);
}

#[test]
fn postgres_goes_back_and_the_spool_kept_nothing() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_goes_back_and_the_spool_kept_nothing",
        "Postgres is put back to an older copy of its files, and the spool keeps no settled batches",
        "`/readyz` and the metric say exactly how many batches are missing",
    );
    goes_back(cell.may_miss(), 1, &keeping_nothing(), Restart::Never);
}

#[test]
fn postgres_goes_back_twice_and_the_spool_kept_nothing() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_goes_back_twice_and_the_spool_kept_nothing",
        "the same, and the node is killed and started again while batches are missing",
        "it still says how many",
    );
    goes_back(cell.may_miss(), 1, &keeping_nothing(), Restart::Meanwhile);
}

#[test]
fn postgres_goes_back_over_a_start() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_goes_back_over_a_start",
        "Postgres is put back to a copy of its files from before the node was killed and started",
        "the spool still has what the copy lacks, of both lives, and fills it in",
    );
    goes_back(cell, 1, &[], Restart::After);
}

#[test]
fn postgres_goes_back_over_a_start_and_the_spool_kept_nothing() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_goes_back_over_a_start_and_the_spool_kept_nothing",
        "the same, the spool keeps no settled batches, and the node is killed once more meanwhile",
        "`/readyz` and the metric say exactly how many batches are missing",
    );
    goes_back(cell.may_miss(), 1, &keeping_nothing(), Restart::Both);
}

#[test]
fn postgres_restored_from_a_dump() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_restored_from_a_dump",
        "a pg_dump is restored into a new database, which takes the old one's name, under load",
        "the spool still has what the dump lacks, and fills it in",
    );
    let mut shop = Installation::on_servers(0, &[]);
    shop.sends(400);
    shop.settles();
    shop.under_load(400, |shop| {
        let dump = shop.servers().postgres.dump();
        let more = shop.load();
        goes_on(&more, 400);
        shop.account.add(more.stop());
        shop.look(|_| {});
        shop.servers().postgres.restore(&dump);
    });
    cell.close(&mut [&mut shop]);
}

/// Postgres fails over to a standby that no longer received anything.
fn fails_over(cell: Cell, settings: &[(&str, &str)]) {
    let mut shop = Installation::on_servers(0, settings);
    shop.sends(400);
    shop.settles();
    let standby = shop.servers().postgres.standby();
    shop.under_load(400, |shop| {
        runtime().block_on(standby.cut_off());
        let more = shop.load();
        goes_on(&more, 1200);
        shop.account.add(more.stop());
        shop.look(|shop| shop.servers().postgres.stop_immediate());
        runtime().block_on(shop.servers().postgres.fail_over_to(standby));
    });
    cell.close(&mut [&mut shop]);
}

#[test]
fn postgres_fails_over_to_a_late_standby() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_fails_over_to_a_late_standby",
        "an asynchronous standby that lacks the last commits is promoted under load",
        "the spool still has what the standby lacks, and fills it in",
    );
    fails_over(cell, &[]);
}

#[test]
fn postgres_fails_over_and_the_spool_kept_nothing() {
    let cell = Cell::new(
        ["Postgres", "older copy"],
        "postgres_fails_over_and_the_spool_kept_nothing",
        "the same, and the spool keeps no settled batches",
        "`/readyz` and the metric say exactly how many batches are missing",
    );
    fails_over(cell.may_miss(), &keeping_nothing());
}
