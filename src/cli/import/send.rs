//! Sends the events of a file to a server, some thousand in a request. A thread reads the file; there is one task for
//! each connection. Batches wait in a short queue, so a slow server slows the reading.

use std::{cell::RefCell, fmt, rc::Rc, time::Duration};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::{
    file::{ExportFile, ExportRecords},
    preview::NAMED,
    record::{ImportRecord, ImportRules},
};
use crate::cli::{
    replay::{ReplayTally, Report},
    sender::{EventRejection, Sender},
};

/// A batch of this size is closed, however few events it has, since the server takes 1 MiB.
const MAX_BATCH_BYTES: usize = 768 << 10;

/// How a file is sent.
#[derive(Clone, Debug)]
pub struct ImportSender {
    /// The server.
    pub to: String,
    /// The write key.
    pub key: Option<String>,
    /// Events in a request, at most.
    pub batch: u64,
    /// Requests at a time.
    pub connections: usize,
    /// How long one request is tried.
    pub patience: Duration,
}

/// Some events on their way.
struct ImportBatch {
    body: Bytes,
    /// The line of each.
    lines: Vec<u64>,
}

/// What became of a file.
pub struct SentFile {
    tally: ReplayTally,
    /// The first refused events: line, code and message.
    refused: Vec<(u64, EventRejection)>,
    gave_up: bool,
}

impl SentFile {
    /// Whether the server has every event.
    pub fn all_taken(&self) -> bool {
        self.tally.all_taken()
    }

    /// Whether it was given up before the end.
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }
}

impl fmt::Display for SentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tally)?;
        for (line, EventRejection { code, message, .. }) in &self.refused {
            writeln!(f, "  line {line}: {code}: {message}")?;
        }
        Ok(())
    }
}

/// What the tasks share.
struct Sending {
    queue: Mutex<mpsc::Receiver<ImportBatch>>,
    sender: Sender,
    report: Rc<Report>,
    refused: RefCell<Vec<(u64, EventRejection)>>,
}

impl ImportSender {
    /// Sends a file.
    ///
    /// # Errors
    /// The file or the server's address can't be read.
    pub async fn send(&self, file: &ExportFile, rules: &ImportRules) -> Result<SentFile, String> {
        let records = file.read()?;
        let report = Report::new(records.bytes, records.position.clone());
        let sender = Sender::new(&self.to, self.key.as_deref(), self.connections, self.patience)?;
        let (queue, batches) = mpsc::channel(2 * self.connections);
        let sending = Rc::new(Sending {
            queue: Mutex::new(batches),
            sender: sender.importing(),
            report: report.clone(),
            refused: RefCell::default(),
        });
        let shown = actix::spawn(report.clone().keep_showing());
        let tasks: Vec<_> =
            (0..self.connections).map(|_| actix::spawn(sending.clone().send_batches())).collect();
        let (batch, read) = (self.batch, {
            let rules = rules.clone();
            move |batch| read(records, &rules, batch, &queue)
        });
        let read = tokio::task::spawn_blocking(move || read(batch)).await;
        let mut gave_up = false;
        for task in tasks {
            gave_up |= task.await.map_err(|e| e.to_string())?;
        }
        shown.abort();
        let mut tally = report.finish();
        if let Err(words) = read.map_err(|e| e.to_string()).and_then(|read| read) {
            gave_up = true;
            tally.fail(format!("reading {} stopped: {words}", file.path.display()));
        }
        Ok(SentFile { tally, refused: sending.refused.take(), gave_up })
    }
}

/// Reads a file and cuts its events into batches, until nobody takes them any more.
fn read(
    mut records: ExportRecords,
    rules: &ImportRules,
    most: u64,
    queue: &mpsc::Sender<ImportBatch>,
) -> Result<(), String> {
    let (mut body, mut lines, mut out) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let goes_on = records.next(rules, &mut out)?;
        for record in out.drain(..) {
            let ImportRecord::Event(event) = record else { continue };
            let is_full =
                lines.len() as u64 >= most || body.len() + event.json.len() > MAX_BATCH_BYTES;
            if is_full && !lines.is_empty() {
                let batch = ImportBatch {
                    body: std::mem::take(&mut body).into(),
                    lines: std::mem::take(&mut lines),
                };
                // An error means that the queue is closed, because the senders gave up.
                if queue.blocking_send(batch).is_err() {
                    return Ok(());
                }
            }
            body.extend_from_slice(event.json.as_bytes());
            body.push(b'\n');
            lines.push(event.line);
        }
        if !goes_on {
            if !lines.is_empty() {
                let _ = queue.blocking_send(ImportBatch { body: body.into(), lines });
            }
            return Ok(());
        }
    }
}

impl Sending {
    /// The task of one connection. Answers whether it gave up.
    async fn send_batches(self: Rc<Self>) -> bool {
        loop {
            let next = self.queue.lock().await.recv().await;
            let Some(ImportBatch { body, lines }) = next else { return false };
            let events = lines.len() as u64;
            match self.sender.send(body, events).await {
                Ok(answer) => {
                    let mut refused = self.refused.borrow_mut();
                    for rejection in &answer.rejected {
                        let line = lines.get(rejection.index).copied().unwrap_or_default();
                        if refused.len() < NAMED {
                            refused.push((line, rejection.clone()));
                        }
                    }
                    drop(refused);
                    self.report.answered(answer, events);
                }
                Err(error) => {
                    self.report.gave_up(&error, events);
                    // Nobody takes more, so the reader ends.
                    self.queue.lock().await.close();
                    return true;
                }
            }
        }
    }
}
