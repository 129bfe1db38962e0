//! Metrics and traces for a collector of OpenTelemetry: they say the same as `/metrics`, have no secret in
//! them, and a collector that is away stops nothing.

mod collector;
mod parents;
mod private_ca;
mod room;

use std::{collections::BTreeSet, net::TcpListener};

use self::collector::{Collector, attribute};
use crate::support::server::Server;

const KEY: &str = "write-key-of-the-shop";
const TOKEN: &str = "viewer-token-of-the-shop";
const SECRET: &str = "secret-of-the-collector";

/// A server that traces everything.
fn traced(endpoint: &str, more: &[(&str, &str)]) -> Server {
    let header = format!("Authorization: Bearer {SECRET}");
    let variables = [
        ("FLOODMARK_AUTH__WRITE_KEYS", KEY),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", TOKEN),
        ("FLOODMARK_OTLP__ENDPOINT", endpoint),
        ("FLOODMARK_OTLP__HEADERS", &header),
        ("FLOODMARK_OTLP__TRACES_PER_MILLION", "1000000"),
        ("FLOODMARK_OTLP__INSTANCE_ID", "node-a"),
    ];
    Server::with(&[&variables, more].concat())
}

fn post(server: &Server, events: &str) {
    let request = server.request("POST", &format!("/v1/events?key={KEY}"));
    assert_eq!(request.body(events).send().expect("it answers").status, 202);
}

fn metrics(server: &Server) -> String {
    server.get_text(&format!("/metrics?token={TOKEN}"))
}

#[test]
fn a_collector_gets_requests_batches_and_the_metrics_without_any_secret() {
    let collector = Collector::start();
    let server = traced(&collector.url(), &[("FLOODMARK_OTLP__INTERVAL_MS", "100")]);
    post(&server, r#"[{"type":"a","userId":"user-of-the-shop"},{"type":"a"}]"#);
    post(&server, r#"[{"type":"b"},{"type":"b"},{"type":"b"}]"#);
    let nowhere = server.request("GET", "/nowhere/path-of-a-client").send().expect("an answer");
    assert_eq!(nowhere.status, 404);
    server.until("the events are in the metrics", |_| {
        collector.counted("floodmark_events_accepted_total") == Some(5)
    });
    assert!(metrics(&server).contains("floodmark_events_accepted_total{source=\"http\"} 5\n"));
    // The counters of both sinks say when the batches are written; their spans come after.
    server.until("two requests and their batches are there", |_| {
        let batches: BTreeSet<_> =
            collector.named("batch").iter().map(|span| span.trace_id.clone()).collect();
        let written = |name| {
            let found = collector.named(name);
            let of: BTreeSet<_> = found.iter().map(|span| span.trace_id.clone()).collect();
            of == batches
        };
        let events: u64 = collector
            .named("batch")
            .iter()
            .map(|span| {
                let events = attribute(&span.attributes, "floodmark.batch.events");
                events.expect("a number of events").parse::<u64>().expect("a number")
            })
            .sum();
        collector.named("POST /v1/events").len() == 2
            && events == 5
            && written("write store")
            && written("write live")
    });
    let requests = collector.named("POST /v1/events");
    for request in &requests {
        assert_eq!(attribute(&request.attributes, "http.route").as_deref(), Some("/v1/events"));
        let status = attribute(&request.attributes, "http.response.status_code");
        assert_eq!((status.as_deref(), request.kind), (Some("202"), 2), "answered by a server");
        assert!(request.end_time_unix_nano >= request.start_time_unix_nano);
    }
    let batches = collector.named("batch");
    // Each request has a link from its batch, whether both are in one batch or not.
    let links = batches.iter().flat_map(|batch| &batch.links);
    let linked: BTreeSet<_> = links.map(|link| (&link.trace_id, &link.span_id)).collect();
    let sent: BTreeSet<_> = requests.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(linked, sent);
    for write in [collector.named("write store"), collector.named("write live")].concat() {
        let batch = batches.iter().find(|batch| batch.trace_id == write.trace_id).unwrap();
        assert_eq!(write.parent_span_id, batch.span_id);
        assert_eq!(attribute(&write.attributes, "floodmark.batch.tries").as_deref(), Some("1"));
    }
    server.until("the path that leads nowhere is there", |_| !collector.named("GET").is_empty());
    for (resource, _) in collector.spans() {
        let of = |key| attribute(&resource.attributes, key);
        assert_eq!(of("service.name").as_deref(), Some("floodmark"));
        assert_eq!(of("service.instance.id").as_deref(), Some("node-a"));
    }
    for sent in collector.sent() {
        assert!(sent.head.contains(&format!("authorization: bearer {SECRET}")), "{}", sent.head);
        assert!(sent.head.contains("content-type: application/x-protobuf"), "{}", sent.head);
        let text = String::from_utf8_lossy(&sent.body);
        for secret in [KEY, TOKEN, SECRET, "user-of-the-shop", "path-of-a-client", "127.0.0.1"] {
            assert!(!text.contains(secret), "{secret} is in what {} gets", sent.path);
        }
    }
    assert!(!server.log().contains(SECRET));
}

#[test]
fn a_collector_gets_all_that_metrics_has() {
    let collector = Collector::start();
    let server = traced(&collector.url(), &[("FLOODMARK_OTLP__INTERVAL_MS", "100")]);
    post(&server, r#"{"type":"a"}"#);
    server.until("its batch is counted", |_| {
        collector.counted("floodmark_events_counted_total") == Some(1)
    });
    let shown = metrics(&server);
    let named = shown.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let shown: BTreeSet<_> = named.filter_map(|line| line.split(' ').next()).collect();
    assert!(shown.len() > 40 && shown.contains("process_cpu_seconds_total"), "{shown:?}");
    // A metric may have come since; the next request then has it, too.
    server.until("every name is there", |_| {
        let sent: BTreeSet<_> = collector.metrics().into_iter().map(|it| it.name).collect();
        shown.iter().all(|name| sent.contains(*name))
    });
}

#[test]
fn the_rest_is_sent_at_a_stop() {
    let collector = Collector::start();
    let mut server = traced(&collector.url(), &[("FLOODMARK_OTLP__INTERVAL_MS", "3600000")]);
    post(&server, r#"[{"type":"a"},{"type":"a"}]"#);
    assert!(collector.sent().is_empty());
    assert!(server.terminate().success());
    assert_eq!(collector.counted("floodmark_events_stored_total"), Some(2));
    assert_eq!(collector.named("POST /v1/events").len(), 1);
    assert_eq!(collector.named("write store").len(), 1);
}

#[test]
fn a_collector_that_is_away_stops_nothing_and_is_said_once() {
    // Whoever connects is not answered: nobody accepts.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    for address in [silent.local_addr().expect("it listens"), gone] {
        let endpoint = format!("http://{address}/");
        let more = [("FLOODMARK_OTLP__INTERVAL_MS", "50"), ("FLOODMARK_OTLP__TIMEOUT_MS", "200")];
        let mut server = traced(&endpoint, &more);
        post(&server, r#"{"type":"a"}"#);
        let failed = |signal| {
            let text = metrics(&server);
            let of =
                format!("floodmark_otlp_exports_total{{signal=\"{signal}\",result=\"failed\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&of));
            value.expect("it is counted").parse::<u64>().expect("a number")
        };
        server.until("both were tried often", |_| failed("metrics") > 2 && failed("traces") > 2);
        post(&server, r#"{"type":"a"}"#);
        assert!(metrics(&server).contains("floodmark_events_accepted_total{source=\"http\"} 2\n"));
        let log = server.log();
        assert_eq!(log.matches("otlp.endpoint does not take").count(), 1, "{log}");
        assert!(server.terminate().success());
    }
}
