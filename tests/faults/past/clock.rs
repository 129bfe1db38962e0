//! The clock of one node is days away from that of the others.

use super::{installation::Installation, judge::Cell};
use crate::{clock::library, wait::until};

/// A shop with two nodes, of which the second has a clock that is this far away.
fn apart(shop: &mut Installation, offset: &str) {
    let faked =
        [("LD_PRELOAD", library()), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    shop.add_node(&faked);
}

const EAGER: [(&str, &str); 2] =
    [("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "200"), ("FLOODMARK_LEDGER__KEEP_HOURS", "49")];

/// A node is far ahead or behind. The rows of the first node's day and those of the second's are
/// compared with what each shows.
fn away(cell: Cell, offset: &str, today: [&'static str; 2]) {
    let mut shop = Installation::on_servers(0, &EAGER);
    shop.sends(400);
    shop.settles();
    let folded = "SELECT count(*) FROM ledger WHERE (node, lane) IN (SELECT node, lane FROM \
                  fold_heads WHERE fold_heads.seq >= ledger.seq)";
    until("the first node's batches are in the rollups", || {
        let (all, folded) = (shop.ledger().len(), shop.servers().sql(folded));
        (folded[0][0] == all.to_string())
            .then_some(())
            .ok_or_else(|| format!("{folded:?} of {all}"))
    });
    shop.under_load(200, |shop| {
        apart(shop, offset);
        shop.today = today.to_vec();
    });
    // The second node is in the next load. When its own events are folded, it has also dropped
    // whatever it holds for old.
    shop.sends(400);
    shop.settles();
    until("the second node has folded", || {
        let folded = shop.nodes[1].metric("floodmark_ledger_folded_total");
        let all = shop.nodes[0].metric("floodmark_ledger_folded_total") + folded;
        let sealed = shop.known.len();
        (all > sealed as f64).then_some(()).ok_or_else(|| format!("{folded} of {all}"))
    });
    std::thread::sleep(std::time::Duration::from_secs(1));
    cell.close(&mut [&mut shop]);
}

#[test]
fn clock_of_one_node_ahead() {
    let cell = Cell::new(
        ["clock", "ahead"],
        "clock_of_one_node_ahead",
        "one of two nodes has a clock that is ahead by more than `ledger.keep_hours`",
        "it drops no ledger row that the other needs; each shows its own day",
    );
    let today = ["time < now() + interval '40 hours'", "time > now() + interval '40 hours'"];
    away(cell, "+80h", today);
}

#[test]
fn clock_of_one_node_behind() {
    let cell = Cell::new(
        ["clock", "older copy"],
        "clock_of_one_node_behind",
        "one of two nodes has a clock that is behind by more than `ledger.keep_hours`",
        "its batches are not old for the other; it shows its own day, or `/readyz` says that its clock \
         is off",
    );
    let cell = cell.may_say("clock: ");
    let today = ["time > now() - interval '40 hours'", "time < now() - interval '40 hours'"];
    away(cell, "-80h", today);
}

#[test]
fn clock_ahead_then_right() {
    let cell = Cell::new(
        ["clock", "ahead"],
        "clock_ahead_then_right",
        "the only node starts once with a clock that is ahead by more than `ledger.keep_hours`, and \
         then with the right one",
        "the totals of today are the same before and after",
    );
    let mut shop = Installation::on_servers(0, &EAGER);
    shop.sends(400);
    shop.settles();
    shop.node().terminate();
    let faked =
        [("LD_PRELOAD", library()), ("FAKETIME", "+80h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    shop.node().restart_armed(&faked);
    shop.sends(200);
    shop.settles();
    std::thread::sleep(std::time::Duration::from_secs(1));
    shop.today = vec!["time < now() + interval '40 hours'"];
    shop.node().terminate();
    shop.node().restart();
    shop.sends(200);
    cell.close(&mut [&mut shop]);
}
