//! Which properties tell anything about a change, and the leaves that they make.

use std::cmp::Reverse;

use hashbrown::{HashMap, HashSet};

use super::{
    NONE,
    events::{SampledEvent, Slice},
    leaves::{Leaf, Leaves, Part, SLICES},
    search::Model,
};

/// The most properties that make leaves. More would leave a single event in most of them.
const MAX_PROPERTIES: usize = 5;
/// The most values of a property that are told apart; the rarer ones are no causes.
const MAX_VALUES: usize = 50;
/// A property is an id, and no cause, where it has more different values than this part of the events that
/// have it.
const ID: f64 = 0.5;

/// The value of each event; `None` for a rare one.
struct PropertyColumn {
    name: String,
    values: Vec<String>,
    of_event: Vec<Option<u32>>,
}

/// Groups events by those properties whose values tell most about the change. Properties named in `own` are
/// what the metric is made of, and no causes.
pub fn leaves_of(events: &[SampledEvent], own: &[String], model: Model) -> Leaves {
    let mut names: HashSet<&str> = HashSet::new();
    for (name, _) in events.iter().flat_map(|event| &event.values) {
        names.insert(name);
    }
    let mut names: Vec<&str> =
        names.into_iter().filter(|name| !own.iter().any(|own| own == name)).collect();
    names.sort_unstable();
    let searched = names.len();
    let mut texts: HashMap<&str, Vec<Option<&str>>> =
        names.iter().map(|name| (*name, vec![None; events.len()])).collect();
    for (at, event) in events.iter().enumerate() {
        for (name, value) in &event.values {
            if let Some(of_event) = texts.get_mut(name.as_str()) {
                of_event[at] = Some(value);
            }
        }
    }
    let mut telling: Vec<(f64, PropertyColumn)> = names
        .into_iter()
        .filter_map(|name| property(name, &texts[name], events, model))
        .map(|property| (telling(&property, events, model), property))
        .collect();
    // Equal ones stay in the order of their names.
    telling.sort_by(|a, b| b.0.total_cmp(&a.0));
    telling.truncate(MAX_PROPERTIES);
    let properties: Vec<PropertyColumn> =
        telling.into_iter().map(|(_, property)| property).collect();
    let mut places: HashMap<Vec<Option<u32>>, usize> = HashMap::new();
    let mut leaves: Vec<Leaf> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let values: Vec<Option<u32>> =
            properties.iter().map(|property| property.of_event[at]).collect();
        let place = *places.entry(values.clone()).or_insert_with(|| {
            leaves.push(Leaf {
                values,
                was: [Part::default(); SLICES],
                now: Part::default(),
                squares: 0.0,
            });
            leaves.len() - 1
        });
        leaves[place].squares += event.part.hits * event.part.hits;
        match event.slice {
            Slice::Was(slice) => leaves[place].was[slice].add(event.part),
            Slice::Now => leaves[place].now.add(event.part),
        }
    }
    leaves.sort_by(|a, b| a.values.cmp(&b.values));
    let (properties, values) =
        properties.into_iter().map(|property| (property.name, property.values)).unzip();
    Leaves { properties, values, leaves, searched }
}

/// Tells the values of a property apart; `None` where it is an id, or the same everywhere.
fn property(
    name: &str,
    texts: &[Option<&str>],
    events: &[SampledEvent],
    model: Model,
) -> Option<PropertyColumn> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for text in texts.iter().flatten() {
        *counts.entry(text).or_default() += 1;
    }
    let with: u64 = counts.values().sum();
    if counts.len() > MAX_VALUES {
        if let Some(ranges) = ranges(name, texts, events, model) {
            return Some(ranges);
        }
        if counts.len() as f64 > ID * with as f64 {
            return None;
        }
    }
    let mut by_count: Vec<(&str, u64)> = counts.into_iter().collect();
    by_count.sort_by_key(|(text, count)| (Reverse(*count), *text));
    by_count.truncate(MAX_VALUES);
    let mut values: Vec<&str> = by_count.into_iter().map(|(text, _)| text).collect();
    values.sort_unstable();
    let has_none = with < texts.len() as u64;
    if values.len() + usize::from(has_none) < 2 {
        return None;
    }
    let place = |text: &str| values.binary_search(&text).ok().map(|at| at as u32);
    let none = values.len() as u32;
    let of_event = texts.iter().map(|text| text.map_or(Some(none), place)).collect();
    let mut values: Vec<String> = values.iter().map(|text| (*text).to_owned()).collect();
    values.push(NONE.to_owned());
    Some(PropertyColumn { name: name.to_owned(), values, of_event })
}

/// A property of many numbers, in two ranges: cut where the change differs most, at one of nine tenths of
/// its values. `None` where values are no numbers.
fn ranges(
    name: &str,
    texts: &[Option<&str>],
    events: &[SampledEvent],
    model: Model,
) -> Option<PropertyColumn> {
    let mut numbers: Vec<Option<f64>> = Vec::with_capacity(texts.len());
    for text in texts {
        let number = text.map(|text| text.parse::<f64>().ok().filter(|it| it.is_finite()));
        numbers.push(match number {
            Some(None) => return None,
            Some(number) => number,
            None => None,
        });
    }
    let mut sorted: Vec<f64> = numbers.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let mut cuts: Vec<f64> = (1..10).map(|tenth| sorted[sorted.len() * tenth / 10]).collect();
    cuts.dedup();
    let cut_at = |cut: f64| PropertyColumn {
        name: name.to_owned(),
        values: vec![format!("<{cut}"), format!(">={cut}"), NONE.to_owned()],
        of_event: numbers
            .iter()
            .map(|number| Some(number.map_or(2, |number| u32::from(number >= cut))))
            .collect(),
    };
    let told = cuts.into_iter().map(cut_at).map(|it| (telling(&it, events, model), it));
    told.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, property)| property)
}

/// How much the best single value of a property explains, in units of log-likelihood.
fn telling(property: &PropertyColumn, events: &[SampledEvent], model: Model) -> f64 {
    let mut parts = vec![(Part::default(), Part::default()); property.values.len()];
    let (mut was_all, mut now_all) = (Part::default(), Part::default());
    for (event, value) in events.iter().zip(&property.of_event) {
        let (was, now) = match event.slice {
            Slice::Was(_) => (event.part, Part::default()),
            Slice::Now => (Part::default(), event.part),
        };
        was_all.add(was);
        now_all.add(now);
        if let Some(value) = value {
            let part = &mut parts[*value as usize];
            part.0.add(was);
            part.1.add(now);
        }
    }
    parts.iter().map(|(was, now)| model.gain_of_part((was_all, *was), *now)).fold(0.0, f64::max)
}
