//! `GET /api/analytics/events`: single events, the newest first. `GET /api/analytics/session`: what one visitor
//! did, in order. How they are searched is in [`crate::store::events::search`].

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    domain::{
        access::Permission,
        event_filter::EventFilter,
        time::{BusinessZone, DAY, LATEST, MAX_FUTURE, MINUTE, Millis, bucket},
    },
    export::lines,
    http::{csv, current::no_store, error::ApiError, etag::tagged, query, scope::View},
    numbers::Mirror,
    sink::SinkError,
    store::{
        events::{
            EventReader,
            search::{EventSearch, FoundEvent, SearchEnd, SearchedEvents},
        },
        retention::{RemovedSum, Retention},
    },
};

/// The most events of an answer.
const MAX_EVENTS: usize = 500;
/// The events of an answer where the query does not say.
const USUAL_EVENTS: usize = 50;
/// How far back events are searched where the query does not say.
const USUAL_SPAN: Millis = 7 * DAY;
/// The longest text that is searched for, in bytes.
const MAX_TEXT: usize = 256;
/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;
/// The header with what `next` is in JSON, for CSV.
const NEXT: &str = "x-floodmark-next";
/// The header with what `searchedTo` is in JSON.
const SEARCHED_TO: &str = "x-floodmark-searched-to";
/// The header with how many rows were removed, where any were.
pub(super) const REMOVED: &str = "x-floodmark-removed";
/// What tests of properties begin with.
pub(super) const WHERE: &str = "where.";

/// The parameters of events. The last one stands for all properties.
const EVENTS: [&str; 8] =
    ["type", "text", "from", "to", "limit", "after", "format", "where.PROPERTY"];
/// The parameters of a session.
const SESSION: [&str; 7] = ["id", "user", "from", "to", "limit", "after", "format"];

/// The store's events, for the routes, and what was removed of them.
#[derive(Clone)]
pub struct SingleEvents(pub Arc<dyn EventReader>, pub Arc<dyn Retention>);

/// Adds the routes.
pub fn routes(view: &mut View) {
    let read = Permission::Events;
    view.read_with(read, "/api/analytics/events", events).parameters(&EVENTS);
    view.read_with(read, "/api/analytics/session", session).parameters(&SESSION);
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEvents<'a> {
    events: Vec<ShownEvent<'a>>,
    /// What to give as `after` for the events that follow; null where there are no more.
    next: Option<String>,
    /// Up to which moment it was looked.
    searched_to: Millis,
    /// What is not there any more of the days that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<RemovedSum>,
}

/// An event in the native format, with what is known beside it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEvent<'a> {
    timestamp: Millis,
    received_at: Millis,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    properties: &'a RawValue,
}

impl<'a> ShownEvent<'a> {
    /// `None` where the properties are no JSON, which no row of ours has.
    fn of(event: &'a FoundEvent) -> Option<ShownEvent<'a>> {
        Some(ShownEvent {
            timestamp: event.time,
            received_at: event.received_at,
            id: &event.id,
            kind: &event.kind,
            user_id: event.user.as_deref(),
            session_id: event.session.as_deref(),
            source: event.source.as_deref(),
            dialect: event.dialect.as_deref(),
            properties: serde_json::from_str(&event.properties).ok()?,
        })
    }
}

async fn events(
    request: HttpRequest,
    reader: web::Data<SingleEvents>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    let (search, format) = asked(request.query_string(), mirror.now(), mirror.zone())?;
    answer(&request, &reader, &search, format.as_deref()).await
}

async fn session(
    request: HttpRequest,
    reader: web::Data<SingleEvents>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    let (search, format) = visit(request.query_string(), mirror.now(), mirror.zone())?;
    answer(&request, &reader, &search, format.as_deref()).await
}

async fn answer(
    request: &HttpRequest,
    reader: &SingleEvents,
    search: &EventSearch,
    format: Option<&str>,
) -> Result<HttpResponse, ApiError> {
    let is_csv = csv::is_asked(request, format)?;
    let SearchedEvents { events, next, searched_to } =
        reader.0.search(search).await.map_err(unavailable)?;
    // Asked last: rows that are removed while they are read are noted by then.
    let removed = reader.1.removed(search.from, search.until).await.map_err(unavailable)?;
    let removed = RemovedSum::of(&removed, search.filter.kind.as_deref());
    let next = next.as_ref().map(written);
    let mut answer = no_store();
    answer.insert_header((header::VARY, "Accept"));
    answer.insert_header((SEARCHED_TO, searched_to.to_string()));
    if let Some(next) = &next {
        answer.insert_header((NEXT, next.as_str()));
    }
    if let Some(removed) = &removed {
        answer.insert_header((REMOVED, removed.rows.to_string()));
    }
    if is_csv {
        return Ok(tagged(request, answer.content_type(csv::CSV).body(table(&events))));
    }
    let events = events.iter().filter_map(ShownEvent::of).collect();
    Ok(tagged(request, answer.json(ShownEvents { events, next, searched_to, removed })))
}

/// 503 for what the store has said.
pub(super) fn unavailable(error: SinkError) -> ApiError {
    // What the store said is for the log; it may name hosts and tables.
    tracing::warn!(%error, "the store can't be searched for events");
    ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN)
}

/// The events as CSV.
fn table(events: &[FoundEvent]) -> Vec<u8> {
    let mut table = Vec::new();
    lines::csv_head(&mut table);
    events.iter().for_each(|event| lines::csv(&mut table, &event.row()));
    table
}

/// Reads a query for events.
fn asked(
    text: &str,
    now: Millis,
    zone: &BusinessZone,
) -> Result<(EventSearch, Option<String>), ApiError> {
    let ([kind, text, from, to, limit, after, format, _], tests) =
        query::read_exactly(text, &EVENTS, Some(WHERE))?;
    let filter = filter(kind, text, tests)?;
    let until = ends_at(to.as_deref(), now, zone)?;
    let from = match from.as_deref() {
        // A full minute, so that who asks each second may be told that nothing has changed.
        None => bucket((until.min(now) - USUAL_SPAN).max(0), MINUTE),
        Some(from) => query::start("from", from, zone)?,
    };
    let span = (from, until);
    let search = search(filter, span, (limit, after, now), USUAL_EVENTS)?;
    Ok((EventSearch { newest_first: true, ..search }, format))
}

/// The filter of a query: a type, a text, and tests of properties.
pub(super) fn filter(
    kind: Option<String>,
    text: Option<String>,
    tests: Vec<(String, String)>,
) -> Result<EventFilter, ApiError> {
    let mut filter = EventFilter::default();
    (filter.kind, filter.text) = (kind, text);
    if filter.text.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(invalid("text", &format!("it has 1 to {MAX_TEXT} bytes")));
    }
    for (property, test) in tests {
        filter
            .test(&property, &test)
            .map_err(|why| invalid(&format!("{WHERE}{property}"), &why))?;
    }
    Ok(filter)
}

/// Reads a query for what a visitor did.
fn visit(
    text: &str,
    now: Millis,
    zone: &BusinessZone,
) -> Result<(EventSearch, Option<String>), ApiError> {
    let ([session, user, from, to, limit, after, format], _) =
        query::read_exactly(text, &SESSION, None)?;
    if session.is_none() && user.is_none() {
        return Err(invalid("id", "whose session? id=SESSION, or user=USER"));
    }
    let mut filter = EventFilter::default();
    (filter.session, filter.user) = (session, user);
    let until = ends_at(to.as_deref(), now, zone)?;
    let from = match from.as_deref() {
        None => zone.day_of((until - 1).min(now)).start,
        Some(from) => query::start("from", from, zone)?,
    };
    let search = search(filter, (from, until), (limit, after, now), MAX_EVENTS)?;
    Ok((search, format))
}

/// Where a search ends. Event times are at most [`MAX_FUTURE`] ahead.
pub(super) fn ends_at(
    to: Option<&str>,
    now: Millis,
    zone: &BusinessZone,
) -> Result<Millis, ApiError> {
    let latest = now + MAX_FUTURE + 1;
    let to = to.map(|to| query::end("to", to, zone)).transpose()?;
    Ok(to.map_or(latest, |to| to.min(latest)))
}

/// What both queries have in common. The oldest come first.
fn search(
    filter: EventFilter,
    (from, until): (Millis, Millis),
    (limit, after, now): (Option<String>, Option<String>, Millis),
    usual: usize,
) -> Result<EventSearch, ApiError> {
    if from >= until {
        return Err(invalid("from", "it lies before to, and not in the future"));
    }
    let limit = match limit.as_deref().map(str::parse::<usize>) {
        None => usual,
        Some(Ok(limit)) if (1..=MAX_EVENTS).contains(&limit) => limit,
        Some(_) => return Err(invalid("limit", &format!("it is 1 to {MAX_EVENTS}"))),
    };
    let after = match after {
        None => None,
        Some(text) => {
            let read = read_end(&text);
            Some(read.ok_or_else(|| invalid("after", "it is the next of an earlier answer"))?)
        }
    };
    let filter = Arc::new(filter);
    Ok(EventSearch { filter, from, until, newest_first: false, after, limit, now })
}

/// The end of a search as a text, which clients give back as it is.
fn written(end: &SearchEnd) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{}.{}", end.time, end.given, end.id))
}

fn read_end(text: &str) -> Option<SearchEnd> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = text.splitn(3, '.');
    let time: Millis = parts.next()?.parse().ok()?;
    let given: usize = parts.next()?.parse().ok()?;
    let id = parts.next()?.to_owned();
    let is_ours = (0..=LATEST).contains(&time) && given <= MAX_EVENTS && !id.contains('\0');
    is_ours.then_some(SearchEnd { time, id, given })
}

/// 400 for a parameter.
pub(super) fn invalid(parameter: &str, message: &str) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{parameter}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;

    const NOW: Millis = 1_795_521_600_000;

    fn zone() -> BusinessZone {
        BusinessZone::named("Europe/Berlin").unwrap()
    }

    #[test]
    fn the_last_week_is_searched_unless_the_query_says_otherwise() {
        let of = |text: &str| asked(text, NOW, &zone()).map(|(search, _)| search);
        let usual = of("token=x").unwrap();
        assert_eq!((usual.from, usual.until), (NOW - 7 * DAY, NOW + MAX_FUTURE + 1));
        assert_eq!((usual.limit, usual.newest_first), (50, true));
        let day = of("from=2026-11-20&to=2026-11-20&limit=500").unwrap();
        let start = parse_rfc3339("2026-11-20T00:00:00+01:00").unwrap();
        assert_eq!((day.from, day.until, day.limit), (start, start + DAY, 500));
        for (wrong, name) in [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("after=x", "after"),
            ("text=", "text"),
            ("from=2027-01-01", "from"),
            ("where.password=a", "where.password"),
            ("where.a=>x", "where.a"),
            ("where.=x", "where."),
            ("kind=x", "kind"),
            ("type=a&type=b", "type"),
            ("text=a%00", "text"),
            ("where.a=%00", "where.a"),
        ] {
            let error = of(wrong).expect_err(wrong);
            assert!(error.message.starts_with(name), "{wrong}: {}", error.message);
        }
    }

    #[test]
    fn a_visit_is_todays_unless_the_query_says_otherwise() {
        let of = |text: &str| visit(text, NOW, &zone()).map(|(search, _)| search);
        let today = of("id=s1").unwrap();
        assert_eq!(today.from, zone().day_of(NOW).start);
        assert!(!today.newest_first && today.limit == 500);
        assert_eq!(today.filter.session.as_deref(), Some("s1"));
        let user = of("user=ann&to=2026-11-20").unwrap();
        assert_eq!(user.until - user.from, DAY);
        assert!(of("").is_err() && of("id=s1&text=x").is_err());
    }

    #[test]
    fn an_end_is_read_as_it_was_written() {
        for id in ["", "order.7", "ü"] {
            let end = SearchEnd { time: NOW, id: id.to_owned(), given: 2 };
            assert_eq!(read_end(&written(&end)), Some(end));
        }
        for wrong in ["-1.0.a", "5.0", "x", "5.9999.a", "5.0.\0"] {
            assert_eq!(read_end(&URL_SAFE_NO_PAD.encode(wrong)), None, "{wrong}");
        }
    }
}
