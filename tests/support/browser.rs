//! A page in a real Chromium, which the test controls over the DevTools protocol.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    client::{Received, Request, WebSocket},
    program::{installed, wait_until},
};

/// The names under which Chromium is installed.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A page in a browser of its own; killed when dropped.
pub struct Page {
    browser: Child,
    devtools: WebSocket,
    calls: u64,
    _profile: TempDir,
}

impl Page {
    /// Opens a page. The browser takes any certificate, and reaches nothing but this machine: what a page
    /// asks of a vendor, nobody answers.
    pub fn open(url: &str) -> Page {
        let profile = TempDir::new().expect("a temporary folder");
        let mut command = installed(&CHROMIUM, "apt-get install chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--remote-debugging-port=0", "--ignore-certificate-errors"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost")
            // Without a window it calls itself HeadlessChrome, which is a bot. Its pages are those of people.
            .arg(
                "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36",
            )
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stderr(Stdio::piped());
        let mut browser = command.spawn().expect("setpriv starts it");
        let stderr = browser.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("DevTools listening on ws://"));
        let line = line.expect("Chromium starts and says where it listens");
        // This thread reads until the browser ends, since a full pipe would block it.
        thread::spawn(move || lines.for_each(drop));
        let addr = line.split("ws://").nth(1).and_then(|rest| rest.split('/').next());
        let addr: SocketAddr = addr.expect("an address").parse().expect("an address");
        let devtools = WebSocket::open(addr, &target(addr, url), &[]);
        let devtools = devtools.expect("DevTools takes a connection");
        Page { browser, devtools, calls: 0, _profile: profile }
    }

    /// The value of a JavaScript expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.calls += 1;
        let parameters = json!({"expression": expression, "returnByValue": true});
        let call = json!({"id": self.calls, "method": "Runtime.evaluate", "params": parameters});
        self.devtools.send(call.to_string());
        loop {
            match self.devtools.receive() {
                Received::Frame(answer) if answer["id"] == self.calls => {
                    return answer["result"]["result"]["value"].clone();
                }
                Received::Frame(_) => {}
                Received::Closed(code, reason) => panic!("DevTools closed: {code} {reason}"),
            }
        }
    }

    /// Waits until an expression has a value.
    pub fn wait_for(&mut self, expression: &str, expected: &Value) {
        wait_until(expression, || match self.evaluate(expression) {
            value if value == *expected => Ok(()),
            other => Err(other),
        });
    }
}

/// The path of the page's DevTools WebSocket, once the page exists.
fn target(addr: SocketAddr, url: &str) -> String {
    let mut path = String::new();
    wait_until("the page is open", || {
        let targets = Request::get(addr, "/json/list").send().expect("DevTools answers").json();
        let pages = targets.as_array().expect("a list");
        let page = pages.iter().find(|page| page["url"] == url).ok_or(targets.clone())?;
        let found = page["webSocketDebuggerUrl"].as_str().expect("a URL");
        path = found[found.find("/devtools").expect("a path")..].to_owned();
        Ok::<(), Value>(())
    });
    path
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
