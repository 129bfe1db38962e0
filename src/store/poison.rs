//! Poisoned rows: rows that a store refuses although the request was accepted. Each goes to the
//! dead letters as the JSON of its event, so that it can be sent again as it is.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{batch::DeadLetter, row::Row, time::now_ms};

/// The dead letters' code of a row that the store refused.
pub const POISONED: &str = "refused_by_store";
/// The dead letters' code of bytes that are no row: a damaged batch.
pub const MALFORMED: &str = "malformed_row";

/// How many bytes of an unreadable row are kept.
const MALFORMED_BYTES: usize = 4096;

/// An event as a client sends it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    r#type: &'a str,
    timestamp: i64,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    properties: &'a RawValue,
}

/// The dead letter of a row that the store refused with `reason`.
pub fn refused(row: &Row<'_>, reason: String) -> DeadLetter {
    let properties = serde_json::from_str::<&RawValue>(row.properties);
    let event = properties.and_then(|properties| {
        serde_json::to_string(&Event {
            r#type: row.kind,
            timestamp: row.time,
            id: row.id,
            user_id: row.user_id,
            session_id: row.session_id,
            properties,
        })
    });
    // Where the properties are no JSON, no event can be made of the row, so its fields are kept as
    // they are.
    let raw = event.unwrap_or_else(|_| format!("{row:?}"));
    DeadLetter {
        received_at: row.received_at,
        code: POISONED.to_owned(),
        message: reason,
        digest: Some(DeadLetter::digest_of(raw.as_bytes())),
        raw,
        time: Some(row.time),
        ..DeadLetter::default()
    }
}

/// The dead letter of bytes that are no row.
pub fn malformed(bytes: &[u8]) -> DeadLetter {
    let kept = &bytes[..bytes.len().min(MALFORMED_BYTES)];
    DeadLetter {
        received_at: now_ms(),
        code: MALFORMED.to_owned(),
        message: format!("{} bytes of a batch that hold no readable row", bytes.len()),
        raw: String::from_utf8_lossy(kept).into_owned(),
        cut: kept.len() < bytes.len(),
        ..DeadLetter::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_row_can_be_sent_again() {
        let row = Row {
            time: 1_795_420_800_000,
            received_at: 2,
            id: "a",
            kind: "purchase",
            user_id: None,
            session_id: Some("s"),
            properties: r#"{"amount": 1e200000}"#,
            ..Row::default()
        };
        let letter = refused(&row, "numeric field overflow".to_owned());
        assert_eq!(
            letter.raw,
            r#"{"type":"purchase","timestamp":1795420800000,"id":"a","sessionId":"s","properties":{"amount": 1e200000}}"#
        );
        assert_eq!(letter.received_at, 2);
    }
}
