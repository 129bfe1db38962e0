//! Reads the shape of a batch off its rows.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::{
    JsonType, MAX_GROUPS, MAX_PROPERTIES, Shape, ShapeGroup, TypeCounts, is_learnable,
    members::{MemberName, Onward, members},
};
use crate::domain::{
    bot,
    imported::is_imported,
    row::Row,
    source::UNNAMED,
    time::{DAY, MINUTE, Millis},
};

/// Events that came so late, in ms, teach nothing. A sender that invents times could otherwise fill the
/// tables with hours of any year, which are kept for good.
const MAX_LATE: Millis = 30 * DAY;

/// So many groups are compared one after the other.
const FEW_GROUPS: usize = 8;

/// The shape of some rows. It depends on nothing but them, so a batch that is written again has the same.
pub fn shape_of<'a>(rows: impl Iterator<Item = Row<'a>>) -> Shape {
    let mut learner = Learner::default();
    // What was imported says nothing of what senders send today, so it is no drift either.
    rows.filter(|row| !is_imported(row)).for_each(|row| learner.add(&row));
    learner.finish()
}

/// Counts rows. All texts are borrowed from them: nothing is copied until the end.
#[derive(Default)]
struct Learner<'a> {
    groups: Vec<Learnt<'a>>,
    /// Where each group is.
    places: HashMap<(i64, &'a str, &'a str), usize>,
    unlearnt: u64,
}

/// A group in the making.
struct Learnt<'a> {
    minute: i64,
    kind: &'a str,
    source: &'a str,
    events: u64,
    others: u64,
    properties: Vec<Property<'a>>,
}

struct Property<'a> {
    name: Cow<'a, str>,
    types: TypeCounts,
    /// The last event that had it, by its number in the group, and of which type it was there.
    last: (u64, JsonType),
}

impl<'a> Learner<'a> {
    fn add(&mut self, row: &Row<'a>) {
        if row.received_at - row.time > MAX_LATE {
            self.unlearnt += 1;
            return;
        }
        let source = row.source.unwrap_or(UNNAMED);
        let key = (row.time.div_euclid(MINUTE), row.kind, source);
        let place = match self.place_of(&key) {
            Some(place) => place,
            None if self.groups.len() < MAX_GROUPS => {
                self.places.insert(key, self.groups.len());
                self.groups.push(Learnt {
                    minute: key.0,
                    kind: key.1,
                    source,
                    events: 0,
                    others: 0,
                    properties: Vec::with_capacity(16),
                });
                self.groups.len() - 1
            }
            None => {
                self.unlearnt += 1;
                return;
            }
        };
        self.groups[place].add(row.properties);
    }

    /// Where the group of a row is. A batch mostly has few, and to compare them costs less than to look one
    /// up.
    fn place_of(&self, key: &(i64, &str, &str)) -> Option<usize> {
        let is_it = |group: &&Learnt<'_>| (group.minute, group.kind, group.source) == *key;
        let among = &self.groups[..self.groups.len().min(FEW_GROUPS)];
        match among.iter().position(|group| is_it(&group)) {
            None if self.groups.len() > FEW_GROUPS => self.places.get(key).copied(),
            place => place,
        }
    }

    fn finish(self) -> Shape {
        let groups = self.groups.into_iter().map(|learnt| ShapeGroup {
            minute: learnt.minute,
            kind: learnt.kind.to_owned(),
            source: learnt.source.to_owned(),
            events: learnt.events,
            others: learnt.others,
            properties: learnt
                .properties
                .into_iter()
                .map(|property| (property.name.into_owned(), property.types))
                .collect(),
        });
        Shape { groups: groups.collect(), unlearnt: self.unlearnt }
    }
}

impl<'a> Learnt<'a> {
    fn add(&mut self, properties: &'a str) {
        self.events += 1;
        // Events of a type mostly have the same properties in the same order, so the next name is
        // expected to be the one behind the one before.
        let (mut next, mut looked_at) = (0, 0);
        members(properties, self.expected(0), |name, of| {
            let known = match name {
                MemberName::Expected => Ok(next),
                // The label comes and goes with the bots, and is no property of the sender's.
                MemberName::Read(name) if name == bot::LABEL => return self.onward(next),
                MemberName::Read(name) => {
                    self.properties.iter().position(|known| known.name == name).ok_or(name)
                }
            };
            looked_at += 1;
            match known {
                Ok(place) => {
                    next = place + 1;
                    self.properties[place].count(self.events, of);
                }
                Err(name) if self.properties.len() < MAX_PROPERTIES && is_learnable(&name) => {
                    let mut property =
                        Property { name, types: TypeCounts::default(), last: (0, of) };
                    property.count(self.events, of);
                    self.properties.push(property);
                    next = self.properties.len();
                }
                Err(_) => self.others += 1,
            }
            // One event with thousands of properties must not cost more than many events do.
            if looked_at < 2 * MAX_PROPERTIES { self.onward(next) } else { Onward::Stop }
        });
    }

    /// The name of the property at a place, where it stands in the rows as it is.
    fn expected(&self, place: usize) -> Option<&'a str> {
        match self.properties.get(place)?.name {
            Cow::Borrowed(name) => Some(name),
            Cow::Owned(_) => None,
        }
    }

    fn onward(&self, next: usize) -> Onward<'a> {
        self.expected(next).map_or(Onward::On, Onward::Expect)
    }
}

impl Property<'_> {
    /// Counts a value of the event with this number. Of a name that comes twice in an event the last
    /// counts, as in PostgreSQL's jsonb.
    fn count(&mut self, event: u64, of: JsonType) {
        if self.last.0 == event {
            self.types.0[self.last.1 as usize] -= 1;
        }
        self.types.0[of as usize] += 1;
        self.last = (event, of);
    }
}
