//! `GET /api/analytics/schema`: which properties the events of each type and source have, how many of
//! them have each, of which JSON type, and since when.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use hashbrown::HashMap;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    domain::{
        shape::{JsonType, ShapeCell, TypeCounts},
        time::{DAY, HOUR, MINUTE, Millis, SECOND, bucket, now_ms},
    },
    http::{current::no_store, error::ApiError, query, scope::View},
    store::schemas::{KEEP_MINUTES, KnownProperty, MAX_CELLS, Schemas, ShapesAsked},
};

/// The time that is looked at where the query names none.
const USUAL_SPAN: Millis = DAY;
/// The most stretches that a span is cut into.
const MAX_STRETCHES: Millis = 48;
/// How long a stretch may be. The minutes come first, and are only there for a day.
const STEPS: [Millis; 8] =
    [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 28 * DAY];
/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;

/// What the store has learnt, for the route.
#[derive(Clone)]
pub struct SchemaReader(pub Arc<dyn Schemas>);

const PARAMETERS: [&str; 4] = ["type", "source", "from", "to"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/schema", schema).parameters(&PARAMETERS);
}

/// The answer.
#[derive(Debug, Serialize)]
struct ShownSchemas {
    from: Millis,
    to: Millis,
    /// The length of a stretch of the trends, in seconds.
    interval: i64,
    schemas: Vec<ShownSchema>,
}

/// A type and source.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownSchema {
    #[serde(rename = "type")]
    kind: String,
    source: String,
    events: u64,
    /// Values of properties that there was no room for.
    others: u64,
    first_seen: Option<Millis>,
    last_seen: Option<Millis>,
    /// The events of each stretch.
    trend: Vec<u64>,
    properties: Vec<ShownProperty>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownProperty {
    property: String,
    /// The part of the events that have it and in which it is not null, 0 to 1.
    share: f64,
    /// How many values there were of each JSON type.
    types: Map<String, Value>,
    first_seen: Option<Millis>,
    last_seen: Option<Millis>,
    /// The share in each stretch; null where the stretch has no event.
    trend: Vec<Option<f64>>,
}

async fn schema(
    request: HttpRequest,
    reader: web::Data<SchemaReader>,
) -> Result<HttpResponse, ApiError> {
    let asked = asked(request.query_string(), now_ms())?;
    let failed = |error| {
        // What the store said is for the log; it may name hosts and tables.
        tracing::warn!(%error, "the store can't say what was learnt of the events");
        ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN)
    };
    let cells = reader.0.shapes(&asked).await.map_err(failed)?;
    let cells = cells.ok_or_else(|| {
        let message =
            format!("this would be more than {MAX_CELLS} counts: name a type or a source, or both");
        ApiError::bad_request("invalid_parameter", message)
    })?;
    let (kind, source) = (asked.kind.as_deref(), asked.source.as_deref());
    let known = reader.0.known_properties(kind, source).await.map_err(failed)?;
    Ok(no_store().json(shown(&asked, cells, known)))
}

/// Reads the query. The span is widened to whole stretches.
fn asked(text: &str, now: Millis) -> Result<ShapesAsked, ApiError> {
    let [kind, source, from, to] = query::read(text, &PARAMETERS)?;
    let invalid = |message: String| ApiError::bad_request("invalid_parameter", message);
    let moment = |name: &str, text: Option<String>, usual: Millis| {
        text.map_or(Ok(usual), |text| query::moment(name, &text))
    };
    // What lies ahead is empty, and would only make the stretches longer.
    let to = moment("to", to, now.saturating_add(1))?.min(now.saturating_add(1));
    let from = moment("from", from, to.saturating_sub(USUAL_SPAN).max(0))?;
    if from >= to {
        return Err(invalid("from must lie before to, and not in the future".to_owned()));
    }
    let has_minutes = from >= now - KEEP_MINUTES;
    let fits = |step: &Millis| (to - from) / step <= MAX_STRETCHES;
    let steps = STEPS.into_iter().filter(|step| has_minutes || step % HOUR == 0);
    // Beyond the longest step, stretches are of so many of these as it takes.
    let longest = STEPS[STEPS.len() - 1];
    let beyond = ((to - from) / MAX_STRETCHES / longest + 1) * longest;
    let step = steps.into_iter().find(|step| fits(step)).unwrap_or(beyond);
    let whole = |at: Millis| bucket(at, step);
    Ok(ShapesAsked { from: whole(from), to: whole(to - 1) + step, step, kind, source })
}

/// Puts the answer together. The cells come in the order of type, source, property and time, so of each
/// type and source the events as a whole come first.
fn shown(asked: &ShapesAsked, cells: Vec<ShapeCell>, known: Vec<KnownProperty>) -> ShownSchemas {
    let known: HashMap<(String, String, String), (Millis, Millis)> = known
        .into_iter()
        .map(|it| ((it.kind, it.source, it.property), (it.first, it.last)))
        .collect();
    let when = |cell: &ShapeCell| {
        let key = (cell.kind.clone(), cell.source.clone(), cell.property.clone());
        known.get(&key).copied().unzip()
    };
    let stretches = ((asked.to - asked.from) / asked.step) as usize;
    let place = |cell: &ShapeCell| ((cell.at - asked.from) / asked.step) as usize;
    let mut schemas: Vec<ShownSchema> = Vec::new();
    for cells in cells.chunk_by(is_same) {
        let first = &cells[0];
        let (first_seen, last_seen) = when(first);
        if first.property.is_empty() {
            let mut trend = vec![0; stretches];
            cells.iter().for_each(|cell| trend[place(cell)] += cell.seen);
            schemas.push(ShownSchema {
                kind: first.kind.clone(),
                source: first.source.clone(),
                events: trend.iter().sum(),
                others: cells.iter().map(|cell| cell.others).sum(),
                first_seen,
                last_seen,
                trend,
                properties: Vec::new(),
            });
            continue;
        }
        let Some(schema) = schemas.last_mut() else { continue };
        let mut types = TypeCounts::default();
        let mut present = vec![0; stretches];
        for cell in cells {
            types.add(&cell.types);
            present[place(cell)] += cell.types.present();
        }
        let trend = present.iter().zip(&schema.trend);
        schema.properties.push(ShownProperty {
            property: first.property.clone(),
            share: share(types.present(), schema.events).unwrap_or_default(),
            types: by_name(&types),
            first_seen,
            last_seen,
            trend: trend.map(|(present, events)| share(*present, *events)).collect(),
        });
    }
    for schema in &mut schemas {
        // What nearly all events have comes first.
        schema.properties.sort_by(|a, b| b.share.total_cmp(&a.share));
    }
    let ShapesAsked { from, to, step, .. } = *asked;
    ShownSchemas { from, to, interval: step / SECOND, schemas }
}

fn is_same(a: &ShapeCell, b: &ShapeCell) -> bool {
    (&a.kind, &a.source, &a.property) == (&b.kind, &b.source, &b.property)
}

/// A part of the events, with four digits; `None` where there are none.
fn share(present: u64, events: u64) -> Option<f64> {
    (events > 0).then(|| (present as f64 / events as f64 * 10_000.0).round() / 10_000.0)
}

fn by_name(types: &TypeCounts) -> Map<String, Value> {
    let counts = JsonType::ALL.into_iter().map(|of| (of.name().to_owned(), types.of(of)));
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_fit_the_span_and_are_whole() {
        let now = 100 * DAY + 7 * MINUTE;
        let steps = |text: &str| {
            let asked = asked(text, now).unwrap();
            assert!(asked.from % asked.step == 0 && (asked.to - asked.from) % asked.step == 0);
            asked.step / MINUTE
        };
        assert_eq!(steps(""), 60, "the last day");
        let ago = |span: Millis| format!("from={}", now - span);
        assert_eq!(steps(&ago(30 * MINUTE)), 1);
        assert_eq!(steps(&ago(3 * HOUR)), 5);
        assert_eq!(steps(&ago(9 * HOUR)), 15);
        assert_eq!(steps(&ago(40 * DAY)), 24 * 60);
        assert_eq!(steps("from=0&to=1970-01-01T00:10:00Z"), 60, "minutes of then are gone");
        assert_eq!(asked("from=0", 9_000 * DAY).unwrap().step, 7 * 28 * DAY);
        for wrong in ["from=x", "from=-5", "from=5&to=5", "to=noon", &format!("from={}", now + 1)] {
            assert!(asked(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_of_the_events_of_their_stretch() {
        let asked = ShapesAsked { from: 0, to: 3 * HOUR, step: HOUR, ..ShapesAsked::default() };
        let cell = |property: &str, at: Millis, seen: u64, types: [u64; 6]| ShapeCell {
            kind: "purchase".to_owned(),
            source: "web".to_owned(),
            property: property.to_owned(),
            at,
            seen,
            types: TypeCounts(types),
            others: if property.is_empty() { 1 } else { 0 },
        };
        let cells = vec![
            cell("", 0, 10, [0; 6]),
            cell("", 2 * HOUR, 30, [0; 6]),
            cell("a", 0, 10, [5, 0, 0, 5, 0, 0]),
            cell("b", 0, 10, [0, 10, 0, 0, 0, 0]),
            cell("b", 2 * HOUR, 10, [0, 10, 0, 0, 0, 0]),
        ];
        let known = KnownProperty {
            kind: "purchase".to_owned(),
            source: "web".to_owned(),
            property: "b".to_owned(),
            first: 7,
            last: 8,
        };
        let answer = serde_json::to_value(shown(&asked, cells, vec![known])).unwrap();
        let expected = serde_json::json!({
            "from": 0, "to": 3 * HOUR, "interval": 3600,
            "schemas": [{
                "type": "purchase", "source": "web", "events": 40, "others": 2,
                "firstSeen": null, "lastSeen": null, "trend": [10, 0, 30],
                "properties": [
                    {"property": "b", "share": 0.5, "types": {"number": 20}, "firstSeen": 7,
                     "lastSeen": 8, "trend": [1.0, null, 0.3333]},
                    {"property": "a", "share": 0.125, "types": {"string": 5, "null": 5},
                     "firstSeen": null, "lastSeen": null, "trend": [0.5, null, 0.0]},
                ],
            }],
        });
        assert_eq!(answer, expected);
    }
}
