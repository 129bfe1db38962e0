//! `GET /api/analytics/books`: the orders of a day as the shop or the payment provider has them, compared
//! with the events of the same orders.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::{
        books::{Books, BooksAsked, ON_THE_WAY},
        time::{BusinessDay, BusinessZone, LATEST, Millis},
    },
    http::{current::no_store, error::ApiError, query, scope::View},
    numbers::Mirror,
    store::books::OrderBooks,
};

/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;

const PARAMETERS: [&str; 2] = ["day", "source"];

/// The store's books, for the route, and the currency of amounts that name none.
#[derive(Clone)]
pub struct BookReader(pub Arc<dyn OrderBooks>, pub String);

/// Adds the route. All that it answers is about money.
pub fn routes(view: &mut View) {
    view.read("/api/analytics/books", books).parameters(&PARAMETERS);
}

/// The answer.
#[derive(Serialize)]
struct ShownBooks {
    /// The date.
    day: String,
    /// The part of the orders that is here, 0 to 1; null where there is no order.
    share: Option<f64>,
    #[serde(flatten)]
    books: Books,
}

async fn books(
    request: HttpRequest,
    reader: web::Data<BookReader>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    let now = mirror.now();
    let (day, source) = asked(request.query_string(), now, mirror.zone())?;
    let asked = BooksAsked {
        from: day.start,
        to: day.end.min(now - ON_THE_WAY).max(day.start),
        source,
        currency: reader.1.clone(),
    };
    let books = reader.0.books(&asked).await.map_err(|error| {
        // What the store said is for the log; it may name hosts and tables.
        tracing::warn!(%error, "the store can't compare the books");
        ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN)
    })?;
    let share = (books.orders > 0).then(|| books.matched as f64 / books.orders as f64);
    Ok(no_store().json(ShownBooks { day: day.date.to_string(), share, books }))
}

fn asked(
    text: &str,
    now: Millis,
    zone: &BusinessZone,
) -> Result<(BusinessDay, Option<String>), ApiError> {
    let [day, source] = query::read(text, &PARAMETERS)?;
    // No source is called so, and PostgreSQL takes no text with it.
    if source.as_deref().is_some_and(|source| source.contains('\0')) {
        return Err(query::wrong("source", "", "has a character that no name has"));
    }
    let day = match day {
        None => zone.day_of(now),
        Some(text) => {
            let named = zone.day_named(&text).filter(|day| day.end <= LATEST);
            let has_come = named.filter(|day| day.start <= now);
            has_come.ok_or_else(|| {
                query::wrong("day", &text, "is a date such as 2026-11-27, not after today")
            })?
        }
    };
    Ok((day, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;

    #[test]
    fn today_is_asked_for_unless_the_query_names_a_day() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let now = parse_rfc3339("2026-11-27T23:30:00Z").unwrap();
        let asked = |text: &str| {
            let (day, source) = asked(text, now, &zone).ok()?;
            Some((day.date.to_string(), source))
        };
        assert_eq!(asked("token=x"), Some(("2026-11-28".to_owned(), None)));
        let named = Some(("2026-11-01".to_owned(), Some("shop".to_owned())));
        assert_eq!(asked("day=2026-11-01&source=shop"), named);
        for wrong in ["day=2026-11-29", "day=today", "day=", "days=1", "source=%00"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
