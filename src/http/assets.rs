//! Serves the dashboard. Its files are bundled when the crate is built (`build.rs`) and are part
//! of the program.

use actix_web::{HttpRequest, HttpResponse, http::header};
use sha2::{Digest, Sha256};

use crate::http::scope::Open;

/// The files of the page and their contents. Debug builds contain them too, so that the program
/// serves the page wherever it is copied to.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// The file that is served at `/`.
const INDEX: &str = "index.html";

/// The page loads and asks nothing elsewhere, runs and styles itself by its own files only, and can't
/// be framed. Scripts of the page set styles through the properties of elements, which needs no
/// `'unsafe-inline'`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'self'";

/// Adds the routes: `/` and the page's own files.
pub fn routes(open: &mut Open) {
    for &(name, contents) in FILES {
        let tag = tag_of(contents);
        let serve = move |request: HttpRequest| {
            let answer = answer(&request, name, contents, &tag);
            async move { answer }
        };
        if name == INDEX {
            open.read("/", serve.clone());
        }
        open.read(&format!("/{name}"), serve);
    }
}

/// Whether a path is one of the page's files, beside `/`.
pub fn is_file(path: &str) -> bool {
    FILES.iter().any(|(name, _)| path.strip_prefix('/') == Some(name))
}

/// The entity tag of these contents. It is a weak one, since the answer may be compressed.
pub(super) fn tag_of(contents: &[u8]) -> header::EntityTag {
    let hash = Sha256::digest(contents);
    header::EntityTag::new_weak(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The file, or 304 where the browser has these very contents (`If-None-Match`).
fn answer(
    request: &HttpRequest,
    name: &str,
    contents: &'static [u8],
    tag: &header::EntityTag,
) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .insert_header(header::ETag(tag.clone()))
        // A browser asks each time, so that a new version of the program shows its page at once.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .content_type(media_type(name));
    if is_known(request, tag) {
        response.status(actix_web::http::StatusCode::NOT_MODIFIED);
        return response.finish();
    }
    response.body(contents)
}

/// Whether the browser has these very contents.
pub(super) fn is_known(request: &HttpRequest, tag: &header::EntityTag) -> bool {
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    known.is_some_and(|known| known == tag.to_string())
}

/// The media type of a file of the page, by the ending of its name.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
