//! Tests of the search on simulated shops whose causes are known.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;

const GATEWAYS: [&str; 4] = ["adyen", "stripe", "paypal", "klarna"];
const COUNTRIES: [&str; 6] = ["DE", "AT", "CH", "FR", "NL", "US"];
const VERSIONS: [&str; 5] = ["4.0", "4.1", "4.2", "5.0", "5.1"];

/// Payments of a shop; `fails` says which part of them fails additionally in the span that is asked about.
fn payments(
    seed: u64,
    n: usize,
    fails: impl Fn(&dyn Fn(&str) -> String) -> f64,
) -> Vec<SampledEvent> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut one = |slice: Slice| {
        let mut pick = |of: &[&str]| {
            // The first ones are frequent, the last ones rare.
            let at = (random.random::<f64>().powi(2) * of.len() as f64) as usize;
            of[at].to_owned()
        };
        let mut values: Vec<(String, String)> = vec![
            ("gateway".to_owned(), pick(&GATEWAYS)),
            ("country".to_owned(), pick(&COUNTRIES)),
            ("version".to_owned(), pick(&VERSIONS)),
            ("device".to_owned(), pick(&["phone", "desktop", "tablet"])),
            ("language".to_owned(), pick(&["de", "en", "fr"])),
            ("step".to_owned(), "pay".to_owned()),
        ];
        values.push(("cart".to_owned(), format!("{:x}", random.random::<u64>())));
        values.push(("amount".to_owned(), format!("{:.2}", random.random::<f64>() * 200.0)));
        let usual = if values[0].1 == "klarna" { 0.15 } else { 0.02 };
        let of = |name: &str| {
            values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap()
        };
        let more = if slice == Slice::Now { fails(&of) } else { 0.0 };
        let failed = random.random::<f64>() < usual + more * (1.0 - usual);
        let part = Part { hits: if failed { 1.0 } else { 0.0 }, of: 1.0 };
        SampledEvent { slice, part, values }
    };
    let before = (0..n).map(|at| Slice::Was(at % SLICES));
    before.chain((0..n).map(|_| Slice::Now)).map(&mut one).collect()
}

fn found(events: &[SampledEvent], model: Model) -> Found {
    causes_of(&leaves_of(events, &[], model), model, &Tuning::default())
}

fn named(found: &Found) -> Vec<String> {
    let name = |cause: &Cause| {
        let mut names: Vec<String> =
            cause.conditions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        names.sort();
        names.join(" ")
    };
    found.causes.iter().map(name).collect()
}

const RISES: Model = Model::Share { rises: true };

#[test]
fn a_cause_of_one_two_or_three_properties_is_named_exactly() {
    let events = payments(1, 6_000, |of| if of("gateway") == "stripe" { 0.3 } else { 0.0 });
    let it = found(&events, RISES);
    assert_eq!(named(&it), ["gateway=stripe"]);
    let cause = &it.causes[0];
    assert!(cause.was < 0.05 && cause.value > 0.25 && cause.share > 0.9, "{cause:?}");
    assert!(cause.confidence > 0.9 && !it.general, "{cause:?}");

    let two = |of: &dyn Fn(&str) -> String| of("gateway") == "adyen" && of("country") == "AT";
    let events = payments(2, 8_000, |of| if two(of) { 0.5 } else { 0.0 });
    assert_eq!(named(&found(&events, RISES)), ["country=AT gateway=adyen"]);

    let three = |of: &dyn Fn(&str) -> String| {
        of("gateway") == "adyen" && of("country") == "DE" && of("version") == "4.1"
    };
    let events = payments(3, 12_000, |of| if three(of) { 0.6 } else { 0.0 });
    assert_eq!(named(&found(&events, RISES)), ["country=DE gateway=adyen version=4.1"]);
}

#[test]
fn two_causes_are_both_named() {
    let events = payments(4, 10_000, |of| {
        if of("gateway") == "paypal" || of("country") == "FR" { 0.4 } else { 0.0 }
    });
    let mut names = named(&found(&events, RISES));
    names.sort();
    assert_eq!(names, ["country=FR", "gateway=paypal"]);
}

#[test]
fn a_range_of_numbers_may_be_the_cause_and_an_id_never_is() {
    let events =
        payments(
            5,
            6_000,
            |of| {
                if of("amount").parse::<f64>().unwrap() >= 140.0 { 0.5 } else { 0.0 }
            },
        );
    let it = found(&events, RISES);
    let [(name, value)] = it.causes[0].conditions.as_slice() else { panic!("{it:?}") };
    let cut: f64 = value.strip_prefix(">=").unwrap().parse().unwrap();
    assert!(name == "amount" && (130.0..150.0).contains(&cut), "{it:?}");
}

#[test]
fn what_is_alike_everywhere_has_no_cause() {
    let mut wrong = 0;
    for seed in 0..40 {
        let it = found(&payments(100 + seed, 3_000, |_| 0.2), RISES);
        wrong += usize::from(!it.general || !it.causes.is_empty());
    }
    assert!(wrong <= 2, "{wrong} of 40 general outages are given a cause");
}

#[test]
fn chance_has_no_cause() {
    for seed in 0..40 {
        assert_eq!(found(&payments(200 + seed, 2_000, |_| 0.0), RISES), Found::default(), "{seed}");
    }
}

#[test]
fn a_share_that_falls_is_told_by_those_that_do_not_hit_any_more() {
    let mut events = payments(6, 6_000, |of| if of("country") == "NL" { 0.5 } else { 0.0 });
    for event in &mut events {
        event.part.hits = event.part.of - event.part.hits;
    }
    let it = found(&events, Model::Share { rises: false });
    assert_eq!(named(&it), ["country=NL"]);
    assert!(it.causes[0].value < it.causes[0].was);
}

#[test]
fn a_count_is_compared_with_what_was_usual_for_its_values() {
    let orders = |kept: f64| -> Vec<SampledEvent> {
        let mut random = StdRng::seed_from_u64(9);
        payments(7, 6_000, |_| 0.0)
            .into_iter()
            .filter(|event| {
                let is_german = event.values.contains(&("country".to_owned(), "DE".to_owned()));
                event.slice != Slice::Now || !is_german || random.random::<f64>() < kept
            })
            .map(|event| SampledEvent { part: Part { hits: 1.0, of: 1.0 }, ..event })
            .collect()
    };
    let it = found(&orders(0.4), Model::Volume { rises: false, scale: 1.0 });
    assert_eq!(named(&it), ["country=DE"]);
    let cause = &it.causes[0];
    assert!((cause.value / cause.was - 0.4).abs() < 0.05, "{cause:?}");
    let all: Vec<SampledEvent> = orders(1.0)
        .into_iter()
        .enumerate()
        .filter(|(at, event)| event.slice != Slice::Now || at % 2 == 0)
        .map(|(_, event)| event)
        .collect();
    let it = found(&all, Model::Volume { rises: false, scale: 1.0 });
    assert!(it.general && it.causes.is_empty(), "{it:?}");
}

/// Orders of 50 each, and in the span that is asked about further ones of 10,000 from one country.
fn orders_of(large: usize) -> Vec<SampledEvent> {
    // As the sampler does, amounts are counted in the amount of a typical event.
    let mut events: Vec<SampledEvent> = payments(11, 3_000, |_| 0.0);
    events.iter_mut().for_each(|event| event.part = Part { hits: 50.0, of: 1.0 });
    let french: Vec<usize> = (0..events.len())
        .filter(|at| {
            let values = &events[*at].values;
            events[*at].slice == Slice::Now
                && values.contains(&("country".to_owned(), "FR".to_owned()))
        })
        .take(large)
        .collect();
    assert_eq!(french.len(), large);
    french.into_iter().for_each(|at| events[at].part.hits = 10_000.0);
    let sum: f64 = events.iter().map(|event| event.part.hits).sum();
    let squares: f64 = events.iter().map(|event| event.part.hits.powi(2)).sum();
    events.iter_mut().for_each(|event| event.part.hits /= squares / sum);
    events
}

#[test]
fn one_large_order_is_no_cause_and_many_are() {
    let rises = Model::Volume { rises: true, scale: 1.0 };
    assert_eq!(named(&found(&orders_of(1), rises)), [""; 0]);
    assert_eq!(named(&found(&orders_of(60), rises)), ["country=FR"]);
}

#[test]
fn the_order_of_events_changes_nothing() {
    let events = payments(8, 4_000, |of| if of("gateway") == "adyen" { 0.2 } else { 0.0 });
    let mut shuffled = events.clone();
    shuffled.shuffle(&mut StdRng::seed_from_u64(3));
    let (a, b) = (leaves_of(&events, &[], RISES), leaves_of(&shuffled, &[], RISES));
    assert_eq!(a, b);
    let tuning = Tuning::default();
    assert_eq!(causes_of(&a, RISES, &tuning), causes_of(&b, RISES, &tuning));
}

#[test]
fn values_are_plain_ones() {
    let values = SampledEvent::values(
        r#"{"a":"x","n":5.0,"t":true,"l":[1],"o":{"a":1},"e":"","z":null,"$bot":"true"}"#,
        Some("web"),
    );
    let text = |(name, value): &(String, String)| format!("{name}={value}");
    let values: Vec<String> = values.iter().map(text).collect();
    assert_eq!(values, ["a=x", "n=5", "t=true", "source=web"]);
}
