//! A collector whose certificate is of a private authority (`otlp.ca`).

use std::path::Path;

use tempfile::TempDir;

use crate::{
    otlp::{collector::Collector, traced},
    support::{certificate, program::floodmark},
};

const OFTEN: (&str, &str) = ("FLOODMARK_OTLP__INTERVAL_MS", "100");

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary names are plain")
}

#[test]
fn a_collector_of_a_private_authority_is_sent_to_where_that_is_named() {
    let dir = TempDir::new().expect("a folder");
    let (cert, key) = (dir.path().join("collector.crt"), dir.path().join("collector.key"));
    certificate::make_leaf(&cert, &key);
    let collector = Collector::over_tls(&cert, &key);
    let endpoint = format!("https://localhost:{}", collector.addr.port());

    let stranger = traced(&endpoint, &[OFTEN]);
    stranger.until("it says why, and what to do", |server| {
        let log = server.log();
        log.contains("UnknownIssuer") && log.contains("otlp.ca has to name the CA")
    });
    assert!(collector.sent().is_empty());

    let server = traced(&endpoint, &[OFTEN, ("FLOODMARK_OTLP__CA", text(&cert))]);
    server.until("metrics and traces come", |server| {
        server.request("GET", "/healthz").send().is_ok_and(|answer| answer.status == 200)
            && collector.counted("floodmark_events_accepted_total").is_some()
            && !collector.named("GET /healthz").is_empty()
    });
    assert!(!server.log().contains("otlp.endpoint does not take"));
}

#[test]
fn a_file_that_is_no_authority_stops_the_start() {
    let dir = TempDir::new().expect("a folder");
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").expect("it is written");
    for (ca, endpoint, why) in [
        (text(&empty), "https://localhost:1", "no certificate in it"),
        ("/nowhere/ca.pem", "https://localhost:1", "No such file"),
        (text(&empty), "http://localhost:1", "is not encrypted"),
    ] {
        let output = floodmark()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .env("FLOODMARK_OTLP__ENDPOINT", endpoint)
            .env("FLOODMARK_OTLP__CA", ca)
            .output()
            .expect("the program was built");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("otlp.ca") && said.contains(why), "{said}");
    }
}
