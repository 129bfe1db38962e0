//! A frame as it goes over the wire. It is written once and shared by all viewers of a sight.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use actix_http::ws::{OpCode, Parser};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::broadcast::deflate::{self, RSV1};

/// The largest header of a frame that a server sends (RFC 6455, section 5.2).
const MAX_HEADER_BYTES: usize = 10;

/// A text message, with its header, in the forms in which viewers get it: plain and, once the
/// first viewer asks for that, deflated. A clone shares the same bytes. It derefs to its text.
#[derive(Clone, Debug)]
pub struct WireFrame(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    text: ByteString,
    plain: Bytes,
    deflated: OnceLock<Bytes>,
}

impl WireFrame {
    /// The frame of a text.
    pub fn new(text: &str) -> WireFrame {
        let plain = message(text.as_bytes(), 0);
        // The text is a slice of the frame's bytes, so that it is not held twice.
        let payload = plain.slice(plain.len() - text.len()..);
        let text = ByteString::try_from(payload).expect("what was text is text");
        WireFrame(Arc::new(Forms { text, plain, deflated: OnceLock::new() }))
    }

    /// The bytes that are written to a viewer. The first call that wants them `deflated`
    /// deflates them for all; a node whose viewers are all plain never does.
    pub fn bytes(&self, deflated: bool) -> Bytes {
        let Forms { text, plain, deflated: small } = &*self.0;
        match deflated {
            false => plain.clone(),
            true => small.get_or_init(|| deflate_message(text, plain)).clone(),
        }
    }
}

/// The deflated message, or the plain one if that is shorter: the extension lets the sender
/// choose for each message.
fn deflate_message(text: &str, plain: &Bytes) -> Bytes {
    let deflated = message(&deflate::deflate(text.as_bytes()), RSV1);
    if deflated.len() < plain.len() { deflated } else { plain.clone() }
}

/// A frame with its header; `reserved` holds the extension bits of the first byte.
fn message(payload: &[u8], reserved: u8) -> Bytes {
    let mut bytes = BytesMut::with_capacity(MAX_HEADER_BYTES + payload.len());
    Parser::write_message(&mut bytes, payload, OpCode::Text, true, false);
    bytes[0] |= reserved;
    bytes.freeze()
}

impl Deref for WireFrame {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for WireFrame {
    fn eq(&self, other: &WireFrame) -> bool {
        **self == **other
    }
}

impl Eq for WireFrame {}

#[cfg(test)]
mod tests {
    use actix_http::ws::{Codec, Frame};
    use tokio_util::codec::Decoder;

    use super::*;

    /// What a client makes of the bytes, and whether it was told that they are deflated.
    fn read(bytes: &Bytes) -> (Bytes, bool) {
        let mut bytes = BytesMut::from(&bytes[..]);
        let deflated = bytes[0] & RSV1 != 0;
        bytes[0] &= !RSV1;
        match Codec::new().client_mode().max_size(1 << 20).decode(&mut bytes) {
            Ok(Some(Frame::Text(text))) if bytes.is_empty() => (text, deflated),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_forms_are_one_text_message() {
        for text in ["{}".to_owned(), "[1,2]".repeat(40), "0123456789".repeat(20_000)] {
            let frame = WireFrame::new(&text);
            assert_eq!(&*frame, text);
            assert_eq!(read(&frame.bytes(false)), (text.clone().into(), false));
            let (payload, deflated) = read(&frame.bytes(true));
            let inflated = if deflated { deflate::inflate(&payload) } else { payload.to_vec() };
            assert_eq!(inflated, text.as_bytes());
            assert_eq!(deflated, text.len() > 10, "only where it makes it shorter");
        }
    }
}
