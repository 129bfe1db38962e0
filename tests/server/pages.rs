//! The addresses of the dashboard's pages, and what a browser gets at one that is none.

use serde_json::json;

use crate::{door::ask, support::server::Server};

/// Each address of a page shows the page to everybody; to a browser, so does one that is none, with its status.
#[test]
fn pages_have_addresses_and_what_is_none_says_so() {
    let server = Server::start();
    let browser = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let page = ask(&server, "GET", "/", &browser, "");
    for path in
        ["/explore?metric=x", "/incidents", "/incidents/1", "/events", "/sources", "/settings"]
    {
        let answer = ask(&server, "GET", path, &browser, "");
        assert_eq!((answer.status, &answer.body), (200, &page.body), "{path}");
    }
    for path in ["/wall", "/incidents/1/2", "/Explore", "/explore/"] {
        let answer = ask(&server, "GET", path, &browser, "");
        assert_eq!((answer.status, &answer.body), (404, &page.body), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("script-src 'self'"), "{path}: {policy}");
        // Where the browser has the page already, it is still not to be found here.
        let tag = page.header("etag").expect("a tag");
        let again = ask(&server, "GET", path, &[browser[0], ("If-None-Match", tag)], "");
        assert_eq!(again.status, 404, "{path}");
    }
    // Programs are told in JSON, and so is a browser where programs ask and send.
    let others = [("GET", "/wall", ("Accept", "*/*")), ("POST", "/wall", browser[0])];
    let of_programs = ["/api/nothing", "/v1/nothing"].map(|path| ("GET", path, browser[0]));
    for (method, path, accept) in others.into_iter().chain(of_programs) {
        let answer = ask(&server, method, path, &[accept], "");
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.json()["error"]["code"], json!("not_found"), "{method} {path}");
    }
}
