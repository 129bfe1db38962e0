//! A viewer of the stream gets an alert with the next frame, without asking for it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    nodes::{rules, ten},
    receiver::Receiver,
    support::{
        client::WebSocket,
        program::PATIENCE,
        server::Server,
        viewer::{frame, watch},
    },
};

/// The names of the alerts that fire; `None` if the frame has no alerts.
fn names(frame: &Value) -> Option<Vec<&str>> {
    let firing = frame["alerts"]["firing"].as_array()?.iter();
    Some(firing.map(|it| it["name"].as_str().unwrap()).collect())
}

/// Reads frames up to the next one that has alerts.
fn next_alerts(socket: &mut WebSocket) -> Value {
    let begin = Instant::now();
    loop {
        let frame = frame(socket);
        if frame["alerts"].is_object() {
            return frame;
        }
        assert!(begin.elapsed() < PATIENCE, "no frame has alerts");
    }
}

#[test]
fn a_viewer_sees_an_alert_in_the_frames_and_one_that_comes_back_sees_it_too() {
    let receiver = Receiver::start();
    let server = Server::with_config(&rules(&receiver));
    let mut viewer = watch(&server, "");
    let first = frame(&mut viewer);
    assert_eq!(names(&first), Some(vec![]), "a snapshot says that nothing fires");
    let from = format!("?resume={}:{}", first["epoch"].as_str().unwrap(), first["seq"]);

    ten(&server, "error");
    let fired = next_alerts(&mut viewer);
    assert_eq!((fired["type"].as_str(), names(&fired)), (Some("delta"), Some(vec!["many_errors"])));
    let shown = server.get("/api/analytics/alerts");
    assert_eq!(fired["alerts"]["firing"], shown["firing"], "the same as over HTTP");

    // One viewer lost its connection before the alert fired, and another one connects only now.
    let mut back = watch(&server, &from);
    let missed = next_alerts(&mut back);
    assert_eq!((&missed["seq"], &missed["alerts"]), (&fired["seq"], &fired["alerts"]));
    let newcomer = frame(&mut watch(&server, ""));
    assert_eq!((newcomer["type"].as_str(), names(&newcomer)), (Some("snapshot"), names(&fired)));

    // The next frame with alerts says that the alert is over.
    let cleared = next_alerts(&mut viewer);
    assert_eq!(cleared["alerts"]["firing"], json!([]));
    assert!(cleared["alerts"]["version"].as_u64() > fired["alerts"]["version"].as_u64());
}
