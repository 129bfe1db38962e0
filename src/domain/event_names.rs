//! What events of other systems are called here, and where those systems have what our metrics need
//! (`[[map]]`).
//!
//! A shop's SDK calls an order "Order Completed" and has its amount in `total`; the metrics want a
//! `purchase` with an `amount`. The names and properties of commerce are common to many systems, so
//! they stand in one table and not in the code of each dialect.

use std::borrow::Cow;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::domain::{
    event::{Field, Incoming, MAX_TYPE, is_type},
    metric::Names,
    properties::{self, pick},
    rule::{Fault, List, MAX_RULES},
};

/// The property that keeps the name under which an event was sent, where that is another.
const SENT_AS: &str = "event";
/// The property that money metrics add up.
const AMOUNT: &str = "amount";

/// `[[map]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapSpec {
    /// What other systems call the event: one name or a list. `*Error` means every name that ends
    /// so. Small and capital letters are the same.
    pub event: Names,
    /// The type that it has here.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The properties that may hold the amount; the first one that is there does.
    #[serde(default)]
    pub amount: Names,
    /// The properties that may name the order; the first one that is there does. An order that comes
    /// twice, or from two systems, then counts once: its id is `order:` and this.
    #[serde(default)]
    pub order: Names,
    /// `true` takes the entry with the same names away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// The entries of `[[map]]`, to be looked up by name.
#[derive(Clone, Debug, Default)]
pub struct EventNames {
    entries: Vec<MapEntry>,
    /// Names in small letters, each with the place of its entry.
    exact: HashMap<String, usize>,
    /// Endings in small letters, the longest first.
    endings: Vec<(String, usize)>,
}

#[derive(Clone, Debug)]
struct MapEntry {
    kind: String,
    /// What is picked from the properties: the amounts, then the orders.
    wanted: Vec<String>,
    amounts: usize,
}

impl EventNames {
    /// Compiles the entries.
    ///
    /// # Errors
    /// Every entry that can't be used, with its place in the list.
    pub fn compile(specs: &[MapSpec]) -> Result<EventNames, Vec<Fault>> {
        let mut names = EventNames::default();
        let mut faults = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            if let Err(message) = names.add(spec) {
                faults.push(Fault { list: List::Maps, index, message });
            }
        }
        if specs.len() > MAX_RULES {
            let message = format!("more than {MAX_RULES} of them");
            faults.push(Fault { list: List::Maps, index: MAX_RULES, message });
        }
        // "*Payment Failed" is asked before "*Failed".
        names.endings.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        if faults.is_empty() { Ok(names) } else { Err(faults) }
    }

    fn add(&mut self, spec: &MapSpec) -> Result<(), String> {
        if spec.event.0.is_empty() {
            return Err("event: the name that others have for it is missing".to_owned());
        }
        if !is_type(&spec.kind) {
            return Err(format!("type {:?} is no type of an event", spec.kind));
        }
        let place = self.entries.len();
        let mut wanted = spec.amount.0.clone();
        wanted.extend(spec.order.0.clone());
        self.entries.push(MapEntry {
            kind: spec.kind.clone(),
            wanted,
            amounts: spec.amount.0.len(),
        });
        for name in &spec.event.0 {
            let name = name.trim().to_lowercase();
            match name.strip_prefix('*') {
                Some("") | None if name.is_empty() || name == "*" => {
                    return Err("event: a name must have letters".to_owned());
                }
                Some(ending) => self.endings.push((ending.to_owned(), place)),
                None => _ = self.exact.insert(name, place),
            }
        }
        Ok(())
    }

    /// The entry of a name, if it has one.
    fn entry(&self, name: &str) -> Option<&MapEntry> {
        let name = name.to_lowercase();
        let ending = || self.endings.iter().find(|(ending, _)| name.ends_with(ending.as_str()));
        let place = self.exact.get(&name).or_else(|| ending().map(|(_, place)| place));
        place.map(|place| &self.entries[*place])
    }

    /// The event as it is called here. Where its name changes, the property `event` keeps the one
    /// under which it was sent. A name that no entry has stays, but for the characters that a type
    /// can't have.
    pub fn translate<'a>(&self, incoming: &Incoming<'a>) -> Incoming<'a> {
        let mut event = incoming.clone();
        let Field::Text(name) = &incoming.kind else { return event };
        let name = name.trim();
        let mut more: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let entry = self.entry(name);
        let kind: Cow<'_, str> = match entry {
            Some(entry) => Cow::Borrowed(&entry.kind),
            None => as_type(name),
        };
        if kind != name {
            more.push((SENT_AS, json_text(name).into()));
        }
        let own = incoming.properties.as_deref().unwrap_or("{}");
        if let Some(entry) = entry
            && !entry.wanted.is_empty()
        {
            let picked = pick(own, &entry.wanted);
            let (amounts, order) = picked.split_at(entry.amounts);
            let found = amounts.iter().position(Option::is_some);
            if let Some(at) = found.filter(|at| entry.wanted[*at] != AMOUNT)
                && let Some(amount) = &amounts[at]
            {
                more.push((AMOUNT, json_text(amount).into()));
            }
            let order = order.iter().flatten().find(|order| !order.trim().is_empty());
            if let Some(order) = order {
                event.id = Field::Text(format!("order:{}", order.trim()).into());
            }
        }
        if !more.is_empty() {
            event.properties = Some(Cow::Owned(properties::with(own, &more)));
            event.plain = false;
        }
        event.kind = Field::Text(Cow::Owned(kind.into_owned()));
        event
    }
}

/// The name with `_` in the place of what a type can't have, cut to its longest length.
fn as_type(name: &str) -> Cow<'_, str> {
    if is_type(name) {
        return Cow::Borrowed(name);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:- ".contains(c);
    let mapped = name.chars().take(MAX_TYPE).map(|c| if fits(c) { c } else { '_' });
    Cow::Owned(mapped.collect())
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> EventNames {
        let specs = r#"[
            {"event":["Order Completed","purchase"],"type":"purchase",
             "amount":["total","value","amount"],"order":"order_id"},
            {"event":["*Error","*Failed"],"type":"error"},
            {"event":"*Payment Failed","type":"payment_failed"}]"#;
        EventNames::compile(&serde_json::from_str::<Vec<MapSpec>>(specs).unwrap()).unwrap()
    }

    fn translated(name: &str, properties: &str) -> (String, String, Field<'static>) {
        let event = Incoming {
            kind: Field::Text(Cow::Owned(name.to_owned())),
            properties: Some(Cow::Owned(properties.to_owned())),
            ..Incoming::default()
        };
        let event = names().translate(&event);
        let Field::Text(kind) = event.kind else { panic!("a name") };
        (kind.into_owned(), event.properties.unwrap().into_owned(), event.id.into_owned())
    }

    #[test]
    fn an_order_of_another_system_is_a_purchase() {
        let (kind, properties, id) =
            translated("order completed ", r#"{"order_id":17,"total":"59.97","value":1}"#);
        assert_eq!(kind, "purchase");
        let expected = r#"{"event":"order completed","amount":"59.97","order_id":17,"total":"59.97","value":1}"#;
        assert_eq!(properties, expected);
        assert_eq!(id, Field::Text("order:17".into()));
    }

    #[test]
    fn an_amount_of_its_own_is_replaced_and_a_known_name_stays() {
        let (kind, properties, id) = translated("purchase", r#"{"amount":1,"value":2}"#);
        assert_eq!(
            (kind.as_str(), properties.as_str()),
            ("purchase", r#"{"amount":"2","value":2}"#)
        );
        assert_eq!(id, Field::Absent);
        let own = r#"{"amount":1}"#;
        assert_eq!(translated("purchase", own).1, own);
    }

    #[test]
    fn names_by_their_ending_and_names_of_nobody() {
        assert_eq!(translated("Checkout ERROR", "{}").0, "error");
        assert_eq!(translated("Card Payment Failed", "{}").0, "payment_failed");
        assert_eq!(
            translated("Product Viewed", "{}"),
            ("Product Viewed".into(), "{}".into(), Field::Absent)
        );
        let (kind, properties, _) = translated("[Amplitude] Café/1", "{}");
        assert_eq!(
            (kind.as_str(), properties.as_str()),
            ("_Amplitude_ Caf__1", r#"{"event":"[Amplitude] Café/1"}"#)
        );
        assert!(is_type(&translated(&"ü".repeat(100), "{}").0));
    }

    #[test]
    fn an_entry_that_says_nothing_is_refused() {
        for spec in [
            r#"[{"event":[],"type":"a"}]"#,
            r#"[{"event":"a"}]"#,
            r#"[{"event":"*","type":"a"}]"#,
            r#"[{"event":"a","type":"ä"}]"#,
        ] {
            let specs: Vec<MapSpec> = serde_json::from_str(spec).unwrap();
            assert_eq!(EventNames::compile(&specs).unwrap_err().len(), 1, "{spec}");
        }
    }
}
