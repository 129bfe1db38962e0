//! Dialects: the languages in which clients send events.
//!
//! A dialect knows what its clients say and expect to hear; it knows nothing of quotas, the
//! spool or dead letters. What all dialects share is done in [`crate::http::collect`], which
//! calls the methods of [`Dialect`] in the order in which they stand there.
//!
//! To add a dialect: write its type in a file or folder of its own, implement [`Dialect`] for
//! it, and name it in [`for_each`]. Its endpoints then hang in the scope `collect`, and its
//! senders need a write key, without a further line.

pub mod amplitude;
pub mod built;
pub mod cloud_events;
pub mod envelope;
pub mod ga4;
pub mod json_event;
pub mod matomo;
pub mod member;
pub mod mixpanel;
pub mod native;
pub mod otlp;
pub mod pixel;
pub mod plausible;
pub mod posthog;
pub mod segment;
pub mod sentry;
pub mod shopify;
pub mod snowplow;
pub mod stripe;
#[cfg(test)]
mod tests;
pub mod umami;
pub mod webhook;

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{Method, StatusCode},
};
use bytes::Bytes;

use crate::{
    domain::{
        event::{Field, Incoming, Note, Rejection},
        source::WebhookVendor,
    },
    http::{
        auth::{self, Offer},
        error::ApiError,
        signature::Signature,
    },
};

/// One way to send events over HTTP. A value of the type is one request: it keeps what the
/// request's answer depends on.
///
/// The methods are called without dynamic dispatch, those of single events included: the code
/// that calls them is compiled once for each dialect.
pub trait Dialect: Sized + 'static {
    /// The name of the dialect, in log lines.
    const NAME: &'static str;

    /// Whether its events have names of their own, which `[[map]]` translates.
    const TRANSLATES: bool = false;

    /// The paths that its clients send to.
    const ENDPOINTS: &'static [Endpoint];

    /// The parameters of the query that are looked at, beside the key's usual one. The members of an event
    /// that stands in the query are not among them. [`built::named`] gives these parameters and no
    /// others, so that none is forgotten here.
    const PARAMETERS: &'static [&'static str] = &[];

    /// One event of a body, read or not yet read. It borrows from the body where it can.
    type Event<'a>: DialectEvent<'a>;

    /// The keys that a request offers in its head, or [`Offer::Body`] where its key stands in its
    /// body. Called first, and only where the configuration has write keys.
    ///
    /// By default the keys are looked for where the native dialect has them: in
    /// `Authorization` (Bearer, or the user name of Basic), in `X-Write-Key` and in `?key=`.
    fn offer(request: &HttpRequest) -> Offer {
        Offer::Head(auth::usual_write_keys(request))
    }

    /// Whose webhooks these are, where its requests are signed and carry no key.
    const WEBHOOK: Option<WebhookVendor> = None;

    /// The signature that the head has. Called where [`Dialect::WEBHOOK`] names a vendor.
    ///
    /// # Errors
    /// 401 where there is none, or it was made too long ago.
    fn signature(&self) -> Result<Signature, ApiError> {
        Ok(Signature::default())
    }

    /// Begins a request by its head: the path, the query, the type of the body. Called before
    /// the body is read.
    ///
    /// # Errors
    /// The head shows that the body can't be understood: 400, or 415 for its type.
    fn open(request: &HttpRequest) -> Result<Self, ApiError>;

    /// The text that holds the events. `body` is the body after its `Content-Encoding` was undone,
    /// and by default it is given back as it is. A dialect whose events stand in the query of a
    /// GET, or as base64 in a form, gives that text. The text must not be longer than the body or
    /// query that it was made from, since only the body's bytes are counted as memory in use.
    ///
    /// # Errors
    /// 400 where the text can't be found or decoded.
    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        Ok(body)
    }

    /// Splits the contents into events, in their order. A mistake in one event must not be an
    /// error here, but in [`DialectEvent::read`], so that a bad event never harms its neighbours.
    /// Items that are no events (a Sentry session, a request for settings) are left out.
    ///
    /// # Errors
    /// 400 where the contents as a whole are no request, 413 from [`Split::new`].
    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Self::Event<'a>>, ApiError>;

    /// The keys that the body offers: what [`Dialect::split`] has found. Called only where
    /// [`Dialect::offer`] has said [`Offer::Body`]; no key means that the request is refused.
    fn keys_in_body(&self) -> Vec<String> {
        Vec::new()
    }

    /// The ids that the body, or the query, offers in place of a key, for clients that can't send one
    /// (`ids` of `[[source]]`). Called where [`Dialect::keys_in_body`] is.
    fn ids_in_body(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the request comes from a page: from the vendor's script or image in it. What pages send is
    /// judged by its user agent, whatever its key ([`crate::http::collect`]); by default only what has a
    /// public key.
    fn is_of_page(&self) -> bool {
        false
    }

    /// Whether the events are of the past and are imported: each once for good, and answered once the store has
    /// them ([`crate::http::collect::import`]).
    fn imports(&self) -> bool {
        false
    }

    /// The answer to a request whose accepted events are on disk, with the body and the status
    /// that clients of the dialect expect. Some or all events may have been rejected
    /// ([`Outcome::all_rejected`]).
    fn answer(self, outcome: &Outcome) -> HttpResponse;

    /// The answer to a request that was refused as a whole, of which nothing is stored. By
    /// default it is the answer of Floodmark's own API ([`ApiError`]).
    fn refuse(_request: &HttpRequest, error: &ApiError) -> HttpResponse {
        error.error_response()
    }
}

/// One event of a body. Those that are objects of JSON with members of their own are
/// [`json_event::JsonEvent`]s, those that the dialect puts together are [`built::Built`].
pub trait DialectEvent<'a> {
    /// The event in the domain's terms. Its fields borrow from the contents, or own their text
    /// where the dialect has to build it. The value stays here: moving it costs more than looking at
    /// it.
    ///
    /// # Errors
    /// Why this one event is refused.
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection>;

    /// The event as its sender wrote it: what a dead letter keeps. Called for refused events.
    fn as_sent(&self) -> Cow<'_, [u8]>;
}

/// A path and the methods that it takes. All others are answered 405; `OPTIONS` is answered
/// by the scope.
#[derive(Debug)]
pub struct Endpoint {
    /// The whole path, with variables as actix writes them: `/api/{project}/envelope/`.
    pub path: &'static str,
    /// The methods of the path, at least one.
    pub methods: &'static [Method],
}

/// The events of one request, never more than a request may have. The default has none, for
/// requests that ask for settings.
#[derive(Debug)]
pub struct Split<'a, Event> {
    events: Vec<Event>,
    sent_at: Field<'a>,
    lost: u64,
}

/// The most events that one request may say to have lost, so that no request makes the sum useless.
const MAX_LOST: i64 = 100_000;

/// The refusal of a request with more events than `http.max_request_events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{events} events in one request, more than {max}")]
pub struct TooManyEvents {
    /// How many it has.
    pub events: usize,
    /// How many it may have.
    pub max: usize,
}

impl<Event> Default for Split<'_, Event> {
    fn default() -> Self {
        Split { events: Vec::new(), sent_at: Field::Absent, lost: 0 }
    }
}

impl<'a, Event> Split<'a, Event> {
    /// The events in the order of the body, and when the client says that it sent them (Unix
    /// ms or RFC 3339; [`Field::Absent`] where it does not say).
    ///
    /// # Errors
    /// There are more than `max_events`.
    pub fn new(
        events: Vec<Event>,
        sent_at: Field<'a>,
        max_events: usize,
    ) -> Result<Split<'a, Event>, TooManyEvents> {
        match events.len() {
            events if events > max_events => Err(TooManyEvents { events, max: max_events }),
            _ => Ok(Split { events, sent_at, lost: 0 }),
        }
    }

    /// The same, with how many events the client says it had to lose before this request. What is no number
    /// counts as none.
    pub fn with_lost(self, lost: &Field<'_>) -> Split<'a, Event> {
        let lost = if let Field::Integer(lost) = lost { (*lost).clamp(0, MAX_LOST) } else { 0 };
        Split { lost: lost as u64, ..self }
    }

    /// How many events the client lost before this request.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The events, to be read one by one.
    pub fn events(&mut self) -> &mut [Event] {
        &mut self.events
    }

    /// When the client says that it sent the request, in the client's own notation.
    pub fn sent_at(&self) -> &Field<'a> {
        &self.sent_at
    }
}

impl From<TooManyEvents> for ApiError {
    fn from(error: TooManyEvents) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", error.to_string())
    }
}

/// What became of the events of a request that was taken in.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events that are now on disk.
    pub accepted: u32,
    /// Events that had come before, by their id.
    pub duplicates: u32,
    /// Events that were refused, in the order of the body. They are dead letters now.
    pub rejected: Vec<Rejected>,
    /// What was done to events that were accepted.
    pub notes: Notes,
}

/// The notes on the events of a request. Equal ones are counted, so that an answer stays short.
#[derive(Debug, Default)]
pub struct Notes(Vec<Noted>);

/// A note, and the events that it is about.
#[derive(Debug)]
pub struct Noted {
    /// What was done.
    pub note: Note,
    /// The place of the first such event among the events of the request, from 0.
    pub index: usize,
    /// How many events of the request it is about.
    pub events: usize,
}

/// The most different notes in an answer.
const MAX_NOTES: usize = 50;

impl Notes {
    /// Adds the notes on the event at place `index`.
    pub fn add(&mut self, index: usize, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            let known = self.0.iter().position(|known| known.note == note);
            match known {
                Some(known) => self.0[known].events += 1,
                None if self.0.len() < MAX_NOTES => self.0.push(Noted { note, index, events: 1 }),
                None => {}
            }
        }
    }

    /// All of them, in the order in which they first came.
    pub fn iter(&self) -> impl Iterator<Item = &Noted> {
        self.0.iter()
    }

    /// Whether every event was taken as it came.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An event that was refused.
#[derive(Debug)]
pub struct Rejected {
    /// Its place among the events of the request, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub reason: Rejection,
}

impl Outcome {
    /// Whether there were events and each of them was rejected.
    pub fn all_rejected(&self) -> bool {
        !self.rejected.is_empty() && self.accepted == 0 && self.duplicates == 0
    }
}

/// What [`for_each`] does with each dialect. It is a trait, since a closure can't be generic
/// over a type.
pub trait ForEach {
    /// Called once for each dialect.
    fn dialect<D: Dialect>(&mut self);
}

/// All dialects that the server understands. The native one comes first: paths are tried in
/// this order.
pub fn for_each(each: &mut impl ForEach) {
    each.dialect::<native::Native>();
    each.dialect::<segment::SegmentDialect>();
    each.dialect::<posthog::PostHog>();
    each.dialect::<sentry::Sentry>();
    each.dialect::<amplitude::Amplitude>();
    each.dialect::<ga4::Ga4>();
    each.dialect::<plausible::Plausible>();
    each.dialect::<umami::Umami>();
    each.dialect::<matomo::Matomo>();
    each.dialect::<cloud_events::CloudEvents>();
    each.dialect::<mixpanel::Mixpanel>();
    each.dialect::<otlp::Otlp>();
    each.dialect::<snowplow::Snowplow>();
    each.dialect::<shopify::Shopify>();
    each.dialect::<stripe::Stripe>();
    each.dialect::<pixel::Pixel>();
}
