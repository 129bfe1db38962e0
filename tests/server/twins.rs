//! Somebody removes the lock file of a data dir and starts a second server on it, under load.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::support::{client::Request, server::Server};

const EVENTS: usize = 20;
const SENDERS: usize = 2;

/// The ids of the events that were sent, and of those that were answered 202.
#[derive(Default)]
struct Known {
    sent: HashSet<String>,
    answered: HashSet<String>,
}

/// Sends events until it is told to stop or the server answers no more.
struct Load {
    known: Arc<Mutex<Known>>,
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(name: &'static str, server: SocketAddr) -> Load {
        let (known, stop) = (Arc::new(Mutex::new(Known::default())), Arc::default());
        let senders = (0..SENDERS)
            .map(|sender| {
                let (known, stop): (_, Arc<AtomicBool>) = (Arc::clone(&known), Arc::clone(&stop));
                thread::spawn(move || {
                    for request in 0.. {
                        let name = format!("{name}-{sender}-{request}");
                        if stop.load(Ordering::Relaxed) || !send(server, &name, &known) {
                            break;
                        }
                    }
                })
            })
            .collect();
        Load { known, stop, senders }
    }

    fn until_answered(&self, events: usize) {
        while self.known.lock().unwrap().answered.len() < events {
            thread::yield_now();
        }
    }

    fn end(self) -> Known {
        self.stop.store(true, Ordering::Relaxed);
        self.senders.into_iter().for_each(|sender| sender.join().unwrap());
        std::mem::take(&mut self.known.lock().unwrap())
    }
}

/// Sends a request of events; whether there was an answer.
fn send(server: SocketAddr, name: &str, known: &Mutex<Known>) -> bool {
    let ids: Vec<String> = (0..EVENTS).map(|n| format!("{name}-{n}")).collect();
    let event = |id| serde_json::json!({"type": "page_view", "id": id});
    let body = serde_json::to_vec(&ids.iter().map(event).collect::<Vec<_>>()).unwrap();
    known.lock().unwrap().sent.extend(ids.iter().cloned());
    let answer = Request::post(server, "/v1/events", body).send();
    if answer.as_ref().is_ok_and(|answer| answer.status == 202) {
        known.lock().unwrap().answered.extend(ids);
    }
    answer.is_ok()
}

#[test]
fn a_server_whose_lock_file_was_removed_stops_and_every_202_of_both_is_stored_once() {
    let variables = [
        ("FLOODMARK_SPOOL__SEGMENT_BYTES", "262144"),
        ("FLOODMARK_SPOOL__CURSOR_INTERVAL_MS", "50"),
        ("FLOODMARK_BATCH__MAX_BYTES", "131072"),
    ];
    let mut first = Server::with(&variables);
    let loads = [Load::start("first", first.addr())];
    loads[0].until_answered(1_000);
    std::fs::remove_file(first.data().join("lock")).unwrap();
    let mut second = Server::on(&first.data(), &variables);
    let more = Load::start("second", second.addr());
    assert!(!first.wait().success(), "it ends by itself, and with an error");
    more.until_answered(1_000);
    let known: Vec<Known> = loads.into_iter().chain([more]).map(Load::end).collect();

    let answered: HashSet<String> = known.iter().flat_map(|known| known.answered.clone()).collect();
    let database = first.database();
    let stored = || -> Vec<String> {
        let mut query = database.prepare("SELECT id FROM events").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    second.until("all that was answered 202 is stored", |_| {
        let stored: HashSet<String> = stored().into_iter().collect();
        answered.is_subset(&stored)
    });
    assert!(second.terminate().success());
    let stored = stored();
    let distinct: HashSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "no event is stored twice");
    assert!(stored.iter().all(|id| known.iter().any(|known| known.sent.contains(id))));
}
