//! What a history of commits has put into the spool, for the tests that go through arbitrary
//! ones.

use super::*;

/// Committed events by the batch they lie in.
#[derive(Clone, Default)]
pub(super) struct History {
    /// Index 0 is batch 1.
    pub batches: Vec<Vec<String>>,
    /// Those that no seal covers.
    pub open: Vec<String>,
    /// Events made so far, also for groups that were never committed.
    pub made: u64,
    /// What the names of new events begin with, so that copies of a history make other ones.
    pub name: String,
}

impl History {
    /// Builds a group of requests of so many events each, sealed after the request where the
    /// flag is set; returns it with the history that committing it makes.
    pub fn group(&mut self, requests: &[(u8, bool)]) -> (Group, History) {
        let mut after = self.clone();
        let mut group = Group::default();
        for &(events, seal) in requests {
            let mut rows = Vec::new();
            let mut ids = Vec::new();
            for _ in 0..events {
                after.made += 1;
                ids.push(format!("{}event{}", after.name, after.made));
                rows.extend(row(&ids[ids.len() - 1]));
            }
            group.rows(events.into(), &rows, NOW, ids.iter().map(String::as_str));
            after.open.extend(ids);
            if seal {
                let events = after.open.len() as u64;
                after.batches.push(std::mem::take(&mut after.open));
                group.seal(after.batches.len() as u64, NOW, events, &delta(events));
            }
        }
        self.made = after.made;
        (group, after)
    }

    /// All events but those of the first batches, in order.
    pub fn after(&self, batches: usize) -> impl Iterator<Item = &String> {
        self.batches.iter().skip(batches).flatten().chain(&self.open)
    }

    /// Seals the open batch that a recovery found, if it found one.
    pub fn seal_recovered(&mut self, opened: &mut Opened) {
        if self.open.is_empty() {
            return;
        }
        let mut group = Group::default();
        let events = opened.recovery.open.events;
        group.seal(opened.recovery.next_seq, NOW, events, &delta(events));
        opened.writer.commit(&mut group).unwrap();
        self.batches.push(std::mem::take(&mut self.open));
    }
}
