//! `GET /api/analytics/breakdown`: the most frequent values of a property, from the mirror.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::top,
    http::{
        auth::{Principal, hidden},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{self, Mirror, breakdown::BrokenDown},
};

/// For how many minutes breakdowns are kept.
const MAX_MINUTES: i64 = 24 * 60;
/// The header that says by how much each count of an answer may be too low; 0 where all counts
/// are exact.
const MAX_ERROR: &str = "x-floodmark-max-error";
/// The header with the number of all events of the type, of which the counts are shares.
const TOTAL: &str = "x-floodmark-total";
/// The value of the row for events without one.
const NONE: &str = "(none)";

/// What a query says of a breakdown.
const PARAMETERS: [&str; 4] = ["type", "property", "minutes", "limit"];

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
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    // Not `web::Query`, whose refusals are plain text.
    let [kind, property, minutes, limit] = query::read(request.query_string(), &PARAMETERS)?;
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
    let minutes = within(&minutes, "minutes", MAX_MINUTES)?.unwrap_or(15);
    let limit = within(&limit, "limit", top::CAPACITY as i64)?;
    let BrokenDown { top, missing, total } =
        numbers::breakdown::of_last(&mirror, breakdown, minutes);
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

/// A parameter that is a whole number from 1 to `max`; `None` where it is not given.
fn within(text: &Option<String>, parameter: &str, max: i64) -> Result<Option<i64>, ApiError> {
    match text.as_deref().map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(number)) if (1..=max).contains(&number) => Ok(Some(number)),
        Some(_) => Err(invalid(parameter, &format!("must be a whole number from 1 to {max}"))),
    }
}

fn invalid(parameter: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{parameter}: {message}"))
}
