//! What `floodmark check` tells of servers and of the machine, and in which form; and what the program
//! tells of itself.

use std::process::Output;

use serde_json::Value;

use crate::support::{
    postgres::Postgres,
    program::{floodmark_output, scratch},
    redis::RedisServer,
};

/// Runs `check --json` with these flags: its exit code, and what it has printed.
fn check(flags: &[&str]) -> (Option<i32>, Value) {
    let (_folder, data) = scratch("data");
    let fixed = ["check", "--json", "--data-dir", data.to_str().unwrap()];
    let output = floodmark_output(&[&fixed[..], flags].concat());
    let printed = serde_json::from_slice(&output.stdout);
    (output.status.code(), printed.unwrap_or_else(|e| panic!("{e}: {output:?}")))
}

fn finding(found: &Value, name: &str) -> Value {
    let checks = found["checks"].as_array().expect("a list of checks");
    let one = checks.iter().find(|check| check["name"] == name);
    one.unwrap_or_else(|| panic!("no {name} in {found}")).clone()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn check_prints_one_json_object_and_its_exit_code_says_the_same() {
    let (code, found) = check(&["--listen", "127.0.0.1:0"]);
    assert_eq!((code, &found["can_start"]), (Some(0), &Value::Bool(true)), "{found}");
    for name in ["version", "data dir", "disk", "free space", "open files", "memory", "store"] {
        let one = finding(&found, name);
        assert!(["ok", "warn"].contains(&one["state"].as_str().unwrap()), "{one}");
        assert!(!one["message"].as_str().unwrap().is_empty(), "{one}");
    }
    let postgres = ["--listen", "127.0.0.1:0", "--postgres", "postgres://nobody@127.0.0.1:1/x"];
    let (code, found) = check(&postgres);
    assert_eq!((code, &found["can_start"]), (Some(1), &Value::Bool(false)), "{found}");
    assert_eq!(finding(&found, "store")["state"], "fail");
    let (code, found) = check(&["--listen", "nowhere"]);
    assert_eq!((code, &found["can_start"]), (Some(2), &Value::Bool(false)), "{found}");
    assert_eq!(finding(&found, "configuration")["state"], "fail");
}

#[test]
fn check_names_settings_of_postgres_that_lose_data_or_run_out() {
    let settings = "fsync = off\nautovacuum = off\nmax_wal_size = 64MB\nmax_connections = 15\n";
    let postgres = Postgres::start_with(settings);
    let (code, found) = check(&["--listen", "127.0.0.1:0", "--postgres", &postgres.url()]);
    assert_eq!(code, Some(0), "it would run: {found}");
    let store = finding(&found, "store");
    assert_eq!(store["state"], "warn");
    let more = store["more"].to_string();
    for words in [
        "fsync is off: a crash of its machine can destroy the whole database; set fsync = on",
        "autovacuum is off",
        "max_wal_size is 64 MB",
        "a node may open 12 connections",
    ] {
        assert!(more.contains(words), "{words} is not in {more}");
    }
    let version = store["message"].as_str().unwrap();
    assert!(version.starts_with("PostgreSQL 1"), "{version}");
}

#[test]
fn check_names_settings_of_redis_that_lose_counters() {
    let redis = RedisServer::with(&[
        "--maxmemory-policy",
        "allkeys-lru",
        "--client-output-buffer-limit",
        "pubsub 1mb 512kb 60",
    ]);
    let (code, found) = check(&["--listen", "127.0.0.1:0", "--redis", &redis.url()]);
    assert_eq!(code, Some(0), "it would run: {found}");
    let live = finding(&found, "live counters");
    let more = live["more"].to_string();
    assert!(more.contains("set maxmemory-policy noeviction"), "{live}");
    assert!(more.contains("client-output-buffer-limit pubsub is 524288 bytes"), "{live}");
    assert!(live["message"].as_str().unwrap().starts_with("Redis 7"), "{live}");
}

#[test]
fn migrate_says_what_it_would_apply_and_applies_none_of_it() {
    let postgres = Postgres::start();
    let (_folder, data) = scratch("data");
    let (url, dir) = (postgres.url(), data.to_str().unwrap());
    for store in [["--postgres", &url], ["--data-dir", dir]] {
        let run = |more: &[&str]| {
            let output = floodmark_output(&[&["migrate"], &store[..], more].concat());
            assert!(output.status.success(), "{output:?}");
            stdout(&output)
        };
        for _ in 0..2 {
            let would = run(&["--dry-run"]);
            assert!(would.contains("would apply V1__events_and_ledger, V2"), "{would}");
        }
        assert!(!data.join("floodmark.db").exists(), "nothing was made");
        assert!(run(&[]).contains("applied V1__events_and_ledger"));
        assert!(run(&["--dry-run"]).contains("is up to date"));
        let _ = std::fs::remove_dir_all(&data);
    }
}

#[test]
fn the_program_tells_its_version_its_completions_and_its_manual() {
    let version = stdout(&floodmark_output(&["--version"]));
    assert_eq!(version, format!("floodmark {} (debug build)\n", env!("CARGO_PKG_VERSION")));
    let script = stdout(&floodmark_output(&["completions", "bash"]));
    assert!(script.contains("complete -F _floodmark"), "{}", &script[..200]);
    let page = stdout(&floodmark_output(&["man"]));
    assert!(page.contains(".SS floodmark check\n") && page.contains("EXIT STATUS"), "{page}");
    assert_eq!(floodmark_output(&["completions", "cobol"]).status.code(), Some(2));
}
