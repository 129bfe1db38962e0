//! The door: what passes, what is refused, and with which code.

use std::sync::Arc;

use super::*;
use crate::{config::Config, domain::row::rows};

fn shipped() -> Arc<MetricSet> {
    Config::default().rules.metric_set
}

const LIMITS: EventLimits = EventLimits { max_bytes: 1000, max_depth: 4 };
const RECEIVED: Received = Received { at: 1_795_420_800_000, sent_at: None };

fn event<'a>() -> Incoming<'a> {
    Incoming { kind: Field::Text("page_view".into()), ..Incoming::default() }
}

fn refused(event: &Incoming<'_>) -> &'static str {
    let mut out = vec![7];
    let code = event.encode(RECEIVED, LIMITS, &shipped(), &mut out).unwrap_err().code();
    assert_eq!(out, [7], "a refused event leaves nothing behind");
    code
}

#[test]
fn the_plainest_event_gets_time_id_and_properties() {
    let mut out = Vec::new();
    assert_eq!(event().encode(RECEIVED, LIMITS, &shipped(), &mut out), Ok(None));
    let row = rows(&out).next().unwrap().unwrap();
    assert_eq!((row.time, row.received_at), (RECEIVED.at, RECEIVED.at));
    assert_eq!((row.kind, row.properties), ("page_view", "{}"));
    assert_eq!(Uuid::parse_str(row.id).unwrap().get_version_num(), 7);
}

#[test]
fn ids_made_here_are_all_different_and_say_when() {
    let made = || (0..1_000).map(|_| new_id(RECEIVED.at)).collect::<Vec<_>>();
    let elsewhere = std::thread::spawn(made);
    let mut ids = made();
    ids.extend(elsewhere.join().unwrap());
    for id in &ids {
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds as i64 * 1000 + i64::from(nanos) / 1_000_000, RECEIVED.at);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_000);
}

#[test]
fn a_client_id_is_kept_and_given_back() {
    let mut out = Vec::new();
    let event = Incoming {
        id: Field::Text("order-1".into()),
        user_id: Field::Integer(42),
        session_id: Field::Text("".into()),
        timestamp: Field::Text("2026-11-23T07:59:00Z".into()),
        ..event()
    };
    assert_eq!(event.encode(RECEIVED, LIMITS, &shipped(), &mut out), Ok(Some("order-1".into())));
    let row = rows(&out).next().unwrap().unwrap();
    assert_eq!(row.id, "order-1");
    assert_eq!((row.user_id, row.session_id), (Some("42"), None));
    assert_eq!(row.time, RECEIVED.at - 60_000);
}

#[test]
fn each_broken_rule_has_its_code() {
    let text = |text: &str| Field::Text(Cow::Owned(text.to_owned()));
    for kind in ["", "häh", "a/b", &"x".repeat(65)] {
        assert_eq!(refused(&Incoming { kind: text(kind), ..event() }), "invalid_type");
    }
    assert_eq!(refused(&Incoming::default()), "missing_type");
    assert_eq!(refused(&Incoming { kind: Field::Other, ..event() }), "invalid_type");
    for timestamp in [text("noon"), Field::Integer(-1), Field::Float(1e30), Field::Other] {
        assert_eq!(refused(&Incoming { timestamp, ..event() }), "invalid_timestamp");
    }
    let nul = || text("a\0b");
    assert_eq!(refused(&Incoming { user_id: nul(), ..event() }), "invalid_user_id");
    assert_eq!(refused(&Incoming { session_id: nul(), ..event() }), "invalid_session_id");
    assert_eq!(refused(&Incoming { id: nul(), ..event() }), "invalid_id");
    assert_eq!(refused(&Incoming { id: text(&"x".repeat(129)), ..event() }), "invalid_id");
    for (properties, code) in [
        ("[]", "invalid_properties"),
        (r#"{"a":"\u0000"}"#, "invalid_properties"),
        (r#"{"a":{"b":{"c":[]}}}"#, "too_deep"),
    ] {
        let event = Incoming { properties: Some(properties.into()), ..event() };
        assert_eq!(refused(&event), code, "{properties}");
    }
    let flat = Incoming { plain: true, ..event() };
    let shallow = EventLimits { max_depth: 1, ..LIMITS };
    let too_deep = flat.encode(RECEIVED, shallow, &shipped(), &mut Vec::new());
    assert_eq!(too_deep.unwrap_err().code(), "too_deep");
    assert_eq!(refused(&Incoming { size: 1001, ..event() }), "event_too_large");
    assert_eq!(refused(&Incoming { kind: text("purchase"), ..event() }), "invalid_amount");
}
