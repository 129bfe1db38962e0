//! `GET /api/analytics/dead-letters`: which events are refused, by reason, source and write key, with
//! some of them.

use std::{fmt, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    domain::{
        access::Permission,
        time::{DAY, Millis, now_ms, parse_rfc3339, rfc3339},
        veil::veiled,
    },
    http::{current::no_store, error::ApiError, query, scope::View},
    store::letters::{DeadLetters, LetterFilter, LetterGroup},
};

/// The time that is looked at where the query names none.
const USUAL_SPAN: Millis = 7 * DAY;
/// The most samples of a group.
const MAX_SAMPLES: usize = 20;
/// The samples of a group where the query does not say.
const USUAL_SAMPLES: usize = 3;
/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;
/// What a source or write key is called that is not known.
pub const UNKNOWN: &str = "unknown";

/// The store's dead letters, for the route.
#[derive(Clone)]
pub struct LetterReader(pub Arc<dyn DeadLetters>);

/// What a query may choose by.
const PARAMETERS: [&str; 6] = ["code", "source", "key", "from", "to", "samples"];

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_with(Permission::Letters, "/api/analytics/dead-letters", dead_letters)
        .parameters(&PARAMETERS);
}

/// The answer: `{"groups":[…]}`, the largest first.
#[derive(Serialize)]
pub struct ShownGroups {
    groups: Vec<ShownGroup>,
}

/// Letters with the same code, source and write key.
#[derive(Serialize)]
struct ShownGroup {
    code: String,
    source: String,
    key: String,
    /// How many wait to be sent again.
    count: u64,
    /// How many were sent again.
    sent: u64,
    first: Millis,
    last: Millis,
    samples: Vec<ShownSample>,
}

/// One letter. Secrets in it are not shown.
#[derive(Serialize)]
struct ShownSample {
    timestamp: Millis,
    message: String,
    dialect: String,
    event: String,
}

impl ShownGroups {
    /// What is shown of groups.
    pub fn of(groups: Vec<LetterGroup>) -> ShownGroups {
        ShownGroups { groups: groups.into_iter().map(shown).collect() }
    }
}

fn shown(group: LetterGroup) -> ShownGroup {
    let named = |name: String| if name.is_empty() { UNKNOWN.to_owned() } else { name };
    let samples = group.samples.into_iter().map(|sample| ShownSample {
        timestamp: sample.received_at,
        message: sample.message,
        dialect: named(sample.dialect),
        event: veiled(&sample.text, &[]),
    });
    ShownGroup {
        code: group.code,
        source: named(group.source),
        key: named(group.key),
        count: group.waiting,
        sent: group.sent,
        first: group.first,
        last: group.last,
        samples: samples.collect(),
    }
}

impl fmt::Display for ShownGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting: u64 = self.groups.iter().map(|group| group.count).sum();
        writeln!(f, "{waiting} refused events wait, in {} groups", self.groups.len())?;
        for group in &self.groups {
            let ShownGroup { code, source, key, count, sent, .. } = group;
            writeln!(f, "\n{count} x {code}   source {source}, key {key}, {sent} sent again")?;
            writeln!(f, "  from {} to {}", rfc3339(group.first), rfc3339(group.last))?;
            for sample in &group.samples {
                writeln!(
                    f,
                    "  {} ({}): {}",
                    rfc3339(sample.timestamp),
                    sample.dialect,
                    sample.message
                )?;
                writeln!(f, "    {}", sample.event)?;
            }
        }
        Ok(())
    }
}

/// A source or write key as the store has it.
pub fn stored_name(shown: String) -> String {
    if shown == UNKNOWN { String::new() } else { shown }
}

async fn dead_letters(
    request: HttpRequest,
    letters: web::Data<LetterReader>,
) -> Result<HttpResponse, ApiError> {
    let (filter, samples) = asked(request.query_string(), now_ms())?;
    let groups = letters.0.letter_groups(&filter, samples).await.map_err(|error| {
        // What the store said is for the log; it may name hosts and tables.
        tracing::warn!(%error, "the store can't say which events were refused");
        ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN)
    })?;
    Ok(no_store().json(ShownGroups::of(groups)))
}

/// Reads the query.
fn asked(text: &str, now: Millis) -> Result<(LetterFilter, usize), ApiError> {
    let [code, source, key, from, to, samples] = query::read(text, &PARAMETERS)?;
    let invalid = |message: String| ApiError::bad_request("invalid_parameter", message);
    let moment = |name: &str, text: Option<String>, usual: Millis| match text {
        None => Ok(usual),
        Some(text) => text.parse().ok().or_else(|| parse_rfc3339(&text)).ok_or_else(|| {
            invalid(format!("{name} {text:?} is no moment: Unix milliseconds or RFC 3339"))
        }),
    };
    let to = moment("to", to, now.saturating_add(1))?;
    let from = moment("from", from, to.saturating_sub(USUAL_SPAN))?;
    let samples = match samples {
        None => USUAL_SAMPLES,
        Some(text) => match text.parse() {
            Ok(samples) if samples <= MAX_SAMPLES => samples,
            _ => {
                return Err(invalid(format!(
                    "samples {text:?} is no number from 0 to {MAX_SAMPLES}"
                )));
            }
        },
    };
    let (source, key) = (source.map(stored_name), key.map(stored_name));
    Ok((LetterFilter { code, source, key, from, to }, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_days_are_looked_at_unless_the_query_says_otherwise() {
        let (filter, samples) = asked("source=unknown&token=x", 10 * DAY).unwrap();
        assert_eq!((filter.from, filter.to, samples), (3 * DAY + 1, 10 * DAY + 1, 3));
        assert_eq!((filter.source.as_deref(), filter.code), (Some(""), None));
        let (filter, samples) = asked("from=5&to=1970-01-01T00:00:01Z&samples=0", DAY).unwrap();
        assert_eq!((filter.from, filter.to, samples), (5, 1_000, 0));
        for wrong in ["samples=21", "samples=x", "from=noon", "to=", "code=a&code=b"] {
            assert!(asked(wrong, DAY).is_err(), "{wrong}");
        }
    }
}
