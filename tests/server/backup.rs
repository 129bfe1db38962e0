//! Backups of a server that runs, and servers that are put back from them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{
    client::Request,
    postgres::Postgres,
    program::{floodmark, noon_zone, this_version},
    server::Server,
};

/// Posts events one request after another until it is told to stop. Returns the ids that were answered, in
/// order.
fn load(server: &Server, stop: &Arc<AtomicBool>) -> thread::JoinHandle<Vec<String>> {
    let (address, stop) = (server.addr(), stop.clone());
    thread::spawn(move || {
        let mut answered = Vec::new();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ids: Vec<String> = (0..20).map(|k| format!("e-{n}-{k}")).collect();
            let events: Vec<String> = ids
                .iter()
                .map(|id| {
                    format!(r#"{{"type":"page_view","id":"{id}","properties":{{"path":"/a"}}}}"#)
                })
                .collect();
            let body = format!("[{}]", events.join(","));
            let answer = Request::post(address, "/v1/events", body).send().expect("an answer");
            assert_eq!(answer.status, 202);
            answered.extend(ids);
        }
        answered
    })
}

fn run(args: &[&str], die_at: Option<&str>) -> Output {
    let mut command = floodmark();
    command.args(args).env("FLOODMARK_TIMEZONE", noon_zone());
    if let Some(point) = die_at {
        command.env("FAILPOINTS", format!("{point}=return"));
    }
    command.output().expect("the program was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn ids_in(dir: &Path) -> Vec<String> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database =
        rusqlite::Connection::open_with_flags(dir.join("floodmark.db"), flags).expect("the store");
    let mut select = database.prepare("SELECT id FROM events").expect("a table");
    let rows = select.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

/// Each id once.
fn distinct(ids: Vec<String>) -> BTreeSet<String> {
    let rows = ids.len();
    let distinct: BTreeSet<String> = ids.into_iter().collect();
    assert_eq!(distinct.len(), rows, "no event is stored twice");
    distinct
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn a_backup_under_load_has_all_that_was_answered_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let settings =
        [("FLOODMARK_SPOOL__SEGMENT_BYTES", "262144"), ("FLOODMARK_BATCH__MAX_BYTES", "131072")];
    let server = Server::on(&path("data"), &settings);
    let stop = Arc::new(AtomicBool::new(false));
    let sender = load(&server, &stop);
    server
        .until("there is something", |server| server.current()["pageViews"].as_u64() > Some(2_000));

    let (data, backup) = (path("data"), path("backup"));
    let died =
        run(&["backup", text(&path("killed")), "--data-dir", text(&data)], Some("backup-spool"));
    assert_eq!(died.status.code(), None, "{}", said(&died));
    let before = server.current()["pageViews"].as_u64().unwrap();
    std::fs::write(path("own.toml"), "log.level = \"info\"\n").unwrap();
    let own = path("own.toml");
    let done =
        run(&["backup", text(&backup), "--data-dir", text(&data), "--config", text(&own)], None);
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("all that was answered before 20"), "{}", said(&done));
    let after = server.current()["pageViews"].as_u64().unwrap();
    stop.store(true, Ordering::Relaxed);
    let answered = sender.join().unwrap();
    drop(server);

    let restored = path("restored");
    let no_backup = run(&["restore", text(&path("killed")), "--data-dir", text(&restored)], None);
    assert!(said(&no_backup).contains("did not come to its end"), "{}", said(&no_backup));
    let died =
        run(&["restore", text(&backup), "--data-dir", text(&restored)], Some("restore-copied"));
    assert_eq!(died.status.code(), None, "{}", said(&died));
    assert!(!restored.exists(), "a half one is not there");
    let done = run(&["restore", text(&backup), "--data-dir", text(&restored)], None);
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains("floodmark.toml"), "{}", said(&done));
    let again = run(&["restore", text(&backup), "--data-dir", text(&restored)], None);
    assert!(said(&again).contains("is not empty"), "{}", said(&again));

    let mut server = Server::on(&restored, &settings);
    // What comes now is taken in as ever. It is sealed after what the spool held, so once it is stored and nothing
    // waits, all of that is, too.
    assert_eq!(server.post(r#"{"type":"page_view","id":"new"}"#).status, 202);
    server.until("both sinks have it all", |server| {
        let lag = &server.get("/readyz")["lag"];
        let settled = lag["store"]["events"] == 0 && lag["live"]["events"] == 0;
        settled && ids_in(&restored).iter().any(|id| id == "new")
    });
    let mut found = distinct(ids_in(&restored));
    server.until("it is counted", |server| server.current()["pageViews"] == found.len());
    found.remove("new");
    let expected: BTreeSet<String> = answered[..before as usize].iter().cloned().collect();
    assert!(expected.is_subset(&found), "all that was answered before is there");
    let sent: BTreeSet<String> = answered.iter().cloned().collect();
    assert!(found.is_subset(&sent) && found.len() as u64 <= after + 20_000);
    let ready = server.get("/readyz");
    let reasons = ready["reasons"].to_string();
    assert!(reasons.contains("restored: ") && reasons.contains("is missing"), "{ready}");

    // The note goes when somebody removes it.
    std::fs::remove_file(restored.join("restored.json")).unwrap();
    server.restart();
    server.until("it is ready", |server| server.get("/readyz")["status"] == "ready");
}

#[test]
fn a_damaged_backup_is_not_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let server = Server::on(&path("data"), &[]);
    assert_eq!(server.post(r#"{"type":"page_view"}"#).status, 202);
    let done = run(&["backup", text(&path("b")), "--data-dir", text(&path("data"))], None);
    assert!(done.status.success(), "{}", said(&done));
    let file = path("b").join("data/floodmark.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let refused = run(&["restore", text(&path("b")), "--data-dir", text(&path("new"))], None);
    assert!(said(&refused).contains("the backup is damaged"), "{}", said(&refused));
    assert!(!path("new").exists());
    let full = run(&["backup", text(&path("b")), "--data-dir", text(&path("data"))], None);
    assert!(said(&full).contains("is not empty"), "{}", said(&full));
    let none = run(&["backup", text(&path("c")), "--data-dir", text(&path("nothing"))], None);
    assert!(said(&none).contains("no data dir"), "{}", said(&none));
}

/// The commands behind a mark of docs/OPERATIONS.md.
fn documented(mark: &str) -> String {
    let page = std::fs::read_to_string("docs/OPERATIONS.md").expect("the page");
    let mark = format!("<!-- {mark}: executed by tests/server/backup.rs -->\n```sh\n");
    let block = page.split(&mark).nth(1).expect("the mark");
    block.split("```").next().expect("its end").to_owned()
}

fn shell(script: &str, variables: &[(&str, &str)]) {
    let program = this_version();
    let path = format!(
        "{}:{}:/usr/lib/postgresql/15/bin",
        program.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", script]).envs(variables.iter().copied()).env("PATH", path);
    shell.env("FLOODMARK_TIMEZONE", noon_zone());
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{script}: {}", said(&output));
}

#[actix_web::test]
async fn the_documented_way_with_postgres_loses_nothing_that_was_answered_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let (old, new) = (Postgres::start(), Postgres::start());
    let (old_url, new_url) = (old.url(), new.url());
    let server = Server::on(&path("data"), &[("FLOODMARK_POSTGRES__URL", &old_url)]);
    let stop = Arc::new(AtomicBool::new(false));
    let sender = load(&server, &stop);
    server
        .until("there is something", |server| server.current()["pageViews"].as_u64() > Some(2_000));
    let before = server.current()["pageViews"].as_u64().unwrap();
    let (data, backup, filled) = (path("data"), path("backup"), path("new-data"));
    let variables = [
        ("DATA", text(&data)),
        ("POSTGRES", &old_url),
        ("BACKUP", text(&backup)),
        ("NEW_DATA", text(&filled)),
        ("NEW_POSTGRES", &new_url),
    ];
    shell(&documented("backup"), &variables);
    stop.store(true, Ordering::Relaxed);
    let answered = sender.join().unwrap();
    drop(server);
    drop(old);
    shell(&documented("restore"), &variables);

    let server = Server::on(&filled, &[("FLOODMARK_POSTGRES__URL", &new_url)]);
    let expected: BTreeSet<String> = answered[..before as usize].iter().cloned().collect();
    let found = loop {
        let rows = new.sql("SELECT id FROM events").await;
        let found = distinct(rows.into_iter().map(|row| row[0].clone()).collect());
        let lag = server.get("/readyz")["lag"]["store"]["events"].clone();
        if lag == 0 && expected.is_subset(&found) {
            break found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(found.is_subset(&answered.into_iter().collect()));
    server.until("it is counted", |server| server.current()["pageViews"] == found.len());
    assert!(server.get("/readyz")["reasons"].to_string().contains("restored: "));
}
