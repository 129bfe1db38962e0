//! TLS to Redis: a connection is made only if the certificate is of the authority that
//! `redis.tls_ca` names.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use floodmark::live::{self};

use crate::{
    node::Site,
    support::{port::Port, process::run, redis::RedisServer},
};
use floodmark::sink::SinkErrorKind;

/// A certificate authority of the test's own, with a certificate for 127.0.0.1.
struct Authority {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Authority {
        let path = |end: &str| dir.join(format!("{name}{end}"));
        let (ca, ca_key) = (path("-ca.crt"), path("-ca.key"));
        let (certificate, key) = (path(".crt"), path(".key"));
        let request = || {
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec"]);
            command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
            command
        };
        let subject = format!("/CN=the CA of {name}");
        run(request()
            .args(["-subj", &subject, "-addext", "keyUsage=critical,keyCertSign"])
            .arg("-keyout")
            .arg(&ca_key)
            .arg("-out")
            .arg(&ca));
        run(request()
            .args(["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-CA")
            .arg(&ca)
            .arg("-CAkey")
            .arg(&ca_key)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate));
        Authority { ca, certificate, key }
    }

    /// Starts a server with this certificate. Its port without TLS is for the test's own commands.
    fn server(&self) -> (RedisServer, String) {
        let port = Port::free();
        let number = port.number().to_string();
        let name = |path: &Path| path.to_str().expect("plain names").to_owned();
        let server = RedisServer::with(&[
            "--tls-port",
            &number,
            "--tls-cert-file",
            &name(&self.certificate),
            "--tls-key-file",
            &name(&self.key),
            "--tls-ca-cert-file",
            &name(&self.ca),
            "--tls-auth-clients",
            "no",
        ]);
        // The port is reserved until the process ends.
        std::mem::forget(port);
        (server, format!("127.0.0.1:{number}"))
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_the_named_ca_carries_everything() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    let (server, address) = ours.server();
    let mut site = Site::new(vec![format!("rediss://{address}")]).await;
    site.config.redis.tls_ca = text(&ours.ca);
    let (a, b) = (site.node().await, site.node().await);
    a.seal(30);
    a.drain().await;
    // The subscription of the other node is encrypted as well, and gets everything.
    b.shows(&[&a]).await;
    let clients: String = server.run(&["CLIENT", "LIST"]);
    let plain = clients.lines().filter(|line| !line.contains(&address)).count();
    assert_eq!(plain, 1, "only the test itself is on the plain port:\n{clients}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_ca_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "other"));
    let (_server, address) = ours.server();
    let mut site = Site::new(vec![format!("rediss://{address}")]).await;
    for ca in [text(&other.ca), String::new()] {
        site.config.redis.tls_ca = ca;
        let node = site.node().await;
        node.seal(1);
        let error = node.apply(1).await.unwrap_err();
        assert_eq!(error.kind, SinkErrorKind::Unavailable, "{error}");
        for part in [&address[..], "UnknownIssuer", "redis.tls_ca"] {
            assert!(error.message.contains(part), "{part} in {error}");
        }
    }
    // The certificate is made for the address, not for the name of the host.
    site.config.redis.tls_ca = text(&ours.ca);
    site.config.redis.urls =
        vec![format!("rediss://{}", address.replace("127.0.0.1", "localhost"))];
    let node = site.node().await;
    node.seal(1);
    let error = node.apply(1).await.unwrap_err();
    assert!(error.message.contains("use that name in redis.urls"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_makes_no_sense_is_an_error_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let mut site = Site::new(vec!["rediss://127.0.0.1:1".to_owned()]).await;
    let refused = async |site: &Site| {
        let (feed, _fed) = tokio::sync::mpsc::channel(1);
        let zone = crate::node::zone();
        match live::open(&site.config, &site.store, zone, feed, 0).await {
            Ok(_) => panic!("it opens"),
            Err(e) => e.to_string(),
        }
    };
    for (ca, part) in [(text(&empty), "no certificate in it"), ("/nowhere".to_owned(), "No such")] {
        site.config.redis.tls_ca = ca;
        let message = refused(&site).await;
        assert!(message.starts_with("redis.tls_ca ") && message.contains(part), "{message}");
    }
    site.config.redis.urls = vec!["redis://:secret@127.0.0.1:1".to_owned()];
    let message = refused(&site).await;
    assert!(message.contains("write rediss://") && !message.contains("secret"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_one_side_only_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    let (server, address) = ours.server();
    let plain_port = server.url().replace("redis://", "rediss://");
    for (url, hint) in [
        (plain_port, "begin the URL with redis://"),
        (format!("redis://{address}"), "begin the URL with rediss://"),
    ] {
        let mut site = Site::new(vec![url.clone()]).await;
        if url.starts_with("rediss") {
            site.config.redis.tls_ca = text(&ours.ca);
        }
        let node = site.node().await;
        node.seal(1);
        let error = node.apply(1).await.unwrap_err();
        assert!(error.message.contains(hint), "{url}: {error}");
    }
}
