//! `GET /openapi.json`: what can be sent to this server and what it answers, for programs. The document is
//! kept by hand in `docs/openapi.json`; tests compare it with the routes and with real answers.

use actix_web::{HttpResponse, http::header};

use crate::http::scope::Open;

/// The document (OpenAPI 3.1).
pub const DOCUMENT: &str = include_str!("../../docs/openapi.json");

/// Adds the route.
pub fn routes(open: &mut Open) {
    open.read("/openapi.json", document);
}

async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        // A new version of the program may have another document.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(DOCUMENT)
}
