//! `GET /api/analytics/books`: the orders of a day as the shop or the payment provider has them, compared
//! with the events of the same orders.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio::sync::Mutex;

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

/// An answer is given again for so many times as long as it took: every page with the panel asks once a
/// minute, and a day of many orders takes seconds.
const REUSED: u32 = 10;
/// For so long at most.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Answers that are kept.
const MAX_KEPT: usize = 8;

/// The store's books, for the route. A clone is the same one.
#[derive(Clone)]
pub struct BookReader {
    books: Arc<dyn OrderBooks>,
    /// The currency of amounts that name none.
    currency: String,
    /// Held while an answer is made, so that the same is not asked twice at a time.
    last: Arc<Mutex<LastBooks>>,
}

/// What the store said last.
#[derive(Default)]
struct LastBooks {
    answers: Vec<KeptBooks>,
    /// When it did not answer: those who waited meanwhile are told so, too, and do not each ask it.
    failed: Option<Instant>,
}

/// An answer that may be given again.
struct KeptBooks {
    day: Millis,
    source: Option<String>,
    until: Instant,
    books: Books,
}

impl BookReader {
    /// Reads the books of this store.
    pub fn new(books: Arc<dyn OrderBooks>, currency: String) -> BookReader {
        BookReader { books, currency, last: Arc::default() }
    }

    async fn read(
        &self,
        day: BusinessDay,
        source: Option<String>,
        now: Millis,
    ) -> Result<Books, ApiError> {
        let mut last = self.last.lock().await;
        let began = Instant::now();
        last.answers.retain(|it| it.until > began);
        let is_asked = |it: &&KeptBooks| it.day == day.start && it.source == source;
        if let Some(it) = last.answers.iter().find(is_asked) {
            return Ok(it.books.clone());
        }
        let away =
            || ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN);
        let again = Duration::from_secs(ASK_AGAIN.into());
        if last.failed.is_some_and(|at| at.elapsed() < again) {
            return Err(away());
        }
        let asked = BooksAsked {
            from: day.start,
            to: day.end.min(now - ON_THE_WAY).max(day.start),
            source: source.clone(),
            currency: self.currency.clone(),
        };
        let books = self.books.books(&asked).await.map_err(|error| {
            // What the store said is for the log; it may name hosts and tables.
            tracing::warn!(%error, "the store can't compare the books");
            last.failed = Some(Instant::now());
            away()
        })?;
        let until = Instant::now() + (began.elapsed() * REUSED).min(MAX_AGE);
        if last.answers.len() < MAX_KEPT {
            last.answers.push(KeptBooks { day: day.start, source, until, books: books.clone() });
        }
        Ok(books)
    }
}

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
    let books = reader.read(day, source, now).await?;
    let share = (books.orders > 0).then(|| books.matched as f64 / books.orders as f64);
    Ok(no_store().json(ShownBooks { day: day.date.to_string(), share, books }))
}

fn asked(
    text: &str,
    now: Millis,
    zone: &BusinessZone,
) -> Result<(BusinessDay, Option<String>), ApiError> {
    let ([day, source], _) = query::read_exactly(text, &PARAMETERS, None)?;
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
