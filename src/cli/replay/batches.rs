//! Cuts a file's lines into batches, each with the moment at which it is due. The file is read
//! line by line and never held as a whole.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::stamp::{EventHead, Stamp, stamp};
use crate::domain::time::Millis;

/// The longest line that is read. It is longer than the server's 64 KiB, so that the server can
/// say what is wrong with the event.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// A batch of this size is closed, however few events it has, since the server takes 1 MiB.
const MAX_BATCH_BYTES: usize = 768 << 10;
/// With [`ReplayPace::Recorded`], events that are due further apart than this don't share a
/// batch, since all events of a batch are sent at one moment.
const MAX_BATCH_SPAN: Duration = Duration::from_millis(100);

/// When events are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReplayPace {
    /// As fast as the server takes them.
    Free,
    /// This many events a second.
    Rate(f64),
    /// At the times at which they were recorded, this many times faster.
    Recorded(f64),
}

/// A batch that is ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The events as NDJSON.
    pub body: Bytes,
    /// How many lines it has.
    pub events: u64,
    /// When to send it, counted from the start.
    pub due: Duration,
}

/// Cuts a reader's lines into batches. It is an iterator of these.
pub struct Batches<R> {
    lines: R,
    pace: ReplayPace,
    stamp: Stamp,
    max_events: u64,
    /// Timestamp of the first event that has one.
    first: Option<Millis>,
    /// When the newest event of the open batch is due.
    due: Duration,
    /// Events read so far.
    read: u64,
    /// The lines of the open batch.
    open: Vec<u8>,
    /// How many lines these are.
    open_events: u64,
    /// When the first of them is due.
    open_since: Duration,
    /// The line that was read last; kept for its memory.
    line: Vec<u8>,
}

impl<R: BufRead> Batches<R> {
    /// Cuts `lines` into batches of at most `max_events`. `stamp` says what is changed in each
    /// event.
    pub fn new(lines: R, pace: ReplayPace, stamp: Stamp, max_events: u64) -> Batches<R> {
        Batches {
            lines,
            pace,
            stamp,
            max_events,
            first: None,
            due: Duration::ZERO,
            read: 0,
            open: Vec::new(),
            open_events: 0,
            open_since: Duration::ZERO,
            line: Vec::new(),
        }
    }

    /// Reads one line that is not blank; `false` at the end.
    fn read_line(&mut self) -> io::Result<bool> {
        loop {
            self.line.clear();
            let limited = &mut (&mut self.lines).take(MAX_LINE_BYTES);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(false);
            }
            if self.line.last() != Some(&b'\n') && self.line.len() as u64 == MAX_LINE_BYTES {
                return Err(io::Error::other(format!(
                    "event {} is longer than {MAX_LINE_BYTES} bytes",
                    self.read + 1
                )));
            }
            self.line.truncate(self.line.trim_ascii_end().len());
            if !self.line.is_empty() {
                self.read += 1;
                return Ok(true);
            }
        }
    }

    /// When the event that was read last is due.
    fn due(&mut self, head: &EventHead<'_>) -> Duration {
        match self.pace {
            ReplayPace::Free => Duration::ZERO,
            ReplayPace::Rate(rate) => Duration::from_secs_f64((self.read - 1) as f64 / rate),
            ReplayPace::Recorded(speed) => {
                let since = match (head.moment(), self.first) {
                    (Some(at), Some(first)) => (at - first).max(0) as u64,
                    _ => 0,
                };
                // An event whose timestamp is earlier than that of the one before it, or
                // missing, is sent with the one before it.
                Duration::from_millis(since).div_f64(speed).max(self.due)
            }
        }
    }

    /// Ends the open batch. `None` if it is empty.
    fn close(&mut self) -> Option<Outgoing> {
        if self.open_events == 0 {
            return None;
        }
        let due = match self.pace {
            ReplayPace::Recorded(_) => self.due,
            ReplayPace::Free | ReplayPace::Rate(_) => self.open_since,
        };
        Some(Outgoing {
            body: Bytes::from(std::mem::take(&mut self.open)),
            events: std::mem::take(&mut self.open_events),
            due,
        })
    }
}

impl<R: BufRead> Iterator for Batches<R> {
    type Item = io::Result<Outgoing>;

    fn next(&mut self) -> Option<io::Result<Outgoing>> {
        loop {
            match self.read_line() {
                Err(e) => return Some(Err(e)),
                Ok(false) => return self.close().map(Ok),
                Ok(true) => {}
            }
            let line = std::mem::take(&mut self.line);
            let head = EventHead::of(&line);
            if self.first.is_none() {
                self.first = head.moment();
            }
            let due = self.due(&head);
            let full = self.open_events >= self.max_events
                || self.open.len() + line.len() > MAX_BATCH_BYTES
                || matches!(self.pace, ReplayPace::Recorded(_))
                    && due.saturating_sub(self.open_since) > MAX_BATCH_SPAN;
            let closed = if full { self.close() } else { None };
            if self.open_events == 0 {
                self.open_since = due;
            }
            self.due = due;
            let recorded = matches!(self.pace, ReplayPace::Recorded(_)).then_some(due);
            stamp(&line, &head, &self.stamp, self.first, recorded, self.read, &mut self.open);
            self.open.push(b'\n');
            self.open_events += 1;
            self.line = line;
            if closed.is_some() {
                return closed.map(Ok);
            }
        }
    }
}

/// A file that is being read: its lines, and how far it has been read.
pub struct EventFile {
    /// The lines, unpacked if the file's name ends in `.gz`.
    pub lines: Box<dyn BufRead + Send>,
    /// Bytes of the file as it lies on disk.
    pub bytes: u64,
    /// How many of these bytes were read so far.
    pub position: Arc<AtomicU64>,
}

/// Opens a file.
pub fn open(path: &Path) -> io::Result<EventFile> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let position = Arc::new(AtomicU64::new(0));
    let counted = CountingReader { file, position: Arc::clone(&position) };
    let lines: Box<dyn BufRead + Send> = if path.extension().is_some_and(|suffix| suffix == "gz") {
        let packed = BufReader::with_capacity(READ_BYTES, counted);
        Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(packed)))
    } else {
        Box::new(BufReader::with_capacity(READ_BYTES, counted))
    };
    Ok(EventFile { lines, bytes, position })
}

/// Bytes of each read buffer.
const READ_BYTES: usize = 256 << 10;

/// Counts the bytes that are read, for the progress bar. It counts bytes of the file, before they
/// are unpacked, because the file's size is known and the unpacked size is not.
struct CountingReader {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &str, pace: ReplayPace, max_events: u64) -> Vec<(u64, Duration)> {
        Batches::new(text.as_bytes(), pace, Stamp::default(), max_events)
            .map(|batch| batch.map(|batch| (batch.events, batch.due)).unwrap())
            .collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(moments: &[i64]) -> String {
        let line = |at: &i64| format!("{{\"id\":\"x\",\"timestamp\":{at}}}\n");
        moments.iter().map(line).collect()
    }

    #[test]
    fn all_lines_come_through_and_blank_ones_are_left_out() {
        let text = "{\"id\":1}\r\n\n  \n{\"id\":2}\nno json\n{\"id\":3}";
        let bodies: Vec<_> = Batches::new(text.as_bytes(), ReplayPace::Free, Stamp::default(), 2)
            .map(|batch| batch.unwrap().body)
            .collect();
        assert_eq!(bodies, ["{\"id\":1}\n{\"id\":2}\n", "no json\n{\"id\":3}\n"]);
        assert!(batches("", ReplayPace::Free, 2).is_empty());
    }

    #[test]
    fn a_rate_is_a_schedule_without_drift() {
        let text = at(&[0; 1001]);
        let batches = batches(&text, ReplayPace::Rate(3000.0), 100);
        assert_eq!(batches.len(), 11);
        for (number, (_, due)) in batches.iter().enumerate() {
            let expected = number as f64 * 100.0 / 3000.0;
            assert!((due.as_secs_f64() - expected).abs() < 1e-6);
        }
        assert_eq!(batches[10].0, 1);
    }

    #[test]
    fn recorded_events_are_due_as_they_were_recorded() {
        let text = at(&[5000, 5040, 5060, 6000, 5990, 9000]);
        assert_eq!(
            batches(&text, ReplayPace::Recorded(1.0), 100),
            [(3, ms(60)), (2, ms(1000)), (1, ms(4000))]
        );
        assert_eq!(batches(&text, ReplayPace::Recorded(10.0), 100), [(5, ms(100)), (1, ms(400))]);
        assert_eq!(batches(&text, ReplayPace::Recorded(10.0), 2).len(), 4);
    }

    #[test]
    fn a_batch_stays_under_what_the_server_takes() {
        let line = format!("{{\"id\":\"{}\"}}\n", "x".repeat(300_000));
        let batches = batches(&line.repeat(5), ReplayPace::Free, 100);
        let events: Vec<u64> = batches.iter().map(|(events, _)| *events).collect();
        assert_eq!(events, [2, 2, 1]);
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let text = "x".repeat(2 << 20);
        let mut batches = Batches::new(text.as_bytes(), ReplayPace::Free, Stamp::default(), 100);
        assert!(batches.next().unwrap().is_err());
    }
}
