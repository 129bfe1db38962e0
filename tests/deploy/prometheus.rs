//! A real Prometheus that scrapes one server each second.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::support::{
    client::Request,
    port::Port,
    process::{command, find, folder, wait_until},
};

/// The repository's own files for Prometheus and Grafana.
pub fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

pub struct Prometheus {
    folder: PathBuf,
    port: Port,
    server: Child,
}

impl Prometheus {
    /// Starts it on the rules of the repository. `target` is scraped with this token.
    pub fn start(target: SocketAddr, token: &str) -> Prometheus {
        let folder = folder("prom");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("token", token);
        let rules = std::fs::read_to_string(deploy("prometheus/floodmark.rules.yml")).unwrap();
        write("floodmark.rules.yml", &rules);
        // The file that we ship, with another pace, place and target.
        let config = std::fs::read_to_string(deploy("prometheus/prometheus.yml")).unwrap();
        let token = folder.join("token").display().to_string();
        write(
            "prometheus.yml",
            &config
                .replace("interval: 10s", "interval: 1s")
                .replace("/run/secrets/viewer_token", &token)
                .replace("floodmark:8080", &target.to_string()),
        );
        let port = Port::free();
        let log = File::create(folder.join("log")).unwrap();
        let server = command(find("prometheus", &[], "apt-get install prometheus"))
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv (util-linux) starts Prometheus");
        let mut prometheus = Prometheus { folder, port, server };
        wait_until("Prometheus is ready", || {
            if let Ok(Some(status)) = prometheus.server.try_wait() {
                panic!("Prometheus ended with {status}: {}", prometheus.log());
            }
            let asked = Request::get(prometheus.addr(), "/-/ready").send();
            asked.is_ok_and(|answer| answer.status == 200)
        });
        prometheus
    }

    fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port.number()).into()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Asks a query now. The samples of the answer; panics where it is no query.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let body = format!("query={}", encoded(query));
        let request = Request::post(self.addr(), "/api/v1/query", body)
            .header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.send().expect("Prometheus answers").json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().expect("a vector").clone()
    }

    /// `GET` of a path of its API, as JSON.
    pub fn get(&self, path: &str) -> Value {
        Request::get(self.addr(), path).send().expect("Prometheus answers").json()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Percent-encodes all but letters and digits.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
