//! Series: what the counters count, and what their keys are called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Series {
    /// Events of one type; the value is a number of events.
    Count(String),
    /// The sum of a property, a money metric (`revenue`) in the base currency; the value is
    /// in 1/10,000.
    Sum(String),
    /// Events that pass the filters of a count metric; the value is a number of events.
    Matching(String),
    /// The part of a money metric that came in one currency (metric, code), in 1/10,000 of
    /// that currency.
    Money(String, String),
}

impl Series {
    /// Amounts of purchases, in the base currency.
    pub fn revenue() -> Series {
        Series::Sum("revenue".to_owned())
    }

    /// Reads what `Display` writes: the key of the series in Redis and in the rollups.
    pub fn parse(text: &str) -> Option<Series> {
        match text.split_once(':')? {
            ("c", name) => Some(Series::Count(name.to_owned())),
            ("s", name) => Some(Series::Sum(name.to_owned())),
            ("n", name) => Some(Series::Matching(name.to_owned())),
            ("m", money) => {
                let (currency, name) = money.split_once(':')?;
                Some(Series::Money(name.to_owned(), currency.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Series::Count(name) => write!(f, "c:{name}"),
            Series::Sum(name) => write!(f, "s:{name}"),
            Series::Matching(name) => write!(f, "n:{name}"),
            Series::Money(name, currency) => write!(f, "m:{currency}:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_series_is_read_as_it_is_written(name in "[a-z:. ]{1,9}", currency in "[A-Z]{3}") {
            for series in [
                Series::Count(name.clone()),
                Series::Sum(name.clone()),
                Series::Matching(name.clone()),
                Series::Money(name.clone(), currency.clone()),
            ] {
                prop_assert_eq!(Series::parse(&series.to_string()), Some(series));
            }
        }
    }
}
