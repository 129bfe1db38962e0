//! Events as lines of text: NDJSON and CSV, with the names that `/api/analytics/events` uses.

use std::fmt::Write;

use crate::domain::{csv, row::Row};

/// The columns of CSV and Parquet, named as the fields of JSON.
pub const EVENT_COLUMNS: [&str; 9] = [
    "timestamp",
    "receivedAt",
    "id",
    "type",
    "userId",
    "sessionId",
    "source",
    "dialect",
    "properties",
];

/// Appends an event as a line of JSON. Its properties are one JSON object on one line already.
pub fn ndjson(out: &mut Vec<u8>, row: &Row<'_>) {
    out.extend_from_slice(b"{\"timestamp\":");
    number(out, row.time);
    out.extend_from_slice(b",\"receivedAt\":");
    number(out, row.received_at);
    for (name, text) in [
        ("id", Some(row.id)),
        ("type", Some(row.kind)),
        ("userId", row.user_id),
        ("sessionId", row.session_id),
        ("source", row.source),
        ("dialect", row.dialect),
    ] {
        let Some(text) = text else { continue };
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        serde_json::to_writer(&mut *out, text).expect("a text in memory can be written");
    }
    out.extend_from_slice(b",\"properties\":");
    match row.properties.contains(['\n', '\r']) {
        false => out.extend_from_slice(row.properties.as_bytes()),
        // A client may write an object over several lines; in a text, JSON has no line's end as it is.
        true => {
            let one_line = row.properties.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'));
            out.extend(one_line);
        }
    }
    out.extend_from_slice(b"}\n");
}

fn number(out: &mut Vec<u8>, number: i64) {
    serde_json::to_writer(out, &number).expect("a number in memory can be written");
}

/// Appends the first line of CSV.
pub fn csv_head(out: &mut Vec<u8>) {
    csv::line(out, EVENT_COLUMNS);
}

/// Appends an event as a line of CSV.
pub fn csv(out: &mut Vec<u8>, row: &Row<'_>) {
    let (mut time, mut received) = (String::new(), String::new());
    // Writing to a String never fails.
    let _ = (write!(time, "{}", row.time), write!(received, "{}", row.received_at));
    csv::line(
        out,
        [
            time.as_str(),
            &received,
            row.id,
            row.kind,
            row.user_id.unwrap_or_default(),
            row.session_id.unwrap_or_default(),
            row.source.unwrap_or_default(),
            row.dialect.unwrap_or_default(),
            row.properties,
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let row = Row {
            time: 5,
            received_at: 7,
            id: "a\"b",
            kind: "x",
            session_id: Some("s"),
            properties: "{\"a\":\n 1,\"b\":\"c,d\"}",
            ..Row::default()
        };
        let (mut json, mut table) = (Vec::new(), Vec::new());
        ndjson(&mut json, &row);
        csv(&mut table, &row);
        let expected = r#"{"timestamp":5,"receivedAt":7,"id":"a\"b","type":"x","sessionId":"s","properties":{"a": 1,"b":"c,d"}}"#;
        assert_eq!(String::from_utf8(json).unwrap(), format!("{expected}\n"));
        let expected = "5,7,\"a\"\"b\",x,,s,,,\"{\"\"a\"\":\n 1,\"\"b\"\":\"\"c,d\"\"}\"\r\n";
        assert_eq!(String::from_utf8(table).unwrap(), expected);
    }
}
