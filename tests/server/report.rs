//! `floodmark report`: what somebody needs who is to help, and no secret, wherever one was planted.

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use flate2::read::GzDecoder;
use tempfile::TempDir;

use crate::support::{
    program::{floodmark, noon_zone},
    server::Server,
};

/// The files of a report by their names.
fn opened(path: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(path).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, text);
    }
    files
}

const SECRETS: [&str; 8] = [
    "write-key-one",
    "viewer-token-one",
    "source-key-one",
    "whsec_one",
    "B000abcdefg",
    "signing-one",
    "hush-hush",
    "pass%40word",
];

fn with_secrets(data: &Path, listen: &str) -> String {
    format!(
        r#"
        listen = "{listen}"
        data_dir = "{}"
        auth.write_keys = ["write-key-one"]
        auth.viewer_tokens = ["viewer-token-one"]
        [[source]]
        name = "web"
        key = "source-key-one"
        [[source]]
        name = "stripe"
        webhook = "stripe"
        secret = "whsec_one"
        [[webhook]]
        name = "desk"
        url = "https://127.0.0.1:1/services/B000abcdefg"
        secret = "signing-one""#,
        data.display()
    )
}

#[test]
fn a_report_has_what_helps_and_no_secret() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (file, log, out) = (path("floodmark.toml"), path("log"), path("report.tar.gz"));
    fs::write(&file, with_secrets(&path("data"), "127.0.0.1:0")).unwrap();
    let server = Server::spawn(&["serve", "--config", file.to_str().unwrap()], &[]);
    // Somebody has put all of them into a log; the report is made of the running server.
    fs::write(&file, with_secrets(&path("data"), &server.addr().to_string())).unwrap();
    fs::write(&log, format!("a line\n{}\n", SECRETS.join(" "))).unwrap();
    let mut command = floodmark();
    command.args(["report", "--config"]).arg(&file).arg("--out").arg(&out).arg("--log").arg(&log);
    command.args(["--redis", "redis://:hush-hush@127.0.0.1:1"]);
    command.args(["--postgres", "postgres://shop:pass%40word@127.0.0.1:1/events"]);
    let output = command.env("FLOODMARK_TIMEZONE", noon_zone()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("metrics.txt") && said.contains("messages.txt"), "{said}");

    let files = opened(&out);
    for (name, text) in &files {
        for secret in SECRETS.iter().chain(&["pass@word"]) {
            assert!(!text.contains(secret), "{name} has {secret}: {text}");
        }
    }
    assert!(files["about.txt"].contains(env!("CARGO_PKG_VERSION")), "{}", files["about.txt"]);
    assert!(files["metrics.txt"].contains("floodmark_build_info"), "{}", files["metrics.txt"]);
    assert!(files["readyz.json"].contains("\"status\""), "{}", files["readyz.json"]);
    assert!(files["check.json"].contains("\"checks\""), "{}", files["check.json"]);
    assert!(files["messages.txt"].contains("a line"), "{}", files["messages.txt"]);
    let configuration: serde_json::Value =
        serde_json::from_str(&files["configuration.json"]).unwrap();
    assert_eq!(configuration["values"]["postgres.url"], "(secret)");
    assert_eq!(configuration["values"]["log.level"], "info");
    assert_eq!(configuration["sources"], serde_json::json!(["web", "stripe"]));

    // What is there is not written over, and a server that is away is said.
    let again = command.output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("report.tar.gz"), "{again:?}");
    drop(server);
    fs::remove_file(&out).unwrap();
    assert!(command.output().unwrap().status.success());
    let files = opened(&out);
    assert!(files["metrics.txt"].starts_with("# http://"), "{}", files["metrics.txt"]);
    assert!(files["readyz.json"].contains("notAnswered"), "{}", files["readyz.json"]);
}
