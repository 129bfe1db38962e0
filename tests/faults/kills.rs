//! Tests that end the node: with kill -9 at random moments and at the worst ones, and with SIGTERM.

use std::time::{Duration, Instant};

use crate::{
    load::{Load, Plan},
    shop::Shop,
    verdict::Row,
    viewer::Viewer,
};

/// Kills the node under load this many times, at random moments.
fn killed_at_random(row: Row, kills: u64, plan: Plan) {
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, plan);
    for _ in 0..kills {
        load.goes_on(200 + rand::random_range(0..1000));
        std::thread::sleep(Duration::from_micros(rand::random_range(0..20_000)));
        shop.node.kill();
        shop.node.restart();
    }
    load.goes_on(200);
    let account = load.stop();
    row.close(&mut shop, &account, Some(&viewer));
}

#[test]
fn kill_9_at_random_moments() {
    let row = Row::new(
        "kill_9_at_random_moments",
        "kill -9 at random moments, 5 times",
        "it starts again by itself with the same totals",
    );
    killed_at_random(row, 5, Plan::PLAIN);
}

#[test]
#[ignore = "long: ./test --soak"]
fn kill_9_at_random_moments_50_times() {
    let row = Row::new(
        "kill_9_at_random_moments_50_times",
        "kill -9 at random moments, 50 times",
        "it starts again by itself with the same totals",
    );
    killed_at_random(row, 50, Plan::PLAIN);
}

#[test]
fn kill_9_while_clients_repeat_what_was_not_answered() {
    let row = Row::new(
        "kill_9_while_clients_repeat_what_was_not_answered",
        "kill -9, 3 times, while clients send each request again, with the same ids, until it \
         has its 202, and then once more",
        "every event once, whichever of its tries got through",
    );
    killed_at_random(row, 3, Plan { ids: true, twice: true, ..Plan::PLAIN });
}

/// Lets the node kill itself the `nth` time that it passes this kill point.
fn killed_at(row: Row, point: &str, nth: u32) {
    let when = format!("{point}={}*off->return", nth - 1);
    let mut shop = Shop::armed(&[], &[("FAILPOINTS", &when)]);
    let viewer = Viewer::watch(shop.node.addr(), None);
    let load = Load::start(shop.node.addr(), 0, Plan { ids: true, ..Plan::PLAIN });
    let status = shop.node.ended(point);
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(nix::libc::SIGABRT), "it died at the point, not otherwise");
    shop.node.restart();
    load.goes_on(1000);
    let account = load.stop();
    row.close(&mut shop, &account, Some(&viewer));
}

#[test]
fn kill_9_before_the_fsync() {
    let row = Row::new(
        "kill_9_before_the_fsync",
        "kill -9 between a group's write and its fsync",
        "nobody was answered; what is whole on disk counts once",
    );
    killed_at(row, "spool-written", 40);
}

#[test]
fn kill_9_after_the_fsync_before_the_answer() {
    let row = Row::new(
        "kill_9_after_the_fsync_before_the_answer",
        "kill -9 between a group's fsync and its 202",
        "the events are there, once",
    );
    killed_at(row, "spool-synced", 40);
}

#[test]
fn kill_9_between_a_new_segment_and_its_cursors() {
    let row = Row::new(
        "kill_9_between_a_new_segment_and_its_cursors",
        "kill -9 when a segment was made and the cursor file does not know it",
        "the empty segment is taken up",
    );
    killed_at(row, "spool-rolled", 2);
}

#[test]
fn kill_9_between_copy_and_commit() {
    let row = Row::new(
        "kill_9_between_copy_and_commit",
        "kill -9 between COPY and COMMIT",
        "Postgres rolls back; the batch is sent again from the spool",
    );
    killed_at(row, "store-copied", 12);
}

#[test]
fn kill_9_after_the_commit_before_the_cursor() {
    let row = Row::new(
        "kill_9_after_the_commit_before_the_cursor",
        "kill -9 between COMMIT and the cursor",
        "the batch is sent again, and its ledger row refuses it",
    );
    killed_at(row, "store-committed", 12);
}

#[test]
fn kill_9_after_the_count_before_the_cursor() {
    let row = Row::new(
        "kill_9_after_the_count_before_the_cursor",
        "kill -9 between a batch's count in Redis and the cursor",
        "the batch is counted again, and its guard refuses it",
    );
    killed_at(row, "live-counted", 12);
}

#[test]
fn kill_9_between_the_cursor_and_the_unlink() {
    let row = Row::new(
        "kill_9_between_the_cursor_and_the_unlink",
        "kill -9 between the cursor file's fsync and the unlink of the segments it has passed",
        "they go at the next start, no batch is sent again",
    );
    killed_at(row, "spool-cursors-stored", 3);
}

#[test]
fn kill_9_after_the_unlink() {
    let row = Row::new(
        "kill_9_after_the_unlink",
        "kill -9 right after the unlink of a segment, before the folder's fsync",
        "whether the segment is there again or not changes nothing",
    );
    killed_at(row, "spool-unlinked", 1);
}

#[test]
fn sigterm_under_load() {
    let row = Row::new(
        "sigterm_under_load",
        "SIGTERM under load",
        "every request that was begun before it gets its 202",
    );
    let mut shop = Shop::on_servers(&[]);
    shop.is_ready();
    let load = Load::start(shop.node.addr(), 0, Plan { senders: 8, ..Plan::PLAIN });
    load.goes_on(2000);
    load.last_call();
    let moment = Instant::now();
    assert!(shop.node.terminate().success(), "it ended by itself, in order");
    let account = load.stop();
    assert_eq!(account.failed_before(moment), 0, "requests begun before the signal and refused");
    let stored = shop.stored();
    assert_eq!(stored.events.len() as u64, stored.ledger, "all of it stored before the end");
    shop.node.restart();
    row.close(&mut shop, &account, None);
}
