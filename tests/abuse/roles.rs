//! Every route with every role: what is not for a role is refused, for each method. The list of routes is
//! that of `/openapi.json`, which is compared with the server's own (`src/server/service.rs`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::victim::Victim;

/// Who may call a route, as the document says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    WriteKey,
    ViewerToken,
    Nothing,
    /// A scheme that this test does not know: then nobody of this test may.
    Other,
}

/// The routes of the document: method, path, and what it needs.
fn routes(document: &Value) -> Vec<(String, String, Needs)> {
    let resolved = |value: &Value| -> Value {
        let pointer = value["$ref"].as_str().map(|text| text.trim_start_matches('#').to_owned());
        pointer.map_or(value.clone(), |pointer| document.pointer(&pointer).unwrap().clone())
    };
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in resolved(item).as_object().unwrap() {
            let Some(security) = operation["security"].as_array() else { continue };
            let names: Vec<&String> =
                security.iter().flat_map(|it| it.as_object().unwrap().keys()).collect();
            let all = |word: &str| !names.is_empty() && names.iter().all(|it| it.starts_with(word));
            let needs = match () {
                () if names.is_empty() => Needs::Nothing,
                () if all("writeKey") || names.iter().any(|it| *it == "writeKeyBearer") => {
                    Needs::WriteKey
                }
                () if names.iter().any(|it| *it == "viewerTokenBearer") => Needs::ViewerToken,
                () => Needs::Other,
            };
            let mut plain = path.clone();
            while let Some((before, rest)) = plain.clone().split_once('{') {
                plain = format!("{before}1{}", rest.split_once('}').unwrap().1);
            }
            found.push((method.to_ascii_uppercase(), plain, needs));
        }
    }
    found
}

const ROLES: [(&str, &str); 5] = [
    ("nobody", ""),
    ("an unknown key", "Bearer unknown"),
    ("a write key", "Bearer write-1"),
    ("a viewer token", "Bearer view-1"),
    ("both, as one", "Bearer write-1,view-1"),
];

#[test]
fn every_route_refuses_every_role_that_it_is_not_for() {
    let victim = Victim::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "write-1"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "view-1"),
    ]);
    let document = victim.server.get("/openapi.json");
    let routes = routes(&document);
    assert!(routes.len() > 40, "{routes:?}");
    let mut let_in: BTreeMap<Needs, usize> = BTreeMap::new();
    // Who may do what admins do is compared role by role in tests/server/access/matrix.rs.
    let of_admins = ["/api/access", "/api/server/"];
    let is_of_admins = |path: &str| of_admins.iter().any(|begin| path.starts_with(begin));
    let routes = routes.into_iter().filter(|(_, path, _)| !is_of_admins(path));
    for (method, path, needs) in &routes.collect::<Vec<_>>() {
        let methods = if method == "GET" { vec!["GET", "HEAD"] } else { vec![&**method] };
        for method in methods {
            for (role, authorization) in ROLES {
                let mut request = victim.server.request(method, path);
                if !authorization.is_empty() {
                    request = request.header("Authorization", authorization);
                }
                let answer = request.send().expect("an answer");
                // Whoever is let in gets what the request itself leads to, which is not refused for
                // its key.
                let is_refused = [401, 403].contains(&answer.status);
                let may = match needs {
                    Needs::Nothing => true,
                    Needs::WriteKey => role == "a write key",
                    Needs::ViewerToken => role == "a viewer token",
                    Needs::Other => false,
                };
                // A body may hold the key, so an empty one is looked at before it is refused; and a path
                // that takes POST alone has no HEAD.
                let says_no = is_refused || (!may && [400, 404, 405, 415].contains(&answer.status));
                assert!(
                    may != says_no || answer.status == 405,
                    "{role}: {method} {path}: {answer:?}"
                );
                if *needs == Needs::ViewerToken && !may && answer.status != 405 {
                    assert_eq!(answer.status, 401, "{role}: {method} {path}: {answer:?}");
                }
                if may {
                    *let_in.entry(*needs).or_default() += 1;
                }
            }
        }
    }
    for needs in [Needs::WriteKey, Needs::ViewerToken, Needs::Nothing] {
        assert!(let_in.get(&needs).is_some_and(|count| *count > 3), "{let_in:?}");
    }
}
