//! Marks: made over HTTP and by the command, in every frame, and taken back.

use serde_json::{Value, json};

use floodmark::domain::time::{HOUR, MINUTE, now_ms};

use crate::{
    access::{command, soon},
    support::{
        client::{Answer, Request},
        program::floodmark_output,
        server::Server,
        viewer::{frame, watch},
    },
    webhooks::of_github,
};

pub fn mark(server: &Server, body: &Value) -> Answer {
    sent(server.request("POST", "/api/analytics/marks"), body)
}

fn sent(request: Request, body: &Value) -> Answer {
    let request = request.header("Content-Type", "application/json");
    request.body(body.to_string()).send().expect("the server answers")
}

/// The titles of the next frame that has marks.
fn next_titles(socket: &mut crate::support::client::WebSocket) -> Vec<String> {
    loop {
        if let Some(recent) = frame(socket)["marks"]["recent"].as_array() {
            return recent.iter().map(|it| it["title"].as_str().unwrap().to_owned()).collect();
        }
    }
}

#[test]
fn a_mark_is_listed_and_in_the_next_frame_until_it_is_taken_back() {
    let server = Server::start();
    let mut viewer = watch(&server, "");
    assert_eq!(next_titles(&mut viewer), [""; 0], "a snapshot says that there are none");
    let deploy = json!({"title": " deploy 4f2c ", "link": "https://ci.example/1"});
    let made = mark(&server, &deploy);
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!((&made["title"], &made["until"]), (&json!("deploy 4f2c"), &Value::Null));
    assert_eq!(made["source"], "anybody");
    assert_eq!(next_titles(&mut viewer), ["deploy 4f2c"]);
    assert_eq!(server.get("/api/analytics/marks"), json!([made]));

    // A stretch of an hour ago, by both ways to write a moment.
    let time = made["time"].as_i64().unwrap() - 3_600_000;
    let until = floodmark::domain::time::rfc3339(time + 60_000);
    let sale = json!({"title": "sale", "time": time, "until": until, "key": "sale"});
    assert_eq!(mark(&server, &sale).status, 201);
    let again = mark(&server, &sale);
    assert_eq!(again.status, 200, "the same key is the same mark");
    assert_eq!(
        (&again.json()["time"], &again.json()["until"]),
        (&json!(time), &json!(time + 60_000))
    );
    assert_eq!(next_titles(&mut viewer), ["deploy 4f2c", "sale"]);
    let before = format!("/api/analytics/marks?to={}&limit=1", time + 1);
    assert_eq!(server.get(&before), json!([again.json()]));

    let remove = |id: &str| {
        let target = format!("/api/analytics/marks?id={id}");
        server.request("DELETE", &target).send().expect("an answer").status
    };
    let id = made["id"].as_str().unwrap();
    assert_eq!((remove(id), remove(id), remove("a%00b")), (204, 404, 400));
    assert_eq!(next_titles(&mut viewer), ["sale"]);
    assert_eq!(server.get("/api/analytics/marks"), json!([again.json()]));
    for (body, word) in [
        (json!({"title": ""}), "title"),
        (json!({"title": "a", "time": "noon"}), "time"),
        (json!({"title": "a", "link": "javascript:x"}), "link"),
    ] {
        let refused = mark(&server, &body);
        assert_eq!(refused.status, 400);
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains(word));
    }
}

#[test]
fn the_command_marks_lists_and_takes_back() {
    let server = Server::start();
    let run = |args: &[&str]| {
        let output = floodmark_output(&[&["mark", "--server", &server.url()], args].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let args = ["deploy 4f2c", "--at", "2026-11-27T14:00:00Z", "--until", "2026-11-27T14:05:00Z"];
    let (code, marked, _) = run(&args);
    assert_eq!(code, Some(0));
    let id = marked.split("  ").next().unwrap().to_owned();
    let line = format!("{id}  2026-11-27T14:00:00Z to 2026-11-27T14:05:00Z  deploy 4f2c\n");
    assert_eq!((marked.as_str(), run(&["--list"]).1.as_str()), (line.as_str(), line.as_str()));
    assert_eq!(run(&["--remove", &id]).0, Some(0));
    let (code, _, why) = run(&["--remove", &id]);
    assert!(code == Some(1) && why.contains("there is no mark with this id"), "{why}");
    assert_eq!(run(&["--list"]).1, "");
    assert_eq!(run(&["a", "--list"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
}

#[test]
fn who_may_mark_is_named_by_the_mark() {
    let server = Server::start();
    let data = server.data();
    let add = |name: &str| command(&data, &["tokens", "add", name, "--scope", name]);
    let (numbers, marks) = (add("numbers"), add("marks"));
    let other = command(&data, &["tokens", "add", "other", "--scope", "marks,numbers"]);
    let post_keyed = |token: &str, key: Option<&str>| {
        let request = server.request("POST", "/api/analytics/marks");
        let body = json!({"title": "deploy", "link": "https://ci.example/1", "key": key});
        sent(request.header("X-Viewer-Token", token), &body)
    };
    let post = |token: &str| post_keyed(token, None);
    soon("the token is known", || post(&marks).status == 201);
    soon("nobody marks unknown", || post("wrong").status == 401);
    assert_eq!(post(&marks).json()["source"], "token marks");
    assert_eq!((post(&numbers).status, post("wrong").status), (403, 401));
    let list = server.request("GET", "/api/analytics/marks").header("X-Viewer-Token", &marks);
    assert_eq!(list.send().unwrap().status, 403, "who marks need not see numbers");
    soon("the other token is known", || post(&other).status == 201);

    // One maker's key is not another's, and a token takes back only what it has made.
    let first = post_keyed(&marks, Some("7"));
    assert_eq!((first.status, post_keyed(&marks, Some("7")).status), (201, 200));
    assert_eq!(post_keyed(&other, Some("7")).status, 201);
    let remove = |token: &str| {
        let target = format!("/api/analytics/marks?id={}", first.json()["id"].as_str().unwrap());
        let request = server.request("DELETE", &target).header("X-Viewer-Token", token);
        request.send().unwrap().status
    };
    assert_eq!((remove(&other), remove(&marks)), (404, 204));

    // Who only sees numbers is not told who made a mark, nor its link.
    let listed = |token: &str| {
        let list = server.request("GET", "/api/analytics/marks").header("X-Viewer-Token", token);
        list.send().unwrap().json()[0].clone()
    };
    let (seen, whole) = (listed(&numbers), listed(&other));
    assert_eq!(
        (&seen["title"], seen.get("source"), seen.get("link")),
        (&json!("deploy"), None, None)
    );
    assert_eq!(
        (&whole["source"], &whole["link"]),
        (&json!("token other"), &json!("https://ci.example/1"))
    );
    let mut viewer = watch(&server, &format!("?token={numbers}"));
    let recent = frame(&mut viewer)["marks"]["recent"].clone();
    assert_eq!(recent[0]["title"], "deploy", "{recent}");
    assert!(recent[0].get("source").is_none() && recent[0].get("link").is_none(), "{recent}");
}

#[test]
fn a_fall_since_a_mark_is_its_effect() {
    let server = Server::start();
    let mark_at = now_ms() - 2 * HOUR;
    // Of sixty views a minute six were orders, and three are since the mark.
    let minute = |at: i64| {
        let orders = if at < mark_at { 6 } else { 3 };
        let event = move |kind: &str, n: i64| {
            json!({"type": kind, "timestamp": at + n * 900, "sessionId": format!("{at}-{n}"),
                   "properties": {"amount": 10, "currency": "USD"}})
        };
        let views = (0..60).map(move |n| event("page_view", n));
        views.chain((0..orders).map(move |n| event("purchase", n))).collect::<Vec<Value>>()
    };
    let events: Vec<Value> =
        (-130..110).flat_map(|minutes| minute(mark_at + minutes * MINUTE)).collect();
    for part in events.chunks(5_000) {
        assert_eq!(server.post(Value::from(part.to_vec()).to_string()).status, 202);
    }
    assert_eq!(mark(&server, &json!({"title": "deploy", "time": mark_at})).status, 201);
    let effect = || server.get("/api/analytics/marks?effect=1")[0]["effect"].clone();
    server.until("all are counted", |server| {
        server
            .get_text("/metrics")
            .contains(&format!("floodmark_events_counted_total {}", events.len()))
    });
    let effect = effect();
    assert_eq!(effect["verdict"], "lower", "{effect}");
    let summary = effect["summary"].as_str().unwrap();
    assert!(summary.starts_with("purchases per page view -50 % since, "), "{summary}");
    let conversion = &effect["metrics"][0];
    assert_eq!(
        (&conversion["metric"], &conversion["per"]),
        (&json!("purchases"), &json!("page_views"))
    );
    assert!((conversion["value"].as_f64().unwrap() - 0.05).abs() < 0.002, "{conversion}");
    assert!((conversion["was"].as_f64().unwrap() - 0.1).abs() < 0.002, "{conversion}");
    let difference = conversion["difference"].as_f64().unwrap();
    assert!((-330.0..-270.0).contains(&difference), "{difference}");
    // No other day is known, so nobody knows how many orders there would have been.
    assert_eq!(effect["metrics"][2]["verdict"], "unknown");
    assert!(server.get("/api/analytics/marks")[0].get("effect").is_none(), "nobody has asked");
    assert_eq!(effect["metrics"][3]["metric"], "revenue");
    let lobby = command(&server.data(), &["tokens", "add", "lobby", "--hide-money"]);
    let seen = || {
        let request = server.request("GET", "/api/analytics/marks?effect=1");
        request.header("X-Viewer-Token", &lobby).send().expect("an answer")
    };
    soon("nobody reads unknown", || {
        server.request("GET", "/api/analytics/marks").send().unwrap().status == 401
    });
    let seen = seen().json();
    let names = seen[0]["effect"]["metrics"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|it| it["metric"].as_str().unwrap()).collect();
    assert_eq!(names, ["purchases", "checkout_error_rate", "purchases"], "no money");
}

#[test]
fn deployments_and_releases_of_github_and_gitlab_are_marks_once() {
    let server = Server::with_config(
        "[[source]]\nname = 'hub'\nwebhook = 'github'\nsecret = ['old', 'new']\n\
         [[source]]\nname = 'lab'\nwebhook = 'gitlab'\nsecret = 'token'\n",
    );
    let github = |event: &str, secret: &str, query: &str, body: &Value| {
        let text = body.to_string();
        let request = server.request("POST", &format!("/v1/webhooks/github{query}"));
        let request = request
            .header("X-GitHub-Event", event)
            .header("X-Hub-Signature-256", &of_github(secret, text.as_bytes()));
        sent(request, body)
    };
    let gitlab = |token: &str, body: &Value| {
        let request = server.request("POST", "/v1/webhooks/gitlab");
        sent(request.header("X-Gitlab-Token", token), body)
    };
    assert_eq!(github("ping", "new", "", &json!({"zen": "x"})).json(), json!({"mark": null}));
    let deployed = json!({"repository": {"full_name": "shop/web"},
        "deployment": {"id": 7, "sha": "4f2c1ab7d9", "environment": "production"},
        "deployment_status": {"state": "success", "created_at": "2026-11-20T14:00:00Z"}});
    let first = github("deployment_status", "old", "?environment=production", &deployed).json();
    assert_eq!(first["mark"]["title"], "deploy 4f2c1ab to production");
    assert_eq!(first["mark"]["source"], "github shop/web");
    assert_eq!(github("deployment_status", "new", "", &deployed).json(), first, "delivered again");
    let staging = github("deployment_status", "new", "?environment=staging", &deployed);
    assert_eq!((staging.status, staging.json()), (200, json!({"mark": null})));
    for refused in [
        github("deployment_status", "wrong", "", &deployed).status,
        gitlab("wrong", &deployed).status,
        gitlab("", &deployed).status,
        gitlab("old", &deployed).status,
    ] {
        assert_eq!(refused, 401);
    }
    let released = json!({"object_kind": "release", "action": "create", "id": 1, "tag": "v2",
        "released_at": "2026-11-20 15:00:00 +0100", "project": {"path_with_namespace": "shop/web"}});
    let second = gitlab("token", &released).json();
    assert_eq!(
        (&second["mark"]["title"], &second["mark"]["time"]),
        (&json!("release v2"), &first["mark"]["time"])
    );
    let listed = server.get("/api/analytics/marks");
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(server.current()["events"], 0, "no webhook of them is an event");
}
