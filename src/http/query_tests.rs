//! What a query asks for, and which buckets answer it.

use super::*;
use crate::domain::{
    delta::{DeltaSum, Series},
    time::parse_rfc3339,
};

const NOW: &str = "2026-11-27T14:00:30Z";

fn at(text: &str) -> Millis {
    parse_rfc3339(text).unwrap()
}

fn zone(name: &str) -> BusinessZone {
    BusinessZone::named(name).unwrap()
}

fn parse(text: &str) -> Result<Query, ApiError> {
    parse_in("UTC", NOW, text)
}

/// What matters to a test is when; it asks for all events unless it says otherwise.
fn parse_in(zone_name: &str, now: &str, text: &str) -> Result<Query, ApiError> {
    let names_events = text.contains("type=") || text.contains("metric=");
    let metric = if names_events { "" } else { "metric=events&" };
    Query::parse(&format!("{metric}{text}"), at(now), &zone(zone_name))
}

fn state(zone_name: &str, events: &[(&str, &str)]) -> LiveState {
    let mut sum = DeltaSum::default();
    for (kind, moment) in events {
        sum.count(kind, at(moment));
        sum.sum(Series::revenue(), at(moment), 199_900);
    }
    let mut state = LiveState::new(zone(zone_name));
    state.apply(0, &sum.finish(), at(NOW));
    state
}

#[test]
fn an_hour_is_60_minutes_ending_with_the_one_in_progress() {
    let query = parse("type=page_view&hours=1&token=secret").unwrap();
    assert_eq!(query.what, What::Type("page_view".into()));
    assert_eq!(query.to, at("2026-11-27T14:01:00Z"));
    assert_eq!(query.from, at("2026-11-27T13:01:00Z"));
    assert_eq!(parse("type=page_view").unwrap(), query);

    let state = state(
        "UTC",
        &[
            ("page_view", "2026-11-27T14:00:10Z"),
            ("page_view", "2026-11-27T13:01:00Z"),
            ("page_view", "2026-11-27T13:00:59Z"),
        ],
    );
    let buckets = state.range(query.from, query.to, MINUTE);
    assert_eq!(buckets.len(), 60);
    assert_eq!(query.what.of(&buckets[0].1), Count::Events(1));
    assert_eq!(query.what.of(&buckets[59].1), Count::Events(1));
    assert_eq!(buckets.iter().map(|b| b.1.events()).sum::<u64>(), 2);
}

#[test]
fn hours_and_days_are_the_business_zones() {
    // India is five and a half hours ahead: its hours start at half past in UTC.
    let india = "Asia/Kolkata";
    let hours = parse_in(india, NOW, "hours=2&interval=1h").unwrap();
    assert_eq!(hours.from, at("2026-11-27T12:30:00Z"));
    assert_eq!(hours.to, at("2026-11-27T14:30:00Z"));

    let day = parse_in(india, NOW, "interval=1d").unwrap();
    assert_eq!(day.from, at("2026-11-26T18:30:00Z"));
    let state = state(
        "Asia/Kolkata",
        &[
            ("error", "2026-11-26T18:29:59Z"),
            ("error", "2026-11-26T18:30:00Z"),
            ("error", "2026-11-27T14:00:00Z"),
        ],
    );
    let points = day.by_the_zone(&state);
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].count, Count::Events(2));

    // Yesterday may have been before this server's start: the first whole day is today.
    let both = format!("interval=1d&from={}", at("2026-11-26T15:00:00Z"));
    assert_eq!(parse_in(india, NOW, &both).unwrap(), day);
}

#[test]
fn the_first_bucket_is_whole() {
    // Down to the start of the hour, where all of it is kept ...
    let query = parse("interval=1h&from=2026-11-27T10:40:00Z").unwrap();
    assert_eq!(query.from, at("2026-11-27T10:00:00Z"));
    // ... and up to the first whole hour where it is not.
    let query = parse("interval=1h&from=2026-11-26T14:10:00Z").unwrap();
    assert_eq!(query.from, at("2026-11-26T15:00:00Z"));
    let day = parse("interval=1d&from=2026-11-27T10:40:00Z").unwrap();
    assert_eq!(day.from, at("2026-11-27T00:00:00Z"));
    let state =
        state("UTC", &[("error", "2026-11-27T01:00:00Z"), ("error", "2026-11-27T13:00:00Z")]);
    let points = day.by_the_zone(&state);
    assert_eq!(points[0].count, Count::Events(2), "also what was before `from`");
}

#[test]
fn a_day_of_25_hours_has_25_of_them_and_is_one_day() {
    let berlin = "Europe/Berlin";
    let late = "2026-10-25T22:30:00Z";
    let hours = parse_in(berlin, late, "hours=24&interval=1h").unwrap();
    assert_eq!(hours.to, at("2026-10-25T23:00:00Z"));
    assert_eq!(hours.to - hours.from, DAY);
    let day = parse_in(berlin, late, "hours=24&interval=1d").unwrap();
    assert_eq!(day.to - day.from, 25 * HOUR);
}

#[test]
fn revenue_has_its_exact_digits() {
    let state = state("UTC", &[("purchase", "2026-11-27T14:00:10Z")]);
    let query = parse("metric=revenue&from=2026-11-27T15:00:10+01:00&interval=1s").unwrap();
    assert_eq!(query.from, at("2026-11-27T14:00:10Z"));
    let (start, totals) = &state.range(query.from, query.to, SECOND)[0];
    let json = serde_json::to_string(&query.point(*start, totals)).unwrap();
    assert_eq!(json, r#"{"timestamp":1795788010000,"count":19.99}"#);
}

#[test]
fn from_and_to_may_be_given() {
    let query = parse("from=2026-11-27T10:00:30Z&to=2026-11-27T11:00:00Z").unwrap();
    assert_eq!(query.from, at("2026-11-27T10:00:00Z"));
    assert_eq!(query.to, at("2026-11-27T11:00:00Z"));
    let query = parse("to=2026-11-27T11:00:00Z&hours=0.5").unwrap();
    assert_eq!(query.from, at("2026-11-27T10:30:00Z"));
    let query = parse("from=2026-11-27T10:00:00Z&hours=2").unwrap();
    assert_eq!(query.to, at("2026-11-27T12:00:00Z"));
    let query = parse("from=2026-11-27T13:59:00Z&to=2026-11-27T20:00:00Z").unwrap();
    assert_eq!(query.to, at("2026-11-27T14:01:00Z"));
}

#[test]
fn never_more_than_is_kept() {
    for (text, most) in [
        ("hours=24", 1440),
        ("hours=1&interval=1s", 3600),
        ("hours=24&interval=1h", 24),
        ("from=2026-11-26T14:00:30Z", 1441),
    ] {
        let query = parse(text).unwrap();
        let buckets = (query.to - query.from) / query.interval.nominal();
        assert_eq!(buckets, most, "{text}");
    }
}

#[test]
fn which_events_has_to_be_said() {
    let error = Query::parse("hours=1", at(NOW), &zone("UTC")).unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (400, "invalid_parameter"));
}

#[test]
fn an_error_names_the_parameter() {
    for (text, name) in [
        ("type=", "type"),
        ("type=a&type=b", "type"),
        ("type=a%00b", "type"),
        ("metric=money", "metric"),
        ("type=error&metric=errors", "metric"),
        ("hours=0", "hours"),
        ("hours=-1", "hours"),
        ("hours=25", "hours"),
        ("hours=NaN", "hours"),
        ("hours=1e99", "hours"),
        ("hours=1.5&interval=1s", "hours"),
        ("hours=48&interval=1d", "hours"),
        ("interval=1d&from=2026-11-25T10:00:00Z", "from"),
        ("hours=1&hours=2", "hours"),
        ("from=yesterday", "from"),
        ("from=-1", "from"),
        ("from=99999999999999999", "from"),
        ("from=2026-11-01T00:00:00Z", "from"),
        ("interval=1s&from=2026-11-27T10:00:00Z", "from"),
        ("from=2027-01-01T00:00:00Z", "from"),
        ("from=2026-11-27T12:00:00Z&to=2026-11-27T11:00:00Z", "from"),
        ("to=0", "to"),
        ("to=x", "to"),
        ("interval=5m", "interval"),
        ("hours=1&from=2026-11-27T12:00:00Z&to=2026-11-27T13:00:00Z", "hours"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.status, 400, "{text}");
        assert!(error.message.starts_with(name), "{text}: {}", error.message);
    }
}
