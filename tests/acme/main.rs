//! A server that gets its certificate by itself, from a real authority: Pebble, which Let's Encrypt made
//! for tests. Its names lead here by a DNS server of the test's own.
//!
//! Only in a build with the feature: `cargo nextest run --features acme --test acme`.

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use support::{
    certificate::{self, TlsConnection},
    port::Port,
    program::wait_until,
    server::Server,
};
use tempfile::TempDir;
use x509_cert::{Certificate, der::Decode};

const NAME: &str = "shop.example";

/// Processes of the test, which end with it.
struct Authority {
    children: Vec<Child>,
    directory: String,
    certificate: String,
    /// The port that the authority connects to, in place of 443.
    challenge: Port,
    /// Its own ports, which nobody else takes meanwhile.
    _ports: [Port; 3],
}

impl Authority {
    fn start(dir: &Path) -> Authority {
        let ports = [(); 3].map(|()| Port::free());
        let [directory, management, http] = ports.each_ref().map(Port::number);
        // The mark of a [`Port`] is its UDP port, which the DNS server needs.
        let dns = Port::free().number();
        let challenge = Port::free();
        let (cert, key) = (dir.join("pebble.crt"), dir.join("pebble.key"));
        certificate::make_leaf(&cert, &key);
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{directory}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": cert, "privateKey": key,
            "httpPort": http, "tlsPort": challenge.number(),
        }});
        let file = dir.join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let start = |program: &str, arguments: &[&str]| {
            Command::new("setpriv")
                .args(["--pdeathsig", "KILL", program])
                .args(arguments)
                // It would wait, and refuse some requests, to test its clients.
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|e| panic!("{program} (apt-get install pebble): {e}"))
        };
        let dns_address = format!("127.0.0.1:{dns}");
        let nothing = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
        let names = ["-dns01", &dns_address, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""];
        let no_management = ["-management", &format!("127.0.0.1:{}", Port::free().number())];
        let of_names = [&nothing[..], &names, &no_management].concat();
        let children = vec![
            start("pebble-challtestsrv", &of_names),
            start("pebble", &["-config", file.to_str().unwrap(), "-dnsserver", &dns_address]),
        ];
        Authority {
            children,
            directory: format!("https://127.0.0.1:{directory}/dir"),
            certificate: cert.to_str().unwrap().to_owned(),
            challenge,
            _ports: ports,
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Who has issued the certificate of the server, and for which key; `None` while it has none.
fn issued(server: &Server) -> Option<(String, Vec<u8>)> {
    let connection = TlsConnection::open(server.addr()).ok()?;
    let bytes = connection.certificate();
    let parsed = Certificate::from_der(&bytes).expect("a certificate");
    Some((parsed.tbs_certificate.issuer.to_string(), bytes.to_vec()))
}

#[test]
fn a_certificate_is_got_from_an_authority_and_kept() {
    let dir = TempDir::new().unwrap();
    let mut authority = Authority::start(dir.path());
    let data = dir.path().join("data");
    let listen = format!("127.0.0.1:{}", authority.challenge.number());
    let args = ["serve", "--listen", &listen, "--data-dir", data.to_str().unwrap()];
    let variables = [
        ("FLOODMARK_TLS__ACME_DOMAINS", NAME),
        ("FLOODMARK_TLS__ACME_CONTACT", "operator@shop.example"),
        ("FLOODMARK_TLS__ACME_DIRECTORY", &authority.directory),
        ("FLOODMARK_TLS__ACME_CA", &authority.certificate),
        ("FLOODMARK_HTTP__ALLOWED_HOSTS", NAME),
    ];
    let mut server = Server::spawn(&args, &variables);
    wait_until("the authority has issued a certificate", || match issued(&server) {
        Some((issuer, _)) if issuer.contains("Pebble") => Ok(()),
        other => Err(other.map(|(issuer, _)| issuer)),
    });
    let mut connection = TlsConnection::open(server.addr()).unwrap();
    let answer = connection.ask(&format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // It is there at once after a restart, also where the authority is away.
    let (_, before) = issued(&server).unwrap();
    for child in &mut authority.children {
        child.kill().unwrap();
    }
    server.restart();
    wait_until("the kept one is used", || match issued(&server) {
        Some((_, now)) if now == before => Ok(()),
        other => Err(other.map(|(issuer, _)| issuer)),
    });
}
