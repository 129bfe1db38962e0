//! Both encodings of a record are the same event.

use actix_web::test::TestRequest;

use super::*;
use crate::domain::event::Incoming;

const BODY: &str = r#"{"resourceLogs":[{"resource":{"attributes":[
    {"key":"service.name","value":{"stringValue":"shop"}}]},"scopeLogs":[{"logRecords":[
    {"timeUnixNano":"1795420800000000000","severityNumber":9,"eventName":"order.completed",
     "attributes":[{"key":"session.id","value":{"stringValue":"s1"}},
      {"key":"amount","value":{"doubleValue":59.97}},{"key":"qty","value":{"intValue":3}},
      {"key":"long","value":{"intValue":"9007199254740993"}},
      {"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"}]}}}]},
    {"severityNumber":17,"severityText":"ERROR","body":{"stringValue":"card declined"},
     "attributes":[{"key":"exception.type","value":{"stringValue":"CardError"}},
      {"key":"url.path","value":{"stringValue":"/checkout"}}]},
    {"body":{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}}]}]}]}"#;

fn read(is_protobuf: bool, contents: &[u8]) -> Vec<Incoming<'static>> {
    let mut otlp = Otlp { is_protobuf };
    let mut split = otlp.split(contents, 9).unwrap();
    split.events().iter().map(|event| event.incoming().unwrap().clone()).collect()
}

#[test]
fn records_of_json() {
    let events = read(false, BODY.as_bytes());
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, ["order.completed", "error", "log"].map(|kind| Field::Text(kind.into())));
    let order = events[0].properties.as_deref().unwrap();
    for part in [
        r#""amount":59.97"#,
        r#""long":9007199254740993"#,
        r#""tags":["a"]"#,
        r#""service":"shop""#,
    ] {
        assert!(order.contains(part), "{part} {order}");
    }
    assert_eq!(events[0].session_id, Field::Text("s1".into()));
    let error = events[1].properties.as_deref().unwrap();
    for part in [r#""code":"CardError""#, r#""message":"card declined""#, r#""path":"/checkout""#] {
        assert!(error.contains(part), "{part} {error}");
    }
    assert!(events[2].properties.as_deref().unwrap().contains(r#""body":{"a":true}"#));
}

#[test]
fn a_record_of_protobuf() {
    // resource_logs { scope_logs { log_records { time 1s, severity 17, body "no", event_name "e",
    // attributes { "user.id": "u1" } } } }, written by hand after the messages of OTLP.
    let mut record = vec![0x09];
    record.extend(1_795_420_800_000_000_000u64.to_le_bytes());
    record.extend([0x10, 17]);
    record.extend(b"\x2a\x04\x0a\x02no");
    record.extend(b"\x32\x0f\x0a\x07user.id\x12\x04\x0a\x02u1");
    record.extend(b"\x62\x01e");
    let wrap = |tag: u8, inner: &[u8]| [&[tag, inner.len() as u8], inner].concat();
    let body = wrap(0x0a, &wrap(0x12, &wrap(0x12, &record)));
    let event = read(true, &body).remove(0);
    assert_eq!(event.kind, Field::Text("error".into()));
    assert_eq!(event.timestamp, Field::Integer(1_795_420_800_000_000_000));
    assert_eq!(event.user_id, Field::Text("u1".into()));
    assert_eq!(event.properties.as_deref(), Some(r#"{"event":"e","message":"no","user.id":"u1"}"#));
    assert!(Otlp { is_protobuf: true }.split(b"\xff\xff", 9).is_err());
}

#[test]
fn what_may_be_better_later_is_answered_503() {
    for (kind, status, answered) in [
        ("application/json", StatusCode::INTERNAL_SERVER_ERROR, 503),
        (PROTOBUF, StatusCode::REQUEST_TIMEOUT, 503),
        (PROTOBUF, StatusCode::TOO_MANY_REQUESTS, 429),
        (PROTOBUF, StatusCode::UNAUTHORIZED, 401),
    ] {
        let request = TestRequest::default().insert_header(("content-type", kind));
        let error = ApiError::new(status, "x", "why");
        let answer = Otlp::refuse(&request.to_http_request(), &error);
        assert_eq!(answer.status().as_u16(), answered);
        assert_eq!(answer.headers().get("content-type").unwrap(), kind);
    }
}
