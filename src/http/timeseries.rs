//! `GET /api/analytics/timeseries`: a number for each bucket of a span of time. What may be asked
//! for is in [`query`].

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::{Serialize, Serializer};

use crate::{
    domain::{
        delta::QUARTER_HOUR,
        metric::Value,
        occasion::Occasions,
        time::{BusinessZone, Millis, rfc3339},
    },
    http::{
        auth::{Principal, hidden},
        csv::{self, CsvTable},
        current::no_store,
        error::ApiError,
        etag::tagged,
        query,
        scope::View,
    },
    numbers::{Mirror, Past, Point, SeriesQuery, TimeSeries, What},
    store::breakdowns::KeptSince,
};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/timeseries", timeseries).parameters(&query::PARAMETERS);
}

/// The answer for several metrics.
#[derive(Serialize)]
struct SeriesList {
    #[serde(serialize_with = "by_name")]
    metrics: Vec<(String, Vec<Point>)>,
}

/// A point of one of several metrics.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValuePoint {
    timestamp: Millis,
    value: Value,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_progress: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
}

impl ValuePoint {
    fn of(point: &Point) -> ValuePoint {
        ValuePoint {
            timestamp: point.timestamp,
            value: point.count,
            in_progress: point.in_progress,
            left_out: (point.left_out > 0).then_some(point.left_out),
            approximate: point.approximate,
            error: point.error,
        }
    }
}

/// `[{"timestamp","count"}]`, oldest first; of several metrics `{"metrics":{NAME:[{"timestamp","value"}]}}`.
async fn timeseries(
    request: HttpRequest,
    mirror: web::Data<Mirror>,
    series: web::Data<TimeSeries>,
    past: web::Data<Past>,
    occasions: web::Data<Occasions>,
    principal: web::ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let now = mirror.now();
    let (zone, metric_set) = (mirror.zone(), mirror.metric_set());
    let asked = query::parse(request.query_string(), now, zone, metric_set, &occasions)?;
    let is_csv = csv::is_asked(&request, asked.format.as_deref())?;
    let mut found: Vec<(String, Vec<Point>)> = Vec::with_capacity(asked.queries.len());
    for query in &asked.queries {
        if let What::Metric(name) = &query.what
            && !mirror.metric_set().shows(principal.rights.sight, name)
        {
            return Err(hidden());
        }
    }
    for query in &asked.queries {
        if query.what == What::ActiveUsers && query.interval.nominal() < QUARTER_HOUR {
            by_minute(query, &past.breakdowns_since().await?, mirror.zone())?;
        }
    }
    for query in &asked.queries {
        let name = match &query.what {
            What::Metric(name) | What::Type(name) => name.as_str(),
            What::ActiveUsers => query::ACTIVE_USERS,
        };
        found.push((name.to_owned(), series.points(query, now).await?));
    }
    let mut answer = no_store();
    answer.insert_header((header::VARY, "Accept"));
    if is_csv {
        let table = answer.content_type(csv::CSV).body(table(&found));
        return Ok(tagged(&request, table));
    }
    let answer = match found.pop() {
        Some((_, points)) if !asked.is_list => answer.json(points),
        last => {
            found.extend(last);
            answer.json(SeriesList { metrics: found })
        }
    };
    Ok(tagged(&request, answer))
}

/// A line for each bucket, a column for each metric; what is not known is empty.
fn table(series: &[(String, Vec<Point>)]) -> Vec<u8> {
    let mut table = CsvTable::default();
    table.line(["timestamp"].into_iter().chain(series.iter().map(|(name, _)| name.as_str())));
    for at in 0..series.first().map_or(0, |(_, points)| points.len()) {
        let cell = |(_, points): &(String, Vec<Point>)| match points[at].count {
            Value::Unknown => String::new(),
            value => serde_json::to_string(&value).unwrap_or_default(),
        };
        let time = series[0].1[at].timestamp.to_string();
        let cells: Vec<String> = std::iter::once(time).chain(series.iter().map(cell)).collect();
        table.line(cells.iter().map(String::as_str));
    }
    table.finish()
}

/// The series as an object, in the order in which they were asked for.
fn by_name<S: Serializer>(
    series: &[(String, Vec<Point>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        series
            .iter()
            .map(|(name, points)| (name, points.iter().map(ValuePoint::of).collect::<Vec<_>>())),
    )
}

/// Refuses visitors by minute where minutes are no longer kept.
fn by_minute(query: &SeriesQuery, kept: &KeptSince, zone: &BusinessZone) -> Result<(), ApiError> {
    let (name, from, to) = match query.baseline {
        None => ("from", query.from, query.to),
        Some(shift) => ("baseline", shift.then(query.from, zone), shift.then(query.to, zone)),
    };
    if kept.minutes.has(from, to) {
        return Ok(());
    }
    let since = kept.minutes.since.map(rfc3339).unwrap_or_default();
    let rule = format!("begins before {since}: visitors of before are kept by interval=15m");
    Err(query::wrong(name, &rfc3339(from), &rule))
}
