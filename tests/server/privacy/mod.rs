//! What is never stored, is nowhere: whatever dialect an event came in, neither the store nor the spool, the
//! dead letters, Redis nor the log have the address of its visitor or a property that is named.

mod consent;
mod requests;

use std::{fs, path::Path};

use self::requests::{ADDRESS, MAIL, requests};
use crate::{
    support::{postgres::Postgres, redis::RedisServer, server::Server},
    webhooks,
};

/// The address that the requests come from.
const CLIENT: &str = "203.0.113.88";

/// Events and dead letters of [`requests`].
const EVENTS: u64 = 19;
const LETTERS: u64 = 6;

/// Who sends. The proxy before the server, which the test is, says who the client is.
const SENDERS: &str = "http.trusted_proxies = ['127.0.0.1']\nlog.level = 'info,floodmark=trace'\n\
     [[source]]\nname = 'shop'\nkey = 'k'\n\
     [[source]]\nname = 'orders'\nwebhook = 'shopify'\nsecret = 's'\n\
     [[source]]\nname = 'payments'\nwebhook = 'stripe'\nsecret = 's'\n";

const NEVER: &str = "privacy.never_store = ['email']\n";
/// All is kept, and the most frequent addresses are counted, so that the live side has some.
const KEPT: &str = "privacy.ip = 'keep'\n\
     [[breakdown]]\nevent = 'page_view'\nproperty = 'ip'\n";

/// Starts a server, with keys at the top level of its configuration first.
fn server(keys: &str) -> Server {
    let (top, rules) = keys
        .split_once("[[")
        .map_or((keys, String::new()), |(top, rules)| (top, format!("[[{rules}")));
    Server::with_config(&format!("{top}{SENDERS}{rules}"))
}

/// The files below a folder that have one of the texts.
fn files_with(dir: &Path, texts: &[&str], found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, texts, found);
            continue;
        }
        // A file may go while it is looked for, as a segment does.
        found.extend(has(&fs::read(&path).unwrap_or_default(), texts, &path.display().to_string()));
    }
}

/// `place` and the text, where the bytes have one of them.
fn has(bytes: &[u8], texts: &[&str], place: &str) -> Option<String> {
    let has = |text: &&&str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    texts.iter().find(has).map(|text| format!("{place}: {text}"))
}

fn method_of(path: &str) -> &'static str {
    if path.starts_with("/i?") { "GET" } else { "POST" }
}

fn send_all(server: &Server) {
    for (path, headers, body) in requests() {
        let mut request = server.request(method_of(&path), &path);
        request = request.header("X-Forwarded-For", CLIENT).header("X-Write-Key", "k");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request = request.body(body);
        if path.starts_with("/v1/webhooks/") {
            request = webhooks::sign(request, "s");
        }
        let answer = request.send().expect("an answer");
        assert!([200, 202, 204, 400, 422].contains(&answer.status), "{path}: {answer:?}");
    }
}

fn until_stored(server: &Server) {
    server.until("all are stored", |server| {
        (server.count("events"), server.count("dead_letters")) == (EVENTS, LETTERS)
    });
}

#[test]
fn what_is_never_stored_is_in_no_file_and_not_in_the_log() {
    let stopped = |keys: &str| {
        let mut server = server(keys);
        send_all(&server);
        until_stored(&server);
        server.terminate();
        server
    };
    let texts = [ADDRESS, MAIL, CLIENT];
    let mut found = Vec::new();
    let never = stopped(NEVER);
    files_with(&never.data(), &texts, &mut found);
    // The log names clients whose requests are refused, and nothing of what is in them.
    found.extend(has(never.log().as_bytes(), &[ADDRESS, MAIL], "the log"));
    // The configuration and the names of the test's own files have none of them.
    assert_eq!(found, Vec::<String>::new());
    assert!(never.log().contains("refused"), "the log has what happened");
    // Kept, it is found.
    files_with(&stopped(KEPT).data(), &[ADDRESS], &mut found);
    assert!(!found.is_empty());
}

#[test]
fn what_is_never_stored_is_not_in_postgres_and_not_in_redis() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (keys, is_kept) in [(NEVER, false), (KEPT, true)] {
        let (postgres, redis) = (Postgres::start(), RedisServer::with(&["--rdbcompression", "no"]));
        let urls =
            format!("postgres.url = '{}'\nredis.urls = ['{}']\n", postgres.url(), redis.url());
        let server = server(&format!("{urls}{keys}"));
        send_all(&server);
        let sql = |sql: &str| runtime.block_on(postgres.sql(sql));
        let counts = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dead_letters)";
        let expected = [EVENTS.to_string(), LETTERS.to_string()];
        server.until("all are stored", |_| sql(counts) == [expected.clone()]);
        server.until("all are counted", |server| server.current()["purchases"] == 1);

        let texts = [ADDRESS, MAIL, CLIENT];
        let mut found = Vec::new();
        let tables = "SELECT quote_ident(relname) FROM pg_class \
                      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";
        let tables = sql(tables);
        assert!(tables.len() > 5, "{tables:?}");
        for table in tables.concat() {
            let rows = format!("SET bytea_output = escape; SELECT t::text FROM {table} t");
            let rows = sql(&rows).concat().join("\n");
            found.extend(has(rows.as_bytes(), &texts, &table));
        }
        assert_eq!(found.iter().any(|place| place.starts_with("events")), is_kept, "{found:?}");
        // One file has all keys and all values, as they are.
        redis.run::<()>(&["SAVE"]);
        found.extend(has(&fs::read(redis.saved()).expect("a dump"), &texts, "Redis"));
        assert_eq!(found.iter().any(|place| place.starts_with("Redis")), is_kept, "{found:?}");
        files_with(&server.data(), &texts, &mut found);
        found.extend(has(server.log().as_bytes(), &[ADDRESS, MAIL], "the log"));
        assert_eq!(found.is_empty(), !is_kept, "{found:?}");
    }
}

#[test]
fn addresses_are_cut_or_kept_where_the_shop_wants_that() {
    let of = |word: &str| -> Vec<String> {
        let server = server(&format!("privacy.ip = '{word}'\n"));
        send_all(&server);
        until_stored(&server);
        let database = server.database();
        let sql = "SELECT properties ->> '$.ip' FROM events WHERE type = 'page_view' AND dialect = 'native'";
        let mut select = database.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(of("cut"), ["203.0.113.0"]);
    assert_eq!(of("keep"), [ADDRESS]);
}
