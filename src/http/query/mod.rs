//! Reads query strings: [`read`] for the parameters of any route, [`parse`] for what
//! `GET /api/analytics/timeseries` asks for.
//!
//! A time series is made of whole buckets, oldest first, empty ones included. `from` is moved back
//! to the start of its bucket, or forward to the first bucket of which everything is kept. Without
//! `from` and `to` the series ends with the bucket in progress, so `hours=1` is 60 minutes. Hours
//! and days are those of the business time zone.

use actix_web::web;

use crate::{
    domain::{
        aggregate::OVERFLOW,
        delta::QUARTER_HOUR,
        event::{MAX_TYPE, is_type},
        metric::MetricSet,
        occasion::Occasions,
        time::{BusinessDay, BusinessZone, HOUR, LATEST, MAX_FUTURE, Millis, parse_rfc3339},
    },
    http::error::ApiError,
    numbers::{Interval, SeriesQuery, Shift, What},
};

/// The most buckets that one answer may have.
const MAX_POINTS: Millis = 5000;

/// What the visitors of a bucket are asked for by, unless a metric has that name.
pub(super) const ACTIVE_USERS: &str = "active_users";

/// The most metrics of one answer.
const MAX_METRICS: usize = 20;

/// The parameters of a time series.
pub const PARAMETERS: [&str; 8] =
    ["type", "metric", "hours", "from", "to", "interval", "baseline", "format"];

/// What a query for time series asks for.
#[derive(Debug)]
pub struct SeriesAsked {
    /// One for each metric, over the same buckets.
    pub queries: Vec<SeriesQuery>,
    /// Whether the query names several metrics.
    pub is_list: bool,
    /// The parameter `format`.
    pub format: Option<String>,
}

/// Reads the query string of a time series.
///
/// # Errors
/// 400 that names the parameter and the rule that it breaks.
pub fn parse(
    text: &str,
    now: Millis,
    zone: &BusinessZone,
    metric_set: &MetricSet,
    occasions: &Occasions,
) -> Result<SeriesAsked, ApiError> {
    let [kind, metric, hours, from, to, interval, baseline, format] = read(text, &PARAMETERS)?;
    let given = Given { kind, metric, hours, from, to, interval, baseline };
    let interval = match given.interval.as_deref() {
        None => Interval::Minute,
        Some(text) => match Interval::NAMED.iter().find(|(name, _)| *name == text) {
            Some((_, interval)) => *interval,
            None => {
                let names = Interval::NAMED.map(|(name, _)| name).join(", ");
                return Err(wrong("interval", text, &format!("is one of {names}")));
            }
        },
    };
    let (from, to) = given.range(interval, now, zone)?;
    if (to - from) / interval.nominal() > MAX_POINTS {
        let rule = format!("makes more than {MAX_POINTS} points of this span; ask for wider ones");
        return Err(wrong("interval", given.interval.as_deref().unwrap_or("1m"), &rule));
    }
    let baseline = given.baseline(interval, (from, to), zone, occasions)?;
    let query = |what| SeriesQuery { what, interval, from, to, baseline };
    let is_list = given.metric.as_ref().is_some_and(|names| names.contains(','));
    let queries = given.what(metric_set, interval)?.into_iter().map(query).collect();
    Ok(SeriesAsked { queries, is_list, format })
}

/// The parameters of a query string that have these names, in the order of the names. Any other is not
/// the route's own (`token`, above all), and is passed over.
///
/// Routes read their parameters here rather than by an extractor of actix, which would refuse them
/// in plain text.
///
/// # Errors
/// 400 where a parameter is given twice: `invalid_parameter`.
pub(super) fn read<const N: usize>(
    text: &str,
    names: &[&str; N],
) -> Result<[Option<String>; N], ApiError> {
    let mut values = [const { None }; N];
    let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|error| ApiError::bad_request("invalid_query", error.to_string()))?;
    for (name, value) in pairs.into_inner() {
        if let Some(at) = names.iter().position(|known| *known == name)
            && values[at].replace(value).is_some()
        {
            let message = format!("{name} is given twice");
            return Err(ApiError::bad_request("invalid_parameter", message));
        }
    }
    Ok(values)
}

/// A parameter that is part of who asks, and so of every route.
const TOKEN: &str = "token";

/// Parameters whose names begin alike, without that beginning, and their values.
type Prefixed = Vec<(String, String)>;

/// As [`read`], but any other parameter is refused: one that is misspelt would let all events pass. Those whose
/// names begin with `prefix` are given without it, in their order, and may come several times.
///
/// # Errors
/// 400 `invalid_parameter`.
pub(super) fn read_exactly<const N: usize>(
    text: &str,
    names: &[&str; N],
    prefix: Option<&str>,
) -> Result<([Option<String>; N], Prefixed), ApiError> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|error| ApiError::bad_request("invalid_query", error.to_string()))?;
    let mut prefixed = Vec::new();
    for (name, value) in pairs.into_inner() {
        let rest = prefix.and_then(|prefix| name.strip_prefix(prefix));
        if value.contains('\0') {
            return Err(wrong(&name, &value, "has no character NUL"));
        }
        match rest {
            Some(rest) => prefixed.push((rest.to_owned(), value)),
            None if name == TOKEN || names.contains(&name.as_str()) => {}
            None => {
                let rule = format!("is not known here; there are {}", names.join(", "));
                return Err(wrong(&name, &value, &rule));
            }
        }
    }
    Ok((read(text, names)?, prefixed))
}

/// The parameters of a time series as they came.
struct Given {
    kind: Option<String>,
    metric: Option<String>,
    hours: Option<String>,
    from: Option<String>,
    to: Option<String>,
    interval: Option<String>,
    baseline: Option<String>,
}

impl Given {
    /// What the values of a span are compared with.
    fn baseline(
        &self,
        interval: Interval,
        (from, to): (Millis, Millis),
        zone: &BusinessZone,
        occasions: &Occasions,
    ) -> Result<Option<Shift>, ApiError> {
        let Some(text) = self.baseline.as_deref() else { return Ok(None) };
        if interval == Interval::Second {
            return Err(wrong("baseline", text, "is kept by minute; ask for interval=1m"));
        }
        if let Some(occasion) = occasions.named(text) {
            let rule = "does not lie before the span";
            let alignment = occasions.align(occasion, (from, to), zone);
            return alignment
                .map(|it| Some(Shift::aligned(it)))
                .ok_or_else(|| wrong("baseline", text, rule));
        }
        Ok(Some(match text {
            "last_hour" if interval.nominal() <= HOUR => Shift::Elapsed(HOUR),
            "last_hour" => return Err(wrong("baseline", text, "is for buckets of up to an hour")),
            "yesterday" => Shift::Yesterday,
            "last_week" => Shift::LastWeek,
            "last_year" => Shift::LastYear,
            date => {
                let rule = "is last_hour, yesterday, last_week, last_year, an occasion, or a date before the span";
                let day = zone.day_named(date).ok_or_else(|| wrong("baseline", date, rule))?;
                let days = day.date.until(zone.day_of(from).date).map(|span| span.get_days());
                match days.ok().and_then(|days| u16::try_from(days).ok()) {
                    Some(days @ 1..) => Shift::Days(days),
                    _ => return Err(wrong("baseline", date, rule)),
                }
            }
        }))
    }

    fn what(&self, metric_set: &MetricSet, interval: Interval) -> Result<Vec<What>, ApiError> {
        match (self.kind.as_deref(), self.metric.as_deref()) {
            (Some(_), Some(metric)) => {
                Err(wrong("metric", metric, "can't be given together with type"))
            }
            (Some(name), None) if is_type(name) || name == OVERFLOW => {
                Ok(vec![What::Type(name.to_owned())])
            }
            (Some(name), None) => {
                Err(wrong("type", name, "is 1 to 64 characters of A-Z a-z 0-9 _ . : - or space"))
            }
            (None, None) => Err(ApiError::bad_request(
                "invalid_parameter",
                "type: which events? type=page_view, or metric=revenue",
            )),
            (None, Some(names)) => {
                let rule = format!("names up to {MAX_METRICS} metrics, each once");
                let refused = || wrong("metric", names, &rule);
                if names.split(',').count() > MAX_METRICS {
                    return Err(refused());
                }
                let mut asked = Vec::new();
                for name in names.split(',') {
                    let what = self.metric(name, metric_set, interval)?;
                    // Two spellings of a name are the same metric.
                    if asked.contains(&what) {
                        return Err(refused());
                    }
                    asked.push(what);
                }
                Ok(asked)
            }
        }
    }

    /// A metric of the configuration, or the active users.
    fn metric(
        &self,
        name: &str,
        metric_set: &MetricSet,
        interval: Interval,
    ) -> Result<What, ApiError> {
        let too_fine = |width: &str| {
            let rule = format!("is finer than what is kept of {name}: ask for {width} or wider");
            wrong("interval", self.interval.as_deref().unwrap_or("1m"), &rule)
        };
        // `/current` has the field `pageViews` for the metric `page_views`, so either spelling is
        // understood.
        let found = metric_set.metric(name).or(metric_set.metric(&snake_case(name)));
        match found {
            Some(metric) if metric_set.is_by_day_only(metric) => {
                let is_kept = interval.nominal() >= QUARTER_HOUR;
                is_kept.then(|| What::Metric(metric.name.clone())).ok_or_else(|| too_fine("15m"))
            }
            Some(metric) => Ok(What::Metric(metric.name.clone())),
            None if snake_case(name) == ACTIVE_USERS => match interval {
                Interval::Second => Err(too_fine("1m")),
                _ => Ok(What::ActiveUsers),
            },
            None => {
                let names = metric_set.metrics().iter().map(|metric| metric.name.as_str());
                let known: Vec<&str> = names.chain([ACTIVE_USERS]).collect();
                Err(wrong("metric", name, &format!("is one of {}", known.join(", "))))
            }
        }
    }

    /// The start of the first bucket and the end of the last, Unix ms.
    fn range(
        &self,
        interval: Interval,
        now: Millis,
        zone: &BusinessZone,
    ) -> Result<(Millis, Millis), ApiError> {
        let hours = self.hours.as_deref().map(|text| span(text, interval)).transpose()?;
        let from = self.from.as_deref().map(|text| start("from", text, zone));
        let to = self.to.as_deref().map(|text| end("to", text, zone));
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
        // An answer has whole buckets only, so `end` moves to the end of the bucket it lies in.
        let end = interval.around(end.min(in_progress) - 1, zone).1;
        let oldest = interval.oldest(now).unwrap_or(0);
        let Some(from) = from else {
            let span = hours.unwrap_or(HOUR);
            let start = interval.steps_back(end, span, zone).max(oldest);
            if start >= end {
                let text = self.to.as_deref().unwrap_or_default();
                return Err(wrong("to", text, "is too long ago: nothing is kept from then"));
            }
            return Ok((start, end));
        };
        // A client that asks for the oldest moment by a clock that is a little behind ours gets
        // what there is, rather than a refusal.
        if from < oldest - MAX_FUTURE - interval.nominal() {
            let message = "is too long ago: seconds are kept for 1 hour";
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

/// The parameter `hours` in ms. How many hours may be asked for depends on the interval.
fn span(text: &str, interval: Interval) -> Result<Millis, ApiError> {
    let hours = text.parse::<f64>().unwrap_or(f64::NAN);
    let longest = (MAX_POINTS * interval.nominal()) as f64 / HOUR as f64;
    let longest = if interval == Interval::Second { 1.0 } else { longest.floor() };
    if !(hours > 0.0 && hours <= longest) {
        let rule = format!("is a number above 0 and up to {longest} at this interval");
        return Err(wrong("hours", text, &rule));
    }
    Ok(((hours * HOUR as f64) as Millis).max(1))
}

/// A name in camel case, in snake case: `pageViews` becomes `page_views`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// A moment in Unix ms or as RFC 3339.
pub(super) fn moment(name: &str, text: &str) -> Result<Millis, ApiError> {
    read_moment(text).ok_or_else(|| wrong(name, text, "is Unix milliseconds or RFC 3339"))
}

/// A moment, or the start of a date of the business zone.
pub(super) fn start(name: &str, text: &str, zone: &BusinessZone) -> Result<Millis, ApiError> {
    moment_or_date(name, text, zone, |day| day.start)
}

/// A moment, or the end of a date of the business zone.
pub(super) fn end(name: &str, text: &str, zone: &BusinessZone) -> Result<Millis, ApiError> {
    moment_or_date(name, text, zone, |day| day.end)
}

/// A moment, or a date of the business zone, of which it is the start or the end.
fn moment_or_date(
    name: &str,
    text: &str,
    zone: &BusinessZone,
    of_day: impl Fn(BusinessDay) -> Millis,
) -> Result<Millis, ApiError> {
    let of_date = || zone.day_named(text).map(of_day).filter(|at| *at <= LATEST);
    read_moment(text)
        .or_else(of_date)
        .ok_or_else(|| wrong(name, text, "is Unix milliseconds, RFC 3339, or a date"))
}

/// The `+` of a time zone's offset arrives as a space where the client has not escaped it, since that is what
/// `+` means in a query string.
fn read_moment(text: &str) -> Option<Millis> {
    let at = match text.parse::<u64>() {
        Ok(ms) => Millis::try_from(ms).ok(),
        Err(_) => parse_rfc3339(&text.replace(' ', "+")),
    };
    at.filter(|at| *at <= LATEST)
}

/// 400 for a parameter whose value breaks a rule.
pub(super) fn wrong(name: &str, value: &str, rule: &str) -> ApiError {
    // The message repeats the value, which may be as long as a URL: so it is cut.
    let value: String = value.chars().take(MAX_TYPE).collect();
    ApiError::bad_request("invalid_parameter", format!("{name}={value:?}: {name} {rule}"))
}

#[cfg(test)]
mod tests;
