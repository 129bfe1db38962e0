//! What changes without a restart: the log level, the alerts and the webhooks; and the access log.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::access::command;
use crate::support::{
    client::{Answer, Request},
    program::{floodmark, noon_zone, wait_until},
};

/// A server with a configuration file that the test changes, and a log that it reads.
struct Operated {
    child: Child,
    addr: SocketAddr,
    folder: TempDir,
    /// The token of one who gives access.
    admin: String,
    /// The token of one who reads numbers and metrics.
    reader: String,
}

impl Operated {
    fn start(toml: &str) -> Operated {
        let folder = TempDir::new().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("floodmark.toml"));
        let admin = command(&data, &["tokens", "add", "admin", "--scope", "access"]);
        let reader = ["tokens", "add", "reader", "--scope", "numbers", "--scope", "metrics"];
        let reader = command(&data, &reader);
        fs::write(&file, toml).unwrap();
        let mut child = floodmark()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .arg("--config")
            .arg(&file)
            .env("FLOODMARK_TIMEZONE", noon_zone())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("the program was built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().rsplit('/').next().unwrap().parse();
        let addr = addr.unwrap_or_else(|e| panic!("{e}: {line}"));
        Operated { child, addr, folder, admin, reader }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("floodmark.toml")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn hang_up(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGHUP).unwrap();
    }

    /// A POST by an admin.
    fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(self.addr, path, body.to_string());
        let request = request.header("Content-Type", "application/json");
        request.header("X-Viewer-Token", &self.admin).send().unwrap()
    }

    /// A GET by one who reads.
    fn get(&self, path: &str) -> Answer {
        Request::get(self.addr, path).header("X-Viewer-Token", &self.reader).send().unwrap()
    }

    fn metrics(&self) -> String {
        self.get("/metrics").text().to_owned()
    }
}

impl Drop for Operated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rewrite(file: &Path, toml: &str) {
    fs::write(file, toml).unwrap();
}

const ALERT: &str = "[[alert]]\nname = 'many_signups'\ntitle = 'Many signups'\nmetric = 'signups'\n\
                     severity = 'info'\nwindow = '60s'\nabove = 5\n";

#[test]
fn a_signal_and_the_api_take_what_needs_no_restart_and_name_the_rest() {
    let server = Operated::start("");
    assert!(!server.log().contains("\"level\":\"DEBUG\""));
    rewrite(
        &server.file(),
        &format!("listen = '127.0.0.1:1'\n[log]\nlevel = 'debug'\n[privacy]\nip = 'cut'\n{ALERT}"),
    );
    server.hang_up();
    wait_until("the log says what was taken", || {
        let log = server.log();
        let taken =
            r#""taken":"[\"[[alert]]\", \"log.level\"]","needs_restart":"[\"privacy.ip\"]""#;
        log.contains(taken).then_some(()).ok_or(log)
    });
    wait_until("the new alert is watched", || {
        let metrics = server.metrics();
        let line = "floodmark_alerts_firing{name=\"many_signups\"} 0";
        metrics.contains(line).then_some(()).ok_or(metrics)
    });
    Request::get(server.addr, "/nowhere").send().unwrap();
    wait_until("what is of the level debug is logged", || {
        let log = server.log();
        log.contains("\"level\":\"DEBUG\"").then_some(()).ok_or(log)
    });
    // What is taken is not named again; what waits is.
    let again = server.post("/api/server/reload", &json!({}));
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json(), json!({"taken": [], "needsRestart": ["privacy.ip"]}));
}

#[test]
fn a_broken_file_changes_nothing_and_is_said() {
    let server = Operated::start(ALERT);
    rewrite(&server.file(), "[log]\nlevel = 'debug'\n[[alert]]\nname = 'x'\nmetric = 'nothing'\n");
    server.hang_up();
    wait_until("the log says what is wrong", || {
        let log = server.log();
        let says = log.contains("all stays as it is") && log.contains("floodmark.toml:3");
        says.then_some(()).ok_or(log)
    });
    let refused = server.post("/api/server/reload", &json!({}));
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "invalid_configuration");
    let metrics = server.metrics();
    for line in [
        "floodmark_config_reloads_total{result=\"refused\"} 2",
        "floodmark_config_reloads_total{result=\"taken\"} 0",
        "floodmark_alerts_firing{name=\"many_signups\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!server.log().contains("\"level\":\"DEBUG\""));
}

#[test]
fn an_alert_that_fires_goes_on_by_its_new_rule_and_ends_without_one() {
    let server = Operated::start(ALERT);
    let firing = || {
        let answer = server.get("/api/analytics/alerts");
        let names = answer.json()["firing"].as_array().unwrap().clone();
        names.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let signups = Value::from(vec![json!({"type": "signup"}); 10]).to_string();
    assert_eq!(Request::post(server.addr, "/v1/events", signups).send().unwrap().status, 202);
    wait_until("it fires", || if firing().len() == 1 { Ok(()) } else { Err(firing()) });
    let before = firing();
    rewrite(&server.file(), &ALERT.replace("above = 5", "above = 4"));
    let taken = server.post("/api/server/reload", &json!({}));
    assert_eq!(taken.json(), json!({"taken": ["[[alert]]"], "needsRestart": []}));
    // Several looks later it is still the same incident.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(firing(), before);
    rewrite(&server.file(), "");
    assert_eq!(server.post("/api/server/reload", &json!({})).status, 200);
    wait_until("it is over", || if firing().is_empty() { Ok(()) } else { Err(firing()) });
}

#[test]
fn alerts_wait_for_the_metrics_that_they_are_about() {
    let server = Operated::start("");
    let metric = "[[metric]]\nname = 'carts'\nkind = 'count'\nevent = 'add_to_cart'\n";
    let alert = ALERT.replace("'signups'", "'carts'");
    rewrite(&server.file(), &format!("{metric}{alert}"));
    let answer = server.post("/api/server/reload", &json!({}));
    let waiting = json!({"taken": [], "needsRestart": ["[[alert]]", "[[metric]]"]});
    assert_eq!(answer.json(), waiting);
}

#[test]
fn the_log_level_changes_by_the_api_until_the_next_one() {
    let server = Operated::start("");
    let set = |level: &str| server.post("/api/server/log-level", &json!({"level": level}));
    assert_eq!(set("no such = filter").status, 400);
    assert_eq!(set("debug").json(), json!({"level": "debug"}));
    Request::get(server.addr, "/nowhere").send().unwrap();
    wait_until("debug is logged", || {
        server.log().contains("\"level\":\"DEBUG\"").then_some(()).ok_or("not yet")
    });
    let log = server.log();
    assert!(log.contains(r#""by":"token admin""#), "it says who changed it: {log}");
    assert_eq!(set("info").status, 200);
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_no_secret() {
    let server = Operated::start("[log]\naccess = true\n");
    let event = r#"{"type":"page_view"}"#;
    Request::post(server.addr, "/v1/events?key=secret-key", event).send().unwrap();
    Request::get(server.addr, "/nowhere/secret-path").send().unwrap();
    let lines = || -> Vec<Value> {
        let log = server.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "floodmark::access").collect()
    };
    wait_until("both are noted", || if lines().len() >= 2 { Ok(()) } else { Err(lines()) });
    let lines = lines();
    let of = |route: &str| lines.iter().find(|line| line["route"] == route).expect(route);
    let taken = of("/v1/events");
    assert_eq!((&taken["method"], &taken["status"]), (&json!("POST"), &json!(202)));
    assert!(taken["ms"].as_f64().unwrap() >= 0.0 && taken["bytes"].as_u64().unwrap() > 10);
    assert!(taken.get("client").is_none(), "privacy.ip is drop: {taken}");
    assert_eq!(of("none")["status"], 404);
    assert!(!server.log().contains("secret-"), "{}", server.log());
}
