//! Sketches of many spans are put together to the numbers of the stretches that are asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Distinguished, LINKED, SESSIONS, SketchesAsked, USERS};
use crate::{
    domain::{
        delta::QUARTER_HOUR,
        sketch::{Estimate, Fineness, Sketch, SketchSum},
        time::{MINUTE, Millis},
    },
    sink::SinkError,
};

/// Adds sketches up that come in the order of their time, stretch by stretch. It holds those of one stretch.
pub(crate) struct Differing {
    asked: SketchesAsked,
    /// The days (length and start) that are read in the place of their quarters of an hour.
    days: BTreeSet<(Millis, Millis)>,
    /// The stretch that is added up.
    at: usize,
    sums: BTreeMap<String, SketchSum>,
    found: Vec<Estimate>,
}

impl Differing {
    /// Nothing is added up yet.
    pub fn new(asked: &SketchesAsked) -> Differing {
        let (asked, days) = (asked.clone(), BTreeSet::new());
        Differing { asked, days, at: 0, sums: BTreeMap::new(), found: Vec::new() }
    }

    /// What is to be read, in this order. `days` (length and start, by start) were added up before; they are
    /// read in the place of their quarters of an hour where they lie within a stretch.
    pub fn reads(&mut self, days: &[(Millis, Millis)]) -> Vec<SketchRead> {
        let mut reads: Vec<SketchRead> = Vec::new();
        for &(from, to) in &self.asked.stretches {
            if self.asked.by_minute {
                push(&mut reads, SketchRead { span: MINUTE, from, to, is_day: false });
                continue;
            }
            let mut at = from;
            for &(span, start) in days {
                if start >= at && start + span <= to {
                    push(&mut reads, SketchRead::quarters(at, start));
                    push(&mut reads, SketchRead { span, from: start, to: start + 1, is_day: true });
                    self.days.insert((span, start));
                    at = start + span;
                }
            }
            push(&mut reads, SketchRead::quarters(at, to));
        }
        reads
    }

    /// Adds a sketch of a span that begins at `at` (Unix ms).
    pub fn add(
        &mut self,
        name: &str,
        (span, at): (Millis, Millis),
        sketch: &[u8],
    ) -> Result<(), SinkError> {
        // Days of a zone that was in force before may begin between those that are read.
        if span > QUARTER_HOUR && !self.days.contains(&(span, at)) {
            return Ok(());
        }
        while self.asked.stretches.get(self.at).is_some_and(|(_, to)| at >= *to) {
            self.close();
        }
        if self.asked.stretches.get(self.at).is_none_or(|(from, _)| at < *from) {
            return Ok(());
        }
        let finest = if self.asked.by_minute { Fineness::Coarse } else { Fineness::Fine };
        let sum = self.sums.entry(name.to_owned()).or_insert_with(|| SketchSum::new(finest));
        sum.add(&Sketch::decode(sketch)?);
        Ok(())
    }

    /// Ends a stretch.
    fn close(&mut self) {
        let sums = std::mem::take(&mut self.sums);
        self.found.push(match &self.asked.what {
            Distinguished::Metric(name) => {
                sums.get(name).map(SketchSum::estimate).unwrap_or_default()
            }
            Distinguished::Visitors => visitors(&sums),
        });
        self.at += 1;
    }

    /// How many different values each stretch has.
    pub fn finish(mut self) -> Vec<Estimate> {
        while self.at < self.asked.stretches.len() {
            self.close();
        }
        self.found
    }
}

/// The visitors that the three sketches stand for.
fn visitors(sums: &BTreeMap<String, SketchSum>) -> Estimate {
    let estimate = |name: &str| sums.get(name).map(SketchSum::estimate).unwrap_or_default();
    let sessions = estimate(SESSIONS);
    match (sums.get(USERS), sums.get(LINKED)) {
        (None, _) => sessions,
        (Some(users), None) => sessions.plus(users.estimate()),
        (Some(users), Some(linked)) => {
            let mut all = users.clone();
            all.add_sum(linked);
            sessions.plus(all.estimate().less(linked.estimate()))
        }
    }
}

/// One read of sketches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SketchRead {
    /// The length of their spans, ms.
    pub span: Millis,
    /// The earliest moment at which one of them begins, Unix ms.
    pub from: Millis,
    /// The moment before which they begin.
    pub to: Millis,
    /// Whether it is of days that were added up.
    is_day: bool,
}

impl SketchRead {
    fn quarters(from: Millis, to: Millis) -> SketchRead {
        SketchRead { span: QUARTER_HOUR, from, to, is_day: false }
    }
}

/// Adds a read to others. What follows on the last one is read with it, so a year of days is a few reads.
fn push(reads: &mut Vec<SketchRead>, read: SketchRead) {
    if read.from >= read.to {
        return;
    }
    if let Some(last) = reads.last_mut()
        && (last.span, last.is_day) == (read.span, read.is_day)
        && (read.is_day || last.to == read.from)
    {
        last.to = read.to;
    } else {
        reads.push(read);
    }
}
