//! `GET /api/analytics/breakdowns`: all breakdowns of the last minutes at once, beside the minutes before. A
//! page that shows them all asks one question, however many the configuration has.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::{metric::Breakdown, top},
    http::{
        auth::Principal,
        breakdown::{MAX_MINUTES, within},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{
        Mirror,
        breakdown::{TwoSpans, of_two_spans},
    },
};

/// What a query says.
const PARAMETERS: [&str; 2] = ["minutes", "limit"];
/// How many minutes are meant where the query does not say it.
const MINUTES: i64 = 15;

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/breakdowns", breakdowns).parameters(&PARAMETERS);
}

/// The answer.
#[derive(Serialize)]
struct AllBreakdowns {
    minutes: i64,
    /// In the order of the configuration, without those that whoever asks may not see.
    breakdowns: Vec<OneBreakdown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneBreakdown {
    #[serde(rename = "type")]
    kind: String,
    property: String,
    /// All events of the type in these minutes.
    total: u64,
    /// Those of them that have no value.
    missing: u64,
    /// By how much each count may be too low.
    max_error: u64,
    values: Vec<ValueBeside>,
}

#[derive(Serialize)]
struct ValueBeside {
    value: String,
    count: u64,
    /// How many there were in as many minutes before.
    before: u64,
}

async fn breakdowns(
    request: HttpRequest,
    mirror: web::Data<Mirror>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let ([minutes, limit], _) = query::read_exactly(request.query_string(), &PARAMETERS, None)?;
    let minutes = within(&minutes, "minutes", MAX_MINUTES / 2)?.unwrap_or(MINUTES);
    let limit = within(&limit, "limit", top::CAPACITY as i64)?;
    let known = mirror.metric_set().breakdowns().iter();
    let sight = principal.rights.sight;
    let seen = known.filter(|it| mirror.metric_set().shows_values(sight, &it.property));
    let breakdowns = seen.map(|breakdown| one(&mirror, breakdown, minutes, limit)).collect();
    Ok(no_store().json(AllBreakdowns { minutes, breakdowns }))
}

fn one(mirror: &Mirror, breakdown: &Breakdown, minutes: i64, limit: Option<i64>) -> OneBreakdown {
    let TwoSpans { now, before } = of_two_spans(mirror, breakdown, minutes);
    let largest = now.top.largest(limit.map_or(breakdown.top, |limit| limit as usize));
    let value = |(value, count): (&str, u64)| ValueBeside {
        value: value.to_owned(),
        count,
        before: before.count(value),
    };
    OneBreakdown {
        kind: breakdown.event.clone(),
        property: breakdown.property.clone(),
        total: now.total,
        missing: now.missing,
        max_error: now.top.error(),
        values: largest.into_iter().map(value).collect(),
    }
}
