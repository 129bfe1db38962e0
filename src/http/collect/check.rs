//! Turns the events of a request into encoded rows, and those that are refused into dead letters.

use super::Intake;
use crate::{
    domain::{
        batch::DeadLetter,
        event::{EventTime, Received, Rejection},
        time::now_ms,
    },
    http::dialect::{Dialect, Notes, Rejected, Split},
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
}

/// Reads, checks and encodes each event. `body_bytes` is the length of the contents that the
/// events were split from.
pub fn check<D: Dialect>(
    mut split: Split<'_, D::Event<'_>>,
    body_bytes: usize,
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
    let (mut rejected, mut notes) = (Vec::new(), Notes::default());
    for (index, event) in events.iter_mut().enumerate() {
        let encoded = D::read(event).and_then(|incoming| {
            let rows = &mut request.rows;
            let translated;
            let incoming = match D::TRANSLATES {
                true => {
                    translated = intake.event_names.translate(incoming);
                    &translated
                }
                false => incoming,
            };
            let encoded = incoming.encode(received, intake.event, &intake.metric_set, rows)?;
            if !(incoming.notes.is_empty() && encoded.notes.is_empty()) {
                notes.add(index, incoming.notes.iter().cloned().chain(encoded.notes));
            }
            Ok(encoded.client_id)
        });
        match encoded {
            Ok(client_id) => {
                if let Some(id) = client_id {
                    request.client_ids.push((request.events, id));
                }
                request.events += 1;
            }
            Err(reason) => {
                request.dead_letters.push(dead_letter(
                    &D::as_sent(event),
                    &reason,
                    received,
                    intake.dead_letter_bytes,
                ));
                rejected.push(Rejected { index, reason });
            }
        }
    }
    Checked { request, rejected, notes }
}

/// What is kept of an event that was refused: at most `max_bytes` of its text.
fn dead_letter(
    as_sent: &[u8],
    reason: &Rejection,
    received: Received,
    max_bytes: usize,
) -> DeadLetter {
    let kept = &as_sent[..as_sent.len().min(max_bytes)];
    DeadLetter {
        received_at: received.at,
        code: reason.code().to_owned(),
        message: reason.to_string(),
        // A column of type `text` in PostgreSQL can't hold the character NUL.
        raw: String::from_utf8_lossy(kept).replace('\0', "\u{fffd}"),
    }
}
