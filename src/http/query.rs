//! `GET /api/analytics/current` and `/timeseries`: what was counted, from the mirror; what is
//! older than the mirror's minutes, from the rollups.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::{
    broadcast::LiveView,
    domain::{
        delta::Series,
        money::Amount,
        time::{DAY, HOUR, MINUTE, Millis, SECOND, bucket, parse_rfc3339},
    },
    http::{auth::Keys, error::ApiError, history::History},
    live::{
        baseline::Shift,
        state::{MINUTES_KEPT, SECONDS_KEPT, Totals},
    },
    store::rollup::Summed,
};

/// Points of one answer.
const MAX_POINTS: Millis = 5000;

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
    Ok(HttpResponse::Ok().json(view.current()))
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "type")]
    kind: Option<String>,
    metric: Option<String>,
    hours: Option<String>,
    from: Option<String>,
    to: Option<String>,
    interval: Option<String>,
    baseline: Option<String>,
}

/// One point: how much in the bucket that starts at `timestamp` (Unix ms). `None`, where a
/// baseline is not known.
#[derive(Serialize)]
struct Point {
    timestamp: Millis,
    count: Option<Value>,
}

/// A number of events, or an exact amount.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Count(u64),
    Amount(Amount),
}

/// What is asked for.
enum Measure {
    Type(String),
    Events,
    Revenue,
}

impl Measure {
    fn of(&self, totals: &Totals) -> i64 {
        match self {
            Measure::Type(kind) => totals.count(kind) as i64,
            Measure::Events => totals.events() as i64,
            Measure::Revenue => totals.revenue().0,
        }
    }

    fn value(&self, sum: i64) -> Value {
        match self {
            Measure::Revenue => Value::Amount(Amount(sum)),
            Measure::Type(_) | Measure::Events => Value::Count(sum as u64),
        }
    }

    /// What it is in the rollups.
    fn summed(&self) -> Summed {
        match self {
            Measure::Type(kind) => Summed::One(Series::Count(kind.clone())),
            Measure::Events => Summed::AllCounts,
            Measure::Revenue => Summed::One(Series::revenue()),
        }
    }
}

async fn timeseries(
    request: HttpRequest,
    keys: web::Data<Keys>,
    view: web::Data<LiveView>,
    history: web::Data<History>,
    parameters: web::Query<Parameters>,
) -> Result<HttpResponse, ApiError> {
    keys.check_view(&request)?;
    let measure = measure(&parameters)?;
    let now = view.now();
    let width = width(&parameters)?;
    let (from, to) = span(&parameters, now, width)?;
    let starts = starts(&view, from, to, width)?;
    let point = |start: Millis, sum: Option<i64>| Point {
        timestamp: start,
        count: sum.map(|sum| measure.value(sum)),
    };
    if let Some(shift) = baseline(&parameters, width)? {
        let sums = history.baseline(view.zone(), shift, &measure.summed(), &starts).await?;
        let points: Vec<Point> =
            starts.iter().zip(sums).map(|(start, sum)| point(*start, sum)).collect();
        return Ok(HttpResponse::Ok().json(points));
    }
    // The oldest minute that the mirror has as a whole.
    let mirrored = bucket(now - MINUTES_KEPT, MINUTE) + MINUTE;
    let old = history.before(mirrored, &measure.summed(), &starts).await?;
    let state = view.state();
    let points: Vec<Point> = starts
        .windows(2)
        .zip(old)
        .map(|(pair, old)| {
            let totals = state.range(pair[0].max(mirrored), pair[1], pair[1] - pair[0]);
            let sum = totals.into_iter().fold(Totals::default(), |mut sum, (_, totals)| {
                sum.merge(&totals);
                sum
            });
            point(pair[0], Some(old.saturating_add(measure.of(&sum))))
        })
        .collect();
    Ok(HttpResponse::Ok().json(points))
}

fn baseline(parameters: &Parameters, width: Millis) -> Result<Option<Shift>, ApiError> {
    let shift = match parameters.baseline.as_deref() {
        None => return Ok(None),
        Some("yesterday") => Shift::Yesterday,
        Some("last_week") => Shift::LastWeek,
        Some(_) => return Err(invalid("baseline", "must be yesterday or last_week")),
    };
    if width < MINUTE {
        return Err(invalid("baseline", "is kept by minute; ask for interval=1m"));
    }
    Ok(Some(shift))
}

fn measure(parameters: &Parameters) -> Result<Measure, ApiError> {
    let kind = |kind: &str| Ok(Measure::Type(kind.to_owned()));
    match (&parameters.kind, parameters.metric.as_deref()) {
        (Some(_), Some(_)) => Err(invalid("type", "give type or metric, not both")),
        (Some(name), None) => kind(name),
        (None, None) => Err(invalid("type", "which events? type=page_view, or metric=revenue")),
        (None, Some("pageViews")) => kind("page_view"),
        (None, Some("purchases")) => kind("purchase"),
        (None, Some("errors")) => kind("error"),
        (None, Some("signups")) => kind("signup"),
        (None, Some("events")) => Ok(Measure::Events),
        (None, Some("revenue")) => Ok(Measure::Revenue),
        (None, Some(_)) => Err(invalid(
            "metric",
            "must be pageViews, purchases, revenue, errors, signups or events",
        )),
    }
}

fn width(parameters: &Parameters) -> Result<Millis, ApiError> {
    match parameters.interval.as_deref() {
        None | Some("1m") => Ok(MINUTE),
        Some("1s") => Ok(SECOND),
        Some("1h") => Ok(HOUR),
        Some("1d") => Ok(DAY),
        Some(_) => Err(invalid("interval", "must be 1s, 1m, 1h or 1d")),
    }
}

/// From and to, Unix ms. Without `to`, up to and with the bucket in progress.
fn span(parameters: &Parameters, now: Millis, width: Millis) -> Result<(Millis, Millis), ApiError> {
    let moment = |name, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => match text.parse().ok().or_else(|| parse_rfc3339(text)) {
            Some(at) if (0..=now + DAY).contains(&at) => Ok(Some(at)),
            _ => Err(invalid(name, "must be Unix milliseconds or RFC 3339, not in the far future")),
        },
    };
    let hours = match parameters.hours.as_deref().map(str::parse::<f64>) {
        None => 1.0,
        Some(Ok(hours)) if hours > 0.0 && hours <= 24.0 => hours,
        Some(_) => return Err(invalid("hours", "must be above 0 and at most 24")),
    };
    let last = match width {
        DAY | HOUR => bucket(now, MINUTE) + MINUTE,
        width => bucket(now, width) + width,
    };
    let to = moment("to", &parameters.to)?.unwrap_or(last);
    let from = moment("from", &parameters.from)?.unwrap_or(to - (hours * HOUR as f64) as Millis);
    if from >= to {
        return Err(invalid("from", "must be before to"));
    }
    if width == SECOND && from < now - SECONDS_KEPT - MINUTE {
        return Err(invalid("from", "seconds are kept for one hour; ask for interval=1m"));
    }
    Ok((from, to))
}

/// Where the buckets start, and at last where the last one ends. Hours and days are the
/// business zone's.
fn starts(
    view: &LiveView,
    from: Millis,
    to: Millis,
    width: Millis,
) -> Result<Vec<Millis>, ApiError> {
    if (to - from) / width > MAX_POINTS {
        return Err(invalid(
            "interval",
            "too many points; ask for a shorter span or wider buckets",
        ));
    }
    let zone = view.zone();
    let mut start = match width {
        DAY => zone.day_of(from).start,
        HOUR => {
            let day = zone.day_of(from).start;
            day + bucket(from - day, HOUR)
        }
        width => bucket(from, width),
    };
    let mut starts = vec![start];
    while start < to {
        start = if width == DAY { zone.day_of(start).end } else { start + width };
        starts.push(start);
    }
    Ok(starts)
}

fn invalid(parameter: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{parameter}: {message}"))
}
