//! What came of a day, in words.

use std::fmt;

use indicatif::HumanCount;

use crate::{
    domain::{
        delta::Series,
        money::Amount,
        time::{BusinessDay, Millis, rfc3339},
    },
    store::rollup::verify::{DayVerdict, StoredDay, SumDifference},
};

/// A moment in words.
pub fn at(at: Millis) -> String {
    rfc3339(at)
}

/// A day and what came of it.
pub struct DayInWords<'a> {
    /// The day.
    pub day: BusinessDay,
    /// What the store has of it.
    pub sums: &'a StoredDay,
    /// What came of the comparison.
    pub verdict: &'a DayVerdict,
    /// What was compared of the live counters, in words.
    pub live: String,
}

impl fmt::Display for DayInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DayInWords { day, sums, verdict, live } = self;
        let what = match verdict.different + sums.unreadable.len() as u64 {
            0 => "agree".to_owned(),
            1 => "compared, 1 difference".to_owned(),
            different => format!("compared, {} differences", HumanCount(different)),
        };
        let (events, compared) = (HumanCount(sums.events), HumanCount(verdict.sums));
        write!(f, "{}: {events} events, {compared} sums {what}", day.date)?;
        write!(f, "\n  rows: all of the day, counted by the rules of now")?;
        if sums.rollups_from > day.start {
            write!(f, "\n  rollups: let go of before {}", at(sums.rollups_from))?;
        }
        match sums.ledger_from {
            from if from <= day.start => write!(f, "\n  ledger: has all of the day")?,
            from if from >= day.end => {
                write!(f, "\n  ledger: has dropped rows of all of the day, not compared")?;
            }
            from => write!(f, "\n  ledger: kept since {}, compared from then on", at(from))?,
        }
        write!(f, "\n  live counters: {live}")?;
        if verdict.explained_rows > 0 {
            let (rows, minutes) = (verdict.explained_rows, verdict.explained_minutes);
            write!(
                f,
                "\n  explained: {rows} rows of {minutes} minutes were removed or refused; there, rows are \
                 compared by their number only"
            )?;
        }
        if !verdict.without_rule.is_empty() {
            let names: Vec<&str> = verdict.without_rule.iter().map(String::as_str).collect();
            let names = names.join(", ");
            write!(f, "\n  without a rule: {names}; their rows can't be counted again")?;
        }
        for words in &sums.unreadable {
            write!(f, "\n  ledger: {words}")?;
        }
        for it in &verdict.differences {
            write!(f, "\n  {}", Difference(it))?;
        }
        let more = verdict.different - verdict.differences.len() as u64;
        if more > 0 {
            write!(f, "\n  and {} more", HumanCount(more))?;
        }
        let of_rules = verdict.differences.iter().all(|it| !it.series.starts_with("c:"));
        if verdict.different > 0 && of_rules && sums.unreadable.is_empty() {
            write!(
                f,
                "\n  All events are there. If the rules of metrics were changed since, floodmark rebuild \
                 --rollups {} counts the day by those of now.",
                day.date
            )?;
        }
        Ok(())
    }
}

/// A difference in one line.
struct Difference<'a>(&'a SumDifference);

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.0;
        let is_money =
            matches!(Series::parse(&it.series), Some(Series::Sum(_) | Series::Money(..)));
        let values =
            [("rows", it.rows), ("ledger", it.ledger), ("rollups", it.rollups), ("live", it.live)];
        let values: Vec<String> = values
            .iter()
            .filter_map(|(name, value)| {
                let value = (*value)?;
                Some(match is_money {
                    true => format!("{name} {}", Amount(value)),
                    false => format!("{name} {value}"),
                })
            })
            .collect();
        write!(f, "{} {}: {}", at(it.minute), it.series, values.join(", "))
    }
}
