//! What a viewer sends, frame by frame. Viewers have nothing to say: their frames are pongs,
//! pings and a Close, and everything else only counts as a sign of life.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::ws::{Codec, Frame, ProtocolError};
use actix_web::{error::PayloadError, web};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio_util::codec::Decoder;

use crate::broadcast::deflate::RSV1;

/// The largest frame that a viewer may send. It is small, since a viewer has nothing to say.
pub const MAX_INBOUND_BYTES: usize = 4096;

/// The longest header of a frame that a client sends (RFC 6455, section 5.2).
const MAX_HEADER_BYTES: usize = 14;

/// Opcodes from this one on are those of control frames, which are never deflated.
const CONTROL: u8 = 8;

/// The stream of a connection's frames. A deflated message is not inflated, since nobody reads
/// it; only its mark is removed, which the codec would refuse.
pub struct Inbound<S = web::Payload> {
    bytes: S,
    codec: Codec,
    /// Bytes that have come and do not make up a whole frame yet.
    buffer: BytesMut,
    /// Whether the viewer may send deflated messages.
    may_deflate: bool,
}

impl<S> Inbound<S> {
    /// Reads frames out of the bytes that follow the handshake.
    pub fn new(bytes: S, may_deflate: bool) -> Inbound<S> {
        let codec = Codec::new().max_size(MAX_INBOUND_BYTES);
        Inbound { bytes, codec, buffer: BytesMut::new(), may_deflate }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        // The codec takes out whole frames, so the buffer begins with the first byte of one.
        if let Some(first) = self.buffer.first_mut()
            && self.may_deflate
            && *first & 0x0f < CONTROL
        {
            *first &= !RSV1;
        }
        match self.codec.decode(&mut self.buffer)? {
            // The codec refuses a large frame only once all of it has come. Until then it would
            // fill the buffer, so it is refused here as soon as it is longer than allowed.
            None if self.buffer.len() > MAX_HEADER_BYTES + MAX_INBOUND_BYTES => {
                Err(ProtocolError::Overflow)
            }
            frame => Ok(frame),
        }
    }
}

impl<S> Stream for Inbound<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Frame, ProtocolError>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(frame) = self.next_frame().transpose() {
                return Poll::Ready(Some(frame));
            }
            match ready!(Pin::new(&mut self.bytes).poll_next(task)) {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(e)) => {
                    let error = std::io::Error::other(e.to_string());
                    return Poll::Ready(Some(Err(ProtocolError::Io(error))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    /// A client's frame, masked with zeros.
    fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[first, 0x80 | 126][..], &length, &[0; 4], payload].concat()
    }

    /// What comes of bytes that the network brings in pieces.
    async fn frames(
        bytes: Vec<u8>,
        piece: usize,
        may_deflate: bool,
    ) -> Vec<Result<Frame, ProtocolError>> {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).map(Ok::<_, PayloadError>);
        let pieces = stream::iter(pieces.collect::<Vec<_>>());
        // An error ends a connection.
        let mut seen = Vec::new();
        let mut inbound = Inbound::new(pieces, may_deflate);
        while let Some(frame) = inbound.next().await {
            let is_last = frame.is_err();
            seen.push(frame);
            if is_last {
                break;
            }
        }
        seen
    }

    #[tokio::test]
    async fn frames_come_one_by_one_and_a_deflated_one_where_that_was_agreed() {
        let bytes =
            [sent(0x8a, b""), sent(0x81 | RSV1, b"deflated"), sent(0x81, b"plain")].concat();
        let seen = frames(bytes.clone(), 3, true).await;
        let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
        let [pong, deflated, plain] = [Frame::Pong(Bytes::new()), text("deflated"), text("plain")];
        assert_eq!(seen, [pong, deflated, plain]);
        assert!(matches!(frames(bytes, 3, false).await[..], [Ok(_), Err(_)]));
        let control = sent(0x8a | RSV1, b"");
        assert!(matches!(frames(control, 3, true).await[..], [Err(_)]));
    }

    fn text(payload: &'static str) -> Frame {
        Frame::Text(Bytes::from_static(payload.as_bytes()))
    }

    proptest! {
        /// Whatever a viewer sends, and in whatever pieces it comes: the same frames, and never
        /// more held than one of them.
        #[test]
        fn any_bytes_are_read_as_one_stream(
            heads in proptest::collection::vec((any::<u8>(), any::<u8>(), 0..200usize), 0..20),
            piece in 1..600usize,
            may_deflate in any::<bool>(),
        ) {
            let bytes: Vec<u8> = heads
                .into_iter()
                .flat_map(|(first, second, length)| {
                    [vec![first, second], vec![first ^ second; length]].concat()
                })
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = |piece| runtime.block_on(frames(bytes.clone(), piece, may_deflate));
            prop_assert_eq!(format!("{:?}", read(piece)), format!("{:?}", read(1)));
        }
    }

    #[tokio::test]
    async fn a_frame_too_large_is_not_waited_for() {
        let whole = sent(0x82, &[0; MAX_INBOUND_BYTES + 1]);
        assert!(matches!(frames(whole, 3, false).await[..], [Err(ProtocolError::Overflow)]));
        // A gigabyte is announced, and the part of it that comes is more than enough.
        let announced = [&[0x82, 0x80 | 127][..], &(1_u64 << 30).to_be_bytes(), &[0; 4]].concat();
        let part = [announced, vec![0; MAX_INBOUND_BYTES + 1]].concat();
        assert!(matches!(frames(part, 3, false).await[..], [Err(ProtocolError::Overflow)]));
    }
}
