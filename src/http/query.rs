//! `GET /api/analytics/current` and `/timeseries`: reads of the mirror.
//!
//! A time series is made of whole buckets, oldest first, empty ones included: `from` is taken
//! down to the start of its bucket, or up to the first one of which everything is kept. Without
//! `from` and `to` it ends with the bucket in progress, so `hours=1` is 60 minutes. Hours and
//! days are the business zone's.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    broadcast::LiveView,
    domain::{
        money::Amount,
        time::{
            BusinessZone, DAY, HOUR, MAX_FUTURE, MINUTE, Millis, SECOND, bucket, parse_rfc3339,
        },
    },
    http::{auth::Keys, error::ApiError},
    live::state::{LiveState, MINUTES_KEPT, SECONDS_KEPT, Totals},
};

/// The longest event type.
const MAX_TYPE_CHARS: usize = 64;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/analytics/current", web::get().to(current))
        .route("/api/analytics/timeseries", web::get().to(timeseries));
}

async fn current(
    request: HttpRequest,
    keys: web::Data<Keys>,
    view: web::Data<LiveView>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    Ok(no_store().json(view.current()))
}

async fn timeseries(
    request: HttpRequest,
    keys: web::Data<Keys>,
    view: web::Data<LiveView>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    let query = Query::parse(request.query_string(), view.now(), view.zone())?;
    Ok(no_store().json(query.answer(&view)))
}

fn no_store() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    response
}

/// One entry of a time series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Where the bucket starts, Unix ms.
    pub timestamp: Millis,
    /// What was counted in it.
    pub count: Count,
}

/// A number of events, or money with its exact digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Count {
    /// Events.
    Events(u64),
    /// Money.
    Money(Amount),
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Type(String),
    Events,
    Revenue,
}

impl What {
    fn of(&self, totals: &Totals) -> Count {
        match self {
            What::Type(kind) => Count::Events(totals.count(kind)),
            What::Events => Count::Events(totals.events()),
            What::Revenue => Count::Money(totals.revenue()),
        }
    }
}

/// The width of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interval {
    Second,
    Minute,
    /// Of the business zone: counted from the start of its day.
    Hour,
    /// Of the business zone.
    Day,
}

impl Interval {
    /// The bucket that a moment falls into: start and end.
    fn around(self, at: Millis, zone: &BusinessZone) -> (Millis, Millis) {
        let even = |width| (bucket(at, width), bucket(at, width) + width);
        match self {
            Interval::Second => even(SECOND),
            Interval::Minute => even(MINUTE),
            Interval::Hour => {
                let day = zone.day_of(at);
                let start = day.start + bucket(at - day.start, HOUR);
                (start, (start + HOUR).min(day.end))
            }
            Interval::Day => {
                let day = zone.day_of(at);
                (day.start, day.end)
            }
        }
    }

    fn nominal(self) -> Millis {
        match self {
            Interval::Second => SECOND,
            Interval::Minute => MINUTE,
            Interval::Hour => HOUR,
            Interval::Day => DAY,
        }
    }

    /// The start of the oldest bucket of which everything is kept.
    fn oldest(self, now: Millis, zone: &BusinessZone) -> Millis {
        let kept = match self {
            Interval::Second => now - SECONDS_KEPT,
            Interval::Minute => return bucket(now - MINUTES_KEPT, MINUTE),
            Interval::Hour => now - MINUTES_KEPT,
            // Yesterday's sum is whole only where the server has run since it began.
            Interval::Day => return zone.day_of(now).start,
        };
        match self.around(kept, zone) {
            (start, _) if start == kept => start,
            (_, end) => end,
        }
    }

    /// The longest span of `hours`, and why.
    fn longest(self) -> (f64, &'static str) {
        match self {
            Interval::Second => {
                (1.0, "is a number above 0 and up to 1: seconds are kept for 1 hour")
            }
            _ => (24.0, "is a number above 0 and up to 24: minutes are kept for 24 hours"),
        }
    }
}

/// A checked query: buckets from the one at `from` to the one that ends at `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Query {
    what: What,
    interval: Interval,
    from: Millis,
    to: Millis,
}

impl Query {
    fn parse(text: &str, now: Millis, zone: &BusinessZone) -> Result<Query, ApiError> {
        let given = Given::parse(text)?;
        let interval = match given.interval.as_deref() {
            None | Some("1m") => Interval::Minute,
            Some("1s") => Interval::Second,
            Some("1h") => Interval::Hour,
            Some("1d") => Interval::Day,
            Some(other) => return Err(wrong("interval", other, "is one of 1s, 1m, 1h, 1d")),
        };
        let (from, to) = given.range(interval, now, zone)?;
        Ok(Query { what: given.what()?, interval, from, to })
    }

    fn answer(&self, view: &LiveView) -> Vec<Point> {
        let state = view.state();
        match self.interval {
            // Buckets of one width: one walk.
            Interval::Second | Interval::Minute => state
                .range(self.from, self.to, self.interval.nominal())
                .iter()
                .map(|(start, totals)| self.point(*start, totals))
                .collect(),
            Interval::Hour | Interval::Day => self.by_the_zone(&state),
        }
    }

    fn by_the_zone(&self, state: &LiveState) -> Vec<Point> {
        let mut points = Vec::new();
        let mut start = self.from;
        while start < self.to {
            let (_, end) = self.interval.around(start, state.zone());
            let totals = match self.interval {
                Interval::Day => state.today(start).1,
                _ => state.range(start, end, end - start).remove(0).1,
            };
            points.push(self.point(start, &totals));
            start = end;
        }
        points
    }

    fn point(&self, timestamp: Millis, totals: &Totals) -> Point {
        Point { timestamp, count: self.what.of(totals) }
    }
}

/// The parameters as they came.
#[derive(Default)]
struct Given {
    kind: Option<String>,
    metric: Option<String>,
    hours: Option<String>,
    from: Option<String>,
    to: Option<String>,
    interval: Option<String>,
}

impl Given {
    fn parse(text: &str) -> Result<Given, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
            .map_err(|error| ApiError::bad_request("invalid_query", error.to_string()))?;
        let mut given = Given::default();
        for (name, value) in pairs.into_inner() {
            let slot = match name.as_str() {
                "type" => &mut given.kind,
                "metric" => &mut given.metric,
                "hours" => &mut given.hours,
                "from" => &mut given.from,
                "to" => &mut given.to,
                "interval" => &mut given.interval,
                // Somebody else's, `token` above all.
                _ => continue,
            };
            if slot.replace(value).is_some() {
                let message = format!("{name} is given twice");
                return Err(ApiError::bad_request("invalid_parameter", message));
            }
        }
        Ok(given)
    }

    fn what(&self) -> Result<What, ApiError> {
        let kind = |kind: &str| What::Type(kind.to_owned());
        match (self.kind.as_deref(), self.metric.as_deref()) {
            (Some(_), Some(metric)) => {
                Err(wrong("metric", metric, "can't be given together with type"))
            }
            (Some(name), None) if is_type(name) => Ok(kind(name)),
            (Some(name), None) => {
                Err(wrong("type", name, "is 1 to 64 characters of A-Z a-z 0-9 _ . : - or space"))
            }
            (None, None) => Err(ApiError::bad_request(
                "invalid_parameter",
                "type: which events? type=page_view, or metric=revenue",
            )),
            (None, Some("events")) => Ok(What::Events),
            (None, Some("pageViews")) => Ok(kind("page_view")),
            (None, Some("purchases")) => Ok(kind("purchase")),
            (None, Some("errors")) => Ok(kind("error")),
            (None, Some("signups")) => Ok(kind("signup")),
            (None, Some("revenue")) => Ok(What::Revenue),
            (None, Some(other)) => Err(wrong(
                "metric",
                other,
                "is one of pageViews, purchases, errors, signups, events, revenue",
            )),
        }
    }

    /// First bucket's start, last bucket's end.
    fn range(
        &self,
        interval: Interval,
        now: Millis,
        zone: &BusinessZone,
    ) -> Result<(Millis, Millis), ApiError> {
        let hours = self.hours.as_deref().map(|text| span(text, interval)).transpose()?;
        let from = self.from.as_deref().map(|text| moment("from", text));
        let to = self.to.as_deref().map(|text| moment("to", text));
        let (from, to) = (from.transpose()?, to.transpose()?);

        let in_progress = interval.around(now, zone).1;
        let end = match (from, to, hours) {
            (Some(_), Some(_), Some(_)) => {
                let text = self.hours.as_deref().unwrap_or_default();
                return Err(wrong("hours", text, "can't be given together with from and to"));
            }
            (_, Some(to), _) => to,
            (Some(from), None, Some(span)) => from + span,
            _ => in_progress,
        };
        // Whole buckets only: the one that `end` cuts is shown whole.
        let end = interval.around(end.min(in_progress) - 1, zone).1;
        let oldest = interval.oldest(now, zone);
        let Some(from) = from else {
            let span = hours.unwrap_or(HOUR);
            let start = steps_back(interval, end, span, zone).max(oldest);
            if start >= end {
                let text = self.to.as_deref().unwrap_or_default();
                return Err(wrong("to", text, "is too long ago: nothing is kept from then"));
            }
            return Ok((start, end));
        };
        // A client's clock may run a little behind ours.
        if from < oldest - MAX_FUTURE - interval.nominal() {
            let message = match interval {
                Interval::Second => "is too long ago: seconds are kept for 1 hour",
                Interval::Minute | Interval::Hour => {
                    "is too long ago: minutes are kept for 24 hours"
                }
                Interval::Day => "is too long ago: only today is kept whole",
            };
            return Err(wrong("from", self.from.as_deref().unwrap_or_default(), message));
        }
        let start = interval.around(from, zone).0.max(oldest);
        if start >= end || to.is_some_and(|to| from >= to) {
            let text = self.from.as_deref().unwrap_or_default();
            return Err(wrong("from", text, "must lie before to, and not in the future"));
        }
        Ok((start, end))
    }
}

/// The start of the first of as many buckets as make up `span`, the last of which ends at
/// `end`.
fn steps_back(interval: Interval, end: Millis, span: Millis, zone: &BusinessZone) -> Millis {
    let buckets = (span + interval.nominal() - 1) / interval.nominal();
    match interval {
        Interval::Second | Interval::Minute => end - buckets * interval.nominal(),
        Interval::Hour | Interval::Day => {
            (0..buckets).fold(end, |end, _| interval.around(end - 1, zone).0)
        }
    }
}

fn span(text: &str, interval: Interval) -> Result<Millis, ApiError> {
    let hours = text.parse::<f64>().unwrap_or(f64::NAN);
    let (longest, rule) = interval.longest();
    if !(hours > 0.0 && hours <= longest) {
        return Err(wrong("hours", text, rule));
    }
    Ok(((hours * HOUR as f64) as Millis).max(1))
}

/// Unix ms or RFC 3339, whose `+` a query string turns into a space.
fn moment(name: &str, text: &str) -> Result<Millis, ApiError> {
    let at = match text.parse::<u64>() {
        Ok(ms) => Millis::try_from(ms).ok(),
        Err(_) => parse_rfc3339(&text.replace(' ', "+")),
    };
    at.filter(|at| *at <= crate::domain::time::LATEST)
        .ok_or_else(|| wrong(name, text, "is Unix milliseconds or RFC 3339"))
}

fn is_type(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_.:- ".contains(&b);
    (1..=MAX_TYPE_CHARS).contains(&name.len()) && name.bytes().all(known)
}

fn wrong(name: &str, value: &str, rule: &str) -> ApiError {
    // What is echoed has a limit, too.
    let value: String = value.chars().take(MAX_TYPE_CHARS).collect();
    ApiError::bad_request("invalid_parameter", format!("{name}={value:?}: {name} {rule}"))
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
