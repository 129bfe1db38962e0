//! A viewer that comes back gets each frame once, or a snapshot if that is not possible.

use serde_json::Value;

use crate::support::{
    server::Server,
    viewer::{frame, many_types, watch},
};

#[test]
fn a_viewer_resumes_where_it_was() {
    let server = Server::start();
    let mut first = watch(&server, "");
    let snapshot = frame(&mut first);
    assert_eq!(snapshot["type"], "snapshot");
    assert_eq!(snapshot["snapshot"]["seconds"].as_array().map(Vec::len), Some(60));
    let epoch = snapshot["epoch"].as_str().unwrap();
    assert_eq!(server.post(br#"{"type":"page_view"}"#).status, 202);
    let mut seen = Vec::new();
    while !seen.iter().any(|frame: &Value| frame["counts"]["page_view"] == 1) {
        seen.push(frame(&mut first));
    }
    // Another viewer that claims to have seen the snapshot gets the same frames.
    let seq = snapshot["seq"].as_u64().unwrap();
    let mut second = watch(&server, &format!("?resume={epoch}:{seq}"));
    for expected in seen {
        assert_eq!(frame(&mut second), expected);
    }
    // A viewer that comes from another run of the server gets a snapshot.
    let mut third = watch(&server, "?resume=other:1");
    assert_eq!(frame(&mut third)["type"], "snapshot");
}

#[test]
fn a_resume_reaches_back_as_far_as_frames_are_kept() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "5"),
        ("FLOODMARK_STREAM__HEARTBEAT_MS", "5"),
        ("FLOODMARK_STREAM__RESUME_FRAMES", "300"),
    ]);
    let mut stayed = watch(&server, "");
    let snapshot = frame(&mut stayed);
    let (epoch, left_at) = (snapshot["epoch"].as_str().unwrap(), snapshot["seq"].as_u64().unwrap());
    // This is many times what a mailbox holds and what one write takes.
    let missed: Vec<Value> = (0..250).map(|_| frame(&mut stayed)).collect();
    let mut back = watch(&server, &format!("?resume={epoch}:{left_at}"));
    for expected in &missed {
        assert_eq!(&frame(&mut back), expected);
    }
    // From then on it follows the stream without a gap, like the viewer that stayed.
    let last = missed.last().unwrap()["seq"].as_u64().unwrap();
    for seq in last + 1..last + 50 {
        let frame = frame(&mut back);
        assert_eq!((&frame["type"], frame["seq"].as_u64()), (&"delta".into(), Some(seq)));
    }
    while frame(&mut stayed)["seq"].as_u64().unwrap() < left_at + 400 {}
    let mut late = watch(&server, &format!("?resume={epoch}:{left_at}"));
    assert_eq!(frame(&mut late)["type"], "snapshot", "more than is kept");
}

#[test]
fn a_resume_of_too_many_bytes_is_a_snapshot() {
    let server = Server::with(&[("FLOODMARK_STREAM__RESUME_BYTES", "1000")]);
    let mut stayed = watch(&server, "");
    let snapshot = frame(&mut stayed);
    let resume =
        |frame: &Value| format!("?resume={}:{}", snapshot["epoch"].as_str().unwrap(), frame["seq"]);
    let quiet = frame(&mut stayed);
    assert_eq!(server.post(many_types()).status, 202);
    while frame(&mut stayed)["counts"].as_object().unwrap().is_empty() {}
    let mut back = watch(&server, &resume(&quiet));
    assert_eq!(frame(&mut back)["type"], "snapshot");
}
