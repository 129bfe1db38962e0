//! Turns the events of a request into encoded rows, and those that are refused into dead letters.

use std::borrow::Cow;

use super::{
    Intake,
    judge::BotJudge,
    letter::{ReadParts, dead_letter},
};
use crate::{
    config::{EventSchemas, SchemaMode, Violation},
    domain::{
        bot,
        consent::RefusalSignal,
        event::{Encoded, EventTime, Field, Incoming, Note, Received, Rejection},
        imported, row,
        time::now_ms,
    },
    http::{
        auth::EventSender,
        dialect::{Dialect, DialectEvent, Notes, Rejected, Split, native::Native},
    },
    ingest::Request,
};

/// By how many bytes a row is usually longer than its event in the body, at most. A buffer of
/// that size seldom has to grow while rows are encoded.
const ROW_OVERHEAD: usize = 96;

/// The events of a request, each either a row or a dead letter.
#[derive(Debug)]
pub struct Checked {
    /// What goes to the ingest actor.
    pub request: Request,
    /// What the answer says of refused events: one entry for each dead letter.
    pub rejected: Vec<Rejected>,
    /// What the answer says of events that were not taken exactly as they came.
    pub notes: Notes,
    /// Events that were taken although they break the schema of their type.
    pub warned: u64,
    /// Of how many events the visitors refuse to be analysed, in the order of [`RefusalSignal::ALL`].
    pub refusals: [u64; RefusalSignal::ALL.len()],
}

/// Reads, checks and encodes each event. `body_bytes` is the length of the contents that the
/// events were split from, `imports` whether they are of the past, `judge` says which of them bots sent, if any may be theirs, and `refusal` what the
/// head of the request says of its visitor.
pub(super) fn check<D: Dialect>(
    mut split: Split<'_, D::Event<'_>>,
    (body_bytes, imports): (usize, bool),
    sender: &EventSender,
    judge: Option<&BotJudge<'_>>,
    refusal: Option<RefusalSignal>,
    intake: &Intake,
) -> Checked {
    // A time of sending that can't be understood says nothing of the events, and counts as none.
    let sent_at = match EventTime::read(split.sent_at()) {
        Ok(EventTime::At(at)) => Some(at),
        _ => None,
    };
    let received = Received { at: now_ms(), sent_at };
    let events = split.events();
    let mut request = Request {
        received_at: received.at,
        rows: Vec::with_capacity(body_bytes + events.len() * ROW_OVERHEAD),
        ..Request::default()
    };
    let is_native = D::NAME == Native::NAME;
    let mut from = sender.provenance(if imports { imported::DIALECT } else { D::NAME });
    let (mut rejected, mut notes, mut warned) = (Vec::new(), Notes::default(), 0);
    let mut refusals = [0; RefusalSignal::ALL.len()];
    for (index, event) in events.iter_mut().enumerate() {
        let (reason, parts, refusal) = match event.read() {
            Ok(incoming) => {
                let refusal = refusal.or_else(|| intake.consent.of_event(&incoming.refused));
                let incoming = as_taken::<D>(incoming, refusal, intake);
                let limits = intake.limits(refusal);
                from.is_bot = judge.is_some_and(|judge| judge.judges(&incoming));
                let rows = &mut request.rows;
                let mut encode = || {
                    let at = rows.len();
                    let encoded =
                        incoming.encode(received, from, limits, &intake.metric_set, rows)?;
                    if imports && encoded.client_id.is_none() {
                        // Nobody could tell whether it was imported before.
                        rows.truncate(at);
                        return Err(Rejection::InvalidId);
                    }
                    held_against_schema(encoded, at, rows, &intake.schemas)
                };
                let may_send = match &incoming.kind {
                    Field::Text(kind) => sender.may_send(kind.trim()),
                    // What is no text is refused for that.
                    _ => true,
                };
                match if may_send { encode() } else { Err(Rejection::TypeNotAllowed) } {
                    Ok(encoded) => {
                        warned +=
                            encoded.notes.iter().filter(|note| is_warning(note)).count() as u64;
                        if !(incoming.notes.is_empty() && encoded.notes.is_empty()) {
                            notes.add(index, incoming.notes.iter().cloned().chain(encoded.notes));
                        }
                        if let Some(id) = encoded.client_id {
                            request.client_ids.push((request.events, id));
                        }
                        if let Some(signal) = refusal {
                            refusals[signal as usize] += 1;
                        }
                        request.events += 1;
                        continue;
                    }
                    Err(reason) => (reason, ReadParts::of(&incoming, received, is_native), refusal),
                }
            }
            Err(reason) => (reason, ReadParts::of_text(&event.as_sent()), refusal),
        };
        let about = (received, sender, D::NAME);
        let text = event.as_sent();
        let keeps = (intake.dead_letter_bytes, intake.privacy(refusal));
        let letter = dead_letter(&text, &reason, parts, about, keeps);
        request.dead_letters.push(letter);
        rejected.push(Rejected { index, reason });
    }
    Checked { request, rejected, notes, warned, refusals }
}

/// Holds the row that was just encoded, from `at` on, against the schema of its type. It is the row and not
/// the event, since a schema is about what is kept.
///
/// # Errors
/// The event is refused, and its row is taken back.
fn held_against_schema(
    mut encoded: Encoded,
    at: usize,
    rows: &mut Vec<u8>,
    schemas: &EventSchemas,
) -> Result<Encoded, Rejection> {
    if schemas.is_empty() {
        return Ok(encoded);
    }
    let row = row::rows(&rows[at..]).flatten().next();
    let violation = row.and_then(|row| {
        // A schema that knows no other properties says nothing of ours.
        let properties = bot::unlabelled(row.properties);
        schemas.violation(row.kind, row.source.unwrap_or_default(), &properties)
    });
    match violation {
        None => Ok(encoded),
        Some(Violation { mode: SchemaMode::Warn, message }) => {
            encoded.notes.push(Note::SchemaViolated(message));
            Ok(encoded)
        }
        Some(Violation { mode: SchemaMode::Reject, message }) => {
            rows.truncate(at);
            Err(Rejection::SchemaViolated(message))
        }
    }
}

fn is_warning(note: &Note) -> bool {
    matches!(note, Note::SchemaViolated(_))
}

/// An event by the names that it has here, and without its visitor where that one refuses to be analysed.
fn as_taken<'i, 'a, D: Dialect>(
    incoming: &'i Incoming<'a>,
    refusal: Option<RefusalSignal>,
    intake: &Intake,
) -> Cow<'i, Incoming<'a>> {
    let taken = match D::TRANSLATES {
        true => Cow::Owned(intake.event_names.translate(incoming)),
        false => Cow::Borrowed(incoming),
    };
    match refusal {
        Some(_) => Cow::Owned(taken.without_identity()),
        None => taken,
    }
}
