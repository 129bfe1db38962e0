//! Requests that are part of a trace which somebody else has begun (`traceparent`).

use std::collections::BTreeSet;

use crate::{
    otlp::{KEY, collector::Collector, traced},
    support::server::Server,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn post(server: &Server, parents: &[&str]) {
    let mut request = server.request("POST", &format!("/v1/events?key={KEY}"));
    for parent in parents {
        request = request.header("traceparent", parent);
    }
    assert_eq!(request.body(r#"{"type":"a"}"#).send().expect("it answers").status, 202);
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_request_goes_on_with_the_trace_of_its_caller() {
    let collector = Collector::start();
    // Hardly any request is traced but those whose callers are.
    let mut server = traced(
        &collector.url(),
        &[("FLOODMARK_OTLP__TRACES_PER_MILLION", "1"), ("FLOODMARK_OTLP__INTERVAL_MS", "3600000")],
    );
    let parent = |trace: &str, flags: &str| format!("00-{trace}-{SPAN}-{flags}");
    post(&server, &[&parent(TRACE, "01")]);
    post(&server, &[&parent(TRACE, "00")]);
    post(&server, &[]);
    post(&server, &[&parent(&"0".repeat(32), "01")]);
    post(&server, &[&parent(TRACE, "01"), &parent(TRACE, "01")]);
    assert!(server.terminate().success());
    let spans = collector.named("POST /v1/events");
    let [span] = &spans[..] else { panic!("one is traced: {spans:?}") };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), SPAN.into()));
    assert!(!span.span_id.is_empty() && hex(&span.span_id) != SPAN, "{span:?}");
    // OTLP says in these two bits that the parent is known to be of another process.
    assert_eq!(span.flags & 0x300, 0x300, "{span:?}");
}

#[test]
fn what_is_no_caller_is_ignored_and_batches_know_the_trace_of_one() {
    let collector = Collector::start();
    let mut server = traced(&collector.url(), &[("FLOODMARK_OTLP__INTERVAL_MS", "3600000")]);
    post(&server, &["00-not-a-trace-01"]);
    post(&server, &[&format!("00-{TRACE}-{SPAN}-01")]);
    assert!(server.terminate().success());
    let requests = collector.named("POST /v1/events");
    assert_eq!(requests.len(), 2);
    let (of_caller, own): (Vec<_>, Vec<_>) =
        requests.iter().partition(|span| hex(&span.trace_id) == TRACE);
    assert_eq!((of_caller.len(), own.len()), (1, 1));
    assert!(own[0].parent_span_id.is_empty(), "{own:?}");
    let batches = collector.named("batch");
    let links = batches.iter().flat_map(|batch| &batch.links);
    let linked: BTreeSet<_> = links.map(|link| (&link.trace_id, &link.span_id)).collect();
    assert!(linked.contains(&(&of_caller[0].trace_id, &of_caller[0].span_id)), "{linked:?}");
}

#[test]
fn strangers_can_have_no_more_than_so_many_traced_in_a_second() {
    let collector = Collector::start();
    let mut server = traced(
        &collector.url(),
        &[("FLOODMARK_OTLP__TRACES_PER_MILLION", "1"), ("FLOODMARK_OTLP__INTERVAL_MS", "3600000")],
    );
    let began = std::time::Instant::now();
    for _ in 0..400 {
        let request = server.request("GET", "/healthz");
        // By an id of such zeros every share would take the trace.
        let parent = format!("00-4bf92f3577b34da60000000000000000-{SPAN}-01");
        let request = request.header("traceparent", &parent);
        assert_eq!(request.send().expect("it answers").status, 200);
    }
    // However long they took, there were no more seconds than these.
    let seconds = 1 + began.elapsed().as_secs() as usize;
    assert!(server.terminate().success());
    let taken = collector.named("GET /healthz").len();
    assert!((100..=100 * (seconds + 1)).contains(&taken), "{taken} in {seconds} s");

    // Where nothing is traced, nobody can make it so.
    let nothing = [("FLOODMARK_OTLP__TRACES_PER_MILLION", "0")];
    let mut server = traced(&collector.url(), &nothing);
    post(&server, &[&format!("00-{TRACE}-{SPAN}-01")]);
    assert!(server.terminate().success());
    assert!(collector.named("POST /v1/events").is_empty());
}
