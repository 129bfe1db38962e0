//! Tests of what is learnt of the properties of events, and how it adds up.

use proptest::prelude::*;

use super::*;
use crate::domain::{
    row::{Row, rows},
    time::{HOUR, MINUTE},
};

fn row<'a>(kind: &'a str, source: &'a str, time: Millis, properties: &'a str) -> Row<'a> {
    Row { id: "1", kind, source: Some(source), time, properties, ..Row::default() }
}

fn learnt(rows: &[Row<'_>]) -> Shape {
    shape_of(rows.iter().copied())
}

/// The counts of a property, as (type, count).
fn types(shape: &Shape, group: usize, name: &str) -> Vec<(&'static str, u64)> {
    let of = |known: &&(String, TypeCounts)| known.0 == name;
    let Some((_, counts)) = shape.groups[group].properties.iter().find(of) else { return vec![] };
    let all = JsonType::ALL.into_iter().map(|of| (of.name(), counts.of(of)));
    all.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn properties_are_counted_by_type_source_and_minute() {
    let shape = learnt(&[
        row("purchase", "web", 60_000, r#"{"amount":19.99,"currency":"EUR","items":[{"a":1}]}"#),
        row("purchase", "web", 119_999, r#"{"currency":null,"amount":"19","gift":true}"#),
        row("purchase", "web", 120_000, r#"{}"#),
        row("purchase", "app", 60_000, r#"{"amount":{"value":1},"a\"b":1}"#),
    ]);
    let about = |group: &ShapeGroup| (group.minute, group.source.clone(), group.events);
    let groups: Vec<_> = shape.groups.iter().map(about).collect();
    let (web, app) = ("web".to_owned(), "app".to_owned());
    assert_eq!(groups, [(1, web.clone(), 2), (2, web, 1), (1, app, 1)]);
    assert_eq!(types(&shape, 0, "amount"), [("string", 1), ("number", 1)]);
    assert_eq!(types(&shape, 0, "currency"), [("string", 1), ("null", 1)]);
    assert_eq!(types(&shape, 0, "items"), [("array", 1)]);
    assert_eq!(types(&shape, 0, "gift"), [("boolean", 1)]);
    assert_eq!(types(&shape, 2, "amount"), [("object", 1)]);
    assert_eq!(types(&shape, 2, "a\"b"), [("number", 1)]);
    assert_eq!((shape.groups[1].properties.len(), shape.unlearnt), (0, 0));
}

#[test]
fn of_a_name_that_comes_twice_the_last_counts() {
    let shape =
        learnt(&[row("a", "web", 0, r#"{"x":1,"x":"two"}"#), row("a", "web", 0, r#"{"x":3}"#)]);
    assert_eq!(types(&shape, 0, "x"), [("string", 1), ("number", 1)]);
}

#[test]
fn names_that_are_made_up_have_a_limit_and_are_counted() {
    let members: Vec<String> = (0..MAX_PROPERTIES + 40).map(|n| format!("\"p{n}\":1")).collect();
    let many = format!("{{{}}}", members.join(","));
    let long = format!("{{\"{}\":1,\"\":1,\"ok\":1}}", "x".repeat(MAX_PROPERTY_NAME + 1));
    let shape = learnt(&[row("a", "web", 0, &many), row("b", "web", 0, &long)]);
    assert_eq!(shape.groups[0].properties.len(), MAX_PROPERTIES);
    assert_eq!((shape.groups[0].others, shape.groups[1].others), (40, 2));
    assert_eq!(types(&shape, 1, "ok"), [("number", 1)]);
    let kinds: Vec<String> = (0..MAX_GROUPS + 7).map(|n| format!("type{n}")).collect();
    let rows: Vec<_> = kinds.iter().map(|kind| row(kind, "web", 0, "{}")).collect();
    let shape = learnt(&rows);
    assert_eq!((shape.groups.len(), shape.unlearnt), (MAX_GROUPS, 7));
}

#[test]
fn null_says_as_little_as_nothing() {
    let counts = TypeCounts([2, 5, 0, 9, 0, 0]);
    assert_eq!((counts.all(), counts.present()), (16, 7));
    assert_eq!(counts.usual(), Some(JsonType::Number));
    assert_eq!(TypeCounts([0, 0, 0, 3, 0, 0]).usual(), None);
}

#[test]
fn what_is_new_gets_the_places_that_are_left() {
    let mut sums = ShapeSums::default();
    sums.add(learnt(&[row("a", "web", HOUR, r#"{"y":1,"x":1,"known":1}"#)]));
    sums.add(learnt(&[row("a", "web", HOUR + MINUTE, r#"{"x":"1"}"#), row("b", "web", 0, "{}")]));
    let mut known = Catalogue { schemas: 1, ..Catalogue::default() };
    let names = ["".to_owned(), "known".to_owned()].into_iter().collect();
    known.properties.insert(("a".into(), "web".into()), names);
    let admitted = sums.admit(&known, SchemaLimits { schemas: 1, properties: 2 });
    let cell = |it: &ShapeCell| (it.property.clone(), it.at / MINUTE, it.seen, it.others);
    let cells: Vec<_> = admitted.minutes.iter().map(cell).collect();
    let expected =
        [("", 60, 1, 1), ("", 61, 1, 0), ("known", 60, 1, 0), ("x", 60, 1, 0), ("x", 61, 1, 0)];
    assert_eq!(cells, expected.map(|(name, at, seen, others)| (name.to_owned(), at, seen, others)));
    let hours: Vec<_> = admitted.hours.iter().map(cell).collect();
    let expected = [("", 60, 2, 1), ("known", 60, 1, 0), ("x", 60, 2, 0)];
    assert_eq!(hours, expected.map(|(name, at, seen, others)| (name.to_owned(), at, seen, others)));
    assert_eq!(admitted.unlearnt, 1, "there is no room for the type b");
    let seen: Vec<_> =
        admitted.seen.iter().map(|(it, last)| (&*it.property, it.at, *last)).collect();
    let (first, last) = (HOUR, HOUR + MINUTE);
    assert_eq!(seen, [("", first, last), ("known", first, first), ("x", first, last)]);
}

proptest! {
    #[test]
    fn the_sum_of_shapes_is_the_shape_of_all(
        events in proptest::collection::vec(("[ab]", "[wx]", 0..3i64, "[pqr]", 0..5usize), 0..30),
        cut in 0..30usize,
    ) {
        const VALUES: [&str; 5] = ["1", "\"t\"", "null", "[]", "{}"];
        let mut bytes = [Vec::new(), Vec::new()];
        for (n, (kind, source, minute, name, value)) in events.iter().enumerate() {
            let properties = format!("{{\"{name}\":{},\"z\":1}}", VALUES[*value]);
            row(kind, source, minute * MINUTE, &properties).encode(&mut bytes[usize::from(n >= cut)]);
        }
        let of = |bytes: &[u8]| {
            let shape = shape_of(rows(bytes).flatten());
            assert_eq!(Shape::decode(&shape.encode()).unwrap(), shape, "encode and decode are inverse");
            shape
        };
        let (mut parts, mut whole) = (ShapeSums::default(), ShapeSums::default());
        bytes.iter().for_each(|bytes| parts.add(of(bytes)));
        whole.add(of(&bytes.concat()));
        let admitted = |sums: &ShapeSums| {
            let admitted = sums.admit(&Catalogue::default(), SchemaLimits::default());
            (admitted.minutes, admitted.hours)
        };
        prop_assert_eq!(admitted(&parts), admitted(&whole));
    }

    #[test]
    fn any_bytes_are_decoded_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Shape::decode(&bytes);
    }
}
