//! Exports over HTTP and by the command, on both stores: they are what `/api/analytics/events` shows, in every
//! format, and can be gone on with after any event and any kill.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Output,
};

use bytes::Bytes;
use floodmark::{
    domain::{
        batch::NodeId,
        time::{DAY, Millis, now_ms},
    },
    store::{BatchStore, sqlite::SqliteStore},
};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde_json::{Value, json};

use crate::{
    door::post_json,
    support::{
        batches::{Event, seal},
        client::Answer,
        postgres::Postgres,
        program::floodmark,
        server::Server,
    },
};

const EVENTS: i64 = 1_200;

fn event(n: i64, now: Millis) -> Value {
    let kind = ["page_view", "add to cart", "purchase"][n as usize % 3];
    json!({
        "type": kind,
        "id": format!("e~{n:04}"),
        "timestamp": now - 3 * DAY + n / 5 * 5 * 3 * DAY / EVENTS,
        "sessionId": format!("s{}", n / 10),
        "properties": {"amount": n, "note": "a,\"b\"\n=c", "api_token": "hunter2"},
    })
}

/// A server on each store, with the same events. The second needs its database.
fn on_both() -> [(Server, Option<Postgres>); 2] {
    let postgres = Postgres::start();
    let of_postgres = Server::with(&[("FLOODMARK_POSTGRES__URL", &postgres.url())]);
    let shops = [(Server::start(), None), (of_postgres, Some(postgres))];
    let now = now_ms();
    for (server, _) in &shops {
        let events: Vec<Value> = (0..EVENTS).map(|n| event(n, now)).collect();
        for batch in events.chunks(400) {
            assert_eq!(post_json(server, &json!(batch).to_string()).0, 202);
        }
        server.until("all are stored", |server| export(server, "").lines().count() == 1_200);
    }
    shops
}

fn answer(server: &Server, query: &str) -> Answer {
    let path = format!("/api/analytics/export?{query}");
    server.request("GET", &path).send().expect("an answer")
}

fn export(server: &Server, query: &str) -> String {
    let answer = answer(server, query);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.text().to_owned()
}

/// What `/events` shows of a query, the oldest first.
fn shown(server: &Server, query: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/analytics/events?limit=500&{query}{after}"));
        all.extend(page["events"].as_array().expect("a list").clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    all.reverse();
    all
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn an_export_is_what_events_show_in_every_format() {
    for (server, _postgres) in on_both() {
        for query in
            ["", "type=add+to+cart", "where.amount=%3E%3D700&text=e~", "text=nothing-has-it"]
        {
            assert_eq!(lines(&export(&server, query)), shown(&server, query), "{query}");
        }
        let all = export(&server, "");
        assert!(!all.contains("hunter2") && all.contains("(not shown)"));

        let packed = answer(&server, "compress=gzip");
        assert_eq!(packed.header("content-type"), Some("application/gzip"));
        let named = packed.header("content-disposition").unwrap();
        assert!(named.contains("floodmark-events.ndjson.gz"), "{named}");
        assert!(packed.header("x-floodmark-until").is_some_and(|at| at.parse::<u64>().is_ok()));
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&*packed.body).read_to_string(&mut text).unwrap();
        assert_eq!(text, all);
        let packed = answer(&server, "compress=zstd&format=csv").body;
        let table = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
        assert_eq!(table, export(&server, "format=csv"));
        let day = shown(&server, "")[0]["timestamp"].as_i64().unwrap();
        let csv = format!("from={day}&to={}", day + 1);
        let of_events = format!("/api/analytics/events?format=csv&{csv}");
        // They are the same lines: exports begin with the oldest, and lists with the newest.
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let of_export = sorted(export(&server, &format!("format=csv&{csv}")));
        assert_eq!((of_export.len(), of_export), (6, sorted(server.get_text(&of_events))));

        let file = answer(&server, "format=parquet");
        assert_eq!(file.header("content-type"), Some("application/vnd.apache.parquet"));
        let reader = SerializedFileReader::new(Bytes::from(file.body.clone())).unwrap();
        let found: Vec<(Value, Value)> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                let row = row.unwrap();
                let (id, properties) = (row.get_string(2).unwrap(), row.get_string(8).unwrap());
                (json!(id), serde_json::from_str(properties).unwrap())
            })
            .collect();
        let expected: Vec<(Value, Value)> = lines(&all)
            .into_iter()
            .map(|it| (it["id"].clone(), it["properties"].clone()))
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn an_export_goes_on_behind_its_last_event() {
    for (server, _postgres) in on_both() {
        let whole = export(&server, "type=purchase");
        let (mut pieces, mut after) = (String::new(), String::new());
        loop {
            let piece = export(&server, &format!("type=purchase&limit=97{after}"));
            let Some(last) = lines(&piece).pop() else { break };
            let key = [&last["timestamp"], &last["receivedAt"], &last["type"], &last["id"]];
            let key = key.map(|part| part.to_string().replace('"', "")).join("~");
            after = format!("&after={}", key.replace(' ', "%20"));
            pieces.push_str(&piece);
        }
        assert_eq!(pieces, whole);
    }
}

/// Fills a data folder as a server would that ran for some days.
async fn fill(dir: &Path) -> Millis {
    let store = SqliteStore::open(dir).unwrap();
    let start = now_ms().div_euclid(DAY) * DAY - 20 * DAY;
    for seq in 0..12 {
        let events: Vec<Event> = (0..500)
            .map(|n| {
                let at = seq * 500 + n;
                let mut event = Event::at(start + at * 200_000, format!("e{at}"));
                event.properties = format!(r#"{{"n":{at}}}"#);
                event
            })
            .collect();
        let batch = seal(NodeId::from_u128(7), seq as u64 + 1, &events);
        store.write(&batch).await.unwrap();
    }
    start
}

fn command(dir: &Path, args: &[&str], die_at: Option<&str>) -> Output {
    let mut command = floodmark();
    command.args(["export", "--data-dir"]).arg(dir).args(args);
    if let Some(point) = die_at {
        command.env("FAILPOINTS", point);
    }
    command.output().expect("the program was built")
}

#[actix_web::test]
async fn a_file_is_gone_on_with_after_kills() {
    let dir = tempfile::tempdir().unwrap();
    let start = fill(dir.path()).await;
    let from = floodmark::domain::time::rfc3339(start);
    let whole = command(dir.path(), &["--from", &from, "--format", "csv"], None);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(String::from_utf8_lossy(&whole.stdout).lines().count(), 6_001);
    for packed in [None, Some("zstd")] {
        let file = dir.path().join(packed.unwrap_or("plain"));
        let mut flags =
            vec!["--from", &from, "--format", "csv", "--output", file.to_str().unwrap()];
        flags.extend(packed.iter().flat_map(|name| ["--compress", *name]));
        let resume = [&flags[..], &["--resume"]].concat();
        let died = command(dir.path(), &flags, Some("export-noted=1*off->return"));
        assert_eq!(died.status.code(), None, "{}", String::from_utf8_lossy(&died.stderr));
        let again = command(dir.path(), &flags, None);
        assert!(String::from_utf8_lossy(&again.stderr).contains("--resume"), "it says how");
        let other = command(dir.path(), &[&resume[..], &["--type", "x"]].concat(), None);
        assert!(String::from_utf8_lossy(&other.stderr).contains("other flags"));
        // What a kill has left behind the last note is no part of the file.
        let mut torn = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        std::io::Write::write_all(&mut torn, b"torn").unwrap();
        let died = command(dir.path(), &resume, Some("export-noted=return"));
        assert_eq!(died.status.code(), None, "killed");
        let done = command(dir.path(), &resume, None);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stderr).contains("exported 6000 events"));
        let bytes = std::fs::read(&file).unwrap();
        let bytes = if packed.is_some() { zstd::decode_all(&*bytes).unwrap() } else { bytes };
        assert!(bytes == whole.stdout, "{packed:?}: the same as in one go");
        assert!(!PathBuf::from(format!("{}.progress", file.display())).exists());
    }
}
