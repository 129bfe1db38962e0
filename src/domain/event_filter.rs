//! Which stored events somebody asks for.
//!
//! A filter looks at what is shown of an event ([`veiled_properties`]) and never at what is hidden: whether
//! an event is found would else tell a secret, letter by letter.

use std::borrow::Cow;

use crate::domain::{
    metric::Test,
    properties::{pick, texts},
    row::Row,
    veil::{names_secret, veiled_properties},
};

/// The most tests of properties.
pub const MAX_TESTS: usize = 20;

/// What an event has to be; without anything, all events are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Its type.
    pub kind: Option<String>,
    /// Its session.
    pub session: Option<String>,
    /// Its user.
    pub user: Option<String>,
    /// A text that stands in its id, user, session, or in a name or value of its properties.
    pub text: Option<String>,
    properties: Vec<String>,
    /// The tests of each of `properties`. One of them has to pass.
    tests: Vec<Vec<Test>>,
}

impl EventFilter {
    /// Adds a test of a property, as `where` of a metric has them. Of several tests of one property one has to
    /// pass; of several properties all.
    ///
    /// # Errors
    /// In words: the property is a secret, there are too many tests, or this one can't be read.
    pub fn test(&mut self, property: &str, test: &str) -> Result<(), String> {
        if property.is_empty() || property.contains('\0') {
            return Err("it names no property".to_owned());
        }
        if names_secret(property) {
            return Err("its values are secrets and not shown".to_owned());
        }
        if self.tests.iter().map(Vec::len).sum::<usize>() == MAX_TESTS {
            return Err(format!("there are {MAX_TESTS} tests at most"));
        }
        let test = Test::parse(test)?;
        match self.properties.iter().position(|known| known == property) {
            Some(at) => self.tests[at].push(test),
            None => {
                self.properties.push(property.to_owned());
                self.tests.push(vec![test]);
            }
        }
        Ok(())
    }

    /// The properties that have to be there in every event that passes, with their tests.
    pub fn needed(&self) -> impl Iterator<Item = (&str, &[Test])> {
        let all =
            self.properties.iter().map(String::as_str).zip(self.tests.iter().map(Vec::as_slice));
        all.filter(|(_, tests)| !tests.iter().any(|test| matches!(test, Test::Not(_))))
    }

    /// What is shown of the properties of an event; `None` for one that does not pass.
    pub fn shown<'a>(&self, event: &Row<'a>) -> Option<Cow<'a, str>> {
        if !self.may_pass(event) {
            return None;
        }
        let shown = veiled_properties(event.properties);
        let passes = self.passes_tests(&shown, |_| true) && self.has_text(event, &shown);
        passes.then_some(shown)
    }

    /// A quick look, which lets all pass that pass, and some others.
    pub fn may_pass(&self, event: &Row<'_>) -> bool {
        let is = |asked: &Option<String>, found: Option<&str>| {
            asked.as_deref().is_none_or(|asked| found == Some(asked))
        };
        let may_have_text = |text: &String| {
            // A backslash may stand for any letter.
            event.properties.contains(text.as_str())
                || event.properties.contains('\\')
                || beside(event).any(|found| found.contains(text.as_str()))
        };
        let is_no = |test: &Test| matches!(test, Test::Not(_));
        is(&self.kind, Some(event.kind))
            && is(&self.session, event.session_id)
            && is(&self.user, event.user_id)
            && self.text.as_ref().is_none_or(may_have_text)
            && self.passes_tests(event.properties, |tests| !tests.iter().any(is_no))
    }

    /// Whether the properties pass the tests that `counts` chooses.
    fn passes_tests(&self, properties: &str, counts: impl Fn(&[Test]) -> bool) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        let values = pick(properties, &self.properties);
        values.iter().zip(&self.tests).all(|(value, tests)| {
            !counts(tests) || tests.iter().any(|test| test.passes(value.as_deref()))
        })
    }

    fn has_text(&self, event: &Row<'_>, shown: &str) -> bool {
        self.text.as_ref().is_none_or(|text| {
            beside(event).any(|found| found.contains(text.as_str()))
                || texts(shown).any(|found| found.contains(text.as_str()))
        })
    }
}

/// The texts of an event beside its properties.
fn beside<'a>(event: &Row<'a>) -> impl Iterator<Item = &'a str> {
    [Some(event.id), event.user_id, event.session_id].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: Option<&str>, tests: &[(&str, &str)]) -> EventFilter {
        let mut filter = EventFilter { text: text.map(str::to_owned), ..EventFilter::default() };
        for (property, test) in tests {
            filter.test(property, test).unwrap();
        }
        filter
    }

    fn passes(filter: &EventFilter, properties: &str) -> bool {
        let event = Row {
            id: "order-7",
            kind: "purchase",
            user_id: Some("ann"),
            properties,
            ..Row::default()
        };
        filter.shown(&event).is_some()
    }

    #[test]
    fn tests_are_those_of_metrics() {
        let order = r#"{"amount":1.50,"path":"/checkout/pay","code":"E42","password":"hunter2"}"#;
        for (tests, expected) in [
            (&[("amount", "1.5")][..], true),
            (&[("amount", ">=2")], false),
            (&[("path", "/checkout*"), ("code", "E42")], true),
            (&[("path", "/checkout*"), ("code", "E43")], false),
            (&[("code", "E41"), ("code", "E42")], true),
            (&[("coupon", "!X*")], true),
            (&[("code", "!E42")], false),
        ] {
            assert_eq!(passes(&filter(None, tests), order), expected, "{tests:?}");
        }
        let mut none = EventFilter::default();
        assert!(none.test("password", "a*").is_err() && none.test("a", ">x").is_err());
        assert!((0..30).map(|_| none.test("a", "1")).any(|it| it.is_err()));
    }

    #[test]
    fn a_text_stands_in_what_is_shown() {
        let order = r#"{"path":"/caf\u00e9","deep":[{"sku":"T-1"}],"amount":19.99,"token":"abc"}"#;
        for (text, expected) in [
            ("order-7", true),
            ("ann", true),
            ("café", true),
            ("u00e9", false),
            ("T-1", true),
            ("sku", true),
            ("9.9", true),
            ("abc", false),
            ("\":", false),
            ("purchase", false),
        ] {
            assert_eq!(passes(&filter(Some(text), &[]), order), expected, "{text}");
        }
    }

    #[test]
    fn no_test_tells_what_is_hidden() {
        let packed = |secret: &str| format!(r#"{{"cx":"{{\"token\":\"{secret}\"}}"}}"#);
        for test in ["!{\"token\":\"a*", "{\"token\":\"a*", "!*", "*"] {
            let filter = filter(None, &[("cx", test)]);
            assert_eq!(passes(&filter, &packed("a")), passes(&filter, &packed("b")), "{test}");
        }
    }
}
