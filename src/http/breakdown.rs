//! `GET /api/analytics/breakdown`: the most frequent values of a property, of the last minutes or of any
//! span of time.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::{
        delta::QUARTER_HOUR,
        time::{BusinessZone, DAY, MINUTE, Millis, bucket, rfc3339},
        top,
    },
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
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
/// The header that says by how much each count of an answer may be too low; 0 where all counts
/// are exact.
const MAX_ERROR: &str = "x-floodmark-max-error";
/// The header with the number of all events of the type, of which the counts are shares.
const TOTAL: &str = "x-floodmark-total";
/// The value of the row for events without one.
const NONE: &str = "(none)";

/// What a query says of a breakdown.
const PARAMETERS: [&str; 6] = ["type", "property", "minutes", "from", "to", "limit"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/breakdown", breakdown).parameters(&PARAMETERS);
}

/// One entry of the answer.
#[derive(Serialize)]
struct Count<'a> {
    value: &'a str,
    count: u64,
    /// Whether this is the row of the events that have no value; left out of all other rows, since a
    /// property may be called `(none)` by its sender.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    none: bool,
}

/// `[{"value","count"}]`, the largest count first, and last the events that have no value.
async fn breakdown(
    request: HttpRequest,
    mirror: web::Data<Mirror>,
    past: web::Data<Past>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    // Not `web::Query`, whose refusals are plain text.
    let ([kind, property, minutes, from, to, limit], _) =
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
    if !mirror.metric_set().shows_values(principal.rights.sight, property) {
        return Err(hidden());
    }
    let last = within(&minutes, "minutes", MAX_MINUTES)?;
    let limit = within(&limit, "limit", top::CAPACITY as i64)?;
    let span = span((from.as_deref(), to.as_deref()), mirror.now(), mirror.zone())?;
    let BrokenDown { top, missing, total } = match (span, last) {
        (None, last) => numbers::breakdown::of_last(&mirror, breakdown, last.unwrap_or(15)),
        (Some(_), Some(_)) => return Err(invalid("minutes", "goes without from and to")),
        (Some(span), None) => {
            let rebuilt = past.sketched_since().await?.rebuilt;
            is_kept(span, &past.breakdowns_since().await?, rebuilt)?;
            numbers::breakdown::between(&mirror, &past, breakdown, span).await?
        }
    };
    let largest = top.largest(limit.map_or(breakdown.top, |limit| limit as usize));
    let row = |(value, count)| Count { value, count, none: false };
    let mut counts: Vec<Count<'_>> = largest.into_iter().map(row).collect();
    if missing > 0 {
        counts.push(Count { value: NONE, count: missing, none: true });
    }
    let mut answer = no_store();
    answer.insert_header((MAX_ERROR, top.error().to_string()));
    Ok(answer.insert_header((TOTAL, total.to_string())).json(counts))
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
fn is_kept(
    (from, to): (Millis, Millis),
    kept: &KeptSince,
    rebuilt: Vec<(Millis, Millis)>,
) -> Result<(), ApiError> {
    let known = SketchedSince { complete: kept.complete, rebuilt };
    if let Some(since) = kept.complete.filter(|_| !known.covers(from, to)) {
        return Err(invalid("from", &format!("breakdowns are kept since {}", rfc3339(since))));
    }
    for (name, at) in [("from", from), ("to", to)] {
        if at % QUARTER_HOUR != 0 && kept.minutes.is_some_and(|minutes| at < minutes) {
            let quarter = rfc3339(bucket(at, QUARTER_HOUR));
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

fn invalid(parameter: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{parameter}: {message}"))
}
