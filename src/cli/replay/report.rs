//! What replay shows: a progress bar on a terminal, or a line every few seconds elsewhere, and
//! the tally at the end.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    io::IsTerminal,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::cli::sender::{EventRejection, SendError, SendReply};

/// How often the bar is drawn on a terminal.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
/// How often a line is printed elsewhere.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What became of the events that were read.
#[derive(Debug, Default)]
pub struct ReplayTally {
    accepted: u64,
    duplicates: u64,
    /// By code: how many were rejected, and the message of the first.
    rejected: BTreeMap<String, (u64, String)>,
    /// Events that were sent and never answered.
    unanswered: u64,
    /// Requests that were sent again.
    retries: u64,
    failure: Option<String>,
    elapsed: Duration,
}

impl ReplayTally {
    /// Whether the server has every event of the file.
    pub fn all_taken(&self) -> bool {
        self.rejected.is_empty() && self.unanswered == 0 && self.failure.is_none()
    }

    /// Notes why the rest was not sent. Only the first reason is kept, since others follow
    /// from it.
    pub fn fail(&mut self, message: String) {
        self.failure.get_or_insert(message);
    }

    fn rejected(&self) -> u64 {
        self.rejected.values().map(|(count, _)| count).sum()
    }

    fn answered(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected()
    }

    fn add(&mut self, answer: SendReply, events: u64) {
        self.accepted += answer.accepted;
        self.duplicates += answer.duplicates;
        self.retries += answer.retries;
        let accounted = answer.accepted + answer.duplicates + answer.rejected.len() as u64;
        for EventRejection { code, message, .. } in answer.rejected {
            self.rejected.entry(code).or_insert((0, message)).0 += 1;
        }
        if accounted != events {
            self.fail(format!(
                "the server accounted for {accounted} events of a batch of {events}"
            ));
        }
    }

    /// Events a second, over the whole time.
    fn rate(&self) -> u64 {
        let seconds = self.elapsed.as_secs_f64().max(1e-3);
        (self.answered() as f64 / seconds) as u64
    }
}

impl fmt::Display for ReplayTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, count: u64| {
            writeln!(f, "{name:<12}{:>14}", HumanCount(count).to_string())
        };
        writeln!(
            f,
            "{} events in {:.1} s, {} a second",
            HumanCount(self.answered()),
            self.elapsed.as_secs_f64(),
            HumanCount(self.rate()),
        )?;
        line(f, "accepted", self.accepted)?;
        line(f, "duplicates", self.duplicates)?;
        line(f, "rejected", self.rejected())?;
        for (code, (count, message)) in &self.rejected {
            writeln!(f, "  {} x {code}: {message}", HumanCount(*count))?;
        }
        if self.unanswered > 0 {
            line(f, "unanswered", self.unanswered)?;
        }
        if self.retries > 0 {
            line(f, "retries", self.retries)?;
        }
        match &self.failure {
            Some(failure) => writeln!(f, "stopped: {failure}"),
            None => Ok(()),
        }
    }
}

/// The tally so far, and how it is shown. Progress goes to standard error, so that standard
/// output holds the final tally only.
pub struct Report {
    tally: RefCell<ReplayTally>,
    begin: Instant,
    bytes: u64,
    position: Arc<AtomicU64>,
    bar: Option<ProgressBar>,
}

impl Report {
    /// A report on a file of `bytes` bytes, of which `position` were read.
    pub fn new(bytes: u64, position: Arc<AtomicU64>) -> Rc<Report> {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:32} {percent:>3}%  {msg}  {elapsed} passed, {eta} to go",
            );
            let style = style.expect("the template is well-formed");
            ProgressBar::new(bytes).with_style(style)
        });
        Rc::new(Report { tally: RefCell::default(), begin: Instant::now(), bytes, position, bar })
    }

    /// Adds a server's answer about a batch of `events`.
    pub fn answered(&self, answer: SendReply, events: u64) {
        self.tally.borrow_mut().add(answer, events);
    }

    /// Adds a batch that got no answer.
    pub fn gave_up(&self, error: &SendError, events: u64) {
        let mut tally = self.tally.borrow_mut();
        tally.unanswered += events;
        tally.fail(error.to_string());
    }

    /// Shows the progress again and again, until the task is aborted.
    pub async fn keep_showing(self: Rc<Self>) {
        let interval = match self.bar {
            Some(_) => BAR_INTERVAL,
            None => LINE_INTERVAL,
        };
        loop {
            tokio::time::sleep(interval).await;
            self.show();
        }
    }

    fn show(&self) {
        let position = self.position.load(Ordering::Relaxed);
        let mut tally = self.tally.borrow_mut();
        tally.elapsed = self.begin.elapsed();
        let events = HumanCount(tally.answered());
        let message = format!("{events} events, {}/s", HumanCount(tally.rate()));
        match &self.bar {
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(message);
            }
            None => {
                let percent = 100 * position / self.bytes.max(1);
                eprintln!("{percent:>3}%  {message}");
            }
        }
    }

    /// Removes the bar and returns the tally.
    pub fn finish(&self) -> ReplayTally {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mut tally = self.tally.take();
        tally.elapsed = self.begin.elapsed();
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(accepted: u64, duplicates: u64, rejected: &[(&str, &str)]) -> SendReply {
        let rejection = |&(code, message): &(&str, &str)| EventRejection {
            index: 0,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        SendReply {
            accepted,
            duplicates,
            rejected: rejected.iter().map(rejection).collect(),
            retries: 0,
        }
    }

    #[test]
    fn the_tally_accounts_for_every_event() {
        let mut tally = ReplayTally { elapsed: Duration::from_secs(2), ..ReplayTally::default() };
        tally.add(answer(100, 0, &[]), 100);
        tally.add(answer(90, 10, &[]), 100);
        assert!(tally.all_taken(), "a duplicate is there already");
        let bad = [("invalid_type", "type is missing"), ("invalid_type", "type is 5")];
        tally.add(answer(1998, 0, &bad), 2000);
        assert!(!tally.all_taken());
        assert_eq!(
            tally.to_string(),
            "2,200 events in 2.0 s, 1,100 a second\n\
             accepted             2,188\n\
             duplicates              10\n\
             rejected                 2\n  \
             2 x invalid_type: type is missing\n"
        );
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_a_failure() {
        let mut tally = ReplayTally::default();
        tally.add(answer(99, 0, &[]), 100);
        assert!(!tally.all_taken());
        assert!(
            tally
                .to_string()
                .ends_with("stopped: the server accounted for 99 events of a batch of 100\n")
        );
    }
}
