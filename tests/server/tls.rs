//! TLS towards clients: certificates from files, which are replaced while the server runs.

use std::{
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{
    certificate::{self, TlsConnection},
    client::raw,
    program::wait_until,
    server::Server,
};

/// A server with a certificate, and the files of it.
struct Guarded {
    server: Server,
    dir: TempDir,
}

impl Guarded {
    fn start(variables: &[(&str, &str)]) -> Guarded {
        let dir = TempDir::new().unwrap();
        let (cert, key) = files(dir.path());
        certificate::make(&cert, &key);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (cert, key) = (text(&cert), text(&key));
        let mut all = vec![("FLOODMARK_TLS__CERT", &*cert), ("FLOODMARK_TLS__KEY", &*key)];
        all.extend(variables);
        let server = Server::on(&dir.path().join("data"), &all);
        Guarded { server, dir }
    }

    fn cert(&self) -> PathBuf {
        files(self.dir.path()).0
    }

    fn connect(&self) -> TlsConnection {
        TlsConnection::open(self.server.addr()).expect("a handshake")
    }
}

fn files(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("floodmark.crt"), dir.join("floodmark.key"))
}

fn post() -> String {
    let body = r#"{"type":"page_view"}"#;
    let length = body.len();
    format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn a_certificate_is_replaced_while_connections_go_on() {
    let guarded = Guarded::start(&[]);
    let (cert, key) = files(guarded.dir.path());
    let first = certificate::read(&cert);
    let mut old = guarded.connect();
    assert_eq!(old.certificate(), first);
    assert!(old.ask(&post()).starts_with("HTTP/1.1 202"));

    // Half of a pair, and what is no certificate, change nothing.
    let other = TempDir::new().unwrap();
    let (other_cert, other_key) = files(other.path());
    certificate::make(&other_cert, &other_key);
    std::fs::copy(&other_key, &key).unwrap();
    let failed = "floodmark_tls_reloads_total{result=\"failed\"} 1";
    wait_until("the pair that does not fit was looked at", || {
        let metrics = guarded.connect().ask(&get("/metrics", "localhost"));
        if metrics.contains(failed) { Ok(()) } else { Err("not yet") }
    });
    assert_eq!(guarded.connect().certificate(), first);

    std::fs::rename(&other_key, &key).unwrap();
    std::fs::rename(&other_cert, &cert).unwrap();
    let second = certificate::read(&cert);
    wait_until("new connections get the new certificate", || {
        let got = guarded.connect().certificate();
        if got == second { Ok(()) } else { Err("the old one") }
    });
    assert!(old.ask(&post()).starts_with("HTTP/1.1 202"), "the open connection goes on");
    let current = guarded.connect().ask(&get("/api/analytics/current", "localhost"));
    assert!(current.starts_with("HTTP/1.1 200"), "{current}");
    let metrics = guarded.connect().ask(&get("/metrics", "localhost"));
    let line = metrics.lines().find(|line| line.starts_with("floodmark_tls_certificate_expires"));
    let until: f64 = line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    let in_days = (until - floodmark::domain::time::now_ms() as f64 / 1000.0) / 86_400.0;
    assert!((29.0..31.0).contains(&in_days), "{in_days}");
}

#[test]
fn a_client_that_knows_the_authority_is_served_and_told_to_stay() {
    let guarded = Guarded::start(&[("FLOODMARK_HTTP__ALLOWED_HOSTS", "shop.example")]);
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]);
        command.arg("--cacert").arg(guarded.cert()).args(arguments);
        command.output().expect("curl (apt-get install curl)")
    };
    let url = format!("https://127.0.0.1:{}/healthz", guarded.server.addr().port());
    let known = curl(&["-v", &url]);
    let said = String::from_utf8_lossy(&known.stderr);
    assert!(known.status.success(), "{said}");
    assert!(said.contains("TLSv1.3") && said.contains("http/1.1"), "{said}");
    assert!(curl(&["--tls-max", "1.2", &url]).status.success());
    assert!(!curl(&["--tls-max", "1.1", &url]).status.success());
    let wrong_name = url.replace("127.0.0.1", "127.0.0.2");
    assert!(!curl(&["--connect-to", "::127.0.0.1:", &wrong_name]).status.success());

    let strict = |host: &str| {
        let answer = guarded.connect().ask(&get("/", host)).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        answer.contains("strict-transport-security: max-age=")
    };
    assert!(strict("shop.example"));
    assert!(!strict("localhost") && !strict("127.0.0.1"));
}

#[test]
fn who_speaks_no_tls_is_told_so_and_holds_nothing() {
    let guarded = Guarded::start(&[("FLOODMARK_HTTP__HEADER_TIMEOUT_MS", "1000")]);
    let addr = guarded.server.addr();
    let answer = raw(addr, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("tls_expected"), "{answer}");
    for silent in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\xff\xff\xff\xff"] {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(silent).unwrap();
        stream.set_read_timeout(Some(crate::support::program::PATIENCE)).unwrap();
        // An alert may come first; then the connection ends, in the time for a head.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    assert!(guarded.connect().ask(&post()).starts_with("HTTP/1.1 202"), "the server goes on");
}

#[test]
fn the_check_looks_at_the_certificate() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = files(dir.path());
    certificate::make(&cert, &key);
    let checked = |key: &Path| {
        let output = crate::support::program::floodmark()
            .args(["check", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .env("FLOODMARK_TLS__CERT", &cert)
            .env("FLOODMARK_TLS__KEY", key)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said.lines().find(|line| line.contains(" TLS ")).unwrap_or(&said).to_owned();
        (output.status.success(), line)
    };
    let (fine, line) = checked(&key);
    assert!(fine && line.starts_with("ok") && line.contains("good for 29 days"), "{line}");
    let (fine, line) = checked(&cert);
    assert!(!fine && line.starts_with("FAIL") && line.contains("tls.key"), "{line}");
}

#[test]
fn a_certificate_that_can_not_be_used_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = files(dir.path());
    certificate::make(&cert, &key);
    let other = TempDir::new().unwrap();
    let (_, other_key) = files(other.path());
    certificate::make(&other.path().join("x.crt"), &other_key);
    let refused = |cert: &Path, key: &Path| {
        let output = crate::support::program::floodmark()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .env("FLOODMARK_TLS__CERT", cert)
            .env("FLOODMARK_TLS__KEY", key)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let missing = dir.path().join("missing");
    for (cert, key, expected) in [
        (&missing, &key, "tls.cert:"),
        (&cert, &missing, "tls.key:"),
        (&cert, &other_key, "is not the key of"),
        (&key, &key, "has no certificate"),
        (&cert, &PathBuf::new(), "cert and key belong together"),
    ] {
        let said = refused(cert, key);
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
