//! Provokes what people are answered who sign in and who change who has access.

use serde_json::{Value, json};

use super::{
    document::Operation,
    provoked::{Provoked, server},
    ways::with,
};
use crate::{
    access::{self, browser},
    support::{client::Request, server::Server},
};

/// Who is known to the server of these tests.
struct Known {
    server: Server,
    /// A token that may change who has access.
    admin: String,
    /// A token that may not.
    other: String,
    /// A token that may mark.
    marks: String,
    /// The password of the user `alice`, and of her link `guest`.
    password: &'static str,
    /// The session of alice.
    cookie: String,
}

impl Known {
    fn new() -> Known {
        let server = server("http.body_timeout_ms = 300");
        let password = "correct horse battery";
        let add = |args: &[&str]| access::command_with(&server.data(), args, password).stdout;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim().to_owned();
        let admin = text(add(&["tokens", "add", "admin", "--scope", "access"]));
        let other = text(add(&["tokens", "add", "other", "--scope", "numbers"]));
        let marks = text(add(&["tokens", "add", "marks", "--scope", "marks"]));
        add(&["users", "add", "alice", "--role", "viewer", "--password-stdin"]);
        access::until_known(&server, &server.data());
        let cookie = browser::sign_in(&server, "alice", password).expect("signed in").cookie;
        Known { server, admin, other, marks, password, cookie }
    }

    /// A request with a body, of whoever may send it.
    fn request(&self, operation: &Operation, body: impl Into<Vec<u8>>) -> Request {
        let request = Request::new(self.server.addr(), &operation.method, &operation.path);
        let request = if operation.has_body() {
            request.header("Content-Type", "application/json").body(body)
        } else {
            request
        };
        self.by(operation, request)
    }

    fn by(&self, operation: &Operation, request: Request) -> Request {
        match operation.path.as_str() {
            path if path.starts_with("/api/login") => request,
            "/api/logout" | "/api/password" => request.header("Cookie", &self.cookie),
            _ if operation.marks() => request.header("X-Viewer-Token", &self.marks),
            _ => request.header("X-Viewer-Token", &self.admin),
        }
    }
}

/// Provokes every status and code of these operations.
pub fn provoke(provoked: &mut Provoked) {
    let known = Known::new();
    let operations = provoked.document.operations();
    let operations: Vec<&Operation> = operations.iter().filter(|it| it.is_of_access()).collect();
    for operation in &operations {
        unanswered(provoked, &known, operation);
    }
    let of = |path: &str| -> Operation {
        let found = operations.iter().find(|it| it.path == path);
        (*found.unwrap_or_else(|| panic!("{path} is not documented"))).clone()
    };
    made_and_changed(provoked, &known, &of);
    operated(provoked, &known, &of);
    marked(provoked, &known);
    signed_in(provoked, &known, &of);
}

/// What each of them refuses.
fn unanswered(provoked: &mut Provoked, known: &Known, operation: &Operation) {
    let server = &known.server;
    let elsewhere = known.request(operation, "{}").header("Host", "evil.example");
    provoked.send(server, operation, &elsewhere);
    if operation.is_of_viewers() {
        let stranger = Request::new(server.addr(), &operation.method, &operation.path);
        provoked.send(server, operation, &stranger);
        let others = Request::new(server.addr(), &operation.method, &operation.path);
        let others = others.header("X-Viewer-Token", &known.other);
        let of_access = operation.path.starts_with("/api/access");
        let needs_right = of_access || operation.is_of_admins() || operation.marks();
        if needs_right || operation.path == "/api/password" {
            let others = others.header("Content-Type", "application/json");
            let body = operation.example("one").map(|(_, value)| value.to_string());
            provoked.send(server, operation, &others.body(body.unwrap_or_default()));
        }
    }
    if !operation.has_body() {
        if operation.path == "/api/access/audit" {
            let twice = Request::get(server.addr(), "/api/access/audit?limit=1&limit=1");
            provoked.send(server, operation, &known.by(operation, twice));
        }
        let usual = known.request(operation, "");
        provoked.send(server, operation, &usual);
        return;
    }
    for body in [&b"{"[..], &[b' '; 17_000]] {
        provoked.send(server, operation, &known.request(operation, body));
    }
    let text = Request::new(server.addr(), &operation.method, &operation.path).body("{}");
    let text = known.by(operation, text.header("Content-Type", "text/xml"));
    provoked.send(server, operation, &text);
    let slow = known.request(operation, "{").header("Content-Length", "100");
    provoked.send(server, operation, &slow);
    // A token is no session, so no page of another site can have it sent along.
    let session = Request::new(server.addr(), &operation.method, &operation.path).body("{}");
    let session = session.header("Content-Type", "application/json");
    let elsewhere = with(session, &[("Cookie", &known.cookie), ("Origin", "https://evil.example")]);
    provoked.send(server, operation, &elsewhere);
}

fn made_and_changed(provoked: &mut Provoked, known: &Known, of: &dyn Fn(&str) -> Operation) {
    let server = &known.server;
    for path in ["keys", "users", "tokens", "links"].map(|kind| format!("/api/access/{kind}")) {
        let operation = of(&path);
        let (_, example) = operation.example("one").expect("an example");
        let schema = &operation.value["requestBody"]["content"]["application/json"]["schema"];
        let faults = provoked.document.violations(&path, schema, &example);
        assert!(faults.is_empty(), "{faults:?}");
        // The second time the name is taken.
        for _ in 0..2 {
            let request = known.request(&operation, example.to_string());
            provoked.send(server, &operation, &request);
        }
        let mut odd = example.clone();
        odd["name"] = json!("a b");
        provoked.send(server, &operation, &known.request(&operation, odd.to_string()));
    }
    let mut send = |path: &str, body: Value| {
        let operation = of(path);
        let answer =
            provoked.send(server, &operation, &known.request(&operation, body.to_string()));
        (answer.status, answer.json())
    };
    let admin = json!({"name": "root", "role": "admin"});
    let (status, root) = send("/api/access/users", admin);
    assert_eq!(status, 201);
    let id = &root["id"];
    assert_eq!(send("/api/access/change", json!({"id": id, "role": "viewer"})).0, 409);
    assert_eq!(send("/api/access/change", json!({"id": id, "logout": true})).0, 200);
    assert_eq!(send("/api/access/change", json!({"id": id})).0, 400);
    assert_eq!(send("/api/access/change", json!({"id": "nobody", "logout": true})).0, 404);
    assert_eq!(send("/api/access/revoke", json!({"kind": "user", "id": id})).0, 409);
    assert_eq!(send("/api/access/revoke", json!({"kind": "user", "id": "bob"})).0, 200);
    assert_eq!(send("/api/access/revoke", json!({"kind": "user", "id": "bob"})).0, 404);
}

fn operated(provoked: &mut Provoked, known: &Known, of: &dyn Fn(&str) -> Operation) {
    let mut send = |path: &str, body: Value| {
        let operation = of(path);
        let request = known.request(&operation, body.to_string());
        provoked.send(&known.server, &operation, &request).status
    };
    assert_eq!(send("/api/server/reload", json!({})), 200);
    assert_eq!(send("/api/server/log-level", json!({"level": "info"})), 200);
    assert_eq!(send("/api/server/log-level", json!({"level": "a = b"})), 400);
    std::fs::write(known.server.data().join("floodmark.toml"), "no such key = 1").expect("a file");
    assert_eq!(send("/api/server/reload", json!({})), 409);
}

/// A mark is made, is there already, breaks a rule, and is taken back.
fn marked(provoked: &mut Provoked, known: &Known) {
    let of = |method: &str, path: &str, provoked: &Provoked| {
        provoked.document.operation(method, path).expect("it is documented")
    };
    let make = of("POST", "/api/analytics/marks", provoked);
    let (_, example) = make.example("one").expect("an example");
    let mut ids = Vec::new();
    for body in [&example, &example, &json!({"title": ""})] {
        let request = known.request(&make, body.to_string());
        let answer = provoked.send(&known.server, &make, &request);
        ids.extend(answer.json()["id"].as_str().map(str::to_owned));
    }
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
    let remove = of("DELETE", "/api/analytics/marks", provoked);
    for expected in [204, 404] {
        let target = format!("/api/analytics/marks?id={}", ids[0]);
        let request = Request::new(known.server.addr(), "DELETE", &target);
        let answer = provoked.send(&known.server, &remove, &known.by(&remove, request));
        assert_eq!(answer.status, expected);
    }
    let twice = Request::new(known.server.addr(), "DELETE", "/api/analytics/marks?id=%zz&id=1");
    provoked.send(&known.server, &remove, &known.by(&remove, twice));
}

fn signed_in(provoked: &mut Provoked, known: &Known, of: &dyn Fn(&str) -> Operation) {
    let server = &known.server;
    let password = known.password;
    access::command_with(&server.data(), &["users", "add", "carol", "--password-stdin"], password);
    access::until_known(server, &server.data());
    let carol = browser::sign_in(server, "carol", password).expect("signed in");
    let operation = of("/api/password");
    let change = |old: &str, new: &str| json!({"old": old, "new": new});
    let request = Request::post(
        server.addr(),
        "/api/password",
        change(password, "another horse").to_string(),
    );
    let request =
        request.header("Content-Type", "application/json").header("Cookie", &carol.cookie);
    assert_eq!(provoked.send(server, &operation, &request).status, 200);
    let mut send = |path: &str, body: Value| {
        let operation = of(path);
        let answer =
            provoked.send(server, &operation, &known.request(&operation, body.to_string()));
        answer.status
    };
    assert_eq!(send("/api/login", json!({"user": "alice", "password": password})), 200);
    assert_eq!(send("/api/login", json!({"user": "alice", "password": "wrong"})), 401);
    let link = access::command_with(
        &server.data(),
        &["links", "add", "guest", "--password-stdin"],
        password,
    );
    let link = String::from_utf8(link.stdout).expect("text");
    let link = link.trim().split_once("#link=").expect("a link").1.to_owned();
    access::until_known(server, &server.data());
    assert_eq!(send("/api/login/link", json!({"link": link, "password": password})), 200);
    assert_eq!(send("/api/login/link", json!({"link": link})), 401);
    assert_eq!(send("/api/login/link", json!({"link": "fm_ln_x"})), 401);
    assert_eq!(send("/api/password", change(password, "short")), 400);
    assert_eq!(send("/api/password", change("wrong", "another horse battery")), 401);
    for path in ["/api/login", "/api/login/link", "/api/password"] {
        let wrong = match path {
            "/api/login" => json!({"user": "mallory", "password": "wrong"}),
            "/api/login/link" => json!({"link": link, "password": "wrong"}),
            _ => change("wrong", "another horse battery"),
        };
        let braked = (0..40).any(|_| send(path, wrong.clone()) == 429);
        assert!(braked, "{path} has no brake");
    }
    assert_eq!(send("/api/logout", json!({"everywhere": true})), 200);
}
