//! Bots: programs that look at a shop's pages by themselves, such as crawlers.
//!
//! [`agents`] says which user agents are theirs. An event that a bot sent is kept like any other, and has
//! the property `$bot`, which is `true`. Metrics and breakdowns count people: they leave such events out,
//! unless a metric's `where` asks for `$bot`. The name begins with a dollar sign, as those of other
//! systems do that add properties, so that it is no name that a shop uses for something of its own.
//!
//! An order is an order, whoever's program has placed it: purchases and refunds never get the label, and
//! always count.

pub mod agents;

use std::borrow::Cow;

use crate::domain::{
    event::REPORTED,
    ids::MONEY_TYPES,
    properties::{pick, with, without},
};

/// The property.
pub const LABEL: &str = "$bot";
/// Its value, as text and as JSON.
pub const LABELLED: &str = "true";
/// How the properties of labelled events begin, so that one look tells them from all others.
const BEGINNING: &str = r#"{"$bot":true"#;

/// Whether a row is of an event that a bot sent.
pub fn is_labelled(kind: &str, properties: &str) -> bool {
    properties.starts_with(BEGINNING) && !is_order(kind)
}

/// The properties of an event of type `kind`, with the label where `is_bot` says so. What an event says
/// itself holds: a shop that sends `$bot`, true or false, may know better. True gets its place at the
/// beginning.
pub fn labelled<'p>(properties: Cow<'p, str>, kind: &str, is_bot: bool) -> Cow<'p, str> {
    // Hardly any event has a dollar sign, and nothing is quicker to look for than one byte.
    let mentions = memchr::memchr(b'$', properties.as_bytes()).is_some();
    let says = mentions && properties.contains(LABEL);
    if !(says || is_bot) || is_order(kind) || properties.starts_with(BEGINNING) {
        return properties;
    }
    let label = [(LABEL, Cow::Borrowed(LABELLED))];
    let name = [LABEL.to_owned()];
    let own = if says { pick(&properties, &name).pop().flatten() } else { None };
    match own.as_deref() {
        Some(LABELLED) => Cow::Owned(with(&properties, &label)),
        // A value that is neither is replaced: null, a list, an object.
        None if is_bot => {
            let left = if says { without(&properties, &name) } else { None };
            Cow::Owned(with(left.as_deref().unwrap_or(&properties), &label))
        }
        _ => properties,
    }
}

/// The properties without the label, as their sender wrote them.
pub fn unlabelled(properties: &str) -> Cow<'_, str> {
    match properties.strip_prefix(BEGINNING) {
        None => Cow::Borrowed(properties),
        Some(rest) => Cow::Owned(format!("{{{}", rest.strip_prefix(',').unwrap_or(rest))),
    }
}

/// Whether events of this type are orders or refunds, also where they are only reported.
fn is_order(kind: &str) -> bool {
    MONEY_TYPES.contains(&kind.strip_suffix(REPORTED).unwrap_or(kind))
}

/// The types of orders and refunds, also where they are only reported.
pub fn order_types() -> Vec<String> {
    let all = MONEY_TYPES.iter().flat_map(|kind| [(*kind).to_owned(), format!("{kind}{REPORTED}")]);
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(properties: &str, kind: &str, is_bot: bool) -> String {
        labelled(Cow::Borrowed(properties), kind, is_bot).into_owned()
    }

    #[test]
    fn the_label_stands_first_and_nothing_else_changes() {
        let views = |properties, is_bot| of(properties, "page_view", is_bot);
        assert_eq!(views("{}", true), r#"{"$bot":true}"#);
        assert_eq!(views(r#"{"path":"/"}"#, true), r#"{"$bot":true,"path":"/"}"#);
        assert_eq!(views(r#"{"bot":"anna","$b":1}"#, true), r#"{"$bot":true,"bot":"anna","$b":1}"#);
        for as_it_is in ["{}", r#"{"bot":true}"#, r#"{"price":"$9"}"#, r#"{"a":{"$bot":true}}"#] {
            assert_eq!(views(as_it_is, false), as_it_is);
            assert!(!is_labelled("page_view", as_it_is));
        }
        assert!(is_labelled("page_view", &views(r#"{"path":"/"}"#, true)));
    }

    #[test]
    fn what_an_event_says_itself_holds() {
        for (own, is_bot, kept) in [
            (r#"{"a":1,"$bot":true}"#, false, r#"{"$bot":true,"a":1}"#),
            (r#"{ "$bot": "true" }"#, false, r#"{"$bot":true}"#),
            (r#"{"$bot":true,"a":1}"#, true, r#"{"$bot":true,"a":1}"#),
            (r#"{"$bot":false}"#, true, r#"{"$bot":false}"#),
            (r#"{"$bot":null}"#, true, r#"{"$bot":true}"#),
            (r#"{"$bot":[1],"a":1}"#, true, r#"{"$bot":true,"a":1}"#),
            (r#"{"$bot":[1]}"#, false, r#"{"$bot":[1]}"#),
            (r#"{"a":{"$bot":false}}"#, true, r#"{"$bot":true,"a":{"$bot":false}}"#),
        ] {
            assert_eq!(of(own, "page_view", is_bot), kept, "{own}");
        }
    }

    #[test]
    fn without_the_label_all_is_as_it_came() {
        for properties in ["{}", r#"{"a":{"b":1}}"#] {
            assert_eq!(unlabelled(&of(properties, "page_view", true)), properties);
            assert_eq!(unlabelled(properties), properties);
        }
    }

    #[test]
    fn an_order_is_never_labelled() {
        for kind in ["purchase", "refund", "purchase.reported"] {
            assert_eq!(of("{}", kind, true), "{}");
            assert!(!is_labelled(kind, r#"{"$bot":true,"amount":1}"#), "{kind}");
        }
        assert_eq!(of("{}", "signup", true), r#"{"$bot":true}"#);
    }
}
