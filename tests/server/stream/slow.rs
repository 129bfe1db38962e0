//! A viewer that does not keep up, or does not answer, is told so or cut off. It does not slow down
//! others.

use std::time::Duration;

use super::{drain, ends_with_close, handshake};
use crate::support::{
    client::WebSocket,
    server::Server,
    viewer::{frame, many_types, stalled, watch},
};

/// Posts events that make large frames, until the metric has this line. The viewer `good` reads all
/// frames meanwhile.
fn post_until(server: &Server, good: &mut WebSocket, last: &mut u64, line: &str) {
    let batch = many_types();
    let mut rounds = 0;
    while !server.has_metric(line) {
        assert_eq!(server.post(&batch[..]).status, 202);
        loop {
            let frame = frame(good);
            let seq = frame["seq"].as_u64().unwrap();
            assert!(frame["type"] == "snapshot" || seq == *last + 1, "the other misses nothing");
            *last = seq;
            if !frame["counts"].as_object().unwrap().is_empty() {
                break;
            }
        }
        rounds += 1;
        assert!(rounds < 2000, "never: {line}");
    }
}

#[test]
fn a_viewer_that_never_reads_is_cut_off_and_slows_nobody() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "500"),
        ("FLOODMARK_STREAM__CLOSE_TIMEOUT_MS", "200"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "4096"),
    ]);
    let mut good = watch(&server, "");
    let mut last = frame(&mut good)["seq"].as_u64().unwrap();
    let stalled = stalled(server.addr(), 4096);
    post_until(&server, &mut good, &mut last, "floodmark_viewer_evictions_total 1");
    post_until(&server, &mut good, &mut last, "floodmark_viewers 1");
    // The connection is closed: after what was in the buffers comes the end.
    let rest = drain(stalled, Duration::ZERO);
    assert!(rest.starts_with(b"HTTP/1.1 101"));
}

#[test]
fn a_viewer_that_reads_too_slowly_is_told_so() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__TICK_MS", "20"),
        ("FLOODMARK_STREAM__SLOW_TIMEOUT_MS", "300"),
        // This is long enough to read what is in the buffers, also on a busy machine.
        ("FLOODMARK_STREAM__CLOSE_TIMEOUT_MS", "30000"),
        ("FLOODMARK_STREAM__SEND_BUFFER_BYTES", "16384"),
    ]);
    let mut good = watch(&server, "");
    let mut last = frame(&mut good)["seq"].as_u64().unwrap();
    let slow = stalled(server.addr(), 4096);
    let reader = std::thread::spawn(move || drain(slow, Duration::from_millis(100)));
    post_until(&server, &mut good, &mut last, "floodmark_viewer_evictions_total 1");
    let all = reader.join().unwrap();
    assert!(ends_with_close(&all, 1013), "{:?}", String::from_utf8_lossy(&all[all.len() - 60..]));
}

#[test]
fn a_viewer_that_answers_no_ping_is_closed() {
    let server = Server::with(&[
        ("FLOODMARK_STREAM__PING_INTERVAL_MS", "200"),
        ("FLOODMARK_STREAM__SILENCE_TIMEOUT_MS", "1000"),
    ]);
    // This viewer reads everything and sends nothing.
    let mute = handshake(&server);
    // This client answers pings while it reads.
    let mut answering = watch(&server, "");
    let follow = std::thread::spawn(move || (0..4).map(|_| frame(&mut answering)).count());
    let everything = drain(mute, Duration::ZERO);
    assert!(everything.len() > 200, "it was served until then");
    assert!(ends_with_close(&everything, 1008), "{:?}", String::from_utf8_lossy(&everything));
    assert_eq!(follow.join().unwrap(), 4, "the other goes on");
}
