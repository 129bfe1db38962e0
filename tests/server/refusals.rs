//! What an operator sees of requests: metrics by route and status, and refusals in the log.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use crate::support::{
    client::Request,
    program::{scratch, setpriv},
    server::Server,
};

/// A server with a key and a token.
fn guarded() -> Server {
    Server::with(&[
        ("FLOODMARK_AUTH__WRITE_KEYS", "key-1"),
        ("FLOODMARK_AUTH__VIEWER_TOKENS", "token-1"),
    ])
}

fn metrics(server: &Server) -> String {
    server.get_text("/metrics?token=token-1")
}

fn has(server: &Server, line: &str) -> bool {
    metrics(server).lines().any(|known| known == line)
}

fn post(server: &Server, path: &str, key: &str, body: &str) -> u16 {
    let request = server.request("POST", path).header("X-Write-Key", key);
    request.body(body.to_owned()).send().expect("the server answers").status
}

#[test]
fn requests_and_refusals_are_counted_from_zero_on() {
    let server = guarded();
    let before = metrics(&server);
    for line in [
        "floodmark_http_refused_total{code=\"unauthorized\"} 0",
        "floodmark_http_requests_total{route=\"/v1/events\",status=\"401\"} 0",
        concat!("floodmark_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(before.lines().any(|known| known == line), "{line} in {before}");
    }
    for name in
        ["process_resident_memory_bytes ", "process_open_fds ", "process_cpu_seconds_total "]
    {
        assert!(before.lines().any(|line| line.starts_with(name)), "{name} in {before}");
    }
    let event = "{\"type\":\"page_view\"}";
    assert_eq!(post(&server, "/v1/events", "key-1", event), 202);
    assert_eq!(post(&server, "/v1/events", "rotated", event), 401);
    assert_eq!(post(&server, "/v1/events", "rotated", event), 401);
    assert_eq!(post(&server, "/v1/events", "key-1", "{"), 400);
    assert_eq!(post(&server, "/v1/evnets", "key-1", event), 404);
    assert_eq!(server.request("GET", "/secret-path-7").send().unwrap().status, 404);
    for line in [
        "floodmark_http_requests_total{route=\"/v1/events\",status=\"202\"} 1",
        "floodmark_http_requests_total{route=\"/v1/events\",status=\"401\"} 2",
        "floodmark_http_requests_total{route=\"/v1/events\",status=\"400\"} 1",
        "floodmark_http_refused_total{code=\"unauthorized\"} 2",
        "floodmark_http_refused_total{code=\"malformed\"} 1",
        "floodmark_http_refused_total{code=\"not_found\"} 2",
        "floodmark_http_request_seconds_count{route=\"/v1/events\"} 4",
    ] {
        assert!(has(&server, line), "{line} in {}", metrics(&server));
    }
    // A path that leads nowhere is no label: a scanner tries a million of them.
    assert!(!metrics(&server).contains("secret-path"), "{}", metrics(&server));
}

#[test]
fn a_client_behind_a_trusted_proxy_is_limited_by_itself() {
    let server = Server::with(&[
        ("FLOODMARK_HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
        ("FLOODMARK_HTTP__CLIENT_EVENTS_PER_S", "1"),
    ]);
    let send = |client: &str| {
        let request = server.request("POST", "/v1/events").header("X-Forwarded-For", client);
        request
            .body("[{\"type\":\"a\"},{\"type\":\"a\"},{\"type\":\"a\"},{\"type\":\"a\"}]")
            .send()
            .unwrap()
            .status
    };
    let of_one: Vec<u16> = (0..10).map(|_| send("203.0.113.5, 198.51.100.1")).collect();
    assert!(of_one.contains(&202) && of_one.contains(&429), "{of_one:?}");
    assert_eq!(send("198.51.100.2"), 202, "another client");
}

#[test]
fn files_are_their_owners_alone_and_a_stopped_database_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::on(&data, &[]);
    assert_eq!(server.post("{\"type\":\"page_view\"}").status, 202);
    server.until("it is stored", |server| server.has_metric("floodmark_events_stored_total 1"));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["floodmark.db", "node.id"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    server.terminate();
    let wal = data.join("floodmark.db-wal");
    assert_eq!(wal.metadata().map_or(0, |wal| wal.len()), 0);
    // A copy of the file alone has the event.
    let copy = dir.path().join("copy.db");
    std::fs::copy(data.join("floodmark.db"), &copy).unwrap();
    let copy = rusqlite::Connection::open(copy).unwrap();
    let events: i64 = copy.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(events, 1);
}

#[test]
fn the_log_names_refusals_and_never_a_secret() {
    let (folder, data) = scratch("data");
    let log = folder.path().join("log");
    let mut child = setpriv()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()])
        .env("FLOODMARK_AUTH__WRITE_KEYS", "key-of-one,key-of-two")
        .env("FLOODMARK_AUTH__VIEWER_TOKENS", "token-of-one")
        // All that any part has to say, in the form that a machine reads.
        .env("FLOODMARK_LOG__LEVEL", "trace")
        .env("FLOODMARK_LOG__FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .expect("setpriv (apt-get install util-linux) starts the server");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().rsplit('/').next().unwrap().parse().expect("its address");
    let status = |request: Request| request.send().expect("the server answers").status;
    let event = "{\"type\":\"page_view\"}";
    assert_eq!(status(Request::post(addr, "/v1/events?key=key-of-one", event)), 202);
    for _ in 0..20 {
        assert_eq!(status(Request::post(addr, "/v1/events?key=rotated-key", event)), 401);
    }
    for (key, expected) in [("key-of-two", 200), ("rotated-key", 401), ("key-of-two&type=", 200)] {
        let pixel = format!("/v1/pixel.gif?type=purchase&amount=1&key={key}");
        assert_eq!(status(Request::get(addr, &pixel)), expected, "{key}");
    }
    assert_eq!(status(Request::get(addr, "/v1/pixel.gif?type=purchase&key=key-of-two")), 422);
    let current = "/api/analytics/current";
    assert_eq!(status(Request::get(addr, &format!("{current}?token=token-of-one"))), 200);
    assert_eq!(status(Request::get(addr, &format!("{current}?token=guessed-token"))), 401);
    let bearer = Request::get(addr, current).header("Authorization", "Bearer token-of-one");
    assert_eq!(status(bearer), 200);
    child.kill().unwrap();
    child.wait().unwrap();

    let text = std::fs::read_to_string(&log).unwrap();
    let of_key = |line: &&str| {
        line.contains("requests are refused") && line.contains("\"code\":\"unauthorized\"")
    };
    let refused: Vec<&str> = text.lines().filter(of_key).collect();
    assert_eq!(refused.len(), 1, "one line a minute for one code: {refused:?}");
    for part in ["\"route\":\"/v1/events\"", "127.0.0.1"] {
        assert!(refused[0].contains(part), "{part} in {}", refused[0]);
    }
    for secret in ["key-of-one", "key-of-two", "token-of-one", "rotated-key", "guessed-token"] {
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret} in {lines:?}");
    }
}
