//! The door: what passes, what is refused, and with which code.

use std::sync::Arc;

use super::*;
use crate::{config::Config, domain::row::rows};

fn shipped() -> Arc<MetricSet> {
    Config::default().rules.metric_set
}

const LIMITS: EventLimits<'_> = EventLimits { max_bytes: 1000, max_depth: 4, privacy: None };
const RECEIVED: Received = Received { at: 1_795_420_800_000, sent_at: None };
const FROM: Provenance<'_> = Provenance {
    source: "http",
    dialect: "native",
    ids: IdSpace::Shop,
    has_revenue: true,
    is_bot: false,
};

fn event<'a>() -> Incoming<'a> {
    Incoming { kind: Field::Text("page_view".into()), ..Incoming::default() }
}

fn refused(event: &Incoming<'_>) -> &'static str {
    let mut out = vec![7];
    let code = event.encode(RECEIVED, FROM, LIMITS, &shipped(), &mut out).unwrap_err().code();
    assert_eq!(out, [7], "a refused event leaves nothing behind");
    code
}

#[test]
fn the_plainest_event_gets_time_id_and_properties() {
    let mut out = Vec::new();
    let encoded = event().encode(RECEIVED, FROM, LIMITS, &shipped(), &mut out);
    assert_eq!(encoded, Ok(Encoded::default()));
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
    let encoded = event.encode(RECEIVED, FROM, LIMITS, &shipped(), &mut out).unwrap();
    assert_eq!(
        encoded,
        Encoded {
            client_id: Some(ids::known_as("order-1", "page_view", IdSpace::Shop)),
            notes: Vec::new()
        }
    );
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
    for timestamp in [text("noon"), Field::Other] {
        assert_eq!(refused(&Incoming { timestamp, ..event() }), "invalid_timestamp");
    }
    assert_eq!(refused(&Incoming { id: text(&"x".repeat(129)), ..event() }), "invalid_id");
    for (properties, code) in [
        ("[1]", "invalid_properties"),
        (r#"{"a":1e9999}"#, "invalid_properties"),
        (r#"{"a":{"b":{"c":[]}}}"#, "too_deep"),
    ] {
        let event = Incoming { properties: Some(properties.into()), ..event() };
        assert_eq!(refused(&event), code, "{properties}");
    }
    let flat = Incoming { plain: true, ..event() };
    let shallow = EventLimits { max_depth: 1, ..LIMITS };
    let too_deep = flat.encode(RECEIVED, FROM, shallow, &shipped(), &mut Vec::new());
    assert_eq!(too_deep.unwrap_err().code(), "too_deep");
    assert_eq!(refused(&Incoming { size: 1001, ..event() }), "event_too_large");
    assert_eq!(refused(&Incoming { kind: text("purchase"), ..event() }), "invalid_amount");
}

/// The row of an event that is accepted, as (type, time, id, user, session, properties), and the
/// codes of its notes.
fn accepted(event: &Incoming<'_>) -> (Vec<String>, Vec<&'static str>) {
    let mut out = Vec::new();
    let encoded = event.encode(RECEIVED, FROM, LIMITS, &shipped(), &mut out).unwrap();
    let row = rows(&out).next().unwrap().unwrap();
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let fields = vec![
        row.kind.to_owned(),
        (row.time - RECEIVED.at).to_string(),
        text(encoded.client_id.as_deref().map(ids::bare_id)),
        text(row.user_id),
        text(row.session_id),
        row.properties.to_owned(),
    ];
    (fields, encoded.notes.iter().map(Note::code).collect())
}

#[test]
fn what_can_be_kept_is_kept_and_told() {
    let text = |text: &str| Field::Text(Cow::Owned(text.to_owned()));
    let of = |event: Incoming<'_>| accepted(&event);
    let (row, notes) = of(Incoming { timestamp: Field::Integer(0), ..event() });
    assert_eq!((row[1].as_str(), notes), ("0", vec!["timestamp_replaced"]));
    let (row, notes) = of(Incoming { kind: text(" page_view\n"), ..event() });
    assert_eq!((row[0].as_str(), notes.len()), ("page_view", 0));
    let (row, notes) = of(Incoming { id: Field::Float(42.0), user_id: text("a\0b"), ..event() });
    assert_eq!((row[2].as_str(), row[3].as_str()), ("42", "a\u{fffd}b"));
    assert_eq!(notes, ["text_replaced"]);
    let long = text(&"x".repeat(257));
    let (row, notes) = of(Incoming { user_id: long, session_id: Field::Other, ..event() });
    assert_eq!((row[3].as_str(), row[4].as_str()), ("-", "-"));
    assert_eq!(notes, ["user_id_dropped", "session_id_dropped"]);
    for (sent, kept, noted) in [
        ("[]", "{}", None),
        (r#"{"a":"x\u0000"}"#, r#"{"a":"x\ufffd"}"#, Some("text_replaced")),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, Some("key_repeated")),
    ] {
        let (row, notes) = of(Incoming { properties: Some(sent.into()), ..event() });
        assert_eq!((row[5].as_str(), notes.first().copied()), (kept, noted), "{sent}");
    }
    let blank = Incoming { kind: text("  "), ..Incoming::default() };
    assert_eq!(refused(&blank), "invalid_type");
    for id in [Field::Float(1.5), Field::Float(1e17), Field::Other] {
        assert_eq!(refused(&Incoming { id, ..event() }), "invalid_id");
    }
}

#[test]
fn what_a_bot_sends_is_labelled_but_for_its_orders() {
    let by_bot = Provenance { is_bot: true, ..FROM };
    let row_of = |kind: &'static str, properties: &'static str| {
        let mut out = Vec::new();
        let event = Incoming {
            kind: Field::Text(kind.into()),
            properties: Some(properties.into()),
            ..event()
        };
        let plain = Incoming { plain: true, ..event };
        plain.encode(RECEIVED, by_bot, LIMITS, &shipped(), &mut out).unwrap();
        rows(&out).next().unwrap().unwrap().properties.to_owned()
    };
    assert_eq!(row_of("page_view", r#"{"path":"/"}"#), r#"{"$bot":true,"path":"/"}"#);
    assert_eq!(row_of("purchase", r#"{"amount":5}"#), r#"{"amount":5}"#);
}
