//! The way of a request from the socket to the ingest actor: what all dialects share.
//!
//! ```text
//!  guard ─> quota ─> payload ─> check ─────────────> append ─> answer
//!  (key)   (rate)   (bytes)   (split, read, encode,   (claim ids, hand over,
//!                              dead letters)           wait for the disk)
//! ```
//!
//! [`receive`] is the one handler of the scope `collect`. What differs between dialects is asked
//! of [`Dialect`]; everything else is the same for all of them.

mod accepted;
pub mod append;
pub mod check;
pub mod import;
pub mod in_flight;
mod judge;
pub mod letter;
pub mod payload;
pub mod quota;
pub mod signed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::Recipient;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};

use self::{
    accepted::AcceptedCounts,
    append::append,
    check::{Checked, check},
    import::ImportDesk,
    in_flight::BytesInFlight,
    judge::BotJudge,
    letter::AGAIN,
    quota::Quota,
};
use crate::{
    config::{Config, EventConfig, EventSchemas, SchemaMode},
    domain::{
        bot::agents::BotAgents,
        consent::{ConsentRules, RefusalSignal},
        event::{EventLimits, Rejection},
        event_names::EventNames,
        metric::MetricSet,
        privacy::Privacy,
    },
    http::{
        auth::{EventSender, WriteKeys},
        client::ProxyNetworks,
        dialect::{
            Dialect, Outcome, Rejected,
            cloud_events::{CloudEvents, is_cloud_event},
            native::{IMPORT, Native},
        },
        error::ApiError,
    },
    ingest::{hand_over::HandOver, messages::Append, permits::QueueLimit},
    live::redis::claims::Claims,
    telemetry::otlp::spans::RequestSpan,
};

/// Counts events of visitors who refuse to be analysed, by who says so.
pub const WITHOUT_IDENTITY: &str = "floodmark_events_without_identity_total";

/// What the requests of all workers share. A clone is a handle on the same intake.
#[derive(Clone)]
pub struct Intake {
    /// The ingest actor.
    ingest: Recipient<Append>,
    /// How many requests may wait for the actor.
    limit: QueueLimit,
    /// Event ids that are shared with the other nodes; `None` without `dedupe.shared`.
    claims: Option<Arc<Claims>>,
    /// Who may send.
    keys: WriteKeys,
    /// How many events each sender may send in a second.
    quota: Quota,
    /// The proxies that say who the client is.
    proxies: ProxyNetworks,
    /// How much memory the bodies of all requests take.
    bytes_in_flight: BytesInFlight,
    /// Takes imports.
    imports: Option<ImportDesk>,
    /// The limits of a request.
    http: crate::config::HttpConfig,
    /// The limits of one event.
    event: EventConfig,
    /// What is never stored.
    privacy: Privacy,
    /// What is never stored of visitors who refuse to be analysed.
    anonymous: Privacy,
    /// Which visitors do.
    consent: ConsentRules,
    /// Which user agents are those of bots; `None` where nobody is judged.
    bots: Option<BotAgents>,
    /// The metrics, since an event is refused if a metric can't use its amount.
    metric_set: Arc<MetricSet>,
    /// What events of other systems are called here.
    event_names: Arc<EventNames>,
    /// What the properties of events have to be.
    schemas: Arc<EventSchemas>,
    /// How much of a refused event a dead letter keeps, in bytes (`dead_letters.max_bytes`).
    dead_letter_bytes: usize,
    /// What was accepted, by dialect.
    accepted: AcceptedCounts,
}

impl Intake {
    /// An intake with the keys and limits of a configuration.
    pub fn new(
        config: &Config,
        keys: WriteKeys,
        ingest: Recipient<Append>,
        claims: Option<Arc<Claims>>,
    ) -> Intake {
        Intake {
            ingest,
            limit: QueueLimit::new(config.ingest.queue_requests),
            claims,
            imports: None,
            accepted: AcceptedCounts::new(),
            quota: Quota::new(&config.http),
            proxies: ProxyNetworks::new(&config.http),
            bytes_in_flight: BytesInFlight::new(&config.http),
            keys,
            http: config.http.clone(),
            event: config.event.clone(),
            privacy: config.privacy.rules(),
            anonymous: config.privacy.rules().without_identity(),
            consent: config.privacy.consent(),
            bots: config.bots.agents(),
            metric_set: config.rules.metric_set.clone(),
            event_names: config.rules.event_names.clone(),
            schemas: config.rules.schemas.clone(),
            dead_letter_bytes: config.dead_letters.max_bytes,
        }
    }

    /// The same intake, which takes imports at this desk.
    pub fn with_imports(self, desk: ImportDesk) -> Intake {
        Intake { imports: Some(desk), ..self }
    }

    /// The limits of one event, whose visitor may refuse to be analysed.
    fn limits(&self, refusal: Option<RefusalSignal>) -> EventLimits<'_> {
        let EventConfig { max_bytes, max_depth } = self.event;
        EventLimits { max_bytes, max_depth, privacy: Some(self.privacy(refusal)) }
    }

    /// What is never stored of an event.
    fn privacy(&self, refusal: Option<RefusalSignal>) -> &Privacy {
        if refusal.is_some() { &self.anonymous } else { &self.privacy }
    }

    /// Whether the browser says that its visitor refuses to be analysed. A webhook has no browser.
    fn refusal<D: Dialect>(&self, request: &HttpRequest) -> Option<RefusalSignal> {
        let says = |name: &str| request.headers().get(name).is_some_and(|value| value == "1");
        let is_open = D::WEBHOOK.is_none();
        self.consent.of_browser(is_open && says("sec-gpc"), is_open && says("dnt"))
    }

    /// The client that sent a request, also where a trusted proxy passed it on.
    pub fn client_of(&self, request: &HttpRequest) -> Option<std::net::SocketAddr> {
        self.proxies.client_of(request)
    }

    /// The way to the ingest actor, for one worker.
    pub fn hand_over(&self) -> HandOver {
        HandOver::new(self.ingest.clone(), self.limit.clone())
    }
}

/// Answers a request of a dialect once its events are on disk, or says why they are not.
pub async fn receive<D: Dialect>(
    request: HttpRequest,
    payload: web::Payload,
    intake: web::Data<Intake>,
    hand_over: web::Data<HandOver>,
) -> HttpResponse {
    // CloudEvents come to the path of our own events, too, and the head tells them apart.
    if D::NAME == Native::NAME && request.path() != IMPORT && is_cloud_event(&request) {
        return received::<CloudEvents>(&request, payload, &intake, &hand_over).await;
    }
    received::<D>(&request, payload, &intake, &hand_over).await
}

/// Answers a request whose dialect is known.
async fn received<D: Dialect>(
    request: &HttpRequest,
    payload: web::Payload,
    intake: &Intake,
    hand_over: &HandOver,
) -> HttpResponse {
    match take_in::<D>(request, payload, intake, hand_over).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(dialect = D::NAME, code = error.code, "refused as a whole");
            D::refuse(request, &error)
        }
    }
}

/// The steps of a request. Each costs more than the one before, so a request is refused as early
/// as possible: the body of a sender without a key is not read, and events that are over the
/// quota are not written.
async fn take_in<D: Dialect>(
    request: &HttpRequest,
    payload: web::Payload,
    intake: &Intake,
    hand_over: &HandOver,
) -> Result<HttpResponse, ApiError> {
    let client = intake.proxies.client_of(request);
    let access = match D::WEBHOOK {
        None => intake.keys.in_head(|| D::offer(request))?,
        // What was signed is the body.
        Some(_) => None,
    };
    let in_head = match &access {
        Some(access) => Some(intake.quota.enter(access, client)?),
        None => None,
    };
    let mut dialect = D::open(request)?;
    // The permit is held to the end, since the events stay in memory until they are on disk.
    let number = access.as_ref().and_then(|access| access.sender().number);
    let mut bytes =
        intake.bytes_in_flight.permit(number.filter(|_| intake.keys.tell_apart()), client);
    let body = payload::read(request, payload, &intake.http, &mut bytes).await?;
    let signed =
        D::WEBHOOK.map(|vendor| intake.keys.by_signature(vendor, &dialect.signature()?, &body));
    let signed = signed.transpose()?;
    let contents = dialect.contents(body)?;
    let split = dialect.split(&contents, intake.http.max_request_events)?;
    let (access, rate) = match access.zip(in_head) {
        Some(known) => known,
        None => {
            let access = match signed {
                Some(access) => access,
                None => intake.keys.in_body(&dialect.keys_in_body(), &dialect.ids_in_body())?,
            };
            let rate = intake.quota.enter(&access, client)?;
            (access, rate)
        }
    };
    access.sender().check_origin(request)?;
    let imports = dialect.imports();
    if imports {
        access.sender().check_may_import()?;
    }
    let again = request.headers().get(AGAIN);
    let in_place = again.and_then(|it| intake.keys.in_place_of(access.sender(), it.as_bytes()));
    let sender: &EventSender = in_place.unwrap_or(access.sender());
    let judge = BotJudge::of(&dialect, request, sender, intake);
    let (refusal, lost) = (intake.refusal::<D>(request), split.lost());
    let Checked { request: mut events, rejected, notes, warned, refusals } =
        check::<D>(split, (contents.len(), imports), sender, judge.as_ref(), refusal, intake);
    if again.is_some() {
        events.dead_letters.clear();
    }
    events.span = request.extensions().get::<RequestSpan>().map(|span| span.ids);
    let admission = rate.take(events.events as usize + rejected.len())?;
    let appended = match imports {
        false => append(intake, hand_over, admission, events).await?,
        true => import::import(intake, hand_over, admission, events).await?,
    };
    let (accepted, duplicates) = (appended.accepted, appended.duplicates);
    let outcome = Outcome { accepted, duplicates, rejected, notes };
    count(intake, &outcome, sender, D::NAME);
    count_violations(&outcome, warned);
    metrics::counter!("floodmark_tracker_events_lost_total").increment(lost);
    for (signal, events) in
        RefusalSignal::ALL.iter().zip(refusals).filter(|(_, events)| *events > 0)
    {
        metrics::counter!(WITHOUT_IDENTITY, "signal" => signal.name()).increment(events);
    }
    Ok(dialect.answer(&outcome))
}

/// Adds the events of a request to the metrics. A request that was refused as a whole is not
/// counted, nor are its bad events, since its sender sends it again.
fn count(intake: &Intake, outcome: &Outcome, sender: &EventSender, dialect: &'static str) {
    sender.accepted.0.increment(outcome.accepted.into());
    intake.accepted.add(outcome.accepted.into(), dialect);
    for rejected in &outcome.rejected {
        let code = rejected.reason.code();
        metrics::counter!("floodmark_events_rejected_total", "code" => code).increment(1);
    }
}

/// Counts the events that broke the schema of their type.
fn count_violations(outcome: &Outcome, warned: u64) {
    let refused = |rejected: &&Rejected| matches!(rejected.reason, Rejection::SchemaViolated(_));
    let refused = outcome.rejected.iter().filter(refused).count() as u64;
    for (mode, events) in [(SchemaMode::Warn, warned), (SchemaMode::Reject, refused)] {
        if events > 0 {
            metrics::counter!("floodmark_schema_violations_total", "mode" => mode.name())
                .increment(events);
        }
    }
}
