//! Runs the pages in a real Chromium.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use serde_json::json;

use super::script::example;
use crate::support::{browser::Page, client::Request, server::Server};

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
