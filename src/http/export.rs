//! `GET /api/analytics/export`: all stored events of a stretch of time as a file. How they are read and written
//! is in [`crate::export`].

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    domain::{
        access::Permission,
        time::{BusinessZone, Millis},
    },
    export::{self, EventFormat, Export, ExportPiece, packed::Packing},
    http::{
        current::no_store,
        error::ApiError,
        events::{self, SingleEvents, WHERE, invalid},
        query,
        scope::View,
    },
    numbers::Mirror,
    sink::SinkError,
    store::{
        events::export::{ExportAsked, ExportKey},
        retention::RemovedSum,
    },
};

/// The exports that a node has under way at a time. Each reads as fast as the store gives.
const MAX_EXPORTS: usize = 2;
/// `Retry-After` in seconds, where these are taken.
const ASK_AGAIN: u32 = 30;
/// The header with where the export ends, Unix ms.
const UNTIL: &str = "x-floodmark-until";

/// The parameters. The last one stands for all properties.
const PARAMETERS: [&str; 9] =
    ["type", "text", "from", "to", "limit", "after", "format", "compress", "where.PROPERTY"];

/// The places for exports on this node.
#[derive(Clone)]
pub struct ExportPlaces(Arc<Semaphore>);

impl Default for ExportPlaces {
    fn default() -> ExportPlaces {
        ExportPlaces(Arc::new(Semaphore::new(MAX_EXPORTS)))
    }
}

/// Adds the route.
pub fn routes(view: &mut View) {
    let read = Permission::Events;
    view.read_with(read, "/api/analytics/export", answer).parameters(&PARAMETERS);
}

async fn answer(
    request: HttpRequest,
    reader: web::Data<SingleEvents>,
    mirror: web::Data<Mirror>,
    places: web::Data<ExportPlaces>,
) -> Result<HttpResponse, ApiError> {
    let export = asked(request.query_string(), mirror.now(), mirror.zone())?;
    let Ok(place) = places.0.clone().try_acquire_owned() else {
        let message = format!("{MAX_EXPORTS} exports are under way on this node");
        return Err(ApiError::unavailable("too_many_exports", message, ASK_AGAIN));
    };
    let (from, until) = (export.asked.from, export.asked.until);
    let kind = export.asked.filter.kind.clone();
    let removed = reader.1.removed(from, until).await.map_err(events::unavailable)?;
    let (format, packing) = (export.format, export.packing);
    let mut pieces = export::begin(reader.0.clone(), export);
    // Once the head has been sent an error can only cut the answer, so the first piece is waited for.
    let first = match pieces.recv().await {
        Some(Err(error)) => return Err(events::unavailable(error)),
        Some(Ok(piece)) => Some(piece),
        None => None,
    };
    let mut answer = no_store();
    answer.content_type(packing.media_type().unwrap_or(format.media_type()));
    answer.insert_header((UNTIL, until.to_string()));
    let name = format!("floodmark-events.{}{}", format.name(), packing.ending());
    answer.insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    if let Some(removed) = RemovedSum::of(&removed, kind.as_deref()) {
        answer.insert_header((events::REMOVED, removed.rows.to_string()));
    }
    if packing != Packing::Plain || format == EventFormat::Parquet {
        // It is compressed already.
        answer.insert_header((header::CONTENT_ENCODING, "identity"));
    }
    Ok(answer.streaming(body(first, pieces, place)))
}

/// The file as the body of an answer. An error ends it, so that no client takes a part for the whole.
fn body(
    first: Option<ExportPiece>,
    pieces: mpsc::Receiver<Result<ExportPiece, SinkError>>,
    place: OwnedSemaphorePermit,
) -> impl stream::Stream<Item = Result<web::Bytes, actix_web::Error>> {
    stream::unfold((first, pieces, place), |(mut first, mut pieces, place)| async move {
        let piece = match first.take() {
            Some(piece) => Ok(piece),
            None => pieces.recv().await?,
        };
        let bytes = piece.map(|piece| piece.bytes).map_err(|error| {
            tracing::warn!(%error, "an export was cut: the store could not be read on");
            actix_web::error::ErrorServiceUnavailable("the store does not answer")
        });
        Some((bytes, (None, pieces, place)))
    })
}

/// Reads a query.
fn asked(text: &str, now: Millis, zone: &BusinessZone) -> Result<Export, ApiError> {
    let ([kind, text, from, to, limit, after, format, compress, _], tests) =
        query::read_exactly(text, &PARAMETERS, Some(WHERE))?;
    let filter = Arc::new(events::filter(kind, text, tests)?);
    let until = events::ends_at(to.as_deref(), now, zone)?;
    let from = from.map_or(Ok(0), |from| query::start("from", &from, zone))?;
    if from >= until {
        return Err(invalid("from", "it lies before to, and not in the future"));
    }
    let limit = match limit.as_deref().map(str::parse::<u64>) {
        None => None,
        Some(Ok(limit)) if limit > 0 => Some(limit),
        Some(_) => return Err(invalid("limit", "it is a number above 0")),
    };
    let after = match after {
        None => None,
        Some(text) => {
            let rule = "it is TIMESTAMP~RECEIVED~TYPE~ID of the last event";
            Some(ExportKey::parse(&text).ok_or_else(|| invalid("after", rule))?)
        }
    };
    let format = match format {
        None => EventFormat::Ndjson,
        Some(name) => EventFormat::named(&name)
            .ok_or_else(|| invalid("format", &format!("it is {}", EventFormat::NAMES)))?,
    };
    let packing = match compress {
        None => Packing::Plain,
        Some(name) => {
            Packing::named(&name).filter(|_| format != EventFormat::Parquet).ok_or_else(|| {
                let rule = format!("it is {}; Parquet is compressed within", Packing::NAMES);
                invalid("compress", &rule)
            })?
        }
    };
    let asked = ExportAsked { filter, from, until, after };
    Ok(Export { asked, limit, format, packing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{DAY, MAX_FUTURE};

    const NOW: Millis = 1_795_521_600_000;

    #[test]
    fn all_there_is_is_exported_unless_the_query_says_otherwise() {
        let of = |text: &str| asked(text, NOW, &BusinessZone::named("Europe/Berlin").unwrap());
        let usual = of("token=x").unwrap();
        assert_eq!((usual.asked.from, usual.asked.until), (0, NOW + MAX_FUTURE + 1));
        assert_eq!((usual.format, usual.limit), (EventFormat::Ndjson, None));
        let day = of("from=2026-11-20&to=2026-11-20&type=purchase&format=csv&compress=zstd");
        let day = day.unwrap();
        assert_eq!(day.asked.until - day.asked.from, DAY);
        assert_eq!((day.format, day.packing), (EventFormat::Csv, Packing::Zstd));
        let next = of("after=5~7~add to cart~a~b").unwrap().asked.after.unwrap();
        assert_eq!((next.time, next.kind.as_str(), next.id.as_str()), (5, "add to cart", "a~b"));
        for (wrong, name) in [
            ("limit=0", "limit"),
            ("after=5", "after"),
            ("format=json", "format"),
            ("compress=br", "compress"),
            ("format=parquet&compress=gzip", "compress"),
            ("from=2027-01-01", "from"),
            ("where.password=a", "where.password"),
            ("kind=x", "kind"),
        ] {
            let error = of(wrong).expect_err(wrong);
            assert!(error.message.starts_with(name), "{wrong}: {}", error.message);
        }
    }
}
