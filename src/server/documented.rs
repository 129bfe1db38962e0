//! Tests that docs/openapi.json has the routes that there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::service::routes;
use crate::{
    access::SharedBook,
    config::Config,
    http::{
        assets,
        openapi::DOCUMENT,
        scope::{self, Guards, HungRoute},
    },
};

/// What the document and the routes have in common of a path and a method: the scope, and the parameters
/// of the query.
type Operations = BTreeMap<String, (String, BTreeSet<String>)>;

/// The parameter of each scope that may hold the key or token.
const SECRETS: [(&str, &str); 2] = [("collect", "key"), ("view", "token")];

/// A path with alternatives (`{call:batch|b}`, `{call:[tp]}`), written out, and with plain variables.
fn written_out(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (variable, after) = rest.split_once('}').expect("it is closed");
    let (name, pattern) = variable.split_once(':').unwrap_or((variable, ""));
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '|');
    let letters = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parts: Vec<String> = match letters {
        Some(letters) if is_plain(letters) => letters.chars().map(String::from).collect(),
        _ if !pattern.is_empty() && is_plain(pattern) => {
            pattern.split('|').map(str::to_owned).collect()
        }
        _ => vec![format!("{{{name}}}")],
    };
    let ends = written_out(after);
    let whole =
        |part: &String| ends.iter().map(move |end| format!("{before}{part}{end}")).collect();
    parts.iter().flat_map(|part| -> Vec<String> { whole(part) }).collect()
}

fn of_routes() -> Operations {
    let mut found = Operations::new();
    let listed = scope::listed(Guards::new(&Config::default(), SharedBook::default()), routes);
    let is_file = |route: &HungRoute| assets::is_file(&route.path);
    for route in listed.iter().filter(|route| !is_file(route)) {
        let secret = SECRETS.iter().find(|(scope, _)| *scope == route.scope);
        let names = route.parameters.iter().copied().chain(secret.map(|(_, name)| *name));
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        // Whatever takes GET takes HEAD, which the document says once.
        for method in route.methods.iter().filter(|method| *method != "HEAD") {
            for path in written_out(&route.path) {
                let about = (route.scope.to_owned(), names.clone());
                found.insert(format!("{method} {path}"), about);
            }
        }
    }
    found
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().map(|text| text.trim_start_matches('#'));
    reference.map_or(value, |pointer| document.pointer(pointer).expect(pointer))
}

fn of_document(document: &Value) -> Operations {
    let mut found = Operations::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let item = resolved(document, item);
        let methods = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
        for (method, operation) in methods {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.map(|it| resolved(document, it));
            // An object is a whole event, whose members are not listed.
            let named = parameters
                .filter(|it| it["in"] == "query" && it["schema"]["type"] != "object")
                .map(|it| it["name"].as_str().unwrap().to_owned());
            let schemes = operation["security"].as_array().unwrap().iter();
            let schemes = schemes.filter_map(|it| it.as_object().unwrap().keys().next());
            let schemes: Vec<&String> = schemes.collect();
            let secrets = schemes.iter().filter_map(|scheme| {
                let scheme = &document["components"]["securitySchemes"][scheme.as_str()];
                (scheme["in"] == "query").then(|| scheme["name"].as_str().unwrap().to_owned())
            });
            let scope = match schemes.first().map(|name| name.as_str()) {
                Some("writeKeyBearer") => "collect",
                Some(
                    "shopifySignature" | "stripeSignature" | "githubSignature" | "gitlabToken",
                ) => "signed",
                Some("viewerTokenBearer") => "view",
                None => "open",
                Some(other) => panic!("no scope begins with {other}"),
            };
            let about = (scope.to_owned(), named.chain(secrets).collect());
            found.insert(format!("{} {path}", method.to_uppercase()), about);
        }
    }
    found
}

#[test]
fn the_document_for_programs_has_the_routes_that_there_are() {
    let document: Value = serde_json::from_str(DOCUMENT).expect("docs/openapi.json is JSON");
    let (documented, there) = (of_document(&document), of_routes());
    let differing = |one: &Operations, other: &Operations| -> Vec<String> {
        let differs = |(name, about): &(&String, _)| other.get(*name) != Some(*about);
        one.iter().filter(differs).map(|(name, about)| format!("{name} {about:?}")).collect()
    };
    let missing = differing(&there, &documented);
    let surplus = differing(&documented, &there);
    assert!(missing.is_empty(), "docs/openapi.json lacks:\n  {}", missing.join("\n  "));
    assert!(surplus.is_empty(), "only in docs/openapi.json:\n  {}", surplus.join("\n  "));
}

#[test]
fn patterns_are_written_out() {
    assert_eq!(
        written_out("/v1/{call:a|b}/{c:[xy]}"),
        ["/v1/a/x", "/v1/a/y", "/v1/b/x", "/v1/b/y"]
    );
    assert_eq!(written_out("/api/{project:[0-9]+}/e/"), ["/api/{project}/e/"]);
    assert_eq!(written_out("/{key}"), ["/{key}"]);
}
