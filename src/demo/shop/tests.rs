//! Tests of the shop: the same seed gives the same events, and its mix and rate are as promised.

use hashbrown::{HashMap, HashSet};

use super::*;
use crate::{
    config::Config,
    demo::event::Properties,
    domain::time::{HOUR, MINUTE},
};

const START: Millis = 1_795_420_800_000;

fn text(seed: u64, start: Millis) -> String {
    let mut lines = Vec::new();
    for event in Shop::new(seed, start, 40.0, "USD").take(3000) {
        event.write_line(&mut lines);
    }
    String::from_utf8(lines).unwrap()
}

#[test]
fn a_seed_and_a_start_give_the_same_bytes_and_others_give_others() {
    assert_eq!(text(1, START), text(1, START));
    assert_ne!(text(1, START), text(2, START));
    assert_ne!(text(1, START), text(1, START + 1));
}

#[test]
fn the_rate_is_what_was_asked_for_from_the_first_minute_on() {
    for (seed, rate) in [(1, 40.0), (2, 40.0), (3, 200.0)] {
        let hour = Shop::new(seed, START, rate, "USD")
            .take_while(|event| event.timestamp < START + HOUR)
            .count() as f64;
        let asked = rate * 3600.0;
        assert!((hour / asked - 1.0).abs() < 0.06, "{hour} for {asked}");
        let minute = Shop::new(seed, START, rate, "USD")
            .take_while(|event| event.timestamp < START + MINUTE)
            .count() as f64;
        assert!(minute > rate * 60.0 * 0.5, "{minute} in the first minute");
    }
}

#[test]
fn a_day_by_minute_is_followed() {
    // An hour of little, an hour of much, and little again.
    let minutes: Vec<f64> = [vec![0.5; 60], vec![2.0; 60], vec![0.5; 30]].concat();
    let rhythm = Rhythm::Day { midnight: START, minutes: minutes.into() };
    let mut hours = [0.0f64; 3];
    let shop = Shop::new(4, START, 20.0, "USD").with_rhythm(rhythm);
    for event in shop.take_while(|event| event.timestamp < START + 3 * HOUR) {
        hours[((event.timestamp - START) / HOUR) as usize] += 1.0;
    }
    // The visitors of one hour linger into the next.
    for (seen, rate) in hours.iter().zip([10.0, 40.0, 10.0]) {
        assert!((seen / (rate * 3600.0) - 1.0).abs() < 0.06, "{hours:?}");
    }
}

#[test]
fn events_come_in_order_with_unique_ids() {
    let events: Vec<_> = Shop::new(5, START, 40.0, "USD").take(20_000).collect();
    assert!(events[0].timestamp >= START);
    assert!(events.is_sorted_by_key(|event| event.timestamp));
    let ids: HashSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn the_mix_is_that_of_a_shop() {
    let mut mix: HashMap<&str, f64> = HashMap::new();
    let count = 100_000;
    let metric_set = Config::default().rules.metric_set;
    for event in Shop::new(11, START, 40.0, "USD").take(count) {
        *mix.entry(event.kind).or_default() += 100.0 / count as f64;
        let line = serde_json::to_string(&event.properties).unwrap();
        let checked = metric_set.plan(event.kind).check(event.kind, &line, &mut Vec::new());
        assert_eq!(checked, Ok(()), "{line}");
    }
    let within = |kind: &str, low: f64, high: f64| {
        assert!((low..high).contains(&mix[kind]), "{kind} of {mix:?}");
    };
    within("page_view", 65.0, 85.0);
    within("add_to_cart", 7.0, 15.0);
    within("begin_checkout", 4.0, 9.0);
    within("purchase", 2.5, 6.0);
    within("error", 0.8, 3.0);
    within("signup", 0.5, 2.0);
    assert_eq!(mix.len(), 6);
}

#[test]
fn the_dashboard_sees_it_move_and_most_seconds_sell() {
    let mut sold = [0i64; 600];
    let mut seen = [0i64; 600];
    for event in Shop::new(3, START, 40.0, "USD") {
        let second = ((event.timestamp - START) / SECOND) as usize;
        if second >= 600 {
            break;
        }
        seen[second] += 1;
        if let Properties::Purchase { amount, .. } = &event.properties {
            sold[second] += amount.0;
        }
    }
    let with_sales = sold.iter().filter(|units| **units > 0).count();
    assert!(with_sales > 360, "{with_sales} of 600 seconds sell");
    assert!(seen.iter().all(|events| *events > 3));
    let highest = *seen.iter().max().unwrap();
    assert!(highest > 60, "highest second has {highest}");
}

#[test]
fn crawlers_look_at_pages_and_say_that_they_are_none_of_the_people() {
    let (mut people, mut crawlers) = (0, 0);
    for event in Shop::new(7, START, 40.0, "USD").with_crawlers(0.1).take(20_000) {
        match &event.properties {
            Properties::PageView { bot: true, .. } => crawlers += 1,
            _ => people += 1,
        }
    }
    assert!((0.03..0.2).contains(&(f64::from(crawlers) / f64::from(people))), "{crawlers}");
    let line = Shop::new(7, START, 40.0, "USD").with_crawlers(1.0).next().unwrap();
    assert!(serde_json::to_string(&line).unwrap().contains(r#""$bot":true"#));
    assert!(!text(7, START).contains("$bot"));
}
