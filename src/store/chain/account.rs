//! Which of the rows that are gone the store's own notes explain: what `[retention]` and `floodmark forget` have
//! removed is known by day, type and number, and each of these rows explains one that is missing, once.

use std::collections::BTreeMap;

use super::reading::{ChainDay, ChainFinding, ChainReceipt};
use crate::store::retention::{RemovalReason, UtcDay};

/// The most rows that are named; all are counted.
const MAX_NAMED: usize = 100;

/// What came of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainDayVerdict {
    /// Rows that differ, by time; the first hundred.
    pub findings: Vec<ChainFinding>,
    /// Missing rows that no note explains on a day and of a type of which others are explained: which of them can't
    /// be told.
    pub unexplained: BTreeMap<(UtcDay, String), u64>,
    /// Rows that were taken off the chain as forgotten, or with their day, and that no note explains, by day.
    pub taken_off: BTreeMap<UtcDay, u64>,
    /// All rows that differ.
    pub different: u64,
    /// Missing rows that went by `[retention]`.
    pub retained: u64,
    /// Rows that were forgotten.
    pub forgotten: u64,
}

/// Explains what is gone, over any number of days.
#[derive(Debug, Default)]
pub struct ChainAccount {
    /// What notes have explained.
    used: BTreeMap<ChainReceipt, u64>,
}

impl ChainAccount {
    /// Takes as many of `rows` as the notes of a reason explain. Returns how many.
    fn take(
        &mut self,
        day: &ChainDay,
        (of, kind): (UtcDay, &str),
        reason: RemovalReason,
        rows: u64,
    ) -> u64 {
        let note =
            ChainReceipt { day: of, kind: kind.to_owned(), reason: reason.name().to_owned() };
        let noted = day.receipts.get(&note).copied().unwrap_or(0);
        let used = self.used.entry(note).or_default();
        let taken = rows.min(noted.saturating_sub(*used));
        *used += taken;
        taken
    }

    /// Judges what was read of a stretch of time.
    pub fn judge(&mut self, day: &ChainDay) -> ChainDayVerdict {
        let mut verdict = ChainDayVerdict::default();
        let mut findings = [day.changed.as_slice(), &day.added].concat();
        verdict.different = day.changed_rows + day.added_rows + day.unreadable.len() as u64;
        for ((of, kind), rows) in &day.missing {
            let by_type = self.take(day, (*of, kind), RemovalReason::Type, *rows);
            let by_age = self.take(day, (*of, ""), RemovalReason::Age, rows - by_type);
            let explained = by_type + by_age;
            verdict.retained += explained;
            let left = rows - explained;
            verdict.different += left;
            if left > 0 && explained > 0 {
                verdict.unexplained.insert((*of, kind.clone()), left);
            } else if left > 0 {
                let is_one = |it: &&ChainFinding| {
                    (crate::domain::chain::day_of(it.time), &it.kind) == (*of, kind)
                };
                findings.extend(day.missing_named.iter().filter(is_one).cloned());
            }
        }
        for ((of, kind), rows) in &day.forgotten {
            let explained = self.take(day, (*of, kind), RemovalReason::Person, *rows);
            verdict.forgotten += explained;
            verdict.took_off(*of, rows - explained);
        }
        for ((first, last), rows) in &day.thinned {
            let mut left = *rows;
            for of in
                day.receipts.keys().map(|it| it.day).collect::<std::collections::BTreeSet<_>>()
            {
                if (*first..=*last).contains(&of) {
                    left -= self.take(day, (of, ""), RemovalReason::Age, left);
                    for kind in kinds(day, of) {
                        left -= self.take(day, (of, &kind), RemovalReason::Type, left);
                        // What is left of a batch does not say which of its rows were forgotten.
                        left -= self.take(day, (of, &kind), RemovalReason::Person, left);
                    }
                }
            }
            verdict.retained += rows - left;
            verdict.took_off(*first, left);
        }
        findings.sort_by(|a, b| (a.time, &a.id, a.found).cmp(&(b.time, &b.id, b.found)));
        findings.truncate(MAX_NAMED);
        verdict.findings = findings;
        verdict
    }
}

/// The types of which a day has notes.
fn kinds(day: &ChainDay, of: UtcDay) -> Vec<String> {
    let of_day = day.receipts.keys().filter(|it| it.day == of && !it.kind.is_empty());
    let mut kinds: Vec<String> = of_day.map(|it| it.kind.clone()).collect();
    kinds.dedup();
    kinds
}

impl ChainDayVerdict {
    fn took_off(&mut self, day: UtcDay, rows: u64) {
        if rows > 0 {
            *self.taken_off.entry(day).or_default() += rows;
            self.different += rows;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{batch::BatchId, time::DAY},
        store::chain::FoundAs,
    };

    fn missing(n: i64) -> ChainFinding {
        let batch = BatchId { run: Uuid::nil(), seq: 1 };
        ChainFinding {
            found: FoundAs::Missing,
            time: DAY + n,
            id: format!("{n}"),
            kind: "error".to_owned(),
            place: Some((batch, 1)),
        }
    }

    fn day(missing_rows: u64, receipts: &[(&str, &str, u64)]) -> ChainDay {
        let receipt = |(kind, reason, rows): &(&str, &str, u64)| {
            let (kind, reason) = (kind.to_string(), reason.to_string());
            (ChainReceipt { day: 1, kind, reason }, *rows)
        };
        ChainDay {
            missing: BTreeMap::from([((1, "error".to_owned()), missing_rows)]),
            missing_named: (0..missing_rows as i64).map(missing).collect(),
            receipts: receipts.iter().map(receipt).collect(),
            ..ChainDay::default()
        }
    }

    #[test]
    fn a_note_explains_as_many_rows_as_it_says_and_once() {
        let mut account = ChainAccount::default();
        let notes = [("error", "type", 3), ("", "age", 2), ("purchase", "type", 9)];
        let verdict = account.judge(&day(5, &notes));
        assert_eq!((verdict.different, verdict.retained, verdict.findings.len()), (0, 5, 0));
        // The other half of that day in UTC.
        let verdict = account.judge(&day(1, &notes));
        assert_eq!((verdict.different, verdict.retained), (1, 0));
        assert_eq!(verdict.findings, [missing(0)]);

        let verdict = ChainAccount::default().judge(&day(7, &notes));
        assert_eq!((verdict.different, verdict.retained, verdict.findings.len()), (2, 5, 0));
        assert_eq!(verdict.unexplained, BTreeMap::from([((1, "error".to_owned()), 2)]));
        // A forgotten person is known by the chain itself, so that note explains nothing else.
        let verdict = ChainAccount::default().judge(&day(1, &[("error", "person", 5)]));
        assert_eq!((verdict.different, verdict.findings.len()), (1, 1));
    }

    #[test]
    fn what_was_taken_off_the_chain_has_to_be_noted() {
        let forgotten = ChainDay {
            forgotten: BTreeMap::from([((1, "error".to_owned()), 3)]),
            missing: BTreeMap::new(),
            ..day(0, &[("error", "person", 2)])
        };
        let verdict = ChainAccount::default().judge(&forgotten);
        assert_eq!((verdict.forgotten, verdict.different), (2, 1));
        assert_eq!(verdict.taken_off, BTreeMap::from([(1, 1)]));
        let thinned = |notes: &[(&str, &str, u64)]| ChainDay {
            thinned: BTreeMap::from([((1, 2), 10)]),
            missing: BTreeMap::new(),
            ..day(0, notes)
        };
        let notes = [("", "age", 6), ("error", "type", 3), ("error", "person", 1)];
        let verdict = ChainAccount::default().judge(&thinned(&notes));
        assert_eq!((verdict.retained, verdict.different), (10, 0));
        let verdict = ChainAccount::default().judge(&thinned(&notes[..2]));
        assert_eq!((verdict.different, verdict.taken_off), (1, BTreeMap::from([(1, 1)])));
    }
}
