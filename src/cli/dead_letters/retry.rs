//! `floodmark dead-letters --retry`: sends refused events again, each counted once.
//!
//! Letters are read from the store a page at a time. For each page:
//!
//! 1. Letters whose event the store has already, under its id, are marked as sent.
//! 2. The others are marked as being sent, which is on disk before anything leaves.
//! 3. Their events go to the running server, which takes each id once.
//! 4. Those that it took, or knew, are marked as sent; those that it refused wait again.
//!
//! A run that is killed between 2 and 4 leaves letters of which nobody knows what became. The next run
//! finds their events in step 1, or the server knows their ids (`dedupe.window_s`). Only where the
//! store has lagged behind for longer than that window could such an event come twice.

use std::{collections::HashMap, fmt, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    again::{Ready, Unsent, ready},
    fix::Fix,
};
use crate::{
    cli::sender::{SendReply, Sender},
    domain::{
        event::REPORTED,
        ids::IdSpace,
        source::SourceSpec,
        time::{HOUR, now_ms},
    },
    http::collect::letter::AGAIN,
    store::{
        archive::ArchiveStore,
        letters::{DeadLetters, EventWithId, LetterFilter, LetterState},
        retention::{Retention, gone_of},
    },
};

/// How many letters are read at once.
const PAGE: usize = 500;
/// How many bytes of events a request has at most; a server takes 1 MiB unless it is told otherwise.
const REQUEST_BYTES: usize = 512 << 10;
/// How far from the time of its letter the event is looked for in the store: its sender may have
/// sent it again with another time.
const AROUND: i64 = HOUR;
/// How many different reasons of refusals are printed.
const MAX_REASONS: usize = 10;

/// What became of letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RetryTally {
    /// Events that the server took.
    pub accepted: u64,
    /// Events that were there already, in the store or in the server's index.
    pub known: u64,
    /// Events that were refused again.
    pub refused: u64,
    /// Letters that can't be sent: cut, or no JSON.
    pub unreadable: u64,
    /// Letters that the filter left out, or on which it failed.
    pub left_out: u64,
    /// Why events were refused, or the filter failed, each with how often.
    pub reasons: HashMap<String, u64>,
}

impl fmt::Display for RetryTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} sent, {} were there already", self.accepted, self.known)?;
        writeln!(f, "{} refused again, {} left out by --fix", self.refused, self.left_out)?;
        writeln!(f, "{} can't be sent: no whole JSON object was kept", self.unreadable)?;
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), (*reason).clone()));
        for (reason, count) in reasons.into_iter().take(MAX_REASONS) {
            writeln!(f, "  {count} x {reason}")?;
        }
        Ok(())
    }
}

impl RetryTally {
    fn unsent(&mut self, why: Unsent) {
        match why {
            Unsent::Cut | Unsent::Unreadable => self.unreadable += 1,
            Unsent::LeftOut => self.left_out += 1,
            Unsent::RowsGone => {
                self.left_out += 1;
                let why =
                    "it may have been sent before, and the rows of its day were removed or moved";
                *self.reasons.entry(why.to_owned()).or_default() += 1;
            }
            Unsent::NotFixed(why) => {
                self.left_out += 1;
                *self.reasons.entry(format!("--fix: {why}")).or_default() += 1;
            }
        }
    }
}

/// Sends letters again.
pub(super) struct Retry<'a> {
    /// Where they are.
    pub letters: &'a dyn DeadLetters,
    /// Which events are in files.
    pub archive: &'a dyn ArchiveStore,
    /// Knows which rows are gone.
    pub retention: &'a dyn Retention,
    /// What is done to each event before.
    pub fix: Option<Fix>,
    /// Who may send, by the configuration.
    pub sources: &'a [SourceSpec],
    /// Sends to the server; `None` prints the events instead, and changes nothing.
    pub sender: Option<Sender>,
}

impl Retry<'_> {
    /// A sender of dead letters to the server at `base`.
    pub fn sender(base: &str, key: Option<&str>, patience: Duration) -> Result<Sender, String> {
        Sender::new(base, key, 1, patience)
    }

    /// Sends all letters of a filter, at most `limit`.
    pub async fn run(&self, filter: &LetterFilter, limit: usize) -> Result<RetryTally, String> {
        let mut tally = RetryTally::default();
        let mut after = (filter.from.saturating_sub(1), Uuid::nil());
        let mut left = limit;
        while left > 0 {
            let page = self.letters.letters(filter, after, PAGE.min(left)).await;
            let page = page.map_err(|e| e.to_string())?;
            let Some(last) = page.last() else { break };
            after = (last.received_at, last.letter);
            left -= page.len();
            let mut events = Vec::with_capacity(page.len());
            for letter in &page {
                match ready(letter, self.fix.as_ref()) {
                    Ok(event) if letter.sending && self.is_gone(&event).await? => {
                        tally.unsent(Unsent::RowsGone);
                    }
                    Ok(event) => events.push(event),
                    Err(why) => tally.unsent(why),
                }
            }
            let events = self.unknown(events, &mut tally).await?;
            for request in requests(events) {
                self.send(&request, &mut tally).await?;
            }
        }
        Ok(tally)
    }

    /// Whether the store would have lost the row of an event, if it had had it, to age or to the archive.
    async fn is_gone(&self, event: &Ready) -> Result<bool, String> {
        let around = Some((event.time - AROUND, event.time + AROUND));
        let files = self.archive.archive_files(around).await.map_err(|e| e.to_string())?;
        if files.iter().any(|file| file.kind == event.kind) {
            return Ok(true);
        }
        let (span, kinds) = ([(event.time, event.time + 1)], [event.kind.clone()]);
        let gone = gone_of(self.retention, &span, Some(&kinds)).await;
        gone.map(|gone| gone.is_some()).map_err(|e| e.to_string())
    }

    /// The events that the store does not have. The letters of the others are marked as sent.
    async fn unknown(
        &self,
        events: Vec<Ready>,
        tally: &mut RetryTally,
    ) -> Result<Vec<Ready>, String> {
        let times = events.iter().map(|event| event.time);
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
            return Ok(events);
        };
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let found = self.letters.events_with_ids(&ids, first - AROUND, last + AROUND).await;
        let found = found.map_err(|e| e.to_string())?;
        let (there, new): (Vec<_>, Vec<_>) = events
            .into_iter()
            .partition(|event| found.iter().any(|found| self.is_same(event, found)));
        tally.known += there.len() as u64;
        if self.sender.is_some() {
            self.mark(there.iter(), LetterState::Sent).await?;
        }
        Ok(new)
    }

    /// Whether an event of the store is the one of a letter. What a page has sent under an id is not
    /// what the shop has sent under it ([`crate::domain::ids`]).
    fn is_same(&self, event: &Ready, found: &EventWithId) -> bool {
        let space = |source: &str| {
            let source = self.sources.iter().find(|known| known.name == source);
            source.map_or(IdSpace::Shop, SourceSpec::id_space)
        };
        let of_page = space(found.source.as_deref().unwrap_or_default()) == IdSpace::Public;
        // An order that only was reported is stored under another type.
        let kind = found.kind.strip_suffix(REPORTED).unwrap_or(&found.kind);
        (found.id.as_str(), kind) == (event.id.as_str(), event.kind.as_str())
            && (!of_page || space(&event.source) == IdSpace::Public)
    }

    /// Sends one request, whose events are all of one source.
    async fn send(&self, events: &[Ready], tally: &mut RetryTally) -> Result<(), String> {
        let lines: String = events.iter().map(|event| format!("{}\n", event.line)).collect();
        let Some(sender) = &self.sender else {
            print!("{lines}");
            return Ok(());
        };
        self.mark(events.iter(), LetterState::Sending).await?;
        crate::failpoint::kill_point!("letters-marked");
        let source = events.first().map(|event| event.source.clone()).unwrap_or_default();
        let sender = sender.clone().marked(AGAIN, source);
        let reply = sender.send(Bytes::from(lines), events.len() as u64).await;
        let reply = reply.map_err(|e| e.to_string())?;
        crate::failpoint::kill_point!("letters-sent");
        let SendReply { accepted, duplicates, rejected, .. } = reply;
        let none_taken = accepted == 0 && duplicates == 0;
        let is_refused =
            |at: usize| none_taken || rejected.iter().any(|rejected| rejected.index == at);
        let (refused, sent): (Vec<_>, Vec<_>) =
            events.iter().enumerate().partition(|(at, _)| is_refused(*at));
        self.mark(sent.into_iter().map(|(_, event)| event), LetterState::Sent).await?;
        self.mark(refused.into_iter().map(|(_, event)| event), LetterState::Waiting).await?;
        tally.accepted += accepted;
        tally.known += duplicates;
        tally.refused += rejected.len() as u64;
        for rejected in rejected {
            let reason = format!("{}: {}", rejected.code, rejected.message);
            *tally.reasons.entry(reason).or_default() += 1;
        }
        Ok(())
    }

    async fn mark<'e>(
        &self,
        events: impl Iterator<Item = &'e Ready>,
        state: LetterState,
    ) -> Result<(), String> {
        let letters: Vec<Uuid> = events.map(|event| event.letter).collect();
        if letters.is_empty() {
            return Ok(());
        }
        self.letters.mark_letters(&letters, state, now_ms()).await.map_err(|e| e.to_string())
    }
}

/// Events by request: those of a source that follow each other, as far as they fit.
fn requests(events: Vec<Ready>) -> Vec<Vec<Ready>> {
    let mut requests: Vec<Vec<Ready>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        bytes += event.line.len() + 1;
        let fits = |request: &&mut Vec<Ready>| {
            bytes <= REQUEST_BYTES && request.last().is_some_and(|last| last.source == event.source)
        };
        match requests.last_mut().filter(fits) {
            Some(request) => request.push(event),
            None => {
                bytes = event.line.len() + 1;
                requests.push(vec![event]);
            }
        }
    }
    requests
}
