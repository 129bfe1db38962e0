//! Adds up the shapes of batches, and decides which properties there is room for.

use hashbrown::{HashMap, HashSet};

use super::{Shape, ShapeCell, TypeCounts};
use crate::domain::time::{HOUR, MINUTE, Millis, bucket};

/// How much is learnt at most. A client that makes names up fills no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaLimits {
    /// `schemas.max_schemas`: pairs of a type and a source.
    pub schemas: usize,
    /// `schemas.max_properties`: properties of each.
    pub properties: usize,
}

impl Default for SchemaLimits {
    fn default() -> SchemaLimits {
        SchemaLimits { schemas: 200, properties: 100 }
    }
}

/// What a store knows already of the types and sources that a sum names.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// How many pairs of a type and a source it knows in all.
    pub schemas: usize,
    /// The properties that it knows of a type and a source. That of an empty name stands for the pair
    /// itself.
    pub properties: HashMap<(String, String), HashSet<String>>,
}

/// The sum of the shapes of some batches.
#[derive(Debug, Default)]
pub struct ShapeSums {
    /// By type and source, then by minute since 1970.
    pairs: HashMap<(String, String), HashMap<i64, MinuteShape>>,
    unlearnt: u64,
    /// Counts that it holds.
    cells: usize,
}

#[derive(Debug, Default)]
struct MinuteShape {
    events: u64,
    others: u64,
    properties: HashMap<String, TypeCounts>,
}

/// What of a sum goes into the tables.
#[derive(Debug, Default)]
pub struct LearntCells {
    /// By minute.
    pub minutes: Vec<ShapeCell>,
    /// The same, by hour.
    pub hours: Vec<ShapeCell>,
    /// The properties (and pairs, with an empty name) with the first and the last minute, Unix ms.
    pub seen: Vec<(ShapeCell, Millis)>,
    /// Events of a type and source that there was no room for.
    pub unlearnt: u64,
}

impl ShapeSums {
    /// Adds the shape of a batch.
    pub fn add(&mut self, shape: Shape) {
        self.unlearnt += shape.unlearnt;
        for group in shape.groups {
            let minutes = self.pairs.entry((group.kind, group.source)).or_default();
            let sum = minutes.entry(group.minute).or_insert_with(|| {
                self.cells += 1;
                MinuteShape::default()
            });
            sum.events += group.events;
            sum.others += group.others;
            for (name, types) in group.properties {
                let counts = sum.properties.entry(name).or_insert_with(|| {
                    self.cells += 1;
                    TypeCounts::default()
                });
                counts.add(&types);
            }
        }
    }

    /// How many counts it holds.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.unlearnt == 0
    }

    /// The types and the sources that it names, in pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.keys().map(|(kind, source)| (kind.as_str(), source.as_str()))
    }

    /// What goes into the tables beside what they have. Names that are known come before new ones, and
    /// of new ones the first in the alphabet, so that it does not depend on chance which get the last
    /// places.
    pub fn admit(&self, known: &Catalogue, limits: SchemaLimits) -> LearntCells {
        let mut admitted = LearntCells { unlearnt: self.unlearnt, ..LearntCells::default() };
        let mut schemas = known.schemas;
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort_unstable_by_key(|(pair, _)| *pair);
        for (pair, minutes) in pairs {
            let properties = known.properties.get(pair);
            if properties.is_none() {
                if schemas >= limits.schemas {
                    admitted.unlearnt += minutes.values().map(|sum| sum.events).sum::<u64>();
                    continue;
                }
                schemas += 1;
            }
            let allowed = allowed(minutes, properties, limits.properties);
            admitted.add(pair, minutes, &allowed);
        }
        admitted.hours = by_hour(&admitted.minutes);
        admitted
    }
}

/// The properties of a pair that are learnt.
fn allowed<'a>(
    minutes: &'a HashMap<i64, MinuteShape>,
    known: Option<&HashSet<String>>,
    most: usize,
) -> HashSet<&'a str> {
    let is_known = |name: &str| known.is_some_and(|known| known.contains(name));
    let names = minutes.values().flat_map(|sum| sum.properties.keys().map(String::as_str));
    let (mut allowed, new): (HashSet<&str>, HashSet<&str>) = names.partition(|name| is_known(name));
    // The empty name, which stands for the pair, takes no place.
    let taken = known.map_or(0, |known| known.iter().filter(|name| !name.is_empty()).count());
    let mut new: Vec<&str> = new.into_iter().collect();
    new.sort_unstable();
    allowed.extend(new.into_iter().take(most.saturating_sub(taken)));
    allowed
}

impl LearntCells {
    fn add(
        &mut self,
        (kind, source): &(String, String),
        minutes: &HashMap<i64, MinuteShape>,
        allowed: &HashSet<&str>,
    ) {
        let cell = |property: &str, minute: i64| ShapeCell {
            kind: kind.clone(),
            source: source.clone(),
            property: property.to_owned(),
            at: minute.saturating_mul(MINUTE),
            ..ShapeCell::default()
        };
        let from = self.minutes.len();
        for (minute, sum) in minutes {
            let mut others = sum.others;
            for (name, types) in &sum.properties {
                match allowed.contains(name.as_str()) {
                    true => self.minutes.push(ShapeCell {
                        seen: types.all(),
                        types: *types,
                        ..cell(name, *minute)
                    }),
                    false => others += types.all(),
                }
            }
            self.minutes.push(ShapeCell { seen: sum.events, others, ..cell("", *minute) });
        }
        // They are written in the order of the key.
        self.minutes[from..].sort_unstable_by(|a, b| (&a.property, a.at).cmp(&(&b.property, b.at)));
        for run in self.minutes[from..].chunk_by(|a, b| a.property == b.property) {
            let last = run.last().map_or(0, |cell| cell.at);
            self.seen.push((run[0].clone(), last));
        }
    }
}

/// The cells of each hour, added up. They come in the order of their names, then of time.
fn by_hour(minutes: &[ShapeCell]) -> Vec<ShapeCell> {
    let mut hours: Vec<ShapeCell> = Vec::new();
    for cell in minutes {
        let at = bucket(cell.at, HOUR);
        match hours.last_mut() {
            Some(hour)
                if (&hour.kind, &hour.source, &hour.property, hour.at)
                    == (&cell.kind, &cell.source, &cell.property, at) =>
            {
                hour.seen += cell.seen;
                hour.others += cell.others;
                hour.types.add(&cell.types);
            }
            _ => hours.push(ShapeCell { at, ..cell.clone() }),
        }
    }
    hours
}
