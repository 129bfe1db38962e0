//! Compressed messages, by the WebSocket extension `permessage-deflate` (RFC 7692). Each
//! message is compressed for itself, without the context of earlier ones. That costs some size,
//! but a message has to be deflated only once for all viewers.

use flate2::{Compress, Compression, FlushCompress};

/// The bit of a frame's first byte that marks a deflated message.
pub const RSV1: u8 = 0b0100_0000;

/// The answer to an offer that is accepted.
pub const TAKEN: &str = "permessage-deflate; server_no_context_takeover";

/// The bytes that end each flush. They are always the same, so they are not sent (RFC 7692,
/// section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Whether one of the offers in a `Sec-WebSocket-Extensions` header can be accepted with the
/// answer [`TAKEN`].
pub fn is_offered(extensions: &str) -> bool {
    extensions.split(',').any(is_acceptable)
}

/// Whether one offer can be accepted. It has to be declined if a parameter is unknown, is
/// given twice or has an invalid value (RFC 7692, section 7), and also if it asks for a smaller
/// window than flate2 uses.
fn is_acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
        return false;
    }
    let mut seen = Vec::new();
    parts.all(|parameter| {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
            None => (parameter, None),
        };
        let name = name.to_ascii_lowercase();
        let is_valid = match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
            ("client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => {
                bits.parse().is_ok_and(|bits: u8| (8..=15).contains(&bits))
            }
            ("server_max_window_bits", Some(bits)) => bits == "15",
            _ => false,
        };
        let is_new = !seen.contains(&name);
        seen.push(name);
        is_valid && is_new
    })
}

/// The payload of a deflated message.
pub fn deflate(message: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::default(), false);
    // JSON shrinks to less than half of its size. Where it doesn't, the buffer grows below.
    let mut payload = Vec::with_capacity(message.len() / 2 + 64);
    loop {
        let taken = deflate.total_in() as usize;
        deflate
            .compress_vec(&message[taken..], &mut payload, FlushCompress::Sync)
            .expect("deflating from memory to memory does not fail");
        // Room left means that the flush is complete.
        if payload.len() < payload.capacity() {
            break;
        }
        payload.reserve(payload.len());
    }
    if payload.ends_with(&TAIL) {
        payload.truncate(payload.len() - TAIL.len());
    }
    payload
}

/// The message of a deflated payload, as a client reads it.
#[cfg(test)]
pub fn inflate(payload: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let whole = [payload, &TAIL].concat();
    let mut message = Vec::new();
    // The stream is flushed and not ended. So the decoder gives all bytes, and then an error,
    // since it waits for more.
    let mut inflate = flate2::read::DeflateDecoder::new(&whole[..]);
    let mut some = [0; 4096];
    while let Ok(n @ 1..) = inflate.read(&mut some) {
        message.extend_from_slice(&some[..n]);
    }
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_deflated_comes_out_again(
            message in proptest::collection::vec(0..4u8, 0..3000),
            noise in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            for message in [message, noise] {
                let payload = deflate(&message);
                prop_assert!(!payload.ends_with(&TAIL));
                prop_assert_eq!(inflate(&payload), message);
            }
        }
    }

    #[test]
    fn offers_that_can_be_kept_are_taken() {
        for (offer, expected) in [
            ("permessage-deflate; client_max_window_bits", true), // Chromium, Firefox, Node
            ("permessage-deflate", true),
            ("Permessage-Deflate;SERVER_NO_CONTEXT_TAKEOVER; client_no_context_takeover", true),
            ("permessage-deflate; client_max_window_bits=10; server_max_window_bits=15", true),
            ("permessage-deflate; client_max_window_bits=\"12\"", true),
            ("x-webkit-deflate-frame, permessage-deflate", true),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; server_max_window_bits", false),
            ("permessage-deflate; client_max_window_bits=16", false),
            ("permessage-deflate; client_max_window_bits=x", false),
            ("permessage-deflate; server_no_context_takeover=1", false),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", false),
            ("permessage-deflate; something", false),
            ("permessage-bzip2", false),
            ("", false),
        ] {
            assert_eq!(is_offered(offer), expected, "{offer}");
        }
    }
}
