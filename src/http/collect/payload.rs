//! Reads the body of a request. Its size, the time that it takes to arrive, and its size once it
//! is unpacked are all limited.

use std::{
    io::{self, Read},
    time::Duration,
};

use actix_web::{
    HttpRequest,
    error::PayloadError,
    http::{StatusCode, header},
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::{
    config,
    http::{
        collect::in_flight::{BytesInFlight, BytesPermit},
        error::ApiError,
        limit::Limit,
    },
};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The most encodings that a body may have, one over the other: a client packs, and a proxy again.
const MAX_ENCODINGS: usize = 2;

/// How the body is packed, in the order in which that was done.
fn encodings(request: &HttpRequest) -> Result<Vec<Encoding>, ApiError> {
    let mut encodings = Vec::new();
    for value in request.headers().get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or_default().split(',') {
            match named(name)? {
                Encoding::Identity => {}
                encoding => encodings.push(encoding),
            }
        }
    }
    match encodings.len() {
        ..=MAX_ENCODINGS => Ok(encodings),
        more => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            format!("Content-Encoding names {more} encodings: send at most {MAX_ENCODINGS}"),
        )),
    }
}

fn named(encoding: &str) -> Result<Encoding, ApiError> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        "br" => Ok(Encoding::Brotli),
        "zstd" => Ok(Encoding::Zstd),
        other => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            format!("Content-Encoding {other:?}: send identity, gzip, deflate, br or zstd"),
        )),
    }
}

/// Reads and unpacks the body of a request.
///
/// # Errors
/// 408 after `http.body_timeout_ms` or below `http.min_body_bytes_per_s`, 413 beyond a limit, 415
/// for an unknown encoding, 400 where it can't be unpacked or broke off, 429 where this client's
/// bodies hold their share already, 503 where those of all clients hold too much.
pub async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    limits: &config::HttpConfig,
    permit: &mut BytesPermit,
) -> Result<Bytes, ApiError> {
    let mut encodings = encodings(request)?;
    let announced = announced_bytes(request);
    if announced.is_some_and(|bytes| bytes > limits.max_body_bytes as u64) {
        // Whoever waits for `100 Continue` then sends nothing in vain.
        return Err(too_large(limits.max_body_bytes));
    }
    let bounds = BodyBounds { max: limits.max_body_bytes, announced };
    let mut body = collect(payload, Pace::new(limits), bounds, permit).await?;
    // Some browser SDKs pack the body and don't say so. No text begins with these two bytes.
    if encodings.is_empty() && body.starts_with(b"\x1f\x8b") {
        encodings.push(Encoding::Gzip);
    }
    for encoding in encodings.into_iter().rev() {
        body = unpacked(encoding, body, limits.max_decoded_bytes, permit)?;
    }
    Ok(body)
}

/// Unpacks a body by the name of its encoding, for fuzzing; `None` where it is refused.
pub(crate) fn unpack_bytes(encoding: &str, packed: &[u8], max: usize) -> Option<Bytes> {
    let mut permit = BytesInFlight::unbounded();
    unpacked(named(encoding).ok()?, Bytes::copy_from_slice(packed), max, &mut permit).ok()
}

fn unpacked(
    encoding: Encoding,
    packed: Bytes,
    max: usize,
    permit: &mut BytesPermit,
) -> Result<Bytes, ApiError> {
    match encoding {
        Encoding::Identity => Ok(packed),
        Encoding::Gzip => unpack(flate2::read::MultiGzDecoder::new(&*packed), max, permit),
        Encoding::Deflate => {
            // RFC 9110 calls the zlib format "deflate", but many clients send a bare deflate
            // stream. So the second is tried where the first fails.
            match unpack(flate2::read::ZlibDecoder::new(&*packed), max, permit) {
                Err(e) if e.code == "malformed_encoding" => {
                    unpack(flate2::read::DeflateDecoder::new(&*packed), max, permit)
                }
                other => other,
            }
        }
        Encoding::Brotli => unpack(brotli::Decompressor::new(&*packed, 4096), max, permit),
        Encoding::Zstd => match zstd::stream::read::Decoder::new(&*packed) {
            Ok(mut decoder) => {
                // A frame may ask for a window of up to 2 GiB of memory. RFC 8878 recommends
                // decoders to allow 8 MiB (2^23), and encoders not to ask for more.
                let _ = decoder.window_log_max(23);
                unpack(decoder, max, permit)
            }
            Err(e) => Err(malformed(&e)),
        },
    }
}

/// How fast a body has to arrive: all of it by `end`, and of each span of `grace` its least bytes.
/// Spans and not an average count, since the average of a body that began fast stays high while it
/// holds its bytes for hardly any more.
struct Pace {
    /// `http.body_timeout_ms` from its beginning.
    end: Instant,
    /// `http.body_grace_ms`.
    grace: Duration,
    /// What has to arrive in `grace`, by `http.min_body_bytes_per_s`.
    least: usize,
    /// The end of the present span, and what has arrived in it.
    span_end: Instant,
    arrived: usize,
}

impl Pace {
    fn new(limits: &config::HttpConfig) -> Pace {
        let (begin, grace) = (Instant::now(), Duration::from_millis(limits.body_grace_ms));
        Pace {
            end: begin + Duration::from_millis(limits.body_timeout_ms),
            grace,
            least: (limits.min_body_bytes_per_s.saturating_mul(limits.body_grace_ms) / 1000)
                as usize,
            span_end: begin + grace,
            arrived: 0,
        }
    }

    /// Waits for the next chunk; `None` at the end of the body.
    async fn next(
        &mut self,
        payload: &mut web::Payload,
    ) -> Result<Option<Result<Bytes, PayloadError>>, ApiError> {
        loop {
            if let Ok(chunk) = timeout_at(self.end.min(self.span_end), payload.next()).await {
                self.arrived += chunk.as_ref().and_then(|c| c.as_ref().ok()).map_or(0, Bytes::len);
                return Ok(chunk);
            }
            let late = StatusCode::REQUEST_TIMEOUT;
            if Instant::now() >= self.end {
                Limit::BodyTime.reached();
                return Err(ApiError::new(late, "timeout", "the body did not arrive in time"));
            }
            if self.arrived < self.least {
                Limit::BodyRate.reached();
                return Err(ApiError::new(late, "too_slow", "the body arrives too slowly"));
            }
            (self.span_end, self.arrived) = (Instant::now() + self.grace, 0);
        }
    }
}

/// How many bytes the body has, as the head says; `None` for a body in chunks, whose end shows itself.
fn announced_bytes(request: &HttpRequest) -> Option<u64> {
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    // A request that announces nothing has no body (RFC 9112, 6.3).
    Some(length.and_then(|length| length.trim().parse().ok()).unwrap_or(0))
}

/// How much of a body is read.
struct BodyBounds {
    /// `http.max_body_bytes`.
    max: usize,
    announced: Option<u64>,
}

impl BodyBounds {
    /// Whether this many bytes are all of the body. actix-http ends a body after the bytes that were
    /// announced, except that of a request with `Upgrade: websocket`: there everything until the end of
    /// the connection is the body to it.
    fn are_all(&self, bytes: usize) -> bool {
        self.announced.is_some_and(|announced| bytes as u64 >= announced)
    }
}

async fn collect(
    mut payload: web::Payload,
    mut pace: Pace,
    bounds: BodyBounds,
    permit: &mut BytesPermit,
) -> Result<Bytes, ApiError> {
    let max = bounds.max;
    // A small body is one chunk, which is taken without a copy; a second chunk makes one necessary.
    let mut only = Bytes::new();
    let mut body = BytesMut::new();
    while !bounds.are_all(only.len() + body.len()) {
        let Some(chunk) = pace.next(&mut payload).await? else { break };
        let mut chunk = chunk.map_err(|e| match e {
            PayloadError::Overflow => too_large(max),
            e => ApiError::bad_request("incomplete_body", format!("the body broke off: {e}")),
        })?;
        if let Some(announced) = bounds.announced {
            // What comes after the body is no part of it. Its connection ends with the answer.
            let missing = announced as usize - only.len() - body.len();
            chunk.truncate(missing);
        }
        if only.len() + body.len() + chunk.len() > max {
            return Err(too_large(max));
        }
        permit.grow(chunk.len())?;
        if only.is_empty() && body.is_empty() {
            only = chunk;
            continue;
        }
        body.extend_from_slice(&std::mem::take(&mut only));
        body.extend_from_slice(&chunk);
    }
    Ok(if body.is_empty() { only } else { body.freeze() })
}

fn unpack(decoder: impl Read, max: usize, permit: &mut BytesPermit) -> Result<Bytes, ApiError> {
    let mut body = Vec::new();
    // One byte more than allowed tells a body that ends at the limit from one that goes on.
    decoder.take(max as u64 + 1).read_to_end(&mut body).map_err(|e| malformed(&e))?;
    if body.len() > max {
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body unpacks to more than {max} bytes; send fewer events in a request"),
        ));
    }
    permit.grow(body.len())?;
    Ok(body.into())
}

fn malformed(e: &io::Error) -> ApiError {
    ApiError::bad_request("malformed_encoding", format!("the body can't be unpacked: {e}"))
}

fn too_large(max: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("the body has more than {max} bytes; send fewer events in a request"),
    )
}
