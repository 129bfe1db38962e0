//! Spans: one for a request, one for a sealed batch, and under it one for each sink that has written it.
//!
//! ```text
//!  trace of a request          trace of a batch
//!  POST /v1/events <──link──── batch             from its first event until it is on disk
//!                                ├── write store   one span for each sink, once it has the batch
//!                                └── write live
//! ```
//!
//! Many requests make one batch, so the batch is no part of their traces and has links to them. Its ids follow
//! from its identity (run and seq), so whoever writes it knows them: also days later, and after a restart.
//! A trace is taken or left by its id, so the spans of one batch are all there or none is. A request with a
//! `traceparent` is part of the caller's trace, and taken where the caller has taken it.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample,
    SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use parking_lot::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{parent::TraceParent, room::SpanRoom};

/// To how many requests a batch has links; it knows only how many others there were.
const MAX_LINKS: usize = 32;

/// How many traces of others are gone on with in a second, beyond the share of all requests.
const CONTINUED_PER_S: u32 = 100;

/// The methods that may stand in a span. Others are made up by clients, and stand as `_OTHER`.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Takes the spans of this process, where there is a collector. It is asked at each request, so that is one
/// look at an atomic.
static SPANS: OnceLock<SpanExport> = OnceLock::new();

struct SpanExport {
    processor: Arc<BatchSpanProcessor>,
    room: SpanRoom,
    /// How many traces of others are still gone on with in this second, whatever the share.
    budget: ContinuedBudget,
    sampler: Sampler,
    /// Of 1, how many traces are taken.
    share: f64,
    scope: InstrumentationScope,
}

/// Since when the second runs, and how many have been taken in it.
#[derive(Default)]
struct ContinuedBudget(Mutex<Option<(Instant, u32)>>);

/// From now on spans go to `processor`, for this share of the traces. Later calls change nothing.
pub(super) fn install(processor: Arc<BatchSpanProcessor>, room: SpanRoom, share: f64) {
    let scope =
        InstrumentationScope::builder("floodmark").with_version(env!("CARGO_PKG_VERSION")).build();
    let sampler = Sampler::TraceIdRatioBased(share);
    // It fails in a process of tests with several servers.
    let budget = ContinuedBudget::default();
    let _ = SPANS.set(SpanExport { processor, room, budget, sampler, share, scope });
}

/// The ids of a span that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    trace: TraceId,
    span: SpanId,
}

/// The span of a request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSpan {
    /// Its ids.
    pub ids: SpanIds,
    /// The span of the caller, where it has sent one.
    parent: Option<SpanId>,
}

/// What is known of a batch while it is open.
#[derive(Clone, Debug)]
pub struct BatchOpening {
    at: SystemTime,
    /// Requests with events in it.
    requests: Vec<SpanIds>,
    /// How many more there were.
    others: u32,
}

/// One span, when it is over.
struct Ended {
    ids: SpanIds,
    parent: SpanId,
    /// Whether the parent is a span of another process.
    is_remote: bool,
    kind: SpanKind,
    name: String,
    began: SystemTime,
    attributes: Vec<KeyValue>,
    links: SpanLinks,
    status: Status,
}

/// The span of a request that has just come, if it is traced. `headers` are its headers `traceparent`: with a
/// valid one it is part of the caller's trace, and traced if the caller's span is.
pub fn request<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Option<RequestSpan> {
    let spans = SPANS.get()?;
    // Of two headers nobody knows which one is meant.
    let parent = headers.next().filter(|_| headers.next().is_none()).and_then(TraceParent::read);
    let trace = match parent {
        Some(parent) => spans.continues(&parent, Instant::now()).then_some(parent.trace)?,
        None => Some(RandomIdGenerator::default().new_trace_id()).filter(|it| spans.takes(*it))?,
    };
    let ids = SpanIds { trace, span: RandomIdGenerator::default().new_span_id() };
    Some(RequestSpan { ids, parent: parent.map(|parent| parent.span) })
}

/// Ends the span of a request. `route` is the pattern of its path, which has nothing of the client's; `None`
/// where its path leads nowhere.
pub fn answered(span: RequestSpan, method: &str, route: Option<&str>, status: u16, took: Duration) {
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.response.status_code", i64::from(status)),
    ];
    let name = match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    };
    attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
    end(Ended {
        ids: span.ids,
        parent: span.parent.unwrap_or(SpanId::INVALID),
        is_remote: span.parent.is_some(),
        kind: SpanKind::Server,
        name,
        began: SystemTime::now() - took,
        attributes,
        links: SpanLinks::default(),
        status: if status >= 500 { Status::error("") } else { Status::Unset },
    });
}

/// Notes that events of a request go into the open batch, of which this is noted in `opening`.
pub fn joins(opening: &mut Option<BatchOpening>, request: Option<SpanIds>) {
    if SPANS.get().is_none() {
        return;
    }
    let new = || BatchOpening { at: SystemTime::now(), requests: Vec::new(), others: 0 };
    let opening = opening.get_or_insert_with(new);
    match request {
        Some(ids) if opening.requests.len() < MAX_LINKS => opening.requests.push(ids),
        Some(_) => opening.others += 1,
        None => {}
    }
}

/// Ends the span of a batch, which is on disk now.
pub fn sealed((run, seq): (Uuid, u64), events: u64, opening: BatchOpening) {
    let Some(ids) = of_batch(run, seq) else { return };
    let mut links = SpanLinks::default();
    links.dropped_count = opening.others;
    links.links.extend(opening.requests.into_iter().map(|ids| Link::with_context(ids.context())));
    end(Ended {
        ids,
        parent: SpanId::INVALID,
        is_remote: false,
        kind: SpanKind::Internal,
        name: "batch".to_owned(),
        began: opening.at,
        attributes: of_identity(run, seq)
            .into_iter()
            .chain([KeyValue::new("floodmark.batch.events", events as i64)])
            .collect(),
        links,
        status: Status::Unset,
    });
}

/// Ends the span of the writing of a batch to a sink, which has it now, after so many tries.
pub fn written(sink: &'static str, (run, seq): (Uuid, u64), began: Instant, tries: u64) {
    let Some(batch) = of_batch(run, seq) else { return };
    let more = [
        KeyValue::new("floodmark.sink", sink),
        KeyValue::new("floodmark.batch.tries", tries as i64),
    ];
    end(Ended {
        ids: SpanIds { span: RandomIdGenerator::default().new_span_id(), ..batch },
        parent: batch.span,
        is_remote: false,
        kind: SpanKind::Client,
        name: format!("write {sink}"),
        began: SystemTime::now() - began.elapsed(),
        attributes: of_identity(run, seq).into_iter().chain(more).collect(),
        links: SpanLinks::default(),
        status: Status::Unset,
    });
}

/// The ids of the span of a batch, if it is traced.
fn of_batch(run: Uuid, seq: u64) -> Option<SpanIds> {
    let spans = SPANS.get()?;
    let identity = [run.as_bytes().as_slice(), &seq.to_le_bytes()].concat();
    let trace = TraceId::from_bytes(xxh3_128(&identity).to_be_bytes());
    let span = SpanId::from_bytes(xxh3_64(&identity).to_be_bytes());
    spans.takes(trace).then_some(SpanIds { trace, span })
}

fn of_identity(run: Uuid, seq: u64) -> [KeyValue; 2] {
    [
        KeyValue::new("floodmark.batch.run", run.to_string()),
        KeyValue::new("floodmark.batch.seq", seq as i64),
    ]
}

/// Hands a span over, which never waits: where there is no room, the span is dropped and counted.
fn end(span: Ended) {
    let Some(spans) = SPANS.get().filter(|spans| spans.room.take()) else { return };
    spans.processor.on_end(SpanData {
        span_context: span.ids.context(),
        parent_span_id: span.parent,
        parent_span_is_remote: span.is_remote,
        span_kind: span.kind,
        name: span.name.into(),
        start_time: span.began,
        end_time: SystemTime::now(),
        attributes: span.attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: span.links,
        status: span.status,
        instrumentation_scope: spans.scope.clone(),
    });
}

impl SpanExport {
    fn takes(&self, trace: TraceId) -> bool {
        let asked = self.sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        asked.decision == SamplingDecision::RecordAndSample
    }

    /// Whether a trace that another process has begun goes on here: if it is traced there. Anybody may send
    /// such a header, so what is beyond the budget has only the share that all requests have. The id has no say
    /// in that, since who sends it may choose one that is always taken.
    fn continues(&self, parent: &TraceParent, now: Instant) -> bool {
        let by_share = || self.takes(RandomIdGenerator::default().new_trace_id());
        parent.sampled && self.share > 0.0 && (by_share() || self.budget.take(now))
    }
}

impl ContinuedBudget {
    fn take(&self, now: Instant) -> bool {
        let mut budget = self.0.lock();
        let (began, taken) = budget.get_or_insert((now, 0));
        if now.duration_since(*began) >= Duration::from_secs(1) {
            (*began, *taken) = (now, 0);
        }
        *taken += 1;
        *taken <= CONTINUED_PER_S
    }
}

impl SpanIds {
    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, false, TraceState::default())
    }
}
