//! The user of Redis that docs/OPERATIONS.md describes may do all that a server does, and `check`
//! notices one that may not.

use redis::Value;

use crate::support::{program::floodmark_output, redis::RedisServer, server::Server};

const DOCUMENT: &str = include_str!("../../docs/OPERATIONS.md");

/// Makes the user of the document, and returns a URL with it.
fn documented_user(redis: &RedisServer) -> String {
    let line = DOCUMENT.lines().map(str::trim).find(|line| line.starts_with("ACL SETUSER"));
    let line = line.expect("the document has the line").replace("PASSWORD", "secret");
    redis.run::<()>(&line.split(' ').collect::<Vec<_>>());
    redis.url().replace("redis://", "redis://floodmark:secret@")
}

/// What users were denied since the last reset.
fn denials(redis: &RedisServer) -> Vec<Value> {
    redis.run(&["ACL", "LOG"])
}

#[test]
fn the_documented_user_of_redis_may_do_all_that_a_server_does() {
    let redis = RedisServer::start();
    let url = documented_user(&redis);
    let server =
        Server::with(&[("FLOODMARK_REDIS__URLS", &url), ("FLOODMARK_DEDUPE__SHARED", "true")]);
    let post = |id: &str| {
        let event = format!(r#"{{"type":"page_view","sessionId":"s-{id}","id":"{id}"}}"#);
        // While the node tells an emptied Redis its ids again, it takes none.
        server.until("it is taken", |server| server.post(event.clone()).status == 202);
    };
    post("a");
    post("a");
    post("b");
    server.until("two are counted, with their sessions", |server| {
        let current = server.current();
        current["pageViews"] == 2
            && current["metrics"]["sessions"] == 2
            && current["activeUsers"] == 2
    });
    let stored = |server: &Server| server.has_metric("floodmark_events_stored_total 2");
    server.until("both are stored", stored);
    // The counters are rebuilt, which takes commands of its own.
    redis.flushall();
    server.until("Redis has them again", |_| {
        let days: Vec<String> = redis.run(&["KEYS", "{floodmark:*:d:*"]);
        !days.is_empty()
    });
    post("c");
    server.until("the third is counted", |server| server.current()["pageViews"] == 3);
    assert_eq!(denials(&redis), []);
}

#[test]
fn check_names_what_a_user_of_redis_may_not_do() {
    let redis = RedisServer::start();
    let url = documented_user(&redis);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let check = || {
        let data = data.to_str().unwrap();
        let args = ["check", "--data-dir", data, "--listen", "127.0.0.1:0", "--redis", &url];
        let output = floodmark_output(&args);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (fine, words) = check();
    assert!(fine, "{words}");
    assert_eq!(redis.run::<Vec<String>>(&["KEYS", "*"]), [""; 0], "check leaves nothing behind");
    for lacks in ["-zadd", "-spublish", "-ssubscribe", "-hincrby"] {
        redis.run::<()>(&["ACL", "SETUSER", "floodmark", lacks]);
        let (fine, words) = check();
        assert!(
            !fine && words.contains("OPERATIONS.md") || words.contains("redis.prefix"),
            "{words}"
        );
        redis.run::<()>(&["ACL", "SETUSER", "floodmark", &lacks.replace('-', "+")]);
    }
}
