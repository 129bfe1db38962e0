//! Checks that `docs/openapi.json` is true. The unit tests of the service compare it with the routes; here
//! it is compared with what a server answers: each operation is called in every way in which it can go
//! well or wrong, and each status and error code must stand in the document and come in an answer.

pub mod document;
mod entering;
mod provoked;
mod watched;
mod ways;

use std::collections::BTreeSet;

use document::{Document, PATH};

use crate::{
    api_doc::{blocks, table},
    support::server::Server,
};

/// Headers of requests that OpenAPI has other words for, or none: media types, security, CORS, and what HTTP
/// itself does for every answer.
const OF_HTTP: &[&str] = &[
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "content-type",
    "cookie",
    "host",
    "if-none-match",
    "origin",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    // Browsers send these by themselves, with whatever they send.
    "dnt",
    "sec-gpc",
    "user-agent",
    // What traces its requests sends this by itself, with whatever it sends.
    "traceparent",
    // Proxies send these, and never a client.
    "x-forwarded-for",
    "x-forwarded-proto",
];

#[test]
fn the_headers_of_requests_are_those_of_the_page_for_people() {
    let document = Document::load();
    let operations = document.operations();
    let parameters = operations.iter().flat_map(|operation| &operation.parameters);
    let schemes = document.root()["components"]["securitySchemes"].as_object();
    let of_schemes = schemes.expect("there are keys").values();
    let headers = parameters.chain(of_schemes).filter(|it| it["in"] == "header");
    let named: BTreeSet<String> = headers
        .map(|header| header["name"].as_str().expect("a name").to_ascii_lowercase())
        .collect();
    let rows = table(&blocks::document(), "Headers");
    let of_requests = rows.iter().filter(|row| ["requests", "both"].contains(&row[1].as_str()));
    let for_people: BTreeSet<String> = of_requests
        .flat_map(|row| row[0].split(", "))
        .map(str::to_ascii_lowercase)
        .filter(|name| !OF_HTTP.contains(&name.as_str()))
        .collect();
    assert_eq!(named, for_people, "{PATH} and {}", blocks::PATH);
}

#[test]
fn the_server_answers_its_document() {
    let server = Server::start();
    let served = server.get("/openapi.json");
    assert_eq!(&served, Document::load().root());
    assert_eq!(served["info"]["version"], env!("CARGO_PKG_VERSION"));
}
