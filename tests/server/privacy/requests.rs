//! What visitors' browsers and the systems of a shop send: a request of each dialect, with an address and a mail.

use base64::{Engine, engine::general_purpose::URL_SAFE};
use serde_json::{Value, json};

/// The address that events name.
pub const ADDRESS: &str = "203.0.113.77";
/// The mail that events name.
pub const MAIL: &str = "jon@shop.example";

/// A path, headers and a body.
pub type Sent = (String, Vec<(&'static str, &'static str)>, String);

/// A request of each dialect, with an address wherever its clients have one and with a property `email`.
pub fn requests() -> Vec<Sent> {
    let json_type = ("Content-Type", "application/json");
    let own =
        json!({"ip": ADDRESS, "email": MAIL, "nested": {"client_ip": ADDRESS, "Email": MAIL}});
    let native = json!({"type": "page_view", "properties": own});
    let refused = json!({"type": "purchase", "id": "o", "properties": own});
    let segment = json!({"batch": [{"type": "track", "event": "Looked", "messageId": "m",
        "anonymousId": "a", "context": {"ip": ADDRESS}, "properties": own}]});
    let posthog = json!({"api_key": "k", "batch": [{"event": "looked", "distinct_id": "d", "uuid": "u",
        "properties": {"$ip": ADDRESS, "email": MAIL}}]});
    let amplitude = json!({"api_key": "k", "events": [{"event_type": "Looked", "device_id": "d",
        "ip": ADDRESS, "event_properties": own}]});
    let mixpanel =
        json!([{"event": "Looked", "properties": {"token": "k", "ip": ADDRESS, "email": MAIL}}]);
    let ga4 = json!({"client_id": "c", "ip_override": ADDRESS,
        "events": [{"name": "looked", "params": own}]});
    let cloud =
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "looked", "data": own});
    let otlp = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "looked",
        "attributes": [{"key": "client.address", "value": {"stringValue": ADDRESS}},
                       {"key": "email", "value": {"stringValue": MAIL}}]}]}]}]});
    let sentry = format!(
        "{}\n{}\n{}\n",
        json!({"event_id": "9ec79c33ec9942ab8353589fcb2e04dc"}),
        json!({"type": "event"}),
        json!({"level": "error", "user": {"id": "7", "ip_address": ADDRESS, "email": MAIL},
               "tags": {"ip": ADDRESS, "email": MAIL}, "message": "broken"}),
    );
    let plausible =
        json!({"n": "pageview", "u": "https://shop.example/", "d": "shop.example", "p": own});
    let umami = json!({"type": "event", "payload": {"website": "w", "url": "/", "name": "looked",
        "ip": ADDRESS, "data": own}});
    let all = vec![
        ("/v1/events", vec![], native.to_string()),
        ("/v1/events", vec![], refused.to_string()),
        (
            "/v1/events",
            vec![],
            format!(
                "[{{\"type\":\"a\"}},{{\"type\":NaN,\"ip\":\"{ADDRESS}\",\"email\":\"{MAIL}\"}}]"
            ),
        ),
        ("/v1/batch", vec![json_type], segment.to_string()),
        ("/batch/", vec![json_type], posthog.to_string()),
        ("/2/httpapi", vec![json_type], amplitude.to_string()),
        ("/track", vec![json_type], mixpanel.to_string()),
        ("/mp/collect?measurement_id=G-1&api_secret=k", vec![json_type], ga4.to_string()),
        (
            "/v1/cloudevents",
            vec![("Content-Type", "application/cloudevents+json")],
            cloud.to_string(),
        ),
        ("/v1/logs", vec![json_type], otlp.to_string()),
        ("/api/1/envelope/?sentry_key=k", vec![], sentry),
        (
            "/matomo.php?idsite=1&rec=1&cip=203.0.113.77&url=https://shop.example/",
            vec![],
            String::new(),
        ),
        ("/api/event", vec![json_type], plausible.to_string()),
        ("/api/send", vec![json_type], umami.to_string()),
    ];
    let mut all: Vec<Sent> =
        all.into_iter().map(|(path, headers, body)| (path.to_owned(), headers, body)).collect();
    all.extend(snowplow());
    all.extend(webhooks());
    all
}

/// An event of Snowplow with contexts in base64 and in a text, one that is refused, and one in a query.
fn snowplow() -> Vec<Sent> {
    let contexts = json!({"schema": "iglu:x/contexts/jsonschema/1-0-0", "data": [
        {"schema": "iglu:x/visitor/jsonschema/1-0-0", "data": {"ip_address": ADDRESS, "email": MAIL}}]});
    let event = json!({"schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data":
        {"schema": "iglu:x/looked/jsonschema/1-0-0", "data": {"user_ipaddress": ADDRESS, "email": MAIL}}});
    let order = json!({"schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data":
        {"schema": "iglu:x/purchase/jsonschema/1-0-0", "data": {"ip": ADDRESS, "email": MAIL}}});
    let packed = |value: &Value| URL_SAFE.encode(value.to_string());
    let body = json!({"schema": "iglu:x/payload_data/jsonschema/1-0-4", "data": [
        {"e": "ue", "aid": "shop", "ip": ADDRESS, "ue_px": packed(&event), "cx": packed(&contexts)},
        {"e": "ue", "aid": "shop", "ue_pr": event.to_string(), "co": contexts.to_string()},
        {"e": "ue", "aid": "shop", "ue_px": packed(&order), "cx": packed(&contexts)},
        {"e": "ue", "aid": "shop", "ue_pr": order.to_string(), "co": contexts.to_string()},
    ]});
    let query = format!("/i?e=ue&aid=shop&ue_px={}&cx={}", packed(&order), packed(&contexts));
    vec![
        (
            "/com.snowplowanalytics.snowplow/tp2".to_owned(),
            vec![("Content-Type", "application/json")],
            body.to_string(),
        ),
        (query, vec![], String::new()),
    ]
}

/// An order of Shopify that counts and one that is refused, and a charge of Stripe.
fn webhooks() -> Vec<Sent> {
    let order = |id: u64, total: &str| {
        json!({"id": id, "name": "#1", "total_price": total, "currency": "USD", "browser_ip": ADDRESS,
            "financial_status": "paid", "created_at": now(), "updated_at": now(),
            "client_details": {"browser_ip": ADDRESS}, "email": MAIL,
            "customer": {"id": 7, "email": MAIL}, "line_items": []})
    };
    let charge = json!({"id": "evt_1", "type": "charge.succeeded", "created": now().as_second(), "data": {"object": {
        "object": "charge", "id": "ch_1", "amount": 5997, "currency": "usd", "status": "succeeded",
        "created": now().as_second(), "billing_details": {"email": MAIL},
        "metadata": {"ip": ADDRESS, "email": MAIL}}}});
    let shopify = || "/v1/webhooks/shopify".to_owned();
    vec![
        (shopify(), vec![], order(1, "59.97").to_string()),
        (shopify(), vec![], order(2, "much").to_string()),
        ("/v1/webhooks/stripe".to_owned(), vec![], charge.to_string()),
    ]
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
