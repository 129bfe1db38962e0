//! What becomes of the events of a Segment SDK.

use std::sync::Arc;

use super::*;
use crate::{
    config::Config,
    domain::event::{Field, Incoming},
    http::dialect::DialectEvent,
};

fn segment(call: SegmentCall) -> SegmentDialect {
    SegmentDialect { call, keys: Vec::new() }
}

/// The events of a body as they are counted, each as (type, id, user, session, properties).
fn events(call: SegmentCall, body: &str) -> Vec<[String; 5]> {
    let names = Arc::clone(&Config::default().rules.event_names);
    let mut segment = segment(call);
    let mut split = segment.split(body.as_bytes(), 100).unwrap();
    let text = |field: &Field<'_>| match field {
        Field::Text(text) => text.to_string(),
        Field::Integer(number) => number.to_string(),
        _ => "-".to_owned(),
    };
    let read = |event: &mut SegmentEvent<'_>| {
        let event: Incoming<'_> = names.translate(event.read().unwrap());
        let properties = event.properties.clone().unwrap_or_default().into_owned();
        [
            text(&event.kind),
            text(&event.id),
            text(&event.user_id),
            text(&event.session_id),
            properties,
        ]
    };
    split.events().iter_mut().map(read).collect()
}

#[test]
fn a_batch_of_each_type() {
    let body = r#"{"batch":[
        {"type":"identify","userId":"u1","anonymousId":"a","traits":{"plan":"pro"},"messageId":"m1"},
        {"type":"page","name":"Mug","anonymousId":"a","messageId":"m2","properties":{"title":"Mug"},
         "context":{"page":{"path":"/mug"},"sessionId":7}},
        {"type":"track","event":"Order Completed","userId":"u1","messageId":"m3",
         "properties":{"order_id":"o-1","total":59.97,"revenue":1,"currency":"EUR"}},
        {"type":"track","event":"Checkout Error","userId":null,"messageId":"m4","properties":{"code":"X"}}
    ],"sentAt":"2026-11-27T14:00:00Z","writeKey":"wk"}"#;
    let mut parsed = segment(SegmentCall::Batch);
    let split = parsed.split(body.as_bytes(), 100).unwrap();
    assert_eq!(*split.sent_at(), Field::Text("2026-11-27T14:00:00Z".into()));
    assert_eq!(parsed.keys_in_body(), ["wk"]);
    let [identify, page, order, error] = &events(SegmentCall::Batch, body)[..] else {
        panic!("four")
    };
    assert_eq!(identify[..4], ["identify", "m1", "u1", "a"]);
    assert_eq!(identify[4], r#"{"plan":"pro"}"#);
    assert_eq!(page[..4], ["page_view", "m2", "-", "7"]);
    assert_eq!(page[4], r#"{"path":"/mug","name":"Mug","title":"Mug"}"#);
    assert_eq!(order[..3], ["purchase", "order:o-1", "u1"]);
    assert!(
        order[4].contains(r#""amount":"59.97""#)
            && order[4].contains(r#""event":"Order Completed""#)
    );
    assert_eq!(error[..2], ["error", "m4"]);
}

#[test]
fn one_event_by_its_path_with_the_key_in_the_body() {
    let body = r#"{"event":"Signed Up","anonymousId":"a","writeKey":"wk","properties":[]}"#;
    assert_eq!(events(SegmentCall::One("track"), body)[0][0], "signup");
    let mut parsed = segment(SegmentCall::One("track"));
    parsed.split(body.as_bytes(), 1).unwrap();
    assert_eq!(parsed.keys_in_body(), ["wk"]);
    let batch = r#"{"batch":[{"type":"track","event":"A","writeKey":"inner"}]}"#;
    let mut parsed = segment(SegmentCall::Batch);
    parsed.split(batch.as_bytes(), 1).unwrap();
    assert_eq!(parsed.keys_in_body(), ["inner"]);
}

#[test]
fn a_bad_event_is_refused_by_itself() {
    let mut parsed = segment(SegmentCall::Batch);
    let mut split = parsed.split(br#"{"batch":[17,{"type":"track"}]}"#, 10).unwrap();
    let codes = split.events().iter_mut().map(|event| event.read().map(drop).map_err(|e| e.code()));
    assert_eq!(codes.collect::<Vec<_>>(), [Err("not_an_object"), Ok(())]);
    assert_eq!(parsed.split(b"{", 10).unwrap_err().code, "malformed");
    assert_eq!(parsed.split(br#"{"batch":7}"#, 10).unwrap_err().code, "not_events");
    let many = segment(SegmentCall::Batch).split(br#"{"batch":[{},{}]}"#, 1).unwrap_err().code;
    assert_eq!(many, "too_many_events");
}
