//! `/api/analytics/marks`: GET lists marks, POST makes one, and DELETE takes one back.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, ReqData},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        access::{Permission, Rights, Sight},
        mark::{
            Mark, NewMark, PublicMark,
            effect::{EffectVerdict, MetricEffect},
            words::in_words,
        },
        metric::MetricSet,
        time::{BusinessZone, DAY, LATEST, Millis},
    },
    http::{
        access::actor,
        auth::{Principal, WhoReads},
        current::no_store,
        error::ApiError,
        login::Reception,
        query,
        scope::{RoutePart, View},
    },
    numbers::{MarkDesk, MarkEffect, MarkEffects, Mirror},
    sink::SinkError,
    store::marks::{MadeMark, MarksAsked},
};

const PARAMETERS: [&str; 4] = ["from", "to", "limit", "effect"];
/// Names the mark that is taken back.
const ID: &str = "id";
/// The marks of an answer, unless the query says otherwise, and the most that it may ask for.
const LIMITS: (usize, usize) = (100, 1_000);
/// The marks of an answer, the newest, whose effects are computed.
const EFFECTS: usize = 20;
/// How far around a mark others are looked for, ms: beyond, they bound nothing of what is looked at.
const AROUND: Millis = 4 * DAY;
/// `Retry-After` in seconds, where the store did not answer.
const ASK_AGAIN: u32 = 5;

/// Adds the routes.
pub fn routes(view: &mut View) {
    let read = RoutePart { handler: list, parameters: &PARAMETERS };
    let remove = RoutePart { handler: take_back, parameters: &[ID] };
    view.read_make_remove("/api/analytics/marks", read, Permission::Marks, make, remove);
}

/// A mark as it is listed.
#[derive(Serialize)]
struct ListedMark<'a> {
    #[serde(flatten)]
    mark: PublicMark<'a>,
    /// Who made it, for those who may make marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    /// Its link, for the same; null where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<Option<&'a str>>,
    /// What it has done, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<ListedEffect>,
}

impl<'a> ListedMark<'a> {
    fn seen_by(rights: Rights, mark: &'a Mark, effect: Option<ListedEffect>) -> ListedMark<'a> {
        let makes_marks = rights.permissions.has(Permission::Marks);
        ListedMark {
            mark: PublicMark::from(mark),
            source: makes_marks.then_some(&mark.source),
            link: makes_marks.then_some(mark.link.as_deref()),
            effect,
        }
    }
}

/// What a mark has done, as somebody sees it.
#[derive(Serialize)]
struct ListedEffect {
    /// What is known of it: that of the first metric that has changed.
    verdict: EffectVerdict,
    /// The same in words.
    summary: String,
    /// Metric by metric.
    metrics: Vec<MetricEffect>,
}

impl ListedEffect {
    fn seen_by(
        mut effect: MarkEffect,
        (sight, metric_set): (Sight, &MetricSet),
        currency: &str,
    ) -> ListedEffect {
        let shows = |name: &str| metric_set.shows(sight, name);
        effect.metrics.retain(|it| shows(&it.metric) && it.per.as_deref().is_none_or(shows));
        ListedEffect {
            verdict: effect.verdict(),
            summary: in_words(&effect.metrics, currency),
            metrics: effect.metrics,
        }
    }
}

/// `[{"id","time","until","title","source"?,"link"?,"effect"?}]`, the newest first.
async fn list(
    request: HttpRequest,
    desk: web::Data<MarkDesk>,
    effects: web::Data<MarkEffects>,
    mirror: web::Data<Mirror>,
    principal: ReqData<Principal>,
) -> Result<HttpResponse, ApiError> {
    let (asked, with_effect) = asked(request.query_string(), mirror.zone())?;
    let marks = desk.list(asked).await.map_err(|error| unanswered(&error))?;
    let judged = if with_effect { marks.len().min(EFFECTS) } else { 0 };
    let mut found = Vec::with_capacity(judged);
    if let (Some(newest), Some(oldest)) = (marks.first(), marks[..judged].last()) {
        let (from, to) = (oldest.time - AROUND, newest.time + AROUND);
        let around = MarksAsked { from, to, limit: LIMITS.1 };
        let others = desk.list(around).await.map_err(|error| unanswered(&error))?;
        let view = (principal.rights.sight, mirror.metric_set());
        for mark in &marks[..judged] {
            let effect = effects.of(mark, &others).await?;
            found.push(ListedEffect::seen_by(effect, view, effects.currency()));
        }
    }
    let mut found = found.into_iter();
    let seen = |mark| ListedMark::seen_by(principal.rights, mark, found.next());
    let listed: Vec<ListedMark<'_>> = marks.iter().map(seen).collect();
    Ok(no_store().json(listed))
}

/// Which marks, and whether their effects.
fn asked(text: &str, zone: &BusinessZone) -> Result<(MarksAsked, bool), ApiError> {
    let ([from, to, limit, effect], _) = query::read_exactly(text, &PARAMETERS, None)?;
    let from = from.map(|text| query::start("from", &text, zone)).transpose()?;
    let to = to.map(|text| query::end("to", &text, zone)).transpose()?;
    let (usual, most) = LIMITS;
    let limit = match limit {
        None => usual,
        Some(text) => {
            let number = text.parse().ok().filter(|number| (1..=most).contains(number));
            let rule = format!("is a whole number from 1 to {most}");
            number.ok_or_else(|| query::wrong("limit", &text, &rule))?
        }
    };
    let with_effect = match effect.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(text) => return Err(query::wrong("effect", text, "is 0 or 1")),
    };
    Ok((MarksAsked { from: from.unwrap_or(0), to: to.unwrap_or(LATEST), limit }, with_effect))
}

/// A moment as a client writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenMoment {
    /// Unix ms.
    Number(Millis),
    /// RFC 3339, or Unix ms as text.
    Text(String),
}

impl WrittenMoment {
    fn read(self, name: &str) -> Result<Millis, ApiError> {
        match self {
            WrittenMoment::Number(at) => Ok(at),
            WrittenMoment::Text(text) => query::moment(name, &text),
        }
    }
}

/// The body of [`make`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    title: String,
    time: Option<WrittenMoment>,
    until: Option<WrittenMoment>,
    link: Option<String>,
    key: Option<String>,
}

/// The mark: 201 where it was made, 200 where one with its key was there.
async fn make(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
    desk: web::Data<MarkDesk>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    let body: MarkBody = reception.read(&request, payload).await?;
    let now = mirror.now();
    let time = body.time.map(|time| time.read("time")).transpose()?.unwrap_or(now);
    let until = body.until.map(|until| until.read("until")).transpose()?;
    let source = actor(&reception.access, &principal);
    let texts = (body.title.as_str(), source.as_str());
    let key = body.key.map(|key| (source.as_str(), key));
    let new = NewMark::checked((time, until), texts, (body.link, key), now)
        .map_err(|words| ApiError::bad_request("invalid_parameter", words))?;
    let made = desk.add(&new).await.map_err(|error| unanswered(&error))?;
    let status = match made {
        MadeMark::New(_) => StatusCode::CREATED,
        MadeMark::Known(_) => StatusCode::OK,
    };
    Ok(HttpResponse::build(status).json(made.mark()))
}

/// 204, or 404 where there is no such mark, or it is not of the token that asks.
async fn take_back(
    request: HttpRequest,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
    desk: web::Data<MarkDesk>,
) -> Result<HttpResponse, ApiError> {
    let ([id], _) = query::read_exactly(request.query_string(), &[ID], None)?;
    let id = id.ok_or_else(|| ApiError::bad_request("invalid_parameter", "id: which mark?"))?;
    let by = actor(&reception.access, &principal);
    // A token of one service is no way to take back what others have marked; people may do that.
    let is_token = matches!(principal.reader, WhoReads::Token(_));
    let only_of = is_token.then_some(by.as_str());
    match desk.remove(&id, &by, only_of).await.map_err(|error| unanswered(&error))? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => {
            let message = "there is no mark with this id";
            Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_mark", message))
        }
    }
}

/// The refusal where the store did not answer. What it said is for the log; it may name hosts and tables.
pub fn unanswered(error: &SinkError) -> ApiError {
    tracing::warn!(%error, "the marks can't be read or changed");
    ApiError::unavailable("store_unavailable", "the store does not answer", ASK_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{DAY, parse_rfc3339};

    #[test]
    fn all_marks_are_asked_for_unless_the_query_says_otherwise() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let asked = |text: &str| asked(text, &zone).ok().map(|(it, _)| (it.from, it.to, it.limit));
        assert_eq!(asked("token=x"), Some((0, LATEST, 100)));
        let day = parse_rfc3339("2026-11-27T00:00:00+01:00").unwrap();
        assert_eq!(
            asked("from=2026-11-27&to=2026-11-27&limit=1000"),
            Some((day, day + DAY, 1_000))
        );
        for wrong in
            ["from=noon", "to=x", "limit=0", "limit=1001", "limit=", "form=1", "effect=yes"]
        {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
