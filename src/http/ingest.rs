//! `POST /v1/events`: decode, check, encode, hand to the ingest actor, and answer once the
//! events are on disk.

use std::sync::Arc;

use actix::Recipient;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use serde::Serialize;

use crate::{
    config::Config,
    domain::{
        batch::DeadLetter,
        event::{EventLimits, Received, Rejection, millis},
        metric::Measures,
        time::now_ms,
    },
    failpoint::kill_point,
    http::{
        auth::Keys,
        error::ApiError,
        methods,
        payload::{self, Inflight},
        quota::Quota,
        wire::{self, Format, WireError},
    },
    ingest::{
        Accepted, Refused, Request,
        actor::Append,
        hand_over::{HandOver, NotAppended, Queue},
    },
    live::redis::claims::Claims,
};

/// What the handlers share.
#[derive(Clone)]
pub struct Intake {
    /// The ingest actor.
    ingest: Recipient<Append>,
    /// Requests that wait for it.
    queue: Queue,
    /// Ids shared with the other nodes (`dedupe.shared`).
    pub claims: Option<Arc<Claims>>,
    /// Bytes of bodies in flight.
    pub inflight: Inflight,
    /// Who may send …
    pub keys: Keys,
    /// … and how much.
    pub quota: Quota,
    /// Limits.
    pub http: crate::config::HttpConfig,
    /// Limits of one event.
    pub event: EventLimits,
    /// The rules that amounts are checked against.
    pub measures: Arc<Measures>,
    /// `dead_letters.max_bytes`.
    pub dead_letter_bytes: usize,
    /// `floodmark_events_accepted_total`, looked up once: the registry's lock and hash cost a
    /// request of one event more than its JSON.
    accepted: metrics::Counter,
}

impl Intake {
    /// With the limits of a configuration.
    pub fn new(config: &Config, ingest: Recipient<Append>, claims: Option<Arc<Claims>>) -> Intake {
        Intake {
            ingest,
            queue: Queue::new(config.ingest.queue_requests),
            claims,
            inflight: Inflight::new(config.http.max_inflight_bytes),
            keys: Keys::new(&config.auth),
            quota: Quota::new(&config.http),
            http: config.http.clone(),
            event: EventLimits {
                max_bytes: config.event.max_bytes,
                max_depth: config.event.max_depth,
            },
            measures: config.rules.measures.clone(),
            dead_letter_bytes: config.dead_letters.max_bytes,
            accepted: metrics::counter!("floodmark_events_accepted_total", "source" => "http"),
        }
    }

    /// The way to the ingest actor, for one worker.
    pub fn hand_over(&self) -> HandOver {
        HandOver::new(self.ingest.clone(), self.queue.clone())
    }
}

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(methods::only(Method::POST, "/events", events));
}

/// The answer to a request of which at least one event was taken (or all were duplicates).
#[derive(Debug, Serialize)]
struct Answer {
    accepted: u32,
    duplicates: u32,
    rejected: Vec<RejectedEvent>,
}

#[derive(Debug, Serialize)]
struct RejectedEvent {
    index: usize,
    code: &'static str,
    message: String,
}

async fn events(
    request: HttpRequest,
    payload: web::Payload,
    intake: web::Data<Intake>,
    hand_over: web::Data<HandOver>,
) -> Result<HttpResponse, ApiError> {
    let key = intake.keys.check_write(&request)?;
    let visit = intake.quota.enter(key, request.peer_addr())?;
    let format = format(&request)?;
    let mut share = intake.inflight.share();
    let body = payload::read(&request, payload, &intake.http, &mut share).await?;
    let (taken, rejected) = check(&body, format, &intake)?;
    let events = taken.events as usize + rejected.len();
    visit.take(events)?;
    let all_rejected = taken.events == 0 && events > 0;
    let accepted = append(&intake, &hand_over, taken).await?;
    intake.accepted.increment(accepted.accepted.into());
    // A request that was refused as a whole comes again: its bad events count then.
    for RejectedEvent { code, .. } in &rejected {
        metrics::counter!("floodmark_events_rejected_total", "code" => *code).increment(1);
    }
    let answer = Answer { accepted: accepted.accepted, duplicates: accepted.duplicates, rejected };
    if all_rejected {
        return Ok(HttpResponse::UnprocessableEntity().json(serde_json::json!({
            "error": {"code": "all_rejected", "message": "every event of the request was rejected"},
            "accepted": 0, "duplicates": 0, "rejected": answer.rejected,
        })));
    }
    Ok(HttpResponse::Accepted().json(answer))
}

fn format(request: &HttpRequest) -> Result<Format, ApiError> {
    let value = request.headers().get(header::CONTENT_TYPE);
    let essence = value.and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    if essence == "application/json" {
        return Ok(Format::Json); // what nearly all say, without a copy
    }
    let essence = essence.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        // sendBeacon says text/plain, curl -d says form-urlencoded when it is told nothing.
        "" | "application/json" | "text/plain" | "application/x-www-form-urlencoded" => {
            Ok(Format::Json)
        }
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::NdJson),
        other => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_type",
            format!("Content-Type {other:?}: send application/json or application/x-ndjson"),
        )),
    }
}

/// Splits, checks and encodes the events of a body.
fn check(
    body: &[u8],
    format: Format,
    intake: &Intake,
) -> Result<(Request, Vec<RejectedEvent>), ApiError> {
    let mut decoding =
        wire::split(body, format, intake.http.max_request_events).map_err(|e| match e {
            WireError::TooMany(..) => {
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", e.to_string())
            }
            WireError::Empty => ApiError::bad_request("empty_body", e.to_string()),
            WireError::NotEvents => ApiError::bad_request("not_events", e.to_string()),
            WireError::Malformed(_) => ApiError::bad_request("malformed", e.to_string()),
        })?;
    let sent_at = millis(&decoding.sent_at).map_err(|_| {
        ApiError::bad_request("invalid_sent_at", "sentAt must be Unix milliseconds or RFC 3339")
    })?;
    let received = Received { at: now_ms(), sent_at };
    let mut request = Request {
        received_at: received.at,
        rows: Vec::with_capacity(body.len() + decoding.events.len() * 96),
        ..Request::default()
    };
    let mut rejected = Vec::new();
    for (index, raw) in decoding.events.iter_mut().enumerate() {
        let text = raw.text;
        let encoded = wire::event(raw).and_then(|event| {
            event.encode(received, intake.event, &intake.measures, &mut request.rows)
        });
        match encoded {
            Ok(client_id) => {
                if let Some(id) = client_id {
                    request.client_ids.push((request.events, id));
                }
                request.events += 1;
            }
            Err(reason) => {
                request.dead_letters.push(dead_letter(text, &reason, received, intake));
                rejected.push(RejectedEvent {
                    index,
                    code: reason.code(),
                    message: reason.to_string(),
                });
            }
        }
    }
    Ok((request, rejected))
}

fn dead_letter(raw: &[u8], reason: &Rejection, received: Received, intake: &Intake) -> DeadLetter {
    let kept = &raw[..raw.len().min(intake.dead_letter_bytes)];
    DeadLetter {
        received_at: received.at,
        code: reason.code().to_owned(),
        message: reason.to_string(),
        // PostgreSQL's text holds no NUL.
        raw: String::from_utf8_lossy(kept).replace('\0', "\u{fffd}"),
    }
}

/// Hands a request to the ingest actor and waits until it is on disk.
///
/// # Errors
/// 503 where the actor is behind, the spool is full, its disk failed, or nobody can say
/// whether an id is new.
pub async fn append(
    intake: &Intake,
    hand_over: &HandOver,
    request: Request,
) -> Result<Accepted, ApiError> {
    if request.events == 0 && request.dead_letters.is_empty() {
        return Ok(Accepted::default());
    }
    match intake.claims.clone() {
        Some(claims) if !request.client_ids.is_empty() => {
            // To its end, though the client may go: its claim has to be settled.
            let claimed = append_claimed(hand_over.clone(), claims, request);
            let appended = actix_web::rt::spawn(claimed).await;
            appended.unwrap_or_else(|_| Err(NotAppended::Stopping.into()))
        }
        _ => hand_over.request(request).await.map_err(ApiError::from),
    }
}

async fn append_claimed(
    hand_over: HandOver,
    claims: Arc<Claims>,
    mut request: Request,
) -> Result<Accepted, ApiError> {
    let ids = request.client_ids.iter().map(|(_, id)| id.clone()).collect();
    let claim = claims.claim(ids).await.map_err(|e| {
        metrics::counter!("floodmark_dedupe_undecided_total").increment(1);
        ApiError::unavailable("dedupe", e.to_string(), 1)
    })?;
    request.known = claim.known.iter().map(|at| request.client_ids[*at].0).collect();
    kill_point!("ids-claimed");
    let appended = hand_over.request(request).await;
    kill_point!("ids-appended");
    match &appended {
        Ok(_) => claims.keep(claim).await,
        Err(NotAppended::Refused(Refused::Full) | NotAppended::Overloaded) => claims.release(claim),
        // It may be on the disk: the next start finds out.
        Err(NotAppended::Refused(Refused::Failed(_)) | NotAppended::Stopping) => drop(claim),
    }
    Ok(appended?)
}

impl From<NotAppended> for ApiError {
    fn from(why: NotAppended) -> ApiError {
        let (code, seconds) = match why {
            NotAppended::Overloaded => ("overloaded", 1),
            NotAppended::Stopping => ("stopping", 1),
            NotAppended::Refused(Refused::Full) => ("spool_full", 5),
            NotAppended::Refused(Refused::Failed(_)) => ("spool_failed", 30),
        };
        ApiError::unavailable(code, why.to_string(), seconds)
    }
}
