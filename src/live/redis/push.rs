//! What the servers publish: how a counted batch is told to every mirror, and where a lane stands.

use redis::{PushInfo, PushKind, Value};

use crate::domain::{delta::Delta, time::Millis};

/// How far the counters of a lane have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Which time it was that the counters were put in place.
    pub generation: String,
    /// How many batches they have counted since then.
    pub version: u64,
    /// Which installation's they are; `None` where no batch has said so yet.
    pub owner: Option<String>,
}

/// A delta as it is published: `GENERATION:VERSION:`, which the script puts before it, then
/// `sealed_at` (8 bytes, big-endian) and the encoded cells. It has no visitors, since those are
/// counted in Redis.
pub(super) struct PushMessage<'a> {
    /// Which time it was that the counters were put in place.
    pub generation: &'a str,
    /// How many batches they have counted since then.
    pub version: u64,
    body: &'a [u8],
}

/// The part of a message that comes from the writer and not from the script.
pub(super) fn message_body(sealed_at: Millis, delta: &Delta) -> Vec<u8> {
    let mut body = sealed_at.to_be_bytes().to_vec();
    body.extend(delta.encode_cells());
    body
}

impl<'a> PushMessage<'a> {
    /// Takes a message apart; `None` where it has another shape.
    pub fn parse(payload: &'a [u8]) -> Option<PushMessage<'a>> {
        let mut parts = payload.splitn(3, |byte| *byte == b':');
        let generation = std::str::from_utf8(parts.next()?).ok()?;
        let version = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        Some(PushMessage { generation, version, body: parts.next()? })
    }

    /// The delta, and when its batch was sealed (Unix ms).
    pub fn delta(&self) -> Result<(Delta, Millis), String> {
        let (sealed_at, cells) = self.body.split_first_chunk().ok_or("a message was cut short")?;
        let delta =
            Delta::decode(cells, None).map_err(|e| format!("a message can't be read: {e}"))?;
        Ok((delta, Millis::from_be_bytes(*sealed_at)))
    }
}

/// What a push on a subscription says.
pub(super) enum Heard<'a> {
    /// A batch of a lane was counted, or the lane was rebuilt.
    Message(usize, PushMessage<'a>),
    /// Nothing that concerns the counters.
    Nothing,
}

/// Reads a push; an error says why the subscription is lost. `channels` are those of the lanes.
pub(super) fn heard<'a>(
    push: Option<&'a PushInfo>,
    channels: &[String],
) -> Result<Heard<'a>, &'static str> {
    let Some(PushInfo { kind, data }) = push else {
        return Err("the connection to Redis was lost");
    };
    match kind {
        PushKind::SMessage => {}
        PushKind::SUnsubscribe => return Err("a lane moved to another server"),
        PushKind::Disconnection => return Err("the connection to Redis was lost"),
        _ => return Ok(Heard::Nothing),
    }
    let [Value::BulkString(channel), Value::BulkString(payload)] = &data[..] else {
        return Err("Redis sent a message of another shape");
    };
    let lane = channels.iter().position(|known| known.as_bytes() == channel);
    let (Some(lane), Some(message)) = (lane, PushMessage::parse(payload)) else {
        return Err("somebody else publishes on our channels");
    };
    Ok(Heard::Message(lane, message))
}
