//! The dashboard: bundled when the crate is built, embedded in the binary.

use actix_web::{HttpRequest, HttpResponse, http::header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::http::scope::Open;

#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
struct Dashboard;

/// The page loads nothing from elsewhere, and can't be framed by another site. uPlot sets
/// styles on its elements.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Adds the routes: `/` and the page's own files.
pub fn routes(open: &mut Open) {
    open.read("/", |request: HttpRequest| async move { file(&request, "index.html") });
    for name in Dashboard::iter() {
        let path = format!("/{name}");
        let serve = move |request: HttpRequest| {
            let name = name.clone();
            async move { file(&request, &name) }
        };
        open.read(&path, serve);
    }
}

fn file(request: &HttpRequest, name: &str) -> HttpResponse {
    let Some(EmbeddedFile { data, metadata, .. }) = Dashboard::get(name) else {
        return HttpResponse::NotFound().finish();
    };
    let hash: String = metadata.sha256_hash()[..16].iter().map(|b| format!("{b:02x}")).collect();
    // Weak: the answer may be compressed.
    let tag = header::EntityTag::new_weak(hash);
    let mut response = HttpResponse::Ok();
    response
        .insert_header(header::ETag(tag.clone()))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .content_type(metadata.mimetype());
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    if known.is_some_and(|known| known == tag.to_string()) {
        response.status(actix_web::http::StatusCode::NOT_MODIFIED);
        return response.finish();
    }
    response.body(data.into_owned())
}
