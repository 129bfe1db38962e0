//! A data dir that was put back from a copy, and one that was cloned: what either node answers with
//! 202 is stored once, though both go on from the same state.

use std::{collections::BTreeSet, path::Path, process::Command};

use crate::{
    shop::drained,
    support::{postgres::Postgres, program::wait_until, server::Server},
};

/// Copies a data dir, as a backup or a template of a machine does.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Sends events one by one, so that there are many batches, and adds their ids.
fn send(node: &Server, name: &str, count: u32, sent: &mut BTreeSet<String>) {
    for n in 0..count {
        let id = format!("{name}{n}");
        let event = serde_json::json!({"type": "page_view", "id": id});
        assert_eq!(node.post(serde_json::to_vec(&event).unwrap()).status, 202);
        sent.insert(id);
    }
}

/// Waits until the store has exactly these events, each once.
fn has(postgres: &Postgres, sent: &BTreeSet<String>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    wait_until("what was answered 202 is stored, once", || {
        let rows = runtime.block_on(postgres.sql("SELECT id FROM events"));
        let stored: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
        let missing = sent.difference(&stored).count();
        match missing == 0 && rows.len() == sent.len() {
            true => Ok(()),
            false => Err(format!("{missing} of {} missing, {} rows", sent.len(), rows.len())),
        }
    });
}

#[test]
fn a_node_that_goes_on_from_a_copy_of_its_data_dir_loses_nothing() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let variables = [("FLOODMARK_POSTGRES__URL", &*url), ("FLOODMARK_BATCH__MAX_EVENTS", "1")];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut sent = BTreeSet::new();
    let mut node = Server::on(&path("data"), &variables);
    send(&node, "before", 10, &mut sent);
    drained(&node);
    copy(&path("data"), &path("copy"));
    send(&node, "forgotten by the copy", 25, &mut sent);
    drained(&node);
    node.kill();
    std::fs::remove_dir_all(path("data")).unwrap();
    copy(&path("copy"), &path("data"));
    let node = Server::on(&path("data"), &variables);
    send(&node, "after", 25, &mut sent);
    // And a clone of the same copy, beside it.
    let clone = Server::on(&path("copy"), &variables);
    send(&clone, "clone", 25, &mut sent);
    send(&node, "beside the clone", 15, &mut sent);
    has(&postgres, &sent);
    let id = |name: &str| std::fs::read_to_string(path(name).join("node.id")).unwrap();
    assert_ne!(id("data"), id("copy"), "they don't void each other's claims on ids");
}
