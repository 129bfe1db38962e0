//! Whoever may not see money gets no digit of it, whatever they ask for and however they ask.

use std::{collections::BTreeSet, hash::BuildHasher};

use serde_json::{Value, json};

use super::{browser::open_link, command, get, soon, until_known};
use crate::{
    openapi::document::Document,
    stream::deflate::{EXTENSIONS, OFFER, inflate, text_message, watching},
    support::{
        client::{Answer, Received, WebSocket},
        server::Server,
        viewer::{frame, upgrade},
    },
};

const CONFIG: &str = r#"
currency = "USD"

[rates]
EUR = "1.1"

[[metric]]
name = "refund_share"
kind = "ratio"
of = "refunds"
per = "revenue"

[[metric]]
name = "worth"
kind = "sum"
event = "purchase"
property = "worth"
money = true

[[metric]]
name = "bare"
kind = "sum"
event = "*"
property = "cart_total"

[[breakdown]]
event = "purchase"
property = "amount"

[[breakdown]]
event = "purchase"
property = "plan"

[[alert]]
name = "takings"
title = "Takings over 7654321.1234"
metric = "revenue"
window = "1m"
above = 1000.5
for = "1s"

[[alert]]
name = "orders"
title = "Orders"
metric = "purchases"
window = "1m"
above = 1
for = "1s"
explain = ["purchase/amount", "purchase/plan"]
"#;

/// The metrics that show money, and those that don't.
const MONEY: &[&str] =
    &["revenue", "refunds", "net_revenue", "average_order_value", "refund_share", "worth", "bare"];

/// Amounts with four decimals and at least eleven digits: no other number on the way looks like one.
struct Amounts {
    state: std::hash::RandomState,
    next: u64,
}

impl Amounts {
    fn next(&mut self) -> String {
        self.next += 1;
        let random = self.state.hash_one(self.next);
        let (whole, rest) = (1_000_000 + random % 9_000_000, random / 9_000_000 % 10_000);
        // No zero at the end, which would be left out where the amount is shown.
        format!("{whole}.{:03}{}", rest / 10, 1 + rest % 9)
    }
}

/// Somebody who reads.
struct Reader<'a> {
    server: &'a Server,
    header: (String, String),
}

impl Reader<'_> {
    fn get(&self, path: &str) -> Answer {
        let request = self.server.request("GET", path).header(&self.header.0, &self.header.1);
        request.send().expect("the server answers")
    }

    fn watch(&self, query: &str) -> WebSocket {
        let path = format!("/api/analytics/stream{query}");
        let headers = [self.header.clone()];
        WebSocket::open(self.server.addr(), &path, &headers).expect("a stream")
    }

    /// The next frames as deflated messages, read again.
    fn deflated(&self, n: usize) -> Vec<Value> {
        let handshake = upgrade(self.server.addr()).header(EXTENSIONS, OFFER);
        let handshake = handshake.header(&self.header.0, &self.header.1);
        let (mut connection, taken) = watching(self.server.addr(), &handshake);
        assert!(taken.is_some());
        let frames = (0..n).map(|_| text_message(&mut connection));
        frames
            .map(|(bytes, is_deflated)| match is_deflated {
                true => inflate(&bytes),
                false => serde_json::from_slice(&bytes).expect("JSON"),
            })
            .collect()
    }
}

/// Everything in an answer that is a number or has one in it, as text.
fn numbers(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Number(number) => {
            found.insert(number.to_string());
        }
        Value::String(text) => {
            let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
            found.extend(words.map(|word| word.trim_matches('.').to_owned()));
        }
        Value::Array(all) => all.iter().for_each(|value| numbers(value, found)),
        Value::Object(all) => all.values().for_each(|value| numbers(value, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The amounts of money that somebody sees who sees everything.
fn money_seen(full: &Reader<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let current = full.get("/api/analytics/current").json();
    numbers(&current["revenue"], &mut found);
    numbers(&current["currencies"], &mut found);
    MONEY.iter().for_each(|name| numbers(&current["metrics"][name], &mut found));
    for name in MONEY {
        let path = format!("/api/analytics/timeseries?metric={name}&hours=0.1");
        let points = full.get(&path).json();
        points.as_array().unwrap().iter().for_each(|point| numbers(&point["count"], &mut found));
    }
    let amounts = full.get("/api/analytics/breakdown?type=purchase&property=amount").json();
    amounts.as_array().unwrap().iter().for_each(|entry| numbers(&entry["value"], &mut found));
    let alerts = full.get("/api/analytics/alerts").json();
    for alert in alerts["firing"].as_array().unwrap().iter().filter(|it| it["name"] == "takings") {
        for field in ["title", "value", "threshold", "baseline", "volume", "summary"] {
            numbers(&alert[field], &mut found);
        }
    }
    // What has few digits may stand anywhere by chance.
    found.retain(|text| text.contains('.') && text.len() >= 6);
    found
}

/// The amounts of these that are in a text, as they are or without the point.
fn told<'a>(text: &str, money: &'a BTreeSet<String>) -> Vec<&'a String> {
    let is_in = |amount: &&String| {
        let digits = amount.replace('.', "");
        text.contains(amount.as_str()) || (digits.len() >= 11 && text.contains(&digits))
    };
    money.iter().filter(is_in).collect()
}

fn name_of(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Waits until the server knows everybody, and lets in nobody else: while it is open, a token counts for
/// nothing.
fn closed(server: &Server, data: &std::path::Path) {
    soon("nobody reads unknown", || get(server, "/api/analytics/current", "") == 401);
    until_known(server, data);
}

/// Sends an order and a refund, and returns their amounts.
fn sell(server: &Server, key: &str, amounts: &mut Amounts) -> BTreeSet<String> {
    let new: Vec<String> = (0..4).map(|_| amounts.next()).collect();
    let body = format!(
        r#"[{{"type":"purchase","sessionId":"s","properties":
             {{"amount":{},"worth":{},"cart_total":{},"currency":"EUR","plan":"pro"}}}},
            {{"type":"refund","properties":{{"amount":{}}}}}]"#,
        new[0], new[1], new[2], new[3]
    );
    let request = server.request("POST", "/v1/events").header("X-Write-Key", key).body(body);
    let answer = request.send().expect("the server answers");
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)), "{answer:?}");
    new.into_iter().collect()
}

/// Everything that viewers may ask for, with queries for money too.
fn paths() -> Vec<String> {
    let operations = Document::load().operations();
    let reads = operations.iter().filter(|it| it.method == "GET" && it.is_of_viewers());
    let mut paths: Vec<String> = reads
        .filter(|operation| !operation.path.ends_with("/stream"))
        .map(|operation| operation.target("one"))
        .collect();
    assert!(paths.len() > 6);
    paths.extend(["/", "/readyz", "/openapi.json"].map(str::to_owned));
    for name in MONEY.iter().chain(&["purchases", "conversion"]) {
        paths.push(format!("/api/analytics/timeseries?metric={name}&hours=0.1"));
        paths.push(format!("/api/analytics/timeseries?metric={name}&hours=1&baseline=yesterday"));
    }
    for property in ["amount", "plan", "nothing"] {
        paths.push(format!("/api/analytics/breakdown?type=purchase&property={property}"));
    }
    paths
}

/// Frames that a reader gets who began with `first`: deflated ones, those of a resumed stream, and those of
/// one that wants to go on from where somebody with money is.
fn further_frames(reader: &Reader<'_>, full: &Reader<'_>, first: &Value) -> Vec<Value> {
    let mut frames = reader.deflated(3);
    let resume = |of: &Value| format!("?resume={}:{}", of["epoch"].as_str().unwrap(), of["seq"]);
    let mut back = reader.watch(&resume(first));
    frames.extend((0..12).map(|_| frame(&mut back)));
    assert!(frames[3..].iter().all(|it| it["type"] == "delta"), "it goes on");
    let others = frame(&mut full.watch(""));
    let crossed = frame(&mut reader.watch(&resume(&others)));
    assert_eq!(crossed["type"], "snapshot", "nobody goes on from frames with money");
    frames.push(crossed);
    frames
}

#[test]
fn no_digit_of_an_amount_reaches_who_may_not_see_money() {
    let server = Server::with_config(CONFIG);
    let data = server.data();
    let key = command(&data, &["keys", "add", "shop"]);
    let full = command(&data, &["tokens", "add", "full"]);
    let token = command(&data, &["tokens", "add", "blind", "--hide-money"]);
    let link = command(&data, &["links", "add", "tv", "--hide-money"]);
    closed(&server, &data);
    let link = open_link(&server, link.split_once("#link=").unwrap().1, None).unwrap();
    let bearer = |token: &str| ("Authorization".to_owned(), format!("Bearer {token}"));
    let reader = |header: (String, String)| Reader { server: &server, header };
    let full = reader(bearer(&full));
    let blind = [reader(bearer(&token)), reader(("Cookie".to_owned(), link.cookie))];

    let mut amounts = Amounts { state: Default::default(), next: 0 };
    let mut money = BTreeSet::from(["7654321.1234".to_owned()]);
    let mut texts: Vec<String> = Vec::new();
    let mut streams: Vec<WebSocket> = blind.iter().map(|reader| reader.watch("")).collect();
    let mut seen: Vec<Vec<Value>> = streams.iter_mut().map(|stream| vec![frame(stream)]).collect();
    for round in 1..=12 {
        money.extend(sell(&server, &key, &mut amounts));
        soon("it is counted", || {
            full.get("/api/analytics/current").json()["purchases"] == json!(round)
        });
        money.extend(money_seen(&full));
        for (stream, frames) in streams.iter_mut().zip(&mut seen) {
            let mut has_it = false;
            while !has_it {
                let next = frame(stream);
                has_it = next["counts"]["purchase"] == 1 || next["type"] == "snapshot";
                frames.push(next);
            }
        }
    }
    soon("both alerts fire", || {
        let alerts = full.get("/api/analytics/alerts").json();
        alerts["firing"].as_array().is_some_and(|firing| firing.len() == 2)
    });
    money.extend(money_seen(&full));
    assert!(money.len() > 100, "{money:?}");

    for (reader, frames) in blind.iter().zip(&mut seen) {
        for path in paths() {
            let answer = reader.get(&path);
            texts.push(format!("{path} {:?} {}", answer.headers, answer.text()));
        }
        frames.extend(further_frames(reader, &full, &frames[0].clone()));
        assert!(frames.iter().any(|it| it["alerts"]["firing"][1].is_object()), "both alerts");
        assert!(frames.iter().all(|it| it["revenue"] == 0 && it["hidden"] == json!(["revenue"])));
        texts.extend(frames.iter().map(Value::to_string));
    }
    for text in &texts {
        assert_eq!(told(text, &money), Vec::<&String>::new(), "in {}", name_of(text));
    }
    // The same search finds what is there: in the frames and answers of who sees everything.
    let snapshot = frame(&mut full.watch("")).to_string();
    assert!(told(&snapshot, &money).len() > 5);
    assert!(!told(full.get("/api/analytics/alerts").text(), &money).is_empty());
}

#[test]
fn all_else_is_shown_and_what_is_hidden_is_named() {
    let server = Server::with_config(CONFIG);
    let data = server.data();
    let key = command(&data, &["keys", "add", "shop"]);
    let full = command(&data, &["tokens", "add", "full"]);
    let token = command(&data, &["tokens", "add", "blind", "--hide-money"]);
    closed(&server, &data);
    let bearer = |token: &str| ("Authorization".to_owned(), format!("Bearer {token}"));
    let full = Reader { server: &server, header: bearer(&full) };
    let blind = Reader { server: &server, header: bearer(&token) };
    let mut amounts = Amounts { state: Default::default(), next: 0 };
    sell(&server, &key, &mut amounts);
    sell(&server, &key, &mut amounts);
    let current = |reader: &Reader<'_>| reader.get("/api/analytics/current").json();
    soon("both are counted", || current(&full)["purchases"] == 2);
    // Visitors are counted once a second, so one of two answers may know more than the other.
    soon("all else is the same", || {
        let (mut all, mut veiled) = (current(&full), current(&blind));
        let hidden = veiled.as_object_mut().unwrap().remove("hidden").expect("it is named");
        assert_eq!(hidden, json!(MONEY));
        all["timestamp"] = veiled["timestamp"].clone();
        for name in MONEY {
            assert!(all["metrics"][name].is_number(), "{name}");
            all["metrics"][name] = Value::Null;
        }
        all["revenue"] = json!(0);
        all["currencies"] = json!({});
        veiled == all
    });
    let metrics = blind.get("/api/analytics/metrics").json();
    assert_eq!(metrics["hidden"], json!(MONEY));
    let names = |list: &str, key: &str| -> Vec<String> {
        let all = metrics[list].as_array().unwrap().iter();
        all.map(|it| it[key].as_str().unwrap().to_owned()).collect()
    };
    assert!(names("metrics", "name").iter().all(|name| !MONEY.contains(&name.as_str())));
    let properties = names("breakdowns", "property");
    assert!(properties.contains(&"plan".into()) && !properties.contains(&"amount".into()));
    assert!(!metrics["breakdowns"].to_string().contains("sums"), "revenue is the only one");
    for (path, status) in [
        ("timeseries?metric=purchases", 200),
        ("timeseries?metric=averageOrderValue", 403),
        ("timeseries?type=purchase", 200),
        ("breakdown?type=purchase&property=plan", 200),
        ("breakdown?type=purchase&property=amount", 403),
        ("breakdown?type=purchase&property=country&metric=revenue", 403),
    ] {
        let answer = blind.get(&format!("/api/analytics/{path}"));
        assert_eq!(answer.status, status, "{path}");
        if status == 403 {
            assert_eq!(answer.json()["error"]["code"], "hidden");
        }
    }
    soon("both alerts fire", || {
        let alerts = blind.get("/api/analytics/alerts").json();
        alerts["firing"].as_array().is_some_and(|firing| firing.len() == 2)
    });
    let alerts = blind.get("/api/analytics/alerts").json();
    let of = |name: &str| {
        let firing = alerts["firing"].as_array().unwrap().iter();
        firing.clone().find(|it| it["name"] == name).unwrap().clone()
    };
    let (takings, orders) = (of("takings"), of("orders"));
    assert_eq!((&takings["title"], &takings["value"]), (&json!("takings"), &json!(0.0)));
    assert_eq!((&takings["summary"], &takings["hidden"][0]), (&json!(""), &json!("title")));
    assert_eq!((&orders["title"], &orders["value"]), (&json!("Orders"), &json!(2.0)));
    let causes = orders["explains"].as_array().unwrap();
    assert!(!causes.is_empty() && causes.iter().all(|it| it["property"] == "plan"), "{orders}");
    assert!(orders["summary"].as_str().unwrap().contains("plan=pro"));
}

/// Who may see money from now on, or no longer, comes back to other frames.
#[test]
fn a_stream_ends_when_what_may_be_seen_changes() {
    let server = Server::start();
    let data = server.data();
    command(&data, &["users", "add", "root", "--role", "admin"]);
    let admin = command(&data, &["tokens", "add", "admin", "--scope", "access"]);
    let password = command(&data, &["users", "add", "eve"]);
    closed(&server, &data);
    let eve = super::browser::sign_in(&server, "eve", &password).unwrap();
    let mut stream = eve.watch(&server).unwrap();
    let first = frame(&mut stream);
    assert_eq!(first.get("hidden"), None);
    let change = json!({"id": "eve", "role": "viewer", "hideMoney": true}).to_string();
    let request = server.request("POST", "/api/access/change");
    let request = request.header("Authorization", &format!("Bearer {admin}"));
    let answer = request.header("Content-Type", "application/json").body(change).send().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    loop {
        match stream.receive() {
            Received::Frame(_) => {}
            Received::Closed(code, reason) => {
                assert_eq!((code, reason.as_str()), (1008, "access has ended"));
                break;
            }
        }
    }
    let headers = [("Cookie".to_owned(), eve.cookie.clone())];
    let resume = format!("?resume={}:{}", first["epoch"].as_str().unwrap(), first["seq"]);
    let path = format!("/api/analytics/stream{resume}");
    let mut stream = WebSocket::open(server.addr(), &path, &headers).unwrap();
    let next = frame(&mut stream);
    assert_eq!((&next["type"], &next["hidden"]), (&json!("snapshot"), &json!(["revenue"])));
}
