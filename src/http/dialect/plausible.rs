//! Plausible: `POST /api/event` with `{n,u,d,r,p,$}`, answered `202 ok`.
//!
//! Its pages send no key, no user and no session. `d`, the domain, is an id of a `[[source]]`; the
//! session is the visitor of today ([`crate::http::visitor`]). It never sends again.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, field_of, json_body},
};
use crate::{
    domain::event::{Field, Incoming},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
        visitor,
    },
};

/// One request of Plausible's script.
#[derive(Debug)]
pub struct Plausible {
    session: String,
    domains: Vec<String>,
}

impl Dialect for Plausible {
    const NAME: &'static str = "plausible";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/api/event", methods: &[Method::POST] }];

    type Event<'a> = Built<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        Offer::head_or_body(usual_write_keys(request))
    }

    fn open(request: &HttpRequest) -> Result<Plausible, ApiError> {
        Ok(Plausible { session: visitor::of_today(request, Self::NAME), domains: Vec::new() })
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        let body: Value = json_body(contents)?;
        if !body.is_object() {
            return Err(ApiError::bad_request("not_events", "the body must be a JSON object"));
        }
        let domains = member(&body, &["d", "domain"]).and_then(Value::as_str).unwrap_or_default();
        // A page that belongs to several sites names all of them.
        self.domains.extend(domains.split(',').map(|domain| domain.trim().to_owned()));
        let name = member(&body, &["n", "name"]);
        // How far somebody has read is told again and again, and is no event of the shop.
        let is_heartbeat = name.is_some_and(|name| name == "engagement");
        let events = match is_heartbeat {
            true => Vec::new(),
            false => vec![Built::new(contents, Ok(self.incoming(&body)))],
        };
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn ids_in_body(&self) -> Vec<String> {
        self.domains.clone()
    }

    fn is_of_page(&self) -> bool {
        true
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        match outcome.rejected.first().filter(|_| outcome.all_rejected()) {
            Some(rejected) => ApiError::all_rejected(StatusCode::BAD_REQUEST)
                .with_body(json!({"errors": {"event": [rejected.reason.to_string()]}})),
            None => HttpResponse::Accepted().content_type("text/plain").body("ok"),
        }
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        error.with_body(json!({"errors": {error.code: [error.message]}}))
    }
}

impl Plausible {
    fn incoming(&self, body: &Value) -> Incoming<'static> {
        let mut properties = BuiltProperties::of(unpacked(member(body, &["p", "props"])));
        let text = |names: &[&str]| member(body, names).and_then(Value::as_str);
        properties.path(text(&["u", "url"]));
        properties.text("referrer", text(&["r", "referrer"]));
        let revenue = unpacked(member(body, &["$", "revenue"]));
        for name in ["amount", "currency"] {
            properties.value(name, revenue.as_ref().and_then(|revenue| revenue.get(name)));
        }
        Incoming {
            kind: field_of(member(body, &["n", "name"])),
            session_id: field(Some(&self.session)),
            properties: properties.finish(),
            ..Incoming::default()
        }
    }
}

/// A member under its short or its long name.
fn member<'b>(body: &'b Value, names: &[&str]) -> Option<&'b Value> {
    names.iter().find_map(|name| body.get(name))
}

/// An object, which older scripts send as a text of JSON.
fn unpacked(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::String(text) => serde_json::from_str(text).ok(),
        value => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dialect::DialectEvent;

    #[test]
    fn both_versions_of_the_script_are_read() {
        for (props, revenue) in [
            (r#""{\"order_id\":\"o1\"}""#, r#"{"currency":"EUR","amount":59.97}"#),
            (r#"{"order_id":"o1"}"#, r#""{\"currency\":\"EUR\",\"amount\":59.97}""#),
        ] {
            let body = format!(
                r#"{{"n":"Purchase","u":"https://shop.example/pay?card=1","d":"shop.example,all",
                    "r":null,"p":{props},"$":{revenue}}}"#
            );
            let mut plausible = Plausible { session: "s".to_owned(), domains: Vec::new() };
            let mut split = plausible.split(body.as_bytes(), 9).unwrap();
            let read = split.events()[0].read().unwrap();
            assert_eq!(
                read.properties.as_deref(),
                Some(r#"{"amount":59.97,"currency":"EUR","order_id":"o1","path":"/pay"}"#)
            );
            assert_eq!(plausible.ids_in_body(), ["shop.example", "all"]);
        }
        let mut plausible = Plausible { session: "s".to_owned(), domains: Vec::new() };
        assert!(plausible.split(br#"{"n":"engagement"}"#, 9).unwrap().events().is_empty());
        assert!(plausible.split(b"[]", 9).is_err());
    }
}
