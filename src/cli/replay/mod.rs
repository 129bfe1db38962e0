//! `floodmark replay FILE --to URL`: sends a file of events to a server, at a given rate, at the
//! times at which they were recorded, or as fast as the server takes them.
//!
//! A thread reads the file and cuts it into batches ([`batches`], [`stamp`]). There is one task
//! for each connection; it takes a batch, waits until that is due, and sends it
//! ([`crate::cli::sender`]). Batches wait in a short queue, so a slow server slows the reading,
//! and the memory is the same for a file of any size.

mod batches;
mod report;
mod stamp;

use std::{path::PathBuf, process::ExitCode, rc::Rc, time::Duration};

use clap::Args;
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    batches::{Batches, Outgoing, ReplayPace},
    stamp::Stamp,
};
pub use self::{
    batches::{EventFile, open},
    report::{ReplayTally, Report},
};
use super::{exit::Exit, positive, sender::Sender};
use crate::domain::time::now_ms;

/// `floodmark replay`
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// One JSON event a line; unpacked if the name ends in .gz
    file: PathBuf,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    to: String,
    /// Events a second; without it (and --speed) as fast as the server takes them
    #[arg(long, value_name = "N", value_parser = positive, conflicts_with = "speed")]
    rate: Option<f64>,
    /// By the events' own timestamps, this many times faster than recorded
    #[arg(long, value_name = "X", value_parser = positive)]
    speed: Option<f64>,
    /// Events in a request, at most
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=5000))]
    batch: u64,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Write key, where the server asks for one
    #[arg(long, value_name = "WRITE_KEY")]
    key: Option<String>,
    /// Shift timestamps so that the first event is now (with --speed: so that each event
    /// happens when it is sent)
    #[arg(long)]
    retime: bool,
    /// Give every event a new id, so that a file can be replayed again within the window
    /// in which the server knows an id
    #[arg(long)]
    new_ids: bool,
    /// Give up when a request was not taken for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

impl ReplayArgs {
    fn pace(&self) -> ReplayPace {
        match (self.rate, self.speed) {
            (Some(rate), _) => ReplayPace::Rate(rate),
            (None, Some(speed)) => ReplayPace::Recorded(speed),
            (None, None) => ReplayPace::Free,
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            begin: self.retime.then(now_ms),
            ids: Some(format!("r-{}-", uuid::Uuid::new_v4().simple())),
            replace_ids: self.new_ids,
        }
    }
}

/// Runs the command. It fails if any event was not accepted. An event that the server had
/// already is fine.
pub fn run(args: &ReplayArgs) -> ExitCode {
    match actix::System::new().block_on(replay(args)) {
        Ok(tally) => {
            print!("{tally}");
            if tally.all_taken() { Exit::Done.into() } else { Exit::Failed.into() }
        }
        Err(message) => {
            eprintln!("floodmark replay: {message}");
            Exit::Failed.into()
        }
    }
}

/// Sends the file, and returns what became of its events.
async fn replay(args: &ReplayArgs) -> Result<ReplayTally, String> {
    let source = batches::open(&args.file)
        .map_err(|e| format!("can't read {}: {e}", args.file.display()))?;
    let connections = usize::from(args.connections);
    let patience = Duration::from_secs(args.patience);
    let sender = Sender::new(&args.to, args.key.as_deref(), connections, patience)?;
    let EventFile { lines, bytes, position } = source;
    let report = Report::new(bytes, position);

    let batches = Batches::new(lines, args.pace(), args.stamp(), args.batch);
    let (queue, batches_read) = mpsc::channel(2 * connections);
    let reader = std::thread::spawn(move || {
        for batch in batches {
            let batch = batch.map_err(|e| e.to_string())?;
            // An error means that the queue is closed, because the senders gave up.
            if queue.blocking_send(batch).is_err() {
                break;
            }
        }
        Ok::<_, String>(())
    });

    let replay = Rc::new(Replay {
        queue: Mutex::new(batches_read),
        sender,
        report: Rc::clone(&report),
        start: Instant::now(),
        stop: CancellationToken::new(),
    });
    let senders: Vec<_> =
        (0..connections).map(|_| actix::spawn(Rc::clone(&replay).send_batches())).collect();
    let shown = actix::spawn(Rc::clone(&report).keep_showing());
    for sender in senders {
        sender.await.map_err(|e| e.to_string())?;
    }
    shown.abort();
    // Closes the queue, so that the reader ends if it still has something to read.
    drop(replay);
    let read = reader.join().map_err(|_| "the reading thread panicked".to_owned())?;
    let mut tally = report.finish();
    if let Err(e) = read {
        tally.fail(format!("reading {} stopped: {e}", args.file.display()));
    }
    Ok(tally)
}

/// What the sending tasks share.
struct Replay {
    queue: Mutex<mpsc::Receiver<Outgoing>>,
    sender: Sender,
    report: Rc<Report>,
    /// The moment that the due times of batches count from.
    start: Instant,
    /// Cancelled once a request was given up, so that no other is begun.
    stop: CancellationToken,
}

impl Replay {
    /// The task of one connection: sends batches until there are no more.
    async fn send_batches(self: Rc<Self>) {
        while let Some(batch) = self.next().await {
            match self.sender.send(batch.body, batch.events).await {
                Ok(answer) => self.report.answered(answer, batch.events),
                Err(error) => {
                    self.report.gave_up(&error, batch.events);
                    self.stop.cancel();
                }
            }
        }
    }

    /// The next batch, at the moment at which it is due. The task that waits for that moment
    /// holds the queue's lock meanwhile, so the others wait behind it and batches leave in
    /// order.
    async fn next(&self) -> Option<Outgoing> {
        let next = async {
            let mut queue = self.queue.lock().await;
            let batch = queue.recv().await?;
            sleep_until(self.start + batch.due).await;
            Some(batch)
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            batch = next => batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, io::Write, net::SocketAddr};

    use actix_web::{App, HttpResponse, HttpServer, web};
    use clap::Parser;
    use parking_lot::Mutex;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: ReplayArgs,
    }

    /// Takes events as the server does: each id once, and now and then it is busy. Refuses
    /// lines that are no event.
    #[derive(Default)]
    struct Taken {
        requests: u64,
        ids: HashSet<String>,
    }

    fn server(taken: web::Data<Mutex<Taken>>) -> SocketAddr {
        let handler = |body: web::Bytes, taken: web::Data<Mutex<Taken>>| async move {
            let mut taken = taken.lock();
            taken.requests += 1;
            if taken.requests.is_multiple_of(5) {
                let mut busy = HttpResponse::ServiceUnavailable();
                return busy.insert_header(("retry-after", "0")).finish();
            }
            let (mut accepted, mut duplicates, mut rejected) = (0, 0, Vec::new());
            for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match serde_json::from_slice::<serde_json::Value>(line) {
                    Ok(event) if taken.ids.insert(event["id"].to_string()) => accepted += 1,
                    Ok(_) => duplicates += 1,
                    Err(_) => rejected
                        .push(serde_json::json!({"index":0,"code":"json","message":"no JSON"})),
                }
            }
            HttpResponse::Accepted().json(serde_json::json!({
                "accepted": accepted, "duplicates": duplicates, "rejected": rejected,
            }))
        };
        let server = HttpServer::new(move || {
            let routes = web::resource("/v1/events").route(web::post().to(handler));
            App::new().app_data(taken.clone()).service(routes)
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let address = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        address
    }

    async fn replayed(text: &str, flags: &[&str]) -> (ReplayTally, usize) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let taken = web::Data::new(Mutex::new(Taken::default()));
        let to = format!("http://{}", server(taken.clone()));
        let mut line = vec!["replay", file.path().to_str().unwrap(), "--to", &to];
        line.extend(flags);
        let tally = replay(&CommandLine::parse_from(line).args).await.unwrap();
        let ids = taken.lock().ids.len();
        (tally, ids)
    }

    #[actix_web::test]
    async fn every_event_is_sent_and_counted_once_whatever_the_server_puts_off() {
        let text: String = (0..5000).map(|at| format!("{{\"timestamp\":{at}}}\n")).collect();
        for flags in [
            &["--batch", "64"] as &[&str],
            &["--rate", "100000", "--connections", "1"],
            &["--speed", "100", "--retime"],
        ] {
            let (tally, ids) = replayed(&text, flags).await;
            assert!(tally.all_taken(), "{tally}");
            assert_eq!(ids, 5000);
            assert!(tally.to_string().contains("accepted             5,000"), "{tally}");
        }
    }

    #[actix_web::test]
    async fn ids_of_the_file_are_kept_unless_new_ones_are_asked_for() {
        let text = "{\"id\":\"a\"}\n{\"id\":\"a\"}\n{\"id\":\"b\"}\n";
        assert_eq!(replayed(text, &[]).await.1, 2);
        assert_eq!(replayed(text, &["--new-ids"]).await.1, 3);
    }

    #[actix_web::test]
    async fn a_refused_event_is_a_failure_and_its_neighbours_go_on() {
        let (tally, ids) = replayed("{\"a\":1}\n{\"a\n{\"a\":2}\n", &[]).await;
        assert!(!tally.all_taken());
        assert_eq!(ids, 2);
        assert!(tally.to_string().contains("1 x json: no JSON"), "{tally}");
    }

    #[actix_web::test]
    async fn a_server_that_is_not_there_ends_it() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}", port.local_addr().unwrap());
        drop(port);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"a\":1}\n".repeat(5000)).unwrap();
        let path = file.path().to_str().unwrap();
        let line = ["replay", path, "--to", &to, "--patience", "0"];
        let tally = replay(&CommandLine::parse_from(line).args).await.unwrap();
        assert!(!tally.all_taken());
        assert!(tally.to_string().contains("Failed to connect"), "{tally}");
    }
}
