//! A search gives all events that pass, each once and in order.

use proptest::prelude::*;

use super::*;

/// Searches these events page by page, and gives all that was found. Every slice of so many takes too long.
fn pages(events: &[FoundEvent], asked: &EventSearch, too_long: usize) -> Vec<FoundEvent> {
    let (mut all, mut asked, mut reads) = (Vec::new(), asked.clone(), 0);
    loop {
        let mut walk = SearchWalk::new(&asked);
        while let Some(slice) = walk.next_slice() {
            reads += 1;
            if slice.within.is_some() && too_long > 0 && reads % too_long == 0 {
                walk.take(&slice, SliceRead::TooLong);
                continue;
            }
            let mut first = FirstEvents::new(&slice, asked.newest_first);
            let span = slice.from..slice.until;
            let within = events.iter().filter(|event| span.contains(&event.time));
            within.for_each(|event| first.push(event.clone()));
            walk.take(&slice, first.finish());
        }
        let found = walk.finish();
        assert!(found.events.len() <= asked.limit);
        all.extend(found.events);
        let Some(next) = found.next else { return all };
        assert_ne!(asked.after.as_ref(), Some(&next), "it gets on");
        asked.after = Some(next);
    }
}

/// Likewise, of events that lie in two places.
fn merged_pages(
    places: &[Vec<FoundEvent>; 2],
    asked: &EventSearch,
    slices: usize,
) -> Vec<FoundEvent> {
    let (mut all, mut asked) = (Vec::new(), asked.clone());
    loop {
        let of_one = of_one_place(&asked);
        let search = |events: &Vec<FoundEvent>, most: usize| {
            let mut walk = SearchWalk::new(&of_one);
            for _ in 0..most {
                let Some(slice) = walk.next_slice() else { break };
                let mut first = FirstEvents::new(&slice, of_one.newest_first);
                let span = slice.from..slice.until;
                let within = events.iter().filter(|event| span.contains(&event.time));
                within.for_each(|event| first.push(event.clone()));
                walk.take(&slice, first.finish());
            }
            walk.finish()
        };
        // One place is slower than the other.
        let found =
            merged(&asked, vec![search(&places[0], slices), search(&places[1], 2 * slices)]);
        assert!(found.events.len() <= asked.limit);
        all.extend(found.events);
        let Some(next) = found.next else { return all };
        assert_ne!(asked.after.as_ref(), Some(&next), "it gets on");
        asked.after = Some(next);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The events of two places are those of one, wherever each of them lies.
    #[test]
    fn two_places_make_one(
        events in proptest::collection::vec((0..40i64, "[ab]", "[xy]", 0..3i64, any::<bool>()), 0..400),
        (spread, limit, slices) in (1..3_000i64, 1..40usize, 1..30usize),
        newest_first in any::<bool>(),
    ) {
        let mut places = [Vec::new(), Vec::new()];
        for (time, id, kind, received_at, is_second) in events {
            let event = FoundEvent {
                time: time * spread,
                received_at,
                properties: "{}".to_owned(),
                id,
                kind,
                ..FoundEvent::default()
            };
            places[usize::from(is_second)].push(event);
        }
        // What both places have is one event; what a place has twice is two.
        let [first, second] = &places;
        let mut expected = first.clone();
        for (at, event) in second.iter().enumerate() {
            let nth = second[..at].iter().filter(|it| *it == event).count();
            if first.iter().filter(|it| *it == event).count() <= nth {
                expected.push(event.clone());
            }
        }
        let (from, until, now, after) = (0, 41 * spread, 30 * spread, None);
        let filter = Arc::default();
        let asked = EventSearch { filter, from, until, newest_first, after, limit, now };
        expected.sort_by(|a, b| in_order(a, b, newest_first));
        prop_assert_eq!(merged_pages(&places, &asked, slices), expected);
    }
}

proptest! {
    /// All pages together are all events that pass, each once and in order, whatever the size of a page
    /// and however many of them have the same key.
    #[test]
    fn pages_make_the_whole(
        events in proptest::collection::vec((0..40i64, "[ab]", "[xy]", 0..3i64), 0..1_200),
        (spread, limit) in (1..3_000i64, 1..70usize),
        (newest_first, is_filtered) in (any::<bool>(), any::<bool>()),
        too_long in prop_oneof![Just(0), Just(3), Just(5)],
        (from, until) in (0..10i64, 20..60i64),
    ) {
        let event = |(time, id, kind, received): (i64, String, String, i64)| FoundEvent {
            time: time * spread,
            received_at: received,
            properties: format!(r#"{{"x":"{received}"}}"#),
            id,
            kind,
            ..FoundEvent::default()
        };
        let events: Vec<FoundEvent> = events.into_iter().map(event).collect();
        let mut filter = EventFilter::default();
        if is_filtered {
            filter.test("x", "!1").unwrap();
        }
        let (from, until) = (from * spread, until * spread);
        let now = 30 * spread;
        let after = None;
        let filter = Arc::new(filter);
        let asked = EventSearch { filter, from, until, newest_first, after, limit, now };
        let passes = |event: &&FoundEvent| {
            (from..until).contains(&event.time) && !(is_filtered && event.received_at == 1)
        };
        let mut expected: Vec<FoundEvent> = events.iter().filter(passes).cloned().collect();
        expected.sort_by(|a, b| in_order(a, b, newest_first));
        let found = pages(&events, &asked, too_long);
        prop_assert_eq!(found, expected);
    }
}
