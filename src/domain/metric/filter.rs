//! `where`: which events a metric takes, by the values of their properties.

use std::borrow::Cow;

use super::spec::{MetricSpec, property_name};
use crate::domain::{bot, number::canonical};

/// One test of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `value`: the text is exactly this.
    Equals(String),
    /// The same, where that is a number: `1.50` is also the number 1.5, however its event writes it.
    Number {
        /// As the configuration writes it.
        text: String,
        /// As properties are picked.
        canonical: String,
    },
    /// `/checkout*`: the text begins so. `*` alone: there is one.
    Prefix(String),
    /// `!value`: the text is not so, or there is none.
    Not(Box<Test>),
    /// `>=500`, `>500`, `<=500`, `<500`: the text is a number so large.
    Compare(Comparison, f64),
}

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
}

impl Test {
    /// Reads a test as the configuration writes it.
    ///
    /// # Errors
    /// In words, where a comparison has no number.
    pub fn parse(text: &str) -> Result<Test, String> {
        if let Some(rest) = text.strip_prefix('!') {
            return Ok(Test::Not(Box::new(Test::parse(rest)?)));
        }
        for (sign, comparison) in [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::Above),
            ("<", Comparison::Below),
        ] {
            if let Some(number) = text.strip_prefix(sign) {
                let parsed = number.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                return match parsed {
                    Some(number) => Ok(Test::Compare(comparison, number)),
                    None => Err(format!("{text:?} compares with no number")),
                };
            }
        }
        match text.strip_suffix('*') {
            Some(prefix) => Ok(Test::Prefix(prefix.to_owned())),
            None => Ok(Test::equals(text)),
        }
    }

    fn equals(text: &str) -> Test {
        let number = serde_json::from_str::<serde_json::Number>(text).ok();
        match number.map(|_| canonical(text)) {
            Some(number) if number != text => {
                Test::Number { text: text.to_owned(), canonical: number.into_owned() }
            }
            _ => Test::Equals(text.to_owned()),
        }
    }

    /// Whether a value, or its absence, passes.
    pub fn passes(&self, value: Option<&str>) -> bool {
        match (self, value) {
            (Test::Not(test), value) => !test.passes(value),
            (_, None) => false,
            (Test::Equals(text), Some(value)) => value == text,
            (Test::Number { text, canonical }, Some(value)) => value == text || value == canonical,
            (Test::Prefix(prefix), Some(value)) => value.starts_with(prefix.as_str()),
            (Test::Compare(comparison, limit), Some(value)) => {
                value.parse::<f64>().is_ok_and(|number| match comparison {
                    Comparison::AtLeast => number >= *limit,
                    Comparison::Above => number > *limit,
                    Comparison::AtMost => number <= *limit,
                    Comparison::Below => number < *limit,
                })
            }
        }
    }
}

/// The tests of one property. It passes where one of them does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    /// The place of the property among the picked ones.
    property: usize,
    any_of: Vec<Test>,
}

/// Whose events a metric takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Takes {
    /// Those of people, or of programs that nobody calls bots.
    pub people: bool,
    /// Those of bots.
    pub bots: bool,
}

impl Takes {
    /// What the tests of `$bot` say; without any, a metric counts people.
    ///
    /// # Errors
    /// In words: a test can't be read.
    pub fn read(spec: &MetricSpec) -> Result<Takes, String> {
        let Some(tests) = spec.filter.get(bot::LABEL) else {
            return Ok(Takes { people: true, bots: false });
        };
        let tests = Filter::tests(bot::LABEL, tests)?;
        let passes = |value| tests.iter().any(|test| test.passes(value));
        Ok(Takes { people: passes(None), bots: passes(Some(bot::LABELLED)) })
    }
}

impl Filter {
    /// Reads all filters of a metric but that of `$bot`, which [`Takes`] reads. `place` says where a
    /// property is picked to.
    ///
    /// # Errors
    /// In words: a property's name is none, or a test of it can't be read.
    pub fn read_all(
        spec: &MetricSpec,
        mut place: impl FnMut(&str) -> usize,
    ) -> Result<Vec<Filter>, String> {
        let read = |(property, tests): (&String, &super::Names)| {
            property_name(property)?;
            Ok(Filter { property: place(property), any_of: Filter::tests(property, tests)? })
        };
        spec.filter.iter().filter(|(property, _)| *property != bot::LABEL).map(read).collect()
    }

    /// The tests of one property.
    fn tests(property: &str, tests: &super::Names) -> Result<Vec<Test>, String> {
        if tests.0.is_empty() {
            return Err(format!("where: {property} has no test"));
        }
        tests.0.iter().map(|test| Test::parse(test)).collect()
    }

    fn passes(&self, picked: &[Option<Cow<'_, str>>]) -> bool {
        let value = picked[self.property].as_deref();
        self.any_of.iter().any(|test| test.passes(value))
    }
}

/// Whether an event with these picked properties passes all filters.
pub(super) fn all(filters: &[Filter], picked: &[Option<Cow<'_, str>>]) -> bool {
    filters.iter().all(|filter| filter.passes(picked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_say_what_they_say() {
        for (test, value, passes) in [
            ("a", Some("a"), true),
            ("a", Some("ab"), false),
            ("a", None, false),
            ("/checkout*", Some("/checkout/payment"), true),
            ("/checkout*", Some("/check"), false),
            ("*", Some(""), true),
            ("*", None, false),
            ("!a*", Some("ab"), false),
            ("!a*", None, true),
            (">=500", Some("500"), true),
            ("<500", Some("500"), false),
            ("> 1.5", Some("1.51"), true),
            (">=500", Some("five"), false),
        ] {
            let parsed = Test::parse(test).unwrap();
            assert_eq!(parsed.passes(value), passes, "{test:?} of {value:?}");
        }
        assert!(Test::parse(">=x").is_err());
        assert!(Test::parse("!<").is_err());
    }
}
