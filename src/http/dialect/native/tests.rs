//! The native dialect reads what it promises, in one pass or in two.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{
    body::{read_array, split, texts as unread},
    event::{read_event, read_plain},
    members::Members,
    *,
};
use crate::{
    domain::{
        event::{Field, Incoming, Note},
        json::{self, Blemishes},
    },
    http::dialect::{DialectEvent, TooManyEvents},
};

type Decoded<'a> = Result<Split<'a, RawEvent<'a>>, BodyError>;

fn split_json(body: &str) -> Decoded<'_> {
    split(body.as_bytes(), BodyFormat::Json, 3)
}

fn texts<'a>(mut split: Split<'a, RawEvent<'a>>) -> Vec<&'a str> {
    split.events().iter().map(|raw| std::str::from_utf8(raw.text).unwrap()).collect()
}

#[test]
fn every_shape_gives_its_events() {
    let one = r#"{"type":"a"}"#;
    assert_eq!(texts(split_json(one).unwrap()), [one]);
    assert_eq!(texts(split_json(&format!(" [{one}, {one}]\n")).unwrap()), [one, one]);
    let envelope = format!(r#"{{"batch":[{one}],"sentAt":17}}"#);
    let found = split_json(&envelope).unwrap();
    assert_eq!(*found.sent_at(), Field::Integer(17));
    assert_eq!(texts(found), [one]);
    let lines = format!("{one}\r\n\n{one}\n");
    assert_eq!(split(lines.as_bytes(), BodyFormat::NdJson, 3).unwrap().events().len(), 2);
    assert_eq!(texts(split_json("[]").unwrap()), [""; 0]);
}

#[test]
fn a_body_that_is_no_request_is_refused() {
    assert!(matches!(split_json(r#"[{"type":"a"}"#), Err(BodyError::Malformed(_))));
    assert!(matches!(split_json(r#"{"type":"a"} x"#), Err(BodyError::Malformed(_))));
    assert!(matches!(split(b"[\"\xff\"]", BodyFormat::Json, 3), Err(BodyError::Malformed(_))));
    assert!(matches!(
        split(b"{\"type\":\"\xff\"}", BodyFormat::Json, 3),
        Err(BodyError::Malformed(_))
    ));
    assert!(matches!(split_json("[{\"type\":\"a\"},{\"type\":NaN}"), Err(BodyError::Malformed(_))));
    assert_eq!(split_json(" ").unwrap_err(), BodyError::Empty);
    assert_eq!(split_json("17").unwrap_err(), BodyError::NotEvents);
    assert_eq!(
        split_json("[1,2,3,4]").unwrap_err(),
        BodyError::TooMany(TooManyEvents { events: 4, max: 3 })
    );
}

#[test]
fn an_event_is_read_field_by_field() {
    let raw = br#"{"type":"p\u00e9","timestamp":5,"userId":7,"sessionId":null,
        "id":[1,{"a":2}],"properties":{"a":1}}"#;
    let event = read_event(raw).unwrap();
    assert_eq!(event.kind, Field::Text("pé".into()));
    assert_eq!(event.timestamp, Field::Integer(5));
    assert_eq!(event.user_id, Field::Integer(7));
    assert_eq!(event.session_id, Field::Absent);
    assert_eq!(event.id, Field::Other);
    assert_eq!(event.properties.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(event.size, raw.len());
}

#[test]
fn what_is_no_event_says_why() {
    let code = |raw: &[u8]| read_event(raw).unwrap_err().code();
    assert_eq!(code(b"17"), "not_an_object");
    assert_eq!(code(br#"["page_view"]"#), "not_an_object");
    assert_eq!(code(br#"{"type":"#), "malformed");
    assert_eq!(code(b"{\"type\":\"\xff\"}"), "malformed");
    assert_eq!(code(br#"{"type":"a","type":"b"}"#), "malformed");
}

#[test]
fn one_bad_event_of_a_body_stands_alone() {
    let good = r#"{"type":"a"}"#;
    for bad in [&b"{\"type\":NaN}"[..], b"{\"type\":\"\xff\"}", b"{\"type\":\"\x01\"}", b"nonsense"]
    {
        let list = [b"[", good.as_bytes(), b",", bad, b" , ", good.as_bytes(), b"]"].concat();
        let batch = [b"{\"sentAt\":5,\"batch\":", &list[..], b"}"].concat();
        for body in [&list, &batch] {
            let mut split = split(body, BodyFormat::Json, 3).unwrap();
            let codes =
                split.events().iter_mut().map(|raw| raw.read().map(drop).map_err(|e| e.code()));
            assert_eq!(codes.collect::<Vec<_>>(), [Ok(()), Err("malformed"), Ok(())]);
        }
        assert_eq!(*split(&batch, BodyFormat::Json, 3).unwrap().sent_at(), Field::Integer(5));
    }
}

#[test]
fn a_batch_that_is_no_array_belongs_to_a_single_event() {
    let mut split = split_json(r#"{"type":"a","batch":{"n":1},"sentAt":7}"#).unwrap();
    assert_eq!(*split.sent_at(), Field::Integer(7));
    let event = split.events()[0].read().unwrap();
    assert_eq!(event.properties.as_deref(), Some(r#"{"batch":{"n":1}}"#));
}

#[test]
fn lines_are_found_under_any_type() {
    let lines = "\u{feff}{\"type\":\"a\"}\r\n\u{feff}{\"type\":\"b\"}\n\0\0";
    for format in [BodyFormat::Json, BodyFormat::NdJson] {
        let split = split(lines.as_bytes(), format, 3).unwrap();
        assert_eq!(texts(split), [r#"{"type":"a"}"#, r#"{"type":"b"}"#]);
    }
}

#[test]
fn other_names_are_understood_and_other_members_kept() {
    let raw = br#"{"event":"a","messageId":"m","user_id":7,"anonymousId":"s","data":[1],
        "props":{"a":1},"plan":{"b":2},"a":3,"sentAt":9}"#;
    let event = read_event(raw).unwrap();
    assert_eq!(event.kind, Field::Text("a".into()));
    assert_eq!(event.id, Field::Text("m".into()));
    assert_eq!((event.user_id, event.session_id), (Field::Integer(7), Field::Text("s".into())));
    assert_eq!(event.properties.as_deref(), Some(r#"{"data":[1],"plan":{"b":2},"a":3,"a":1}"#));
    let renamed = event.notes.iter().filter(|note| matches!(note, Note::FieldRenamed { .. }));
    assert_eq!(renamed.count(), 5);
    let moved = |name: &str| event.notes.contains(&Note::FieldMoved(name.to_owned()));
    assert!(moved("data") && moved("plan") && moved("a") && event.notes.len() == 8);

    let own = read_event(br#"{"type":"a","event":"b","properties":null}"#).unwrap();
    assert_eq!(own.kind, Field::Text("a".into()), "the field's own name comes first");
    assert_eq!(own.properties.as_deref(), Some(r#"{"event":"b"}"#));
}

#[test]
fn half_of_a_surrogate_pair_costs_no_event() {
    let event = read_event(br#"{"type":"a","userId":"x\ud800","id":"\ud83d\ude00"}"#).unwrap();
    assert_eq!(event.user_id, Field::Text("x\u{fffd}".into()));
    assert_eq!(event.id, Field::Text("\u{1f600}".into()));
    assert_eq!(event.notes, [Note::TextReplaced]);
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(split_json(&deep).unwrap().events().len(), 1);
    let nested = format!(r#"{{"type":"a","id":{deep},"x":{deep}}}"#);
    assert_eq!(read_event(nested.as_bytes()).unwrap().id, Field::Other);
}

/// What a body gives: each event's text and what became of it, or why it is no request.
fn outcome(decoded: Decoded<'_>) -> Result<Vec<String>, BodyError> {
    let mut split = decoded?;
    let events = split.events().iter_mut().map(|raw| (raw.text, raw.read()));
    Ok(events.map(|both| format!("{both:?}")).collect())
}

#[test]
fn one_pass_and_two_passes_read_the_same() {
    let good = r#"{"type":"a","id":"\u00e9","properties":{"x":[{"y":"]},{"}]}}"#;
    for body in [
        "[]",
        "[ ]",
        "[,]",
        "[1]",
        "[{}]",
        "[{}",
        "[{}}",
        "[{},]",
        "[{} {}]",
        "[{}]]",
        "[{}] x",
        r#"[{"type":"a"},"b"]"#,
        r#"[{"type":"a","type":"b"}]"#,
        r#"[{"type":"\ud800"}]"#,
        r#"[{"a":1e999}]"#,
        r#"[{"type":"a"}, {"id":[[]],"properties":null} ]"#,
        &format!("[{good}]"),
        &format!("[\n\t{good} ,\r\n {good}\n]"),
        &format!("[{good},{good},{good},{good}]"),
        &format!("[{good},{good},{{\"type\":]"),
    ] {
        let list = serde_json::from_str::<Vec<&RawValue>>(body);
        let twice = match list {
            Ok(list) => Split::new(unread(list), Field::Absent, 3).map_err(BodyError::from),
            Err(e) => Err(BodyError::Malformed(e.to_string())),
        };
        assert_eq!(outcome(split_json(body)), outcome(twice), "{body}");
    }
    assert!(read_array(&format!("[{good}, {good}]"), 3).is_some(), "the usual takes one pass");
}

proptest! {
    #[test]
    fn a_plain_event_is_read_as_any_other(
        members in proptest::collection::vec(
            (
                "type|timestamp|userId|sessionId|id|properties|x",
                prop_oneof![
                    r#"-?[0-9]{1,20}|-?0|[0-9]\.[0-9]|1e2|true|null|[\[{]|\{\}"#,
                    r#""[a-z\tü/. ]{0,6}"|"\\u00fc""#,
                    r#"\{"a":[0-9]{1,3},? ?"b":"[a-z"]?"\}"#,
                ],
            ),
            0..6,
        ),
        space in "[ \n]?",
        behind in "[,} ]?",
    ) {
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("{space}\"{key}\":{space}{value}")).collect();
        let text = format!("{{{}{space}}}{behind}", members.join(","));
        let Some(plain) = read_plain(&text) else { return Ok(()) };
        let mut stream = serde_json::Deserializer::from_str(&text).into_iter::<Members>();
        let members = stream.next().expect("there is one").expect("it is well-formed");
        let read = Incoming { plain: true, ..members.incoming(stream.byte_offset()) };
        let properties = read.properties.as_deref().unwrap_or("{}");
        prop_assert_eq!(json::check(properties, 1), Ok(Blemishes::default()));
        prop_assert_eq!(format!("{plain:?}"), format!("{read:?}"));
    }
}

#[test]
fn the_usual_event_is_plain() {
    let usual = r#"{"type":"purchase","timestamp":1795420800000,"properties":{"amount":19.99,
        "currency":"USD","new":true,"coupon":null},"userId":7,"sessionId":"s1","id":"o-1"}"#;
    let read = read_plain(usual).unwrap();
    assert!(read.plain && read.size == usual.len());
    assert_eq!(read.user_id, Field::Integer(7));
    for other in [r#"{"type":"a","type":"a"}"#, r#"{"batch":[]}"#, r#"{"id":-0}"#, "[]"] {
        assert!(read_plain(other).is_none(), "{other}");
    }
}
