//! A file that is part of the program, as it is and as brotli. It is packed once, when the crate is built, and
//! at its smallest.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, AcceptEncoding, CONTENT_ENCODING, ETag, Encoding, EntityTag, Header,
            VARY,
        },
    },
};

use crate::http::etag::{is_known, tag_of};

/// A file, and the tag by which a browser says that it has it.
#[derive(Clone)]
pub(super) struct PackedFile {
    plain: &'static [u8],
    brotli: &'static [u8],
    tag: EntityTag,
}

impl PackedFile {
    /// A file, and the same as brotli.
    pub fn new(plain: &'static [u8], brotli: &'static [u8]) -> PackedFile {
        PackedFile { plain, brotli, tag: tag_of(plain) }
    }

    /// The file, or 304 where the browser has these very contents (`If-None-Match`). `response` has its
    /// other headers already.
    pub fn answer(&self, request: &HttpRequest, mut response: HttpResponseBuilder) -> HttpResponse {
        response.insert_header(ETag(self.tag.clone()));
        if is_known(request, &self.tag) {
            response.insert_header((VARY, ACCEPT_ENCODING.as_str()));
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        self.whole(request, response)
    }

    /// The file, whatever the browser has. `response` has its other headers already.
    pub fn whole(&self, request: &HttpRequest, mut response: HttpResponseBuilder) -> HttpResponse {
        response.insert_header((VARY, ACCEPT_ENCODING.as_str()));
        let accepted = AcceptEncoding::parse(request).ok();
        let ways = [Encoding::brotli(), Encoding::identity()];
        match accepted.and_then(|accepted| accepted.negotiate(ways.iter())) {
            Some(way) if way == Encoding::brotli() => {
                response.insert_header((CONTENT_ENCODING, "br")).body(self.brotli)
            }
            // What has no brotli may have gzip, which the layer around this does.
            _ => response.body(self.plain),
        }
    }
}
