//! `GET /api/analytics/breakdown`: the most frequent values of a property, of the last minutes or of any
//! span of time.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::{
        delta::QUARTER_HOUR,
        metric::Tallied,
        money::Amount,
        time::{BusinessZone, DAY, MINUTE, Millis, bucket, rfc3339},
        top,
    },
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
        etag::tagged,
        query,
        scope::View,
    },
    numbers::{self, Mirror, Past, breakdown::BrokenDown},
    store::{breakdowns::KeptSince, sketches::SketchedSince},
};

/// The longest span.
const MAX_SPAN: Millis = 4 * 366 * DAY;
/// For how many minutes the mirror has breakdowns.
pub(super) const MAX_MINUTES: i64 = 24 * 60;
/// The header that says by how much each count, or each sum where these are asked for, may be too low; 0 where
/// all are exact.
const MAX_ERROR: &str = "x-floodmark-max-error";
/// The header that says it of the counts that stand beside sums.
const MAX_COUNT_ERROR: &str = "x-floodmark-max-count-error";
/// The header with the number of all events of the type, or the whole sum, of which the rows are shares.
const TOTAL: &str = "x-floodmark-total";
/// The value of the row for events without one.
const NONE: &str = "(none)";

/// What a query says of a breakdown.
const PARAMETERS: [&str; 7] = ["type", "property", "metric", "minutes", "from", "to", "limit"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/breakdown", breakdown).parameters(&PARAMETERS);
}

/// One entry of the answer.
#[derive(Serialize)]
struct Count<'a> {
    value: &'a str,
    count: u64,
    /// What the events add to the metric that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<Amount>,
    /// Whether this is the row of the events that have no value; left out of all other rows, since a
    /// property may be called `(none)` by its sender.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    none: bool,
}

/// `[{"value","count"}]`, the largest count first, and last the events that have no value; with `metric` as
/// `[{"value","count","sum"}]`, the largest sum first.
async fn breakdown(
    request: HttpRequest,
    mirror: web::Data<Mirror>,
    past: web::Data<Past>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    // Not `web::Query`, whose refusals are plain text.
    let ([kind, property, metric, minutes, from, to, limit], _) =
        query::read_exactly(request.query_string(), &PARAMETERS, None)?;
    let known = mirror.metric_set().breakdowns();
    let (Some(kind), Some(property)) = (&kind, &property) else {
        return Err(invalid("type", "which values? type=error&property=code"));
    };
    let found = known.iter().find(|known| known.event == *kind && known.property == *property);
    let Some(breakdown) = found else {
        let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        let message = format!("no [[breakdown]] of {kind} by {property}; there are {names:?}");
        return Err(invalid("property", &message));
    };
    let sight = principal.rights.sight;
    if !mirror.metric_set().shows_values(sight, property) {
        return Err(hidden());
    }
    let summed = match &metric {
        None => None,
        // Whoever may not see a metric is not told either whether it is kept by value.
        Some(metric) if !mirror.metric_set().shows(sight, metric) => return Err(hidden()),
        Some(metric) if breakdown.sums.contains(metric) => Some(breakdown.summed(metric)),
        Some(_) => {
            let message =
                format!("the sums that are kept of {} are {:?}", breakdown.name, breakdown.sums);
            return Err(invalid("metric", &message));
        }
    };
    let last = within(&minutes, "minutes", MAX_MINUTES)?;
    let limit = within(&limit, "limit", top::CAPACITY as i64)?;
    let span = span((from.as_deref(), to.as_deref()), mirror.now(), mirror.zone())?;
    if let Some(span) = span {
        if last.is_some() {
            return Err(invalid("minutes", "goes without from and to"));
        }
        let rebuilt = past.sketched_since().await?.rebuilt;
        is_kept(span, &past.breakdowns_since().await?, rebuilt)?;
    }
    let read = async |tallied: Tallied| match span {
        None => Ok(numbers::breakdown::tallied_last(&mirror, &tallied, last.unwrap_or(15))),
        Some(span) => numbers::breakdown::between(&mirror, &past, &tallied, span).await,
    };
    let counted = read(breakdown.counted()).await?;
    let most = limit.map_or(breakdown.top, |limit| limit as usize);
    let answer = match summed {
        None => by_count(&counted, most),
        Some(tallied) => by_sum(&counted, &read(tallied).await?, most),
    };
    Ok(tagged(&request, answer))
}

/// The answer by the number of events.
fn by_count(counted: &BrokenDown, most: usize) -> HttpResponse {
    let largest = counted.top.largest(most);
    let row = |(value, count)| Count { value, count, sum: None, none: false };
    let mut rows: Vec<Count<'_>> = largest.into_iter().map(row).collect();
    if counted.missing > 0 {
        rows.push(Count { value: NONE, count: counted.missing, sum: None, none: true });
    }
    let mut answer = no_store();
    answer.insert_header((MAX_ERROR, counted.top.error().to_string()));
    answer.insert_header((TOTAL, counted.total.to_string())).json(rows)
}

/// The answer by the sum of a metric.
fn by_sum(counted: &BrokenDown, summed: &BrokenDown, most: usize) -> HttpResponse {
    let amount = |units: u64| Amount(i64::try_from(units).unwrap_or(i64::MAX));
    let row = |(value, units)| {
        let (count, sum) = (counted.top.count(value), Some(amount(units)));
        Count { value, count, sum, none: false }
    };
    let mut rows: Vec<Count<'_>> = summed.top.largest(most).into_iter().map(row).collect();
    if counted.missing > 0 {
        let (count, sum) = (counted.missing, Some(amount(summed.missing)));
        rows.push(Count { value: NONE, count, sum, none: true });
    }
    let mut answer = no_store();
    answer.insert_header((MAX_ERROR, amount(summed.top.error()).to_string()));
    answer.insert_header((MAX_COUNT_ERROR, counted.top.error().to_string()));
    answer.insert_header((TOTAL, amount(summed.total).to_string())).json(rows)
}

/// The span `[from, to)` (Unix ms) that a query names, of whole minutes; `None` where it names none.
fn span(
    (from, to): (Option<&str>, Option<&str>),
    now: Millis,
    zone: &BusinessZone,
) -> Result<Option<(Millis, Millis)>, ApiError> {
    let Some(from) = from else {
        return match to {
            None => Ok(None),
            Some(_) => Err(invalid("to", "goes with from")),
        };
    };
    let to = match to {
        Some(to) => query::end("to", to, zone)?,
        None => now,
    };
    let from = bucket(query::start("from", from, zone)?, MINUTE);
    let to = bucket(to.min(now) + MINUTE - 1, MINUTE);
    if from < 0 || from >= to || to - from > MAX_SPAN {
        return Err(invalid(
            "from",
            "a span begins before its end and now, and is 4 years long at most",
        ));
    }
    Ok(Some((from, to)))
}

/// Refuses a span of which breakdowns are not there, or no longer by minute.
pub(super) fn is_kept(
    (from, to): (Millis, Millis),
    kept: &KeptSince,
    rebuilt: Vec<(Millis, Millis)>,
) -> Result<(), ApiError> {
    let known = SketchedSince { complete: kept.complete, rebuilt };
    if let Some(since) = kept.complete.filter(|_| !known.covers(from, to)) {
        return Err(invalid("from", &format!("breakdowns are kept since {}", rfc3339(since))));
    }
    for (name, at) in [("from", from), ("to", to)] {
        let quarter = bucket(at, QUARTER_HOUR);
        if at > quarter && !kept.minutes.has(quarter, at + MINUTE) {
            let quarter = rfc3339(quarter);
            let message =
                format!("minutes are no longer kept, only full quarters of an hour, as {quarter}");
            return Err(invalid(name, &message));
        }
    }
    Ok(())
}

/// A parameter that is a whole number from 1 to `max`; `None` where it is not given.
pub(super) fn within(
    text: &Option<String>,
    parameter: &str,
    max: i64,
) -> Result<Option<i64>, ApiError> {
    match text.as_deref().map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(number)) if (1..=max).contains(&number) => Ok(Some(number)),
        Some(_) => Err(invalid(parameter, &format!("must be a whole number from 1 to {max}"))),
    }
}

pub(super) fn invalid(parameter: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{parameter}: {message}"))
}
