//! Webhooks of Shopify and Stripe, and which arrival of an order counts: one that came by a webhook, by the
//! shop's server, or from a page whose key everybody can read.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{
    client::{Answer, Request},
    server::Server,
};

const SOURCES: &str = "[[source]]\nname = 'web'\nkey = 'w'\npublic = true\n\
     [[source]]\nname = 'back-end'\nkey = 'b'\n\
     [[source]]\nname = 'shop'\nwebhook = 'shopify'\nsecret = ['old', 'new']\n\
     [[source]]\nname = 'payments'\nwebhook = 'stripe'\nsecret = 'whsec_1'\n";

fn hmac(secret: &str, message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = server.request("POST", path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(body.as_bytes()).send().expect("the server answers")
}

/// A webhook of Shopify; `delivery` is the id of its event.
fn shopify(server: &Server, secret: &str, topic: &str, delivery: &str, object: &Value) -> u16 {
    let body = object.to_string();
    let signature = of_shopify(secret, body.as_bytes());
    let headers = [
        ("X-Shopify-Topic", topic),
        ("X-Shopify-Event-Id", delivery),
        ("X-Shopify-Hmac-Sha256", &signature),
    ];
    post(server, "/v1/webhooks/shopify", &headers, &body).status
}

/// A webhook of Stripe, signed so many seconds ago.
pub fn stripe(server: &Server, secret: &str, ago: i64, event: &Value) -> u16 {
    let body = event.to_string();
    let header = of_stripe(secret, now_s() - ago, body.as_bytes());
    post(server, "/v1/webhooks/stripe", &[("Stripe-Signature", &header)], &body).status
}

fn of_shopify(secret: &str, body: &[u8]) -> String {
    BASE64.encode(hmac(secret, body))
}

fn of_stripe(secret: &str, at: i64, body: &[u8]) -> String {
    let tag = hmac(secret, &[format!("{at}.").as_bytes(), body].concat());
    let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={},v1={tag}", "0".repeat(64))
}

/// The request with the headers by which either vendor signs its body.
pub fn sign(request: Request, secret: &str) -> Request {
    let body = request.sent_body().to_vec();
    request
        .header("X-Shopify-Topic", "orders/paid")
        .header("X-Shopify-Hmac-Sha256", &of_shopify(secret, &body))
        .header("Stripe-Signature", &of_stripe(secret, now_s(), &body))
        .header("X-GitHub-Event", "deployment_status")
        .header("X-Hub-Signature-256", &of_github(secret, &body))
        .header("X-Gitlab-Token", secret)
}

/// As GitHub signs: `sha256=HEX` of the body.
pub fn of_github(secret: &str, body: &[u8]) -> String {
    let tag: String = hmac(secret, body).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={tag}")
}

fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs() as i64
}

fn order(id: u64, status: &str, changed: i64) -> Value {
    let at = |seconds| jiff::Timestamp::from_second(seconds).expect("near now").to_string();
    json!({"id": id, "name": format!("#{id}"), "total_price": "59.97", "currency": "USD",
           "financial_status": status, "created_at": at(now_s() - 5), "updated_at": at(changed),
           "email": "jon@example.com", "customer": {"id": 7},
           "line_items": [{"quantity": 3}]})
}

fn charge(id: &str, order: &str, cents: i64) -> Value {
    json!({"id": format!("evt_{id}"), "type": "charge.succeeded", "created": now_s(), "data":
        {"object": {"object": "charge", "id": id, "amount": cents, "currency": "usd", "created": now_s(),
                    "status": "succeeded", "metadata": {"order_id": order}}}})
}

/// A purchase in the native format.
fn purchase(server: &Server, key: &str, id: &str, amount: f64) -> Value {
    let event = json!({"type": "purchase", "id": id, "properties": {"amount": amount}});
    post(server, "/v1/events", &[("X-Write-Key", key)], &event.to_string()).json()
}

fn revenue_is(server: &Server, revenue: f64, purchases: u64) {
    server.until(&format!("revenue is {revenue}"), |server| {
        let current = server.current();
        current["revenue"] == json!(revenue) && current["counts"]["purchase"] == json!(purchases)
    });
}

/// The table of orders: source, kind, id, order, total, status.
fn orders(server: &Server) -> Vec<[String; 6]> {
    let database = server.database();
    let sql = "SELECT source, kind, id, order_id, total, status FROM orders ORDER BY 1, 2, 3";
    let mut select = database.prepare(sql).unwrap();
    let rows = select.query_map([], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?])
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_webhook_is_taken_once_and_only_with_its_signature() {
    let server = Server::with_config(SOURCES);
    let paid = order(1001, "paid", now_s());
    assert_eq!(shopify(&server, "wrong", "orders/paid", "e1", &paid), 401);
    assert_eq!(
        post(&server, "/v1/webhooks/shopify", &[("X-Shopify-Topic", "orders/paid")], "{}").status,
        401
    );
    assert_eq!(post(&server, "/v1/webhooks/stripe", &[], "{}").status, 401);
    // A write key is no signature.
    let with_key = [("X-Shopify-Topic", "orders/paid"), ("X-Write-Key", "b")];
    assert_eq!(post(&server, "/v1/webhooks/shopify", &with_key, &paid.to_string()).status, 401);
    for secret in ["old", "new", "new"] {
        assert_eq!(shopify(&server, secret, "orders/paid", "e1", &paid), 200);
    }
    assert_eq!(
        shopify(&server, "new", "orders/create", "e2", &order(1001, "pending", now_s() - 9)),
        200
    );
    assert_eq!(stripe(&server, "whsec_2", 0, &charge("ch_1", "1001", 5997)), 401);
    assert_eq!(stripe(&server, "whsec_1", 400, &charge("ch_1", "1001", 5997)), 401);
    for _ in 0..2 {
        assert_eq!(stripe(&server, "whsec_1", 100, &charge("ch_1", "1001", 5997)), 200);
    }
    revenue_is(&server, 59.97, 1);
    server.until("all are stored", |server| server.count("events") == 5);
    let counts = server.current()["counts"].clone();
    assert_eq!(counts["purchase.reported"], 1, "a charge counts only where it is chosen: {counts}");
    let expected = [
        ["payments", "order", "ch_1", "1001", "59.97", "succeeded"],
        ["shop", "order", "1001", "1001", "59.97", "paid"],
    ];
    assert_eq!(orders(&server), expected.map(|order| order.map(str::to_owned)));
}

#[test]
fn an_order_that_can_not_be_counted_is_a_dead_letter_and_not_sent_again() {
    let server = Server::with_config(SOURCES);
    let mut broken = order(5, "paid", now_s());
    broken["total_price"] = json!("a lot");
    assert_eq!(shopify(&server, "new", "orders/paid", "e1", &broken), 200);
    server.until("it is kept", |server| {
        let groups = server.get("/api/analytics/dead-letters")["groups"].clone();
        groups[0]["code"] == "invalid_amount" && groups[0]["source"] == "shop"
    });
}

#[test]
fn a_key_of_a_page_can_not_take_an_id_from_the_shop() {
    let server = Server::with_config(SOURCES);
    assert_eq!(purchase(&server, "w", "order:1001", 0.01)["accepted"], 1);
    assert_eq!(purchase(&server, "w", "order:1001", 0.01)["duplicates"], 1);
    assert_eq!(purchase(&server, "b", "order:1001", 20.0)["accepted"], 1);
    assert_eq!(purchase(&server, "b", "order:1001", 20.0)["duplicates"], 1);
    assert_eq!(shopify(&server, "new", "orders/paid", "e1", &order(1001, "paid", now_s())), 200);
    // What the shop has sent is not taken once more from a page.
    assert_eq!(shopify(&server, "new", "orders/paid", "e2", &order(1002, "paid", now_s())), 200);
    assert_eq!(purchase(&server, "w", "order:1002", 59.97)["duplicates"], 1);
    revenue_is(&server, 0.01 + 20.0 + 59.97, 3);
}

#[test]
fn the_revenue_source_decides_which_arrival_of_an_order_counts() {
    let config = format!("{SOURCES}revenue = true\n");
    let server = Server::with_config(&config);
    let from_page = purchase(&server, "w", "order:1001", 59.97);
    assert_eq!(
        (&from_page["accepted"], &from_page["notes"][0]["code"]),
        (&json!(1), &json!("not_revenue_source"))
    );
    assert_eq!(purchase(&server, "b", "order:1001", 59.97)["accepted"], 1);
    assert_eq!(shopify(&server, "new", "orders/paid", "e1", &order(1001, "paid", now_s())), 200);
    for _ in 0..2 {
        assert_eq!(stripe(&server, "whsec_1", 0, &charge("ch_1", "1001", 5997)), 200);
    }
    // Who comes later changes nothing.
    assert_eq!(stripe(&server, "whsec_1", 0, &charge("ch_2", "1002", 1000)), 200);
    assert_eq!(purchase(&server, "w", "order:1002", 10.0)["accepted"], 1);
    revenue_is(&server, 69.97, 2);
    let counts = server.current()["counts"].clone();
    assert_eq!(counts["purchase.reported"], 3, "the shop told 1001 twice: {counts}");
    server.until("every order of a webhook is in the table", |server| orders(server).len() == 3);
}

#[test]
fn ids_of_orders_are_known_after_a_restart_when_those_of_other_events_are_not() {
    let config = format!("{SOURCES}[dedupe]\nwindow_s = 1\n[spool]\ncursor_interval_ms = 100\n");
    let mut server = Server::with_config(&config);
    let view = |server: &Server| {
        let event = json!({"type": "page_view", "id": "v"});
        post(server, "/v1/events", &[("X-Write-Key", "b")], &event.to_string()).json()
    };
    assert_eq!(purchase(&server, "b", "order:1", 1.0)["accepted"], 1);
    assert_eq!(purchase(&server, "w", "order:2", 1.0)["accepted"], 1);
    assert_eq!(view(&server)["accepted"], 1);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(view(&server)["accepted"], 1, "its window is over");
    server.restart();
    assert_eq!(purchase(&server, "b", "order:1", 1.0)["duplicates"], 1);
    assert_eq!(purchase(&server, "w", "order:2", 1.0)["duplicates"], 1);
    server.until("the window is told", |server| {
        server.has_metric("floodmark_dedupe_long_window_seconds 345600")
    });
}
