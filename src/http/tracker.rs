//! `GET /floodmark.js`: the script that a shop's pages load, by which they send events. Its source is in
//! `dashboard/tracker/`; it is bundled when the crate is built (`build.rs`).

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, AcceptEncoding, CACHE_CONTROL,
            CONTENT_ENCODING, ETag, Encoding, EntityTag, Header, VARY,
        },
    },
};

use super::assets::{is_known, tag_of};
use crate::http::scope::Open;

const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floodmark.js"));
/// The same as brotli. It is packed once and at its smallest, since every visitor of a shop loads it.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floodmark.js.br"));

/// For so long a browser asks for nothing; for a day more it uses what it has and asks meanwhile. A new
/// version is at all visitors within an hour or so.
const CACHED: &str = "public, max-age=3600, stale-while-revalidate=86400";

/// Adds the route.
pub fn routes(open: &mut Open) {
    let tag = tag_of(SCRIPT);
    open.script("/floodmark.js", move |request: HttpRequest| {
        let answer = answer(&request, &tag);
        async move { answer }
    });
}

fn answer(request: &HttpRequest, tag: &EntityTag) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .insert_header(ETag(tag.clone()))
        .insert_header((CACHE_CONTROL, CACHED))
        .insert_header((VARY, ACCEPT_ENCODING.as_str()))
        // Pages that name it with `crossorigin`, and those that let in only what says that it is for them.
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .content_type("text/javascript; charset=utf-8");
    if is_known(request, tag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    let accepted = AcceptEncoding::parse(request).ok();
    let ways = [Encoding::brotli(), Encoding::identity()];
    match accepted.and_then(|accepted| accepted.negotiate(ways.iter())) {
        Some(way) if way == Encoding::brotli() => {
            response.insert_header((CONTENT_ENCODING, "br")).body(PACKED)
        }
        // What has no brotli may have gzip, which the layer around this does.
        _ => response.body(SCRIPT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small() {
        assert!(PACKED.len() < 2_000, "{} bytes", PACKED.len());
        assert!(SCRIPT.len() > PACKED.len());
    }
}
