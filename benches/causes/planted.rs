//! Causes that are planted in the payments of a simulated shop, and outages that hit all of them alike.

use std::time::Instant;

use floodmark::{
    demo::{shop::Shop, traffic::Incidents},
    domain::cause::{
        Found, Model, Part, SLICES, SampledEvent, Slice, Tuning, causes_of, leaves_of,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

/// Payments before, and payments in the span that is asked about.
const SPAN: usize = 3_000;
/// Planted causes of each number of properties.
const PLANTED: usize = 100;
/// General outages.
const GENERAL: usize = 100;
/// Failures that a planted cause makes at least; fewer are no incident.
const LEAST: usize = 20;
/// The properties that payments and failures have.
const PROPERTIES: [&str; 3] = ["gateway", "country", "device"];
const START: i64 = 1_795_478_400_000;

/// A payment that was tried: whether it failed, and its properties.
type Payment = (bool, Conditions);

/// Properties with their values.
type Conditions = Vec<(String, String)>;

/// Prints how often planted causes are found.
pub fn score() {
    let payments = payments(40 * SPAN);
    let mut random = StdRng::seed_from_u64(20_261_127);
    let started = Instant::now();
    let mut searches = 0;
    for conditions in 1..=3 {
        let (mut first, mut among, mut planted) = (0, 0, 0);
        while planted < PLANTED {
            let Some((events, cause)) = plant(&payments, conditions, &mut random) else { continue };
            planted += 1;
            searches += 1;
            let mut named: Vec<Conditions> =
                found(&events).causes.into_iter().map(|cause| cause.conditions).collect();
            named.iter_mut().for_each(|conditions| conditions.sort());
            first += usize::from(named.first() == Some(&cause));
            among += usize::from(named.contains(&cause));
        }
        println!(
            "planted causes of {conditions} properties: {first} of {PLANTED} named first, {among} named"
        );
    }
    let mut blamed = 0;
    for _ in 0..GENERAL {
        let more = random.random_range(0.05..0.6);
        let events = events(&payments, &mut random, |_, random| random.random::<f64>() < more);
        blamed += usize::from(!found(&events).causes.is_empty());
        searches += 1;
    }
    let ms = started.elapsed().as_secs_f64() * 1_000.0 / searches as f64;
    println!("general outages: {blamed} of {GENERAL} are given a cause; {ms:.1} ms a search");
}

fn found(events: &[SampledEvent]) -> Found {
    let rises = Model::Share { rises: true };
    causes_of(&leaves_of(events, &[], rises), rises, &Tuning::default())
}

/// Payments in the order of their time.
fn payments(many: usize) -> Vec<Payment> {
    let mut line = Vec::new();
    let mut payments = Vec::new();
    for event in Shop::new(11, START, 400.0, "EUR").with_incidents(Incidents::None) {
        line.clear();
        event.write_line(&mut line);
        let event: Value = serde_json::from_slice(&line).expect("the shop writes JSON");
        let properties = &event["properties"];
        let failed = event["type"] == "error";
        if properties["gateway"].is_string() && (failed || event["type"] == "purchase") {
            let value =
                |name: &str| properties[name].as_str().map(|it| (name.to_owned(), it.to_owned()));
            payments.push((failed, PROPERTIES.into_iter().filter_map(value).collect()));
        }
        if payments.len() == many {
            break;
        }
    }
    payments
}

/// Two spans of the payments. Of the later one also those fail of which `fails` says so.
fn events(
    payments: &[Payment],
    random: &mut StdRng,
    mut fails: impl FnMut(&[(String, String)], &mut StdRng) -> bool,
) -> Vec<SampledEvent> {
    let begin = random.random_range(0..payments.len() - 2 * SPAN);
    let of = |at: usize| if at < SPAN { Slice::Was(at * SLICES / SPAN) } else { Slice::Now };
    let chosen = payments[begin..begin + 2 * SPAN].iter().enumerate();
    let event = |(at, (failed, values)): (usize, &Payment)| {
        let slice = of(at);
        let failed = *failed || (slice == Slice::Now && fails(values, random));
        let part = Part { hits: if failed { 1.0 } else { 0.0 }, of: 1.0 };
        SampledEvent { slice, part, values: values.clone() }
    };
    chosen.map(event).collect()
}

/// Plants a cause of some properties, chosen as often as payments have their values. `None` where it would
/// make too few failures.
fn plant(
    payments: &[Payment],
    conditions: usize,
    random: &mut StdRng,
) -> Option<(Vec<SampledEvent>, Conditions)> {
    let mut cause = payments[random.random_range(0..payments.len())].1.clone();
    while cause.len() > conditions {
        let at = random.random_range(0..cause.len());
        cause.remove(at);
    }
    cause.sort();
    let failing = random.random_range(0.3..0.9);
    let mut made = 0;
    let events = events(payments, random, |values, random| {
        let fails = cause.iter().all(|it| values.contains(it)) && random.random::<f64>() < failing;
        made += usize::from(fails);
        fails
    });
    (made >= LEAST && cause.len() == conditions).then_some((events, cause))
}
