//! The past as a stream: what its frames add up to is what `/at` says of the same moment, on both stores.

use floodmark::domain::time::{DAY, HOUR, MINUTE, Millis, SECOND, bucket, now_ms};
use serde_json::{Value, json};

use super::closed;
use crate::{
    door::post_json,
    support::{
        client::{Received, WebSocket},
        postgres::Postgres,
        server::Server,
        viewer::{frame, watch},
    },
};

/// Frames that are played in a test run at hundreds of times the pace of the past, so that it takes seconds.
const QUICK: [(&str, &str); 3] = [
    ("FLOODMARK_STREAM__TICK_MS", "20"),
    ("FLOODMARK_STREAM__HEARTBEAT_MS", "50"),
    ("FLOODMARK_TIMEZONE", "UTC"),
];

/// The events of an hour long past, in the last 40 minutes of a UTC day and the first 20 of the next, and of the
/// hour before now.
fn events(now: Millis) -> Vec<Value> {
    let midnight = bucket(now - 2 * DAY, DAY);
    let long_ago = (0..600).map(|n| (midnight - 40 * MINUTE + n * 6 * SECOND + n * 37 % 5_000, n));
    let lately = (0..200).map(|n| (now - HOUR + n * 17 * SECOND, n));
    let event = |(timestamp, n): (Millis, i64)| {
        let kind = if n % 3 == 0 { "purchase" } else { "page_view" };
        let properties = json!({"amount": n as f64 / 4.0, "currency": "USD"});
        json!({"type": kind, "timestamp": timestamp, "sessionId": format!("s{}", n / 9),
            "properties": properties})
    };
    long_ago.chain(lately).map(event).collect()
}

fn shops() -> Vec<(Server, Option<Postgres>)> {
    let postgres = Postgres::start();
    let url = postgres.url();
    let on_postgres = [&QUICK[..], &[("FLOODMARK_POSTGRES__URL", &*url)]].concat();
    let of_postgres = Server::with(&on_postgres);
    let both = vec![(Server::with(&QUICK), None), (of_postgres, Some(postgres))];
    for (server, _) in &both {
        let events = events(now_ms());
        for batch in events.chunks(200) {
            let (status, answer) = post_json(server, &json!(batch).to_string());
            assert_eq!((status, &answer["accepted"]), (202, &json!(batch.len())));
        }
        let days = "/api/analytics/timeseries?metric=events&interval=1d&hours=120";
        server.until("all is counted and folded", |server| {
            let days = server.get(days);
            let all = days.as_array().expect("a list").iter().filter_map(|it| it["count"].as_u64());
            all.sum::<u64>() == events.len() as u64
        });
    }
    both
}

/// What a viewer knows who adds up frames.
#[derive(Debug, Default)]
struct Added {
    counts: std::collections::BTreeMap<String, u64>,
    revenue: f64,
    /// Of the charts, as of the last snapshot.
    charted: u64,
}

impl Added {
    fn add(&mut self, frame: &Value) {
        let of = |counts: &Value| -> Vec<(String, u64)> {
            let counts = counts.as_object().expect("an object");
            counts.iter().map(|(kind, n)| (kind.clone(), n.as_u64().expect("a count"))).collect()
        };
        let counts = if frame["type"] == "snapshot" {
            let state = &frame["snapshot"];
            *self = Added { revenue: state["revenue"].as_f64().unwrap(), ..Added::default() };
            of(&state["counts"])
        } else {
            self.revenue += frame["revenue"].as_f64().unwrap();
            let charts = [&frame["seconds"], &frame["minutes"]];
            let buckets = charts.iter().filter_map(|it| it.as_array()).flatten();
            let charted = buckets.flat_map(|it| of(&it["counts"])).map(|(_, n)| n);
            self.charted += charted.sum::<u64>();
            of(&frame["counts"])
        };
        for (kind, n) in counts {
            *self.counts.entry(kind).or_default() += n;
        }
    }

    /// Holds it against what is said of the same moment.
    fn check(&self, server: &Server, frame: &Value) {
        let time = frame["timestamp"].as_i64().unwrap();
        let said = server.get(&format!("/api/analytics/at?time={time}"));
        assert_eq!(json!(self.counts), said["counts"], "{frame}\n{said}");
        assert!((self.revenue - said["revenue"].as_f64().unwrap()).abs() < 1e-6, "{frame}");
        assert_eq!(frame["playback"]["asOf"], said["asOf"], "{frame}\n{said}");
        assert_eq!(frame["playback"]["resolution"], said["resolution"], "{frame}");
    }
}

/// Plays until a moment and holds each frame against `/at`. Returns the events of deltas, and how many snapshots
/// there were.
fn play(server: &Server, socket: &mut WebSocket, until: Millis) -> (u64, u64) {
    let (mut added, mut snapshots, mut in_deltas) = (Added::default(), 0, 0);
    loop {
        let frame = frame(socket);
        let counts = frame["counts"].as_object().unwrap().values();
        in_deltas += counts.filter_map(Value::as_u64).sum::<u64>();
        snapshots += u64::from(frame["type"] == "snapshot");
        added.add(&frame);
        added.check(server, &frame);
        if frame["timestamp"].as_i64().unwrap() >= until {
            return (in_deltas, snapshots);
        }
    }
}

#[test]
fn the_sums_of_the_frames_are_those_of_each_moment() {
    for (server, _postgres) in shops() {
        let now = now_ms();
        let midnight = bucket(now - 2 * DAY, DAY);
        // By the second, from within a minute, over midnight.
        let from = midnight - 70 * SECOND - 400;
        let mut socket = watch(&server, &format!("?from={from}&speed=59"));
        let (_, snapshots) = play(&server, &mut socket, midnight + 70 * SECOND);
        assert_eq!(snapshots, 2, "the first one, and that of the new day");
        // By the minute, the whole hour.
        let from = midnight - HOUR - 30 * SECOND;
        let mut socket = watch(&server, &format!("?from={from}&speed=3600"));
        play(&server, &mut socket, midnight + HOUR);
        // The hour before now comes from memory. The end is now, and is said.
        let mut socket = watch(&server, &format!("?from={}&speed=3000", now - HOUR));
        let (in_deltas, _) = play(&server, &mut socket, now - 3 * MINUTE);
        assert!(in_deltas >= 150, "{in_deltas}");
        assert_eq!(closed(&mut socket), 1000);
    }
}

#[test]
fn a_viewer_of_the_past_pauses_goes_elsewhere_and_is_told_what_cannot_be() {
    let (server, _) = shops().remove(0);
    let midnight = bucket(now_ms() - 2 * DAY, DAY);
    let from = midnight - 30 * MINUTE;
    let mut socket = watch(&server, &format!("?from={from}&speed=0"));
    let first = frame(&mut socket);
    assert_eq!((&first["type"], &first["timestamp"]), (&json!("snapshot"), &json!(from)));
    assert_eq!(first["snapshot"]["seconds"].as_array().map(Vec::len), Some(60));
    assert_eq!(first["snapshot"]["minutes"].as_array().map(Vec::len), Some(60));
    let shown = |name: &str| -> u64 {
        let buckets = first["snapshot"][name].as_array().unwrap().iter();
        let counts = buckets.flat_map(|it| it["counts"].as_object().unwrap().values());
        counts.filter_map(Value::as_u64).sum()
    };
    assert_eq!((shown("minutes"), shown("seconds")), (100, 10), "one event in six seconds");
    assert!(first["snapshot"]["activeUsers"].as_u64().unwrap() > 3, "{first}");
    for seq in 2..5 {
        let still = frame(&mut socket);
        assert_eq!((&still["timestamp"], &still["seq"]), (&json!(from), &json!(seq)), "{still}");
        assert_eq!(still["counts"], json!({}));
    }
    // It plays, and goes elsewhere while it does.
    socket.send(json!({"speed": 50}).to_string());
    while frame(&mut socket)["timestamp"].as_i64().unwrap() < from + 30 * SECOND {}
    socket.send(json!({"from": from - MINUTE, "speed": 0}).to_string());
    let back = loop {
        let frame = frame(&mut socket);
        if frame["type"] == "snapshot" {
            break frame;
        }
    };
    assert_eq!(back["timestamp"], json!(from - MINUTE));
    assert_eq!(back["playback"]["speed"], 0);
    // What can't be is said, and changes nothing.
    socket.send("noon, please".to_owned());
    let told = loop {
        let frame = frame(&mut socket);
        if !frame["error"].is_null() {
            break frame;
        }
    };
    assert_eq!(told["error"]["code"], "invalid_parameter", "{told}");
    assert_eq!(told["timestamp"], json!(from - MINUTE));
    assert!(frame(&mut socket)["error"].is_null());
}

#[test]
fn only_so_many_watch_the_past_and_an_end_makes_room() {
    let settings = [&QUICK[..], &[("FLOODMARK_STREAM__MAX_PLAYBACKS", "1")]].concat();
    let server = Server::with(&settings);
    let query = "?from=2026-11-01&speed=0";
    let mut first = watch(&server, query);
    frame(&mut first);
    let path = format!("/api/analytics/stream{query}");
    let refused = WebSocket::open(server.addr(), &path, &[]).err().expect("refused");
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (503, &json!("too_many_playbacks"))
    );
    // Whoever watches the live stream is not concerned.
    frame(&mut watch(&server, ""));
    drop(first);
    server.until("there is room again", |server| {
        WebSocket::open(server.addr(), &path, &[])
            .is_ok_and(|mut socket| matches!(socket.receive(), Received::Frame(_)))
    });
}
