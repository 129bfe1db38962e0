//! A browser, as far as signing in needs one: it keeps the cookie of its session and sends it along.

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Received, WebSocket},
    server::Server,
};

/// Somebody who is signed in.
pub struct Browser {
    pub cookie: String,
}

/// Signs in, or returns the refusal.
pub fn sign_in(server: &Server, user: &str, password: &str) -> Result<Browser, Answer> {
    enter(server, "/api/login", &json!({"user": user, "password": password}))
}

/// Opens a link, or returns the refusal.
pub fn open_link(server: &Server, link: &str, password: Option<&str>) -> Result<Browser, Answer> {
    enter(server, "/api/login/link", &json!({"link": link, "password": password}))
}

fn enter(server: &Server, path: &str, body: &Value) -> Result<Browser, Answer> {
    let request = server.request("POST", path).header("Content-Type", "application/json");
    let answer = request.body(body.to_string()).send().expect("the server answers");
    if answer.status != 200 {
        return Err(answer);
    }
    let cookie = answer.header("set-cookie").expect("a session");
    Ok(Browser { cookie: cookie.split(';').next().expect("a cookie").to_owned() })
}

impl Browser {
    pub fn get(&self, server: &Server, path: &str) -> Answer {
        let request = server.request("GET", path).header("Cookie", &self.cookie);
        request.send().expect("the server answers")
    }

    pub fn post(&self, server: &Server, path: &str, body: &Value) -> Answer {
        self.post_from(server, path, body, &server.url())
    }

    /// Posts as a page of this origin does.
    pub fn post_from(&self, server: &Server, path: &str, body: &Value, origin: &str) -> Answer {
        let request = server.request("POST", path).header("Cookie", &self.cookie);
        let request = request.header("Content-Type", "application/json").header("Origin", origin);
        request.body(body.to_string()).send().expect("the server answers")
    }

    pub fn watch(&self, server: &Server) -> Result<WebSocket, Answer> {
        let headers = [("Cookie".to_owned(), self.cookie.clone())];
        WebSocket::open(server.addr(), "/api/analytics/stream", &headers)
    }
}

/// Reads frames until the end, and returns how it came.
pub fn end_of(socket: &mut WebSocket) -> (u16, String) {
    loop {
        if let Received::Closed(code, reason) = socket.receive() {
            return (code, reason);
        }
    }
}
