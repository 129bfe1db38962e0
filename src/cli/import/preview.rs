//! What an import would bring: counts by type, money by currency, days, and what is left out or broken.

use std::{collections::BTreeMap, fmt};

use indicatif::HumanCount;

use super::{file::ExportFile, record::ImportRecord};
use crate::domain::{
    money::UNITS_PER_WHOLE,
    time::{BusinessZone, Millis, rfc3339},
};

/// So many events are shown as they will be.
const SHOWN_EVENTS: usize = 3;
/// So many broken records are named.
pub const NAMED: usize = 20;

/// What the records of a file become.
#[derive(Debug)]
pub struct ImportPreview {
    zone: BusinessZone,
    /// Events in all.
    pub events: u64,
    by_type: BTreeMap<String, u64>,
    /// By type and currency: how many, and the sum in 1/10,000.
    money: BTreeMap<(String, String), (u64, i128)>,
    /// Events by business day.
    days: BTreeMap<jiff::civil::Date, u64>,
    /// The first and the last moment, Unix ms.
    span: Option<(Millis, Millis)>,
    left_out: BTreeMap<String, u64>,
    broken: u64,
    /// The first broken records: line and reason.
    named: Vec<(u64, String)>,
    first: Vec<String>,
}

impl ImportPreview {
    /// Nothing yet.
    pub fn new(zone: BusinessZone) -> ImportPreview {
        ImportPreview {
            zone,
            events: 0,
            by_type: BTreeMap::new(),
            money: BTreeMap::new(),
            days: BTreeMap::new(),
            span: None,
            left_out: BTreeMap::new(),
            broken: 0,
            named: Vec::new(),
            first: Vec::new(),
        }
    }

    /// Adds what became of a record.
    pub fn add(&mut self, record: ImportRecord) {
        match record {
            ImportRecord::LeftOut { why } => *self.left_out.entry(why).or_default() += 1,
            ImportRecord::Broken { line, why } => {
                self.broken += 1;
                if self.named.len() < NAMED {
                    self.named.push((line, why));
                }
            }
            ImportRecord::Event(event) => {
                self.events += 1;
                *self.days.entry(self.zone.day_of(event.time).date).or_default() += 1;
                let (first, last) = self.span.unwrap_or((event.time, event.time));
                self.span = Some((first.min(event.time), last.max(event.time)));
                if let Some((currency, amount)) = event.money {
                    let sum = self.money.entry((event.kind.clone(), currency)).or_default();
                    *sum = (sum.0 + 1, sum.1 + i128::from(amount.0));
                }
                *self.by_type.entry(event.kind).or_default() += 1;
                if self.first.len() < SHOWN_EVENTS {
                    self.first.push(event.json);
                }
            }
        }
    }

    /// How many records can't be read.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// What is said of a file.
    pub fn of(&self, file: &ExportFile) -> String {
        format!("{}, read as {}:\n{self}", file.path.display(), file.format.name())
    }
}

/// A sum in 1/10,000 as a decimal number, with two decimals at least.
fn decimal(sum: i128) -> String {
    let units = i128::from(UNITS_PER_WHOLE);
    let (sign, sum) = (if sum < 0 { "-" } else { "" }, sum.unsigned_abs());
    let (whole, fraction) = (sum / units.unsigned_abs(), sum % units.unsigned_abs());
    let digits = format!("{fraction:04}");
    let digits = digits.strip_suffix("00").unwrap_or(&digits);
    format!("{sign}{whole}.{digits}")
}

impl fmt::Display for ImportPreview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  events       {:>12}", HumanCount(self.events).to_string())?;
        for (kind, count) in &self.by_type {
            writeln!(f, "    {kind:<24} {count}")?;
        }
        for ((kind, currency), (count, sum)) in &self.money {
            writeln!(f, "  {kind} in {currency}: {} from {count} of them", decimal(*sum))?;
        }
        if let Some((first, last)) = self.span {
            writeln!(f, "  from {} to {}", rfc3339(first), rfc3339(last))?;
        }
        if let Some((day, count)) = self.days.iter().max_by_key(|(_, count)| **count) {
            writeln!(f, "  on {} days, most on {day}: {count}", self.days.len())?;
        }
        for (why, count) in &self.left_out {
            writeln!(f, "  left out {count} x {why}")?;
        }
        if self.broken > 0 {
            writeln!(f, "  can't be read: {}", self.broken)?;
        }
        for (line, why) in &self.named {
            writeln!(f, "    line {line}: {why}")?;
        }
        for json in &self.first {
            writeln!(f, "  {json}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_have_cents() {
        for (sum, text) in [
            (0, "0.00"),
            (199_950_000, "19995.00"),
            (1_234_567, "123.4567"),
            (-5_000, "-0.50"),
            (100, "0.01"),
        ] {
            assert_eq!(decimal(sum), text);
        }
    }
}
