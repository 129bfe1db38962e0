//! The server is killed (kill -9) under load. Every event that was answered with 202 is stored once
//! and counted once, and nothing is stored that was not sent.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{client::Request, server::Server};

const EVENTS: usize = 20;
const SENDERS: usize = 4;

/// What the clients know of the events that they have sent.
#[derive(Default)]
struct Known {
    sent: HashSet<String>,
    answered: HashSet<String>,
}

#[test]
fn kill_9_under_load_loses_and_doubles_nothing() {
    let mut server = Server::with(&[
        ("FLOODMARK_SPOOL__SEGMENT_BYTES", "262144"),
        ("FLOODMARK_BATCH__MAX_BYTES", "131072"),
        // With folds all the time, the server is killed in the middle of a fold, too.
        ("FLOODMARK_LEDGER__FOLD_INTERVAL_MS", "1"),
    ]);
    let known = Arc::new(Mutex::new(Known::default()));
    for round in 0..5 {
        load_and_kill(&mut server, &known, round);
        server.restart();
    }
    let known = known.lock().unwrap();
    assert!(known.answered.len() > 1000, "only {} events were answered", known.answered.len());

    // Rows that lay unsealed in the spool become a batch only after the start. A lag of 0 alone may
    // have been read before that, and a count alone has events in it that were stored and never answered.
    server.until(
        "every event that was answered 202 is stored, and both sinks have everything",
        |server| {
            let stored: HashSet<String> = stored_ids(server).into_iter().collect();
            let lag = &server.get("/readyz")["lag"];
            let settled = lag["store"]["events"] == 0 && lag["live"]["events"] == 0;
            settled && known.answered.is_subset(&stored)
        },
    );
    let (stored, database) = (stored_ids(&server), server.database());
    let distinct: HashSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "no event is stored twice");
    assert!(stored.iter().all(|id| known.sent.contains(id)), "nothing that was not sent");

    // The mirror hears of a batch a moment after it was counted.
    server.until("each is counted once", |server| server.current()["pageViews"] == stored.len());
    let ledger: i64 =
        database.query_row("SELECT sum(events) FROM ledger", [], |row| row.get(0)).unwrap();
    assert_eq!(ledger as usize, stored.len(), "the ledger agrees");
    server.until("the rollups agree", |server| rolled_up(server) == stored.len());
    server.restart();
    server.until("a fold after a restart adds nothing", |server| {
        server.get_text("/metrics").contains("floodmark_ledger_folded_total 0")
    });
    assert_eq!(rolled_up(&server), stored.len());
}

/// The ids of the events in the store.
fn stored_ids(server: &Server) -> Vec<String> {
    let database = server.database();
    let mut query = database.prepare("SELECT id FROM events").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The number of events in the rollups.
fn rolled_up(server: &Server) -> usize {
    let sum = "SELECT coalesce(sum(value), 0) FROM rollups WHERE series LIKE 'c:%'";
    server.database().query_row(sum, [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

fn load_and_kill(server: &mut Server, known: &Arc<Mutex<Known>>, round: u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (known, stop) = (known.clone(), stop.clone());
            let server_addr = server.addr();
            thread::spawn(move || {
                for request in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let ids: Vec<String> =
                        (0..EVENTS).map(|n| format!("{round}-{sender}-{request}-{n}")).collect();
                    let events: Vec<_> = ids
                        .iter()
                        .map(|id| serde_json::json!({"type":"page_view","id":id,"sessionId":id}))
                        .collect();
                    let body = serde_json::to_vec(&events).unwrap();
                    known.lock().unwrap().sent.extend(ids.iter().cloned());
                    let answer = Request::post(server_addr, "/v1/events", body).send();
                    if answer.is_ok_and(|answer| answer.status == 202) {
                        known.lock().unwrap().answered.extend(ids);
                    }
                }
            })
        })
        .collect();
    // The number of answers before the kill differs by round, so that each kill meets the pipeline
    // at another point of its work.
    let enough = known.lock().unwrap().answered.len() + 400 + 173 * round as usize;
    while known.lock().unwrap().answered.len() < enough {
        thread::yield_now();
    }
    server.kill();
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn sigterm_answers_what_was_begun_and_leaves_nothing_behind() {
    let mut server = Server::start();
    for _ in 0..10 {
        assert_eq!(server.post(br#"{"type":"page_view"}"#).status, 202);
    }
    assert!(server.terminate().success());
    assert_eq!(server.count("events"), 10, "flushed before the end");
    server.restart();
    server.until("totals are back", |server| server.current()["pageViews"] == 10);
}
