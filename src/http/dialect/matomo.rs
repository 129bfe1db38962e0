//! Matomo: `GET` or `POST /matomo.php` (or `/piwik.php`) with a query, a form, or in bulk
//! `{"requests":["?…"]}`.
//!
//! `idsite` is an id of a `[[source]]`; a `token_auth` that is a write key is taken too. The answer is
//! an image, or for a bulk `{"status":"success","tracked":n,"invalid":n}`.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, json_body, parameter, parameters, pixel},
};
use crate::{
    domain::event::{Field, Incoming},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
        visitor,
    },
};

/// One request of a Matomo tracker.
#[derive(Debug)]
pub struct Matomo {
    session: String,
    query: String,
    is_bulk: bool,
    keys: Vec<String>,
    sites: Vec<String>,
}

#[derive(Deserialize)]
struct Bulk {
    #[serde(default)]
    requests: Vec<Value>,
    token_auth: Option<String>,
}

type Parameters = Vec<(String, String)>;

impl Dialect for Matomo {
    const NAME: &'static str = "matomo";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/{script:matomo|piwik}.php", methods: &[Method::GET, Method::POST] }];

    type Event<'a> = Built<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        Offer::head_or_body(usual_write_keys(request))
    }

    fn open(request: &HttpRequest) -> Result<Matomo, ApiError> {
        Ok(Matomo {
            session: visitor::of_today(request, Self::NAME),
            query: request.query_string().to_owned(),
            is_bulk: false,
            keys: Vec::new(),
            sites: Vec::new(),
        })
    }

    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        match body.trim_ascii().is_empty() {
            true => Ok(Bytes::from(self.query.clone())),
            false => Ok(body),
        }
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        self.is_bulk = contents.trim_ascii_start().starts_with(b"{");
        let mut events = Vec::new();
        if self.is_bulk {
            let bulk: Bulk = json_body(contents)?;
            self.keys.extend(bulk.token_auth);
            for request in &bulk.requests {
                let (tracked, text) = unpacked(request);
                self.add(tracked, text.into_bytes().into(), &mut events);
            }
        } else {
            let mut tracked = parameters(&String::from_utf8_lossy(contents));
            tracked.extend(parameters(&self.query));
            self.add(tracked, Cow::Borrowed(contents), &mut events);
        }
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn ids_in_body(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn is_of_page(&self) -> bool {
        true
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        let invalid: Vec<usize> = outcome.rejected.iter().map(|rejected| rejected.index).collect();
        if self.is_bulk {
            return HttpResponse::Ok().json(json!({
                "status": "success",
                "tracked": outcome.accepted + outcome.duplicates,
                "invalid": invalid.len(),
                "invalid_indices": invalid,
            }));
        }
        match outcome.rejected.first() {
            Some(rejected) => ApiError::all_rejected(StatusCode::BAD_REQUEST)
                .with_bytes("text/plain; charset=utf-8", rejected.reason.to_string().into_bytes()),
            None => pixel(),
        }
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        error.with_body(json!({"status": "error", "message": error.message, "code": error.code}))
    }
}

impl Matomo {
    fn add<'a>(
        &mut self,
        tracked: Parameters,
        as_sent: Cow<'a, [u8]>,
        events: &mut Vec<Built<'a>>,
    ) {
        self.keys.extend(parameter(&tracked, "token_auth").map(str::to_owned));
        self.sites.extend(parameter(&tracked, "idsite").map(str::to_owned));
        // A ping says that somebody still reads the page, and is no event of the shop.
        if parameter(&tracked, "ping").is_none() {
            events.push(Built::new(as_sent, Ok(self.incoming(&tracked))));
        }
    }

    fn incoming(&self, tracked: &[(String, String)]) -> Incoming<'static> {
        let get = |name: &str| parameter(tracked, name);
        let mut properties = BuiltProperties::default();
        properties.text("title", get("action_name"));
        properties.text("referrer", get("urlref"));
        let (mut kind, mut id) = (Cow::Borrowed("page_view"), Field::Absent);
        if get("idgoal") == Some("0") {
            kind = Cow::Borrowed(if get("ec_id").is_some() { "purchase" } else { "Cart Updated" });
            id = get("ec_id")
                .map_or(Field::Absent, |order| Field::Text(format!("order:{order}").into()));
            let names = [
                ("order_id", "ec_id"),
                ("amount", "revenue"),
                ("subtotal", "ec_st"),
                ("tax", "ec_tx"),
                ("shipping", "ec_sh"),
                ("discount", "ec_dt"),
            ];
            for (name, from) in names {
                properties.text(name, get(from));
            }
            let items = get("ec_items").and_then(|items| serde_json::from_str(items).ok());
            properties.value("items", items.as_ref());
        } else if let Some(goal) = get("idgoal") {
            kind = Cow::Borrowed("Goal Reached");
            properties.text("goal", Some(goal));
            properties.text("revenue", get("revenue"));
        } else if let Some(category) = get("e_c") {
            let action = get("e_a").unwrap_or_default();
            if category.eq_ignore_ascii_case("error") {
                kind = Cow::Borrowed("error");
                properties.text("code", Some(action));
                properties.text("path", get("e_n").filter(|name| name.starts_with('/')));
            } else {
                kind = Cow::Owned(format!("{category} {action}"));
                properties.text("category", Some(category));
                properties.text("action", Some(action));
            }
            properties.text("name", get("e_n"));
            properties.text("value", get("e_v"));
        } else if let Some(search) = get("search") {
            kind = Cow::Borrowed("Site Searched");
            properties.text("query", Some(search));
        } else if let Some(link) = get("link").or(get("download")) {
            let is_link = get("link").is_some();
            kind = Cow::Borrowed(if is_link { "Outlink Clicked" } else { "File Downloaded" });
            properties.text("target", Some(link));
        }
        for (name, value) in tracked.iter().filter(|(name, _)| name.starts_with("dimension")) {
            properties.text(name, Some(value));
        }
        properties.path(get("url"));
        Incoming {
            kind: Field::Text(kind),
            timestamp: time(get("cdt")),
            user_id: field(get("uid")),
            user_agent: field(get("ua")),
            session_id: field(get("_id").or(get("cid")).or(Some(&self.session))),
            id,
            properties: properties.finish(),
            ..Incoming::default()
        }
    }
}

/// `cdt` is Unix time, or `2026-11-27 08:00:00` in UTC.
fn time(cdt: Option<&str>) -> Field<'static> {
    match cdt {
        Some(date) if date.contains(' ') => {
            Field::Text(Cow::Owned(format!("{}Z", date.trim().replace(' ', "T"))))
        }
        other => field(other),
    }
}

/// A request of a bulk: a query, or an object of parameters.
fn unpacked(request: &Value) -> (Parameters, String) {
    match request {
        Value::String(query) => (parameters(query), query.clone()),
        Value::Object(members) => {
            let text = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let tracked = members.iter().map(|(name, value)| (name.clone(), text(value)));
            (tracked.collect(), request.to_string())
        }
        other => (Vec::new(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(contents: &str) -> (Matomo, Vec<Incoming<'static>>) {
        let mut matomo = Matomo {
            session: "today".to_owned(),
            query: String::new(),
            is_bulk: false,
            keys: Vec::new(),
            sites: Vec::new(),
        };
        let mut split = matomo.split(contents.as_bytes(), 9).unwrap();
        let events = split.events().iter().map(|event| event.incoming().unwrap().clone()).collect();
        (matomo, events)
    }

    #[test]
    fn a_page_an_order_and_an_error() {
        let bulk = r#"{"requests":[
            "?idsite=1&url=https%3A%2F%2Fshop.example%2Fmug%3Fx&action_name=Mug&uid=u1&_id=0123",
            "?idsite=1&idgoal=0&ec_id=o1&revenue=59.97&ec_items=%5B%5B%22SKU%22%5D%5D",
            "?idsite=1&e_c=error&e_a=CARD_DECLINED&e_n=%2Fcheckout&cdt=1795420800",
            {"idsite":1,"ping":1}],"token_auth":"k"}"#;
        let (matomo, events) = read(bulk);
        let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
        assert_eq!(kinds, ["page_view", "purchase", "error"].map(|kind| Field::Text(kind.into())));
        assert_eq!(events[0].session_id, Field::Text("0123".into()));
        assert_eq!(events[1].session_id, Field::Text("today".into()));
        assert_eq!(events[1].id, Field::Text("order:o1".into()));
        assert_eq!(
            events[1].properties.as_deref(),
            Some(r#"{"amount":"59.97","items":[["SKU"]],"order_id":"o1"}"#)
        );
        assert!(events[2].properties.as_deref().unwrap().contains(r#""path":"/checkout""#));
        assert_eq!(matomo.keys_in_body(), ["k"]);
        assert!(matomo.is_bulk && matomo.ids_in_body().len() == 4);
        let date = read("idsite=2&cdt=2026-11-27+08%3A00%3A00").1.remove(0);
        assert_eq!(date.timestamp, Field::Text("2026-11-27T08:00:00Z".into()));
    }
}
