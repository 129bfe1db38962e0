//! Bodies of every kind that clients send, and the events in them that can't be taken just as they are.

use std::io::Write;

use serde_json::json;

use crate::{
    door::{ask, gzip, page_views, post, post_json},
    support::{
        client::{Request, raw},
        server::Server,
    },
};

#[test]
fn senders_of_lines_and_of_json_by_another_name_are_understood() {
    let server = Server::start();
    let accepted = |path: &str, kind: &str, body: &[u8]| {
        let answer = ask(&server, "POST", path, &[("Content-Type", kind)], body);
        (answer.status, answer.json()["accepted"].as_u64().unwrap_or_default())
    };
    let one = r#"{"type":"page_view"}"#;
    let joined = format!("\u{feff}{one}\r\n\r\n\u{feff}{one}\r\n\0");
    for kind in ["application/x-ndjson", "application/json", "text/plain", "application/jsonlines"]
    {
        assert_eq!(accepted("/v1/events", kind, joined.as_bytes()), (202, 2), "{kind}");
    }
    // The first line is bad, which costs neither its neighbours nor the form of the body.
    let bad_first = format!("{{\"type\":NaN}}\n{one}\n");
    assert_eq!(accepted("/v1/events", "application/json", bad_first.as_bytes()), (202, 1));
    for kind in
        ["text/json", "application/vnd.shop+json; charset=utf-8", "application/cloudevents+json"]
    {
        assert_eq!(accepted("/v1/events", kind, one.as_bytes()), (202, 1), "{kind}");
    }
    for path in ["/v1/events/", "//v1/events"] {
        assert_eq!(accepted(path, "application/json", one.as_bytes()), (202, 1), "{path}");
    }
    let ended = format!("{one}\0\0\n");
    assert_eq!(accepted("/v1/events", "application/json", ended.as_bytes()), (202, 1));

    let twice = gzip(&zstd::encode_all(one.as_bytes(), 1).unwrap());
    let in_one = &[("Content-Encoding", "zstd, gzip")];
    assert_eq!(post(&server, in_one, &twice).0, 202);
    let in_two = &[("Content-Encoding", "zstd"), ("Content-Encoding", "gzip")];
    assert_eq!(post(&server, in_two, &twice).0, 202);
    server.until("all are counted", |server| page_views(server) == 17);
}

#[test]
fn what_no_database_takes_is_replaced_and_noted() {
    let server = Server::start();
    let body = r#"[{"type":"page_view","userId":"a\ud800","properties":{"a":"\u0000","b":"\ude00"}},
        {"type":"page_view","properties":{"a":1,"a":2,"\u0061":3}}]"#;
    let (status, answer) = post_json(&server, body);
    assert_eq!((status, &answer["accepted"]), (202, &json!(2)));
    let codes: Vec<_> = answer["notes"].as_array().unwrap().iter().map(|n| &n["code"]).collect();
    assert_eq!(codes, ["text_replaced", "key_repeated"]);
    server.until("both are stored", |server| server.count("events") == 2);
}

#[test]
fn the_same_id_on_another_type_is_another_event() {
    let server = Server::start();
    let order = r#"{"type":"purchase","id":"o-1","properties":{"amount":5}}"#;
    let refund = r#"{"type":"refund","id":"o-1","properties":{"amount":5}}"#;
    let body = format!("[{order},{refund},{order}]");
    assert_eq!(post_json(&server, &body).1, json!({"accepted":2,"duplicates":1,"rejected":[]}));
    assert_eq!(post_json(&server, refund).1, json!({"accepted":0,"duplicates":1,"rejected":[]}));
    server.until("both are stored", |server| server.count("events") == 2);
}

#[test]
fn a_bad_event_is_one_dead_letter_whatever_its_id_length_or_line_ends() {
    let server = Server::start();
    let numbered = r#"{"type":7,"id":17}"#.to_owned();
    let long = format!(r#"{{"type":7,"id":"long","x":"{}"}}"#, "x".repeat(70_000));
    let lines = "{\"type\":7,\n\"id\":\"lines\"}".to_owned();
    let ended = lines.replace('\n', "\r\n");
    let view = r#"{"type":"page_view"}"#;
    for body in [&numbered, &numbered, &long, &long, &lines, &ended] {
        assert_eq!(post_json(&server, &format!("[{body},{view}]")).0, 202);
    }
    server.until("all requests are stored", |server| server.count("events") == 6);
    assert_eq!(server.count("dead_letters"), 3);
}

#[test]
fn every_shape_of_body_is_taken() {
    let server = Server::start();
    let one = r#"{"type":"page_view"}"#;
    assert_eq!(post_json(&server, one).0, 202);
    let (status, answer) = post_json(&server, &format!("[{one},{one}]"));
    assert_eq!((status, answer), (202, json!({"accepted":2,"duplicates":0,"rejected":[]})));
    assert_eq!(post_json(&server, &format!(r#"{{"batch":[{one}],"sentAt":1}}"#)).1["accepted"], 1);
    let ndjson = &[("Content-Type", "application/x-ndjson")];
    assert_eq!(post(&server, ndjson, format!("{one}\n{one}\n").as_bytes()).1["accepted"], 2);
    assert_eq!(
        post(&server, &[("Content-Type", "text/plain;charset=UTF-8")], one.as_bytes()).0,
        202
    );
    let packed = &[("Content-Encoding", "gzip")];
    assert_eq!(post(&server, packed, &gzip(one.as_bytes())).0, 202);
    let zstd = zstd::encode_all(one.as_bytes(), 1).unwrap();
    assert_eq!(post(&server, &[("Content-Encoding", "zstd")], &zstd).0, 202);
    let mut brotli = Vec::new();
    brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22).write_all(one.as_bytes()).unwrap();
    assert_eq!(post(&server, &[("Content-Encoding", "br")], &brotli).0, 202);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(one.as_bytes()).unwrap();
    assert_eq!(post(&server, &[("Content-Encoding", "deflate")], &zlib.finish().unwrap()).0, 202);
    server.until("all are counted", |server| page_views(server) == 11);
}

/// Some proxies are set up to send `Upgrade: websocket` with every request that they pass on.
#[test]
fn a_request_that_offers_a_websocket_has_the_body_that_it_announces() {
    let server = Server::start();
    let one = r#"{"type":"page_view"}"#;
    for connection in ["Upgrade", "keep-alive", "close"] {
        let headers = &[("Upgrade", "websocket"), ("Connection", connection)];
        let answer = ask(&server, "POST", "/v1/events", headers, one);
        assert_eq!(answer.status, 202, "{connection}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{connection}: {answer:?}");
        assert_eq!(ask(&server, "POST", "/v1/events", headers, "").status, 400, "{connection}");
    }
    // What follows the body is neither a part of it nor another request: the connection ends.
    let request = Request::post(server.addr(), "/v1/events", one).header("Upgrade", "websocket");
    let next = Request::post(server.addr(), "/v1/events", one);
    let answers = raw(server.addr(), &[request.bytes(), next.bytes()].concat());
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    server.until("each is counted once", |server| page_views(server) == 4);
}
