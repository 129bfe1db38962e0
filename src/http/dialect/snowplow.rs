//! Snowplow: `POST /com.snowplowanalytics.snowplow/tp2` with `{"schema","data":[…]}`, and `GET /i` with
//! one event in the query. All values are texts.
//!
//! `aid`, the app id, is an id of a `[[source]]`. `e` says what it is: a page view, a structured event,
//! a self-describing one. Trackers send a 413 for ever, so a request that is too large gets 422.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use base64::Engine;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, field_of, json_body, parameters, pixel},
};
use crate::{
    domain::{
        event::{Field, Incoming, Rejection},
        packed::URL_BASE64,
    },
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
    },
};

/// One request of a Snowplow tracker.
#[derive(Debug)]
pub struct Snowplow {
    /// The query of a GET.
    query: Option<String>,
    apps: Vec<String>,
}

#[derive(Deserialize)]
struct SnowplowBody<'a> {
    #[serde(borrow, default)]
    data: Vec<&'a RawValue>,
}

impl Dialect for Snowplow {
    const NAME: &'static str = "snowplow";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] = &[
        Endpoint { path: "/com.snowplowanalytics.snowplow/tp2", methods: &[Method::POST] },
        Endpoint { path: "/{path:i}", methods: &[Method::GET] },
    ];

    type Event<'a> = Built<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        Offer::head_or_body(usual_write_keys(request))
    }

    fn open(request: &HttpRequest) -> Result<Snowplow, ApiError> {
        let is_get = request.method() == Method::GET;
        let query = is_get.then(|| request.query_string().to_owned());
        Ok(Snowplow { query, apps: Vec::new() })
    }

    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        Ok(self.query.clone().map_or(body, Bytes::from))
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        if self.query.is_some() {
            let sent = parameters(&String::from_utf8_lossy(contents)).into_iter();
            let sent: Map<String, Value> =
                sent.map(|(name, value)| (name, Value::from(value))).collect();
            let event = self.built(contents, Ok(sent));
            return Ok(Split::new(vec![event], Field::Absent, max_events)?);
        }
        let payload: SnowplowBody<'a> = json_body(contents)?;
        let built = |raw: &'a RawValue| {
            let sent = serde_json::from_str::<Map<String, Value>>(raw.get());
            let sent = sent.map_err(|e| Rejection::Malformed(e.to_string()));
            self.built(raw.get().as_bytes(), sent)
        };
        let events = payload.data.into_iter().map(built).collect();
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn ids_in_body(&self) -> Vec<String> {
        self.apps.clone()
    }

    fn is_of_page(&self) -> bool {
        true
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        match outcome.rejected.first().filter(|_| outcome.all_rejected()) {
            Some(rejected) => ApiError::all_rejected(StatusCode::UNPROCESSABLE_ENTITY)
                .with_bytes("text/plain; charset=utf-8", rejected.reason.to_string().into_bytes()),
            None if self.query.is_some() => pixel(),
            None => HttpResponse::Ok().content_type("text/plain").body("ok"),
        }
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        let status = match error.status {
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::UNPROCESSABLE_ENTITY,
            status => status,
        };
        let text = error.message.clone().into_bytes();
        ApiError { status, ..error.clone() }.with_bytes("text/plain; charset=utf-8", text)
    }
}

impl Snowplow {
    fn built<'a>(
        &mut self,
        text: &'a [u8],
        sent: Result<Map<String, Value>, Rejection>,
    ) -> Built<'a> {
        if let Some(app) = sent.as_ref().ok().and_then(|sent| sent.get("aid")?.as_str()) {
            self.apps.push(app.to_owned());
        }
        Built::new(text, sent.map(|sent| incoming(&SnowplowValues(sent))))
    }
}

/// The values of one event by their short names.
struct SnowplowValues(Map<String, Value>);

impl SnowplowValues {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn field(&self, name: &str) -> Field<'static> {
        field_of(self.0.get(name))
    }

    /// A value that is JSON, as text under one name or in base64 under another.
    fn json(&self, plain: &str, packed: &str) -> Option<Value> {
        if let Some(text) = self.text(plain) {
            return serde_json::from_str(text).ok();
        }
        let bytes = URL_BASE64.decode(self.text(packed)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The data of the context that a schema of this name has (`iglu:VENDOR/NAME/…`).
    fn context<'c>(contexts: Option<&'c Value>, name: &str) -> Option<&'c Value> {
        let all = contexts?.get("data")?.as_array()?;
        let found = all.iter().find(|context| schema_name(context) == Some(name));
        found.and_then(|context| context.get("data"))
    }
}

/// The name in `{"schema":"iglu:VENDOR/NAME/jsonschema/1-0-0"}`.
fn schema_name(described: &Value) -> Option<&str> {
    described.get("schema")?.as_str()?.split('/').nth(1)
}

fn incoming(sent: &SnowplowValues) -> Incoming<'static> {
    let contexts = sent.json("co", "cx");
    let mut properties = BuiltProperties::default();
    let kind = match sent.text("e").unwrap_or_default() {
        "pv" => Cow::Borrowed("page_view"),
        "pp" => Cow::Borrowed("page_ping"),
        "se" => structured(sent, &mut properties),
        "ue" => self_describing(sent, contexts.as_ref(), &mut properties),
        "tr" => {
            let names = [
                ("order_id", "tr_id"),
                ("amount", "tr_tt"),
                ("currency", "tr_cu"),
                ("tax", "tr_tx"),
                ("shipping", "tr_sh"),
            ];
            for (name, from) in names {
                properties.text(name, sent.text(from));
            }
            Cow::Borrowed("purchase")
        }
        "ti" => Cow::Borrowed("transaction_item"),
        other => Cow::Owned(other.to_owned()),
    };
    properties.path(sent.text("url"));
    for (name, from) in [("title", "page"), ("referrer", "refr"), ("app", "aid"), ("platform", "p")]
    {
        properties.text(name, sent.text(from));
    }
    let session = SnowplowValues::context(contexts.as_ref(), "client_session");
    let session = session.and_then(|session| session.get("sessionId"));
    Incoming {
        kind: field(Some(&kind)),
        timestamp: sent.field("ttm").or(sent.field("dtm")),
        sent_at: sent.field("stm"),
        user_id: sent.field("uid"),
        user_agent: sent.field("ua"),
        session_id: sent
            .field("sid")
            .or(field_of(session))
            .or(sent.field("duid"))
            .or(sent.field("nuid")),
        id: sent.field("eid"),
        properties: properties.finish(),
        ..Incoming::default()
    }
}

/// Category, action, label, property and value.
fn structured(sent: &SnowplowValues, properties: &mut BuiltProperties) -> Cow<'static, str> {
    let (category, action) = (sent.text("se_ca").unwrap_or_default(), sent.text("se_ac"));
    let label = sent.text("se_la");
    let is_error = category.eq_ignore_ascii_case("error");
    if is_error {
        properties.text("code", action);
        properties.text("path", label.filter(|label| label.starts_with('/')));
    } else {
        properties.text("category", Some(category));
        properties.text("action", action);
    }
    properties.text("label", label);
    properties.text("property", sent.text("se_pr"));
    properties.text("value", sent.text("se_va"));
    match is_error {
        true => Cow::Borrowed("error"),
        false => Cow::Owned(format!("{category} {}", action.unwrap_or_default())),
    }
}

/// An event whose schema says what it is. What a shop does has one schema, and the type stands in it.
fn self_describing(
    sent: &SnowplowValues,
    contexts: Option<&Value>,
    properties: &mut BuiltProperties,
) -> Cow<'static, str> {
    let event = sent.json("ue_pr", "ue_px").and_then(|event| event.get("data").cloned());
    let event = event.unwrap_or_default();
    let name = schema_name(&event).unwrap_or("self_describing");
    let data = event.get("data").cloned();
    let of_shop = data.as_ref().and_then(|data| data.get("type")?.as_str());
    let kind = match (name, of_shop) {
        ("snowplow_ecommerce_action", Some("transaction")) => "purchase".to_owned(),
        ("snowplow_ecommerce_action", Some(action)) => action.to_owned(),
        ("application_error", _) => "error".to_owned(),
        (name, _) => name.to_owned(),
    };
    *properties = BuiltProperties::of(data);
    let context = match kind.as_str() {
        "purchase" => SnowplowValues::context(contexts, "transaction"),
        "refund" => SnowplowValues::context(contexts, "refund"),
        _ => None,
    };
    if let Some(Value::Object(order)) = context {
        for (name, from) in
            [("amount", "revenue"), ("amount", "refund_amount"), ("order_id", "transaction_id")]
        {
            properties.value(name, order.get(from));
        }
        for (name, value) in order {
            properties.value(name, Some(value));
        }
    }
    if kind == "error" {
        let code = properties.0.get("exceptionName").cloned();
        properties.value("code", code.as_ref());
    }
    Cow::Owned(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: Option<&str>, body: &str) -> (Snowplow, Vec<Incoming<'static>>) {
        let mut snowplow = Snowplow { query: query.map(str::to_owned), apps: Vec::new() };
        let contents = snowplow.contents(Bytes::from(body.to_owned())).unwrap();
        let mut split = snowplow.split(&contents, 9).unwrap();
        let events = split.events().iter().map(|event| event.incoming().unwrap().clone()).collect();
        (snowplow, events)
    }

    #[test]
    fn an_order_with_its_context_packed_or_not() {
        let event = r#"{"schema":"iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0","data":{"schema":"iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2","data":{"type":"transaction"}}}"#;
        let contexts = r#"{"schema":"iglu:x/contexts/jsonschema/1-0-0","data":[{"schema":"iglu:com.snowplowanalytics.snowplow.ecommerce/transaction/jsonschema/1-0-0","data":{"transaction_id":"o1","revenue":59.97,"currency":"EUR"}}]}"#;
        let packed = serde_json::json!({
            "e": "ue", "aid": "shop", "eid": "e1", "dtm": "1795420800000", "uid": "u1", "duid": "d",
            "ue_px": URL_BASE64.encode(event), "cx": URL_BASE64.encode(contexts).trim_end_matches('='),
        });
        let plain = serde_json::json!({"e": "ue", "aid": "shop", "ue_pr": event, "co": contexts});
        let body = serde_json::json!({"schema": "iglu:x", "data": [packed, plain]}).to_string();
        let (snowplow, events) = read(None, &body);
        for event in &events {
            assert_eq!(event.kind, Field::Text("purchase".into()));
            let properties = event.properties.as_deref().unwrap();
            assert!(properties.contains(r#""amount":59.97"#), "{properties}");
            assert!(properties.contains(r#""order_id":"o1""#), "{properties}");
        }
        assert_eq!((&events[0].id, &events[0].session_id), (&field(Some("e1")), &field(Some("d"))));
        assert_eq!(snowplow.ids_in_body(), ["shop", "shop"]);
    }

    #[test]
    fn a_page_and_an_error_in_a_query() {
        let (_, pages) =
            read(Some("e=pv&aid=shop&url=https%3A%2F%2Fs.example%2Fp%3Fx&sid=s&tv=x"), "");
        assert_eq!(pages[0].kind, Field::Text("page_view".into()));
        assert!(pages[0].properties.as_deref().unwrap().contains(r#""path":"/p""#));
        let (_, errors) = read(Some("e=se&se_ca=error&se_ac=CARD&se_la=%2Fcheckout"), "");
        assert_eq!(errors[0].kind, Field::Text("error".into()));
        assert!(errors[0].properties.as_deref().unwrap().contains(r#""path":"/checkout""#));
        let request = actix_web::test::TestRequest::default().to_http_request();
        let large = ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "");
        assert_eq!(Snowplow::refuse(&request, &large).status(), 422);
    }
}
