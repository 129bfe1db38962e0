//! Provokes what viewers are answered by the stream, the page and `/readyz`.

use nix::sys::signal::Signal;

use super::{
    provoked::{Provoked, name, server},
    ways::{TOKEN, with},
};
use crate::support::client::WebSocket;

/// What the stream, the page and `/readyz` answer besides.
pub(super) fn provoke(provoked: &mut Provoked) {
    let of = |path: &str, provoked: &Provoked| {
        provoked.document.operation("GET", path).expect("it is documented")
    };
    let server = server("stream.max_viewers = 2\nstream.max_playbacks = 1");
    let explain = of("/api/analytics/explain", provoked);
    let gone = "INSERT INTO removed_rows VALUES (date('now'), '', 'age', 1, 0, NULL)";
    let file = server.data().join("floodmark.db");
    rusqlite::Connection::open(file).unwrap().execute_batch(gone).unwrap();
    let asked = with(explain.usual(&server), &[("X-Viewer-Token", TOKEN)]);
    provoked.send(&server, &explain, &asked);
    let stream = of("/api/analytics/stream", provoked);
    let token = [("X-Viewer-Token", TOKEN)];
    let address = server.addr();
    provoked.send(&server, &stream, &with(stream.usual(&server), &token));
    provoked.send(&server, &stream, &stream.usual(&server).header("Origin", "https://a.example"));
    let open = |token: &str| {
        let path = format!("/api/analytics/stream?token={token}");
        WebSocket::open(address, &path, &[])
    };
    let past = open(&format!("{TOKEN}&from=2026-11-01&speed=0")).expect("a viewer of the past");
    for (from, code) in [("2026-11-01", "too_many_playbacks"), ("noon", "invalid_parameter")] {
        let refused = open(&format!("{TOKEN}&from={from}")).err().expect("a refusal");
        provoked.note(&stream, &refused, code.to_owned());
    }
    let viewer = open(TOKEN).expect("a viewer");
    provoked.came.entry(name(&stream)).or_default().insert((101, String::new()));
    for (token, code) in [(TOKEN, "too_many_viewers"), ("wrong", "unauthorized")] {
        let refused = open(token).err().expect("a refusal");
        provoked.note(&stream, &refused, code.to_owned());
    }
    drop((viewer, past));
    let pages = ["/explore", "/incidents", "/incidents/1", "/events", "/sources", "/settings"];
    for path in ["/", "/floodmark.js"].into_iter().chain(pages) {
        let file = of(path, provoked);
        let answer = file.usual(&server).send().expect("an answer");
        let tag = answer.header("etag").expect("a tag").to_owned();
        provoked.send(&server, &file, &file.usual(&server).header("If-None-Match", &tag));
    }
    server.signal(Signal::SIGTERM);
    let ready = of("/readyz", provoked);
    for _ in 0..1000 {
        let answer = ready.usual(&server).send().expect("the door is open for http.drain_ms");
        if answer.status == 503 {
            return provoked.note(&ready, &answer, String::new());
        }
    }
    panic!("/readyz did not say that the server stops");
}
