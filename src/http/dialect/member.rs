//! Small steps that the dialects of JSON have in common.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::{event::Field, properties};

/// Reads a member; `None` where it is absent or of another shape. What a vendor sends beside the event
/// itself must never cost the event.
pub fn parsed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The object that a member is, as text; `{}` where it is none.
pub fn object(raw: Option<&RawValue>) -> &str {
    raw.map(RawValue::get).filter(|text| text.starts_with('{')).unwrap_or("{}")
}

/// A text as JSON.
pub fn json(text: &str) -> Cow<'static, str> {
    Cow::Owned(serde_json::Value::from(text).to_string())
}

/// A property of an event, as a field.
pub fn property<'a>(properties: &'a str, name: &str) -> Field<'a> {
    let found = properties::pick(properties, &[name.to_owned()]).pop().flatten();
    found.map_or(Field::Absent, Field::Text)
}

/// Members that are added to an event's properties where these don't have them.
#[derive(Debug)]
pub struct Added<'p, 'm> {
    properties: &'p str,
    more: Vec<(&'m str, Cow<'m, str>)>,
    gone: Option<&'m str>,
}

impl<'p, 'm> Added<'p, 'm> {
    /// Nothing is added yet.
    pub fn to(properties: &'p str) -> Added<'p, 'm> {
        Added { properties, more: Vec::new(), gone: None }
    }

    /// Adds a text under a name that is not there.
    pub fn text(mut self, name: &'m str, text: &Field<'_>) -> Added<'p, 'm> {
        if let Field::Text(text) = text
            && property(self.properties, name) == Field::Absent
        {
            self.more.push((name, json(text)));
        }
        self
    }

    /// Takes a property away: the key of the sender, which some vendors put into each event, is nobody's
    /// business but the server's.
    pub fn without(mut self, name: &'m str) -> Added<'p, 'm> {
        let is_there = property(self.properties, name) != Field::Absent;
        self.gone = is_there.then_some(name);
        self
    }

    /// The properties with what was added.
    pub fn finish(self) -> Cow<'p, str> {
        let gone = self.gone.map(str::to_owned).into_iter().collect::<Vec<_>>();
        let left = match gone.is_empty() {
            true => None,
            false => properties::without(self.properties, &gone),
        };
        let own = left.map_or(Cow::Borrowed(self.properties), Cow::Owned);
        match self.more.is_empty() {
            true => own,
            false => Cow::Owned(properties::with(&own, &self.more)),
        }
    }
}

/// The path of a URL, without its query, which may hold secrets.
pub fn path_of(url: &str) -> String {
    let behind_host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind_host.find('/').map_or("/", |at| &behind_host[at..]);
    path.split(['?', '#']).next().unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_out_of_a_url() {
        for (url, path) in [
            ("https://a.example/b/c?d#e", "/b/c"),
            ("https://a.example", "/"),
            ("/b", "/b"),
            ("https://a.example/#/spa", "/"),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }
}
