//! What the servers publish: how a counted batch is told to every mirror, and where a lane stands.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use redis::{PushInfo, PushKind, Value, aio::SendError};
use tokio::sync::mpsc;

use crate::domain::{
    batch::{BatchId, RunId},
    delta::Delta,
    time::Millis,
};

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
/// `sealed_at` (8 bytes, big-endian), the encoded cells, and which batch it is: its run (16 bytes)
/// and its number (8 bytes, big-endian). It has no visitors, since those are counted in Redis.
pub(super) struct PushMessage<'a> {
    /// Which time it was that the counters were put in place.
    pub generation: &'a str,
    /// How many batches they have counted since then.
    pub version: u64,
    body: &'a [u8],
}

/// The part of a message that comes from the writer and not from the script.
pub(super) fn message_body(id: BatchId, sealed_at: Millis, delta: &Delta) -> Vec<u8> {
    let mut body = sealed_at.to_be_bytes().to_vec();
    body.extend(delta.encode_cells());
    body.extend(id.run.as_bytes());
    body.extend(id.seq.to_be_bytes());
    body
}

/// What a message says of its batch.
pub(super) struct ToldBatch {
    /// What it adds.
    pub delta: Delta,
    /// When it was sealed, Unix ms.
    pub sealed_at: Millis,
    /// Which batch it is; a version before this one did not say that.
    pub id: Option<BatchId>,
}

impl<'a> PushMessage<'a> {
    /// Takes a message apart; `None` where it has another shape.
    pub fn parse(payload: &'a [u8]) -> Option<PushMessage<'a>> {
        let mut parts = payload.splitn(3, |byte| *byte == b':');
        let generation = std::str::from_utf8(parts.next()?).ok()?;
        let version = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        Some(PushMessage { generation, version, body: parts.next()? })
    }

    /// What it says of its batch.
    ///
    /// # Errors
    /// The message is no delta.
    pub fn told(&self) -> Result<ToldBatch, String> {
        let (sealed_at, rest) = self.body.split_first_chunk().ok_or("a message was cut short")?;
        let (delta, rest) = Delta::decode_followed(rest, None)
            .map_err(|e| format!("a message can't be read: {e}"))?;
        let id = rest.split_first_chunk::<16>().and_then(|(run, seq)| {
            let seq = u64::from_be_bytes(seq.try_into().ok()?);
            Some(BatchId { run: RunId::from_bytes(*run), seq })
        });
        Ok(ToldBatch { delta, sealed_at: Millis::from_be_bytes(*sealed_at), id })
    }
}

/// How many messages may wait to be read.
const MAX_WAITING: usize = 4096;
/// How many bytes they may have. One message that is longer than that goes through alone.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// The way of what the servers publish, from the connections to whoever reads it. What has no room on
/// it is dropped: the next message then has a version that is not the next, and the subscription
/// starts over.
pub(super) fn push_queue() -> (PushSender, PushReceiver) {
    let (queue, read) = mpsc::channel(MAX_WAITING);
    let bytes = Arc::new(AtomicUsize::new(0));
    (PushSender { queue, bytes: bytes.clone() }, PushReceiver { queue: read, bytes })
}

/// The end at the connections.
#[derive(Clone)]
pub(super) struct PushSender {
    queue: mpsc::Sender<PushInfo>,
    /// Of the messages that wait.
    bytes: Arc<AtomicUsize>,
}

/// The end at the reader.
pub(super) struct PushReceiver {
    queue: mpsc::Receiver<PushInfo>,
    bytes: Arc<AtomicUsize>,
}

impl PushSender {
    /// Hands a message over, if there is room.
    pub fn send(&self, push: PushInfo) -> Result<(), SendError> {
        let size = size(&push);
        let waiting = self.bytes.fetch_add(size, Ordering::Relaxed);
        let fits = waiting == 0 || waiting + size <= MAX_WAITING_BYTES;
        if fits && self.queue.try_send(push).is_ok() {
            return Ok(());
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Err(SendError)
    }
}

impl PushReceiver {
    /// The next message; `None` once the connections are gone.
    pub async fn recv(&mut self) -> Option<PushInfo> {
        let push = self.queue.recv().await?;
        Some(self.taken(push))
    }

    /// The next message, if one waits.
    pub fn try_recv(&mut self) -> Option<PushInfo> {
        let push = self.queue.try_recv().ok()?;
        Some(self.taken(push))
    }

    fn taken(&self, push: PushInfo) -> PushInfo {
        self.bytes.fetch_sub(size(&push), Ordering::Relaxed);
        push
    }
}

/// Bytes of the texts in a push.
fn size(push: &PushInfo) -> usize {
    let text = |value: &Value| match value {
        Value::BulkString(text) => text.len(),
        _ => 0,
    };
    push.data.iter().map(text).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_batch_unless_it_is_of_an_older_version() {
        let id = BatchId { run: RunId::from_u128(5), seq: 300 };
        let body = message_body(id, 1_700, &Delta::default());
        let told = |body: &[u8]| PushMessage { generation: "g", version: 1, body }.told().unwrap();
        let now = told(&body);
        assert_eq!((now.id, now.sealed_at), (Some(id), 1_700));
        assert_eq!(told(&body[..body.len() - 24]).id, None);
    }

    fn push(bytes: usize) -> PushInfo {
        PushInfo { kind: PushKind::SMessage, data: vec![Value::BulkString(vec![0; bytes])] }
    }

    #[tokio::test]
    async fn messages_wait_as_far_as_their_bytes_have_room() {
        let (sender, mut receiver) = push_queue();
        let half = MAX_WAITING_BYTES / 2;
        assert!(sender.send(push(half)).is_ok() && sender.send(push(half)).is_ok());
        assert!(sender.send(push(1)).is_err());
        assert_eq!(size(&receiver.recv().await.unwrap()), half);
        assert!(sender.send(push(half)).is_ok());
        assert!(receiver.try_recv().is_some() && receiver.try_recv().is_some());
        // Nothing waits any more, so one goes through that is larger than all room there is.
        assert!(sender.send(push(2 * MAX_WAITING_BYTES)).is_ok());
        assert!(sender.send(push(1)).is_err());
        assert!(receiver.try_recv().is_some() && receiver.try_recv().is_none());
        // Small ones are bounded by their number.
        let sent = (0..2 * MAX_WAITING).filter(|_| sender.send(push(1)).is_ok()).count();
        assert_eq!(sent, MAX_WAITING);
    }
}
