//! Serves the dashboard. Its files are bundled when the crate is built (`build.rs`) and are part
//! of the program.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, header},
};

use crate::http::{packed_file::PackedFile, scope::Open};

/// The files of the page and their contents, each followed by the same as brotli. Debug builds contain them
/// too, so that the program serves the page wherever it is copied to.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));
/// What the name of a file has more that is packed as brotli.
const PACKED: &str = ".br";

/// The file that is served at the address of each page.
const INDEX: &str = "index.html";

/// The addresses of pages. Which page each of them is, the script of the page knows
/// (`dashboard/src/router/address.ts`); so a link to one works for whoever opens it.
const PAGES: [&str; 7] =
    ["/", "/explore", "/incidents", "/incidents/{id}", "/events", "/sources", "/settings"];

/// Where programs send and ask. What is no route there is told so in JSON, to browsers too.
const OF_PROGRAMS: [&str; 2] = ["/api/", "/v1/"];

/// The page loads and asks nothing elsewhere, runs and styles itself by its own files only, and can't
/// be framed. Scripts of the page set styles through the properties of elements, which needs no
/// `'unsafe-inline'`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'self'";

/// The files as they are asked for: (name, contents, the same as brotli).
fn files() -> impl Iterator<Item = (&'static str, PackedFile)> {
    let packed = |name: &str| {
        let is_it = |(of, _): &&(&str, &[u8])| of.strip_suffix(PACKED) == Some(name);
        FILES.iter().find(is_it).map(|(_, contents)| *contents)
    };
    let plain = FILES.iter().filter(|(name, _)| !name.ends_with(PACKED));
    plain.map(move |&(name, contents)| {
        let packed = packed(name).expect("the bundler packs each file");
        (name, PackedFile::new(contents, packed))
    })
}

/// Adds the routes: the addresses of pages, and the files of which they are made.
pub fn routes(open: &mut Open) {
    for (name, file) in files() {
        let serve = move |request: HttpRequest| {
            let answer = answer(&request, name, &file);
            async move { answer }
        };
        if name == INDEX {
            for page in PAGES {
                open.read(page, serve.clone());
            }
        }
        open.read(&format!("/{name}"), serve);
    }
}

/// The page for an address that is none, which says so and has the ways to those that are: for a browser that
/// wants to show a page. `None` for whoever else asks.
pub fn missing(request: &HttpRequest) -> Option<HttpResponse> {
    let path = request.path();
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_browser = accepts.is_some_and(|accepts| accepts.contains("text/html"));
    if !reads || !is_browser || OF_PROGRAMS.iter().any(|start| path.starts_with(start)) {
        return None;
    }
    let (name, file) = files().find(|(name, _)| *name == INDEX)?;
    Some(file.whole(request, head(HttpResponse::NotFound(), name)))
}

/// Whether a path is one of the page's files, beside `/`.
pub fn is_file(path: &str) -> bool {
    let Some(asked) = path.strip_prefix('/') else { return false };
    FILES.iter().any(|(name, _)| asked == *name && !name.ends_with(PACKED))
}

fn answer(request: &HttpRequest, name: &str, file: &PackedFile) -> HttpResponse {
    file.answer(request, head(HttpResponse::Ok(), name))
}

/// The headers that all answers with this file have.
fn head(mut response: HttpResponseBuilder, name: &str) -> HttpResponseBuilder {
    response
        // A browser asks each time, so that a new version of the program shows its page at once.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .content_type(media_type(name));
    response
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
