//! `GET /api/analytics/breakdowns`: all breakdowns of some minutes at once, beside the minutes before. A
//! page that shows them all asks one question, however many the configuration has.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::{
        metric::Breakdown,
        time::{MINUTE, Millis, bucket},
        top,
    },
    http::{
        auth::Principal,
        breakdown::{MAX_MINUTES, invalid, is_kept, within},
        current::no_store,
        error::ApiError,
        query,
        scope::View,
    },
    numbers::{
        Mirror, Past,
        breakdown::{TwoSpans, of_two_spans, of_two_spans_until},
    },
};

/// What a query says.
const PARAMETERS: [&str; 3] = ["minutes", "to", "limit"];
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
    past: web::Data<Past>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let ([minutes, to, limit], _) = query::read_exactly(request.query_string(), &PARAMETERS, None)?;
    let minutes = within(&minutes, "minutes", MAX_MINUTES / 2)?.unwrap_or(MINUTES);
    let limit = within(&limit, "limit", top::CAPACITY as i64)?;
    let known = mirror.metric_set().breakdowns().iter();
    let sight = principal.rights.sight;
    let seen = known.filter(|it| mirror.metric_set().shows_values(sight, &it.property));
    let end = match to {
        None => None,
        Some(to) => Some(known_end(&past, &mirror, &to, minutes).await?),
    };
    let mut breakdowns = Vec::new();
    for breakdown in seen {
        let spans = match end {
            None => of_two_spans(&mirror, breakdown, minutes),
            Some(end) => of_two_spans_until(&mirror, &past, breakdown, minutes, end).await?,
        };
        breakdowns.push(one(breakdown, spans, limit));
    }
    Ok(no_store().json(AllBreakdowns { minutes, breakdowns }))
}

/// The end that a query names (Unix ms), of a full minute and not after the one in progress.
async fn known_end(
    past: &Past,
    mirror: &Mirror,
    to: &str,
    minutes: i64,
) -> Result<Millis, ApiError> {
    let now = mirror.now();
    let end = bucket(query::end("to", to, mirror.zone())?.min(now) + MINUTE - 1, MINUTE);
    let from = end - 2 * minutes * MINUTE;
    if from < 0 {
        return Err(invalid("to", "is before there was anything"));
    }
    let rebuilt = past.sketched_since().await?.rebuilt;
    is_kept((from, end), &past.breakdowns_since().await?, rebuilt)?;
    Ok(end)
}

fn one(breakdown: &Breakdown, spans: TwoSpans, limit: Option<i64>) -> OneBreakdown {
    let TwoSpans { now, before } = spans;
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
