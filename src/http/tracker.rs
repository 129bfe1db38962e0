//! `GET /floodmark.js`: the script that a shop's pages load, by which they send events. Its source is in
//! `dashboard/tracker/`; it is bundled when the crate is built (`build.rs`).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL},
};

use crate::http::{packed_file::PackedFile, scope::Open};

const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floodmark.js"));
/// The same as brotli. It is packed once and at its smallest, since every visitor of a shop loads it.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floodmark.js.br"));

/// For so long a browser asks for nothing; for a day more it uses what it has and asks meanwhile. A new
/// version is at all visitors within an hour or so.
const CACHED: &str = "public, max-age=3600, stale-while-revalidate=86400";

/// Adds the route.
pub fn routes(open: &mut Open) {
    let script = PackedFile::new(SCRIPT, PACKED);
    open.script("/floodmark.js", move |request: HttpRequest| {
        let answer = answer(&request, &script);
        async move { answer }
    });
}

fn answer(request: &HttpRequest, script: &PackedFile) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CACHE_CONTROL, CACHED))
        // Pages that name it with `crossorigin`, and those that let in only what says that it is for them.
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .content_type("text/javascript; charset=utf-8");
    script.answer(request, response)
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
