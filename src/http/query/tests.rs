//! What a query asks for, and which buckets answer it.

use super::*;
use crate::{
    config::Config,
    domain::{
        occasion::Occasions,
        time::{DAY, parse_rfc3339},
    },
};

const NOW: &str = "2026-11-27T14:00:30Z";

fn at(text: &str) -> Millis {
    parse_rfc3339(text).unwrap()
}

fn zone(name: &str) -> BusinessZone {
    BusinessZone::named(name).unwrap()
}

fn parse(text: &str) -> Result<SeriesQuery, ApiError> {
    parse_in("UTC", NOW, text)
}

/// Parses a query. Most tests are about its span of time, so it asks for all events unless the
/// test says otherwise.
fn parse_in(zone_name: &str, now: &str, text: &str) -> Result<SeriesQuery, ApiError> {
    let names_events = text.contains("type=") || text.contains("metric=");
    let metric = if names_events { "" } else { "metric=events&" };
    let metric_set = Config::default().rules.metric_set;
    let asked = {
        let occasions = Occasions::default();
        super::parse(&format!("{metric}{text}"), at(now), &zone(zone_name), &metric_set, &occasions)
    };
    asked.map(|mut asked| asked.queries.remove(0))
}

#[test]
fn an_hour_is_60_minutes_ending_with_the_one_in_progress() {
    let query = parse("type=page_view&hours=1&token=secret").unwrap();
    assert_eq!(query.what, What::Type("page_view".into()));
    assert_eq!(query.to, at("2026-11-27T14:01:00Z"));
    assert_eq!(query.from, at("2026-11-27T13:01:00Z"));
    assert_eq!(parse("type=page_view").unwrap(), query);
    assert_eq!(query.starts(&zone("UTC")).len(), 61);
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
    assert_eq!(day.to, at("2026-11-27T18:30:00Z"));
    let both = format!("interval=1d&from={}", at("2026-11-26T15:00:00Z"));
    let days = parse_in(india, NOW, &both).unwrap().starts(&zone(india));
    assert_eq!(days, [at("2026-11-25T18:30:00Z"), day.from, day.to]);
}

#[test]
fn weeks_months_quarters_and_dates_are_the_business_zones() {
    let berlin = "Europe/Berlin";
    for (text, from, to) in [
        (
            "from=2026-11-01&to=2026-11-02&interval=1d",
            "2026-10-31T23:00:00Z",
            "2026-11-02T23:00:00Z",
        ),
        ("from=2026-11-27", "2026-11-26T23:00:00Z", "2026-11-27T14:01:00Z"),
        ("interval=1w&hours=168", "2026-11-22T23:00:00Z", "2026-11-29T23:00:00Z"),
        ("interval=1mo&from=2026-10-10", "2026-09-30T22:00:00Z", "2026-11-30T23:00:00Z"),
        ("interval=5m&hours=1", "2026-11-27T13:05:00Z", "2026-11-27T14:05:00Z"),
        ("interval=15m&hours=1", "2026-11-27T13:15:00Z", "2026-11-27T14:15:00Z"),
    ] {
        let query = parse_in(berlin, NOW, text).unwrap();
        assert_eq!((query.from, query.to), (at(from), at(to)), "{text}");
    }
    let months = parse_in(berlin, NOW, "interval=1mo&from=2026-10-10").unwrap();
    assert_eq!(months.starts(&zone(berlin)).len(), 3);
}

#[test]
fn the_first_bucket_is_whole() {
    // `from` moves back to the start of its hour or day, also where only the rollups have it.
    let query = parse("interval=1h&from=2026-11-27T10:40:00Z").unwrap();
    assert_eq!(query.from, at("2026-11-27T10:00:00Z"));
    let query = parse("interval=1d&from=2026-11-02T10:40:00Z").unwrap();
    assert_eq!(query.from, at("2026-11-02T00:00:00Z"));
    // By the second it moves forward to the first second that the mirror has as a whole.
    let query = parse("interval=1s&from=2026-11-27T13:00:29.5Z").unwrap();
    assert_eq!(query.from, at("2026-11-27T13:00:30Z"));
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
fn a_metric_has_the_name_of_the_configuration_or_of_current() {
    for (text, name) in [
        ("metric=net_revenue", "net_revenue"),
        ("metric=pageViews", "page_views"),
        ("metric=checkoutErrorRate", "checkout_error_rate"),
    ] {
        assert_eq!(parse(text).unwrap().what, What::Metric(name.into()));
    }
    let error = parse("metric=conversion").unwrap_err();
    assert!(error.message.contains("finer than what is kept of conversion"), "{}", error.message);
    assert_eq!(
        parse("metric=conversion&interval=15m").unwrap().what,
        What::Metric("conversion".into())
    );
    assert_eq!(parse("metric=activeUsers").unwrap().what, What::ActiveUsers);
    let error = parse("metric=active_users&interval=1s").unwrap_err();
    assert!(error.message.contains("ask for 1m or wider"), "{}", error.message);
}

#[test]
fn a_baseline_is_of_another_day() {
    let query = parse("metric=errors&baseline=last_week").unwrap();
    assert_eq!(query.baseline, Some(Shift::LastWeek));
    assert_eq!(query.from, parse("metric=errors").unwrap().from);
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
fn as_many_buckets_as_are_asked_for() {
    for (text, most) in [
        ("hours=24", 1440),
        ("hours=1&interval=1s", 3600),
        ("hours=24&interval=1h", 24),
        ("from=2026-11-26T14:00:30Z", 1441),
        ("hours=240&interval=1h", 240),
        ("from=2025-11-27T00:00:00Z&interval=1d", 366),
    ] {
        let query = parse(text).unwrap();
        let buckets = (query.to - query.from) / query.interval.nominal();
        assert_eq!(buckets, most, "{text}");
    }
}

#[test]
fn which_events_has_to_be_said() {
    let error = super::parse(
        "hours=1",
        at(NOW),
        &zone("UTC"),
        &MetricSet::default(),
        &Occasions::default(),
    )
    .unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (400, "invalid_parameter"));
}

#[test]
fn a_baseline_is_another_day_or_a_date() {
    let of = |text: &str| parse_in("Europe/Berlin", NOW, text).unwrap().baseline;
    assert_eq!(of("baseline=last_year"), Some(Shift::LastYear));
    assert_eq!(of("baseline=2025-11-28"), Some(Shift::Days(364)));
    assert_eq!(of("baseline=last_hour"), Some(Shift::Elapsed(HOUR)));
    // What counts is the day on which the span begins, by the clock of the zone.
    assert_eq!(of("from=2026-11-26&to=2026-11-27&baseline=2025-11-27"), Some(Shift::Days(364)));
    assert_eq!(
        of("from=2026-11-25T23:30:00Z&to=2026-11-26&baseline=2025-11-27"),
        Some(Shift::Days(364))
    );
}

#[test]
fn several_metrics_have_the_same_buckets() {
    let metric_set = Config::default().rules.metric_set;
    let of =
        |text: &str| super::parse(text, at(NOW), &zone("UTC"), &metric_set, &Occasions::default());
    let asked = of("metric=revenue,page_views,netRevenue&hours=2").unwrap();
    let names = ["revenue", "page_views", "net_revenue"].map(|name| What::Metric(name.into()));
    let found: Vec<_> = asked.queries.iter().map(|query| query.what.clone()).collect();
    assert!(asked.is_list && found == names);
    assert!(
        asked
            .queries
            .iter()
            .all(|query| (query.from, query.to) == (asked.queries[0].from, asked.queries[0].to))
    );
    assert!(!of("metric=revenue").unwrap().is_list);
    for wrong in [
        "metric=revenue,revenue",
        "metric=net_revenue,netRevenue",
        "metric=revenue,",
        "metric=revenue,money",
    ] {
        assert!(of(wrong).unwrap_err().message.starts_with("metric"), "{wrong}");
    }
    // The interval has to be kept of each metric.
    let asked = of("metric=revenue,sessions,activeUsers&interval=15m").unwrap();
    assert_eq!(asked.queries[2].what, What::ActiveUsers);
    let refused = of("metric=revenue,sessions&interval=5m").unwrap_err().message;
    assert!(refused.contains("kept of sessions: ask for 15m or wider"), "{refused}");
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
        ("hours=84", "hours"),
        ("hours=NaN", "hours"),
        ("hours=1e99", "hours"),
        ("hours=1.5&interval=1s", "hours"),
        ("baseline=tomorrow", "baseline"),
        ("baseline=yesterday&interval=1s", "baseline"),
        ("baseline=2026-11-27", "baseline"),
        ("baseline=2026-12-24", "baseline"),
        ("baseline=2025-02-29", "baseline"),
        ("from=2026-11-01T00:00:00Z", "interval"),
        ("hours=1&hours=2", "hours"),
        ("from=yesterday", "from"),
        ("from=-1", "from"),
        ("from=99999999999999999", "from"),
        ("interval=1s&from=2026-11-27T10:00:00Z", "from"),
        ("from=2027-01-01T00:00:00Z", "from"),
        ("from=2026-11-27T12:00:00Z&to=2026-11-27T11:00:00Z", "from"),
        ("to=0", "to"),
        ("to=2026-11-27T10:00:00Z&interval=1s", "to"),
        ("to=x", "to"),
        ("interval=7m", "interval"),
        ("from=2026-02-30", "from"),
        ("to=2026-11-27T10", "to"),
        ("hours=1&from=2026-11-27T12:00:00Z&to=2026-11-27T13:00:00Z", "hours"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.status, 400, "{text}");
        assert!(error.message.starts_with(name), "{text}: {}", error.message);
    }
}
