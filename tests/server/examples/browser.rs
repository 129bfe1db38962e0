//! Runs the pages in a real Chromium, which the test controls over the DevTools protocol.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::script::{example, program};
use crate::support::{
    client::{Received, Request, WebSocket},
    program::wait_until,
    server::Server,
};

/// The names under which Chromium is installed.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Serves `examples/` as a shop serves its pages.
fn pages() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    let mut request = BufReader::new(stream.try_clone()?);
    request.read_line(&mut line)?;
    let path = line.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches('/');
    let (status, page) = match std::fs::read(example(path)) {
        Ok(page) => ("200 OK", page),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = "Content-Type: text/html\r\nConnection: close";
    write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n", page.len())?;
    stream.write_all(&page)?;
    // The rest of the browser's request is read, since closing before would cut the answer off.
    stream.shutdown(std::net::Shutdown::Write)?;
    request.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A page in a browser of its own; killed when dropped.
struct Page {
    browser: Child,
    devtools: WebSocket,
    calls: u64,
    _profile: TempDir,
}

impl Page {
    fn open(url: &str) -> Page {
        let profile = TempDir::new().expect("a temporary folder");
        let mut command = program(&CHROMIUM, "apt-get install chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--remote-debugging-port=0"])
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
    fn evaluate(&mut self, expression: &str) -> Value {
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

    fn wait_for(&mut self, expression: &str, expected: &Value) {
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

#[test]
fn a_page_sends_also_while_it_closes() {
    let server = Server::start();
    let pages = pages();
    let url = format!("http://{pages}/send.html?floodmark={}", server.url());
    let mut page = Page::open(&url);
    server.until("the page view is counted", |server| server.current()["pageViews"] == 1);
    // The page throws an error that nothing catches, and sends an order just before the visitor
    // leaves.
    page.evaluate("setTimeout(() => { throw new Error('broken') })");
    server.until("the error is counted", |server| server.current()["errors"] == 1);
    page.evaluate("document.querySelector('#buy').click(); location.href = 'about:blank'");
    server.until("the order is counted", |server| server.current()["purchases"] == 1);
    assert_eq!(server.current()["revenue"].to_string(), "19.99");
    // Visitors are counted once a second, so they may follow the order by that much.
    server.until("all of it is one visit", |server| server.current()["activeUsers"] == 1);
}

#[test]
fn a_page_watches_and_comes_back() {
    let pages = pages();
    let config = format!("[stream]\nallowed_origins = [\"http://{pages}\"]\n");
    let mut server = Server::with_config(&config);
    let sell = |server: &Server| {
        let order = r#"{"type":"purchase","properties":{"amount":1234.5}}"#;
        Request::post(server.addr(), "/v1/events", order).send().expect("an answer");
    };
    let text = |id: &str| format!("document.getElementById('{id}').textContent");
    sell(&server);
    let mut page = Page::open(&format!("http://{pages}/watch.html?floodmark={}", server.url()));
    page.wait_for(&text("state"), &json!("live"));
    page.wait_for(&text("revenue"), &json!("1,234.50"));
    sell(&server);
    page.wait_for(&text("orders"), &json!("2"));
    server.restart();
    sell(&server);
    page.wait_for(&text("orders"), &json!("3"));
    page.wait_for(&text("revenue"), &json!("3,703.50"));
}
