//! Google Analytics 4: the Measurement Protocol of servers and what gtag sends from pages.
//!
//! - `POST /mp/collect?measurement_id=&api_secret=`: an object with `events`. The key is `api_secret`.
//! - `GET` or `POST /g/collect?tid=…`: one event in the query, or one on each line of the body, which
//!   then shares the parameters of the query. A page sends no key: `tid` is an id of a `[[source]]`.
//!
//! The answer is 204. Neither client reads it, or sends again.

use actix_web::{HttpRequest, HttpResponse, http::Method};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, field_of, json_body, named, parameter, parameters},
};
use crate::{
    domain::event::{Field, Incoming, Rejection},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
    },
};

/// One request to GA4.
#[derive(Debug)]
pub struct Ga4 {
    /// Whether it is the Measurement Protocol.
    is_protocol: bool,
    /// The query, whose parameters all events of gtag share.
    query: String,
}

/// A body of the Measurement Protocol.
#[derive(Deserialize)]
struct Measured<'a> {
    #[serde(default)]
    client_id: Value,
    #[serde(default)]
    app_instance_id: Value,
    #[serde(default)]
    user_id: Value,
    #[serde(default)]
    timestamp_micros: Value,
    #[serde(default)]
    consent: Value,
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct MeasuredEvent {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    params: Option<Value>,
    #[serde(default)]
    timestamp_micros: Value,
}

impl Dialect for Ga4 {
    const NAME: &'static str = "ga4";
    const TRANSLATES: bool = true;
    const PARAMETERS: &'static [&'static str] = &["api_secret"];

    const ENDPOINTS: &'static [Endpoint] = &[
        Endpoint { path: "/{api:mp}/collect", methods: &[Method::POST] },
        Endpoint { path: "/g/collect", methods: &[Method::GET, Method::POST] },
    ];

    type Event<'a> = Built<'a>;

    fn offer(request: &HttpRequest) -> Offer {
        let mut keys = usual_write_keys(request);
        keys.extend(named(request, Self::PARAMETERS).into_iter().map(|(_, key)| key));
        let is_protocol = request.match_info().get("api").is_some();
        if keys.is_empty() && !is_protocol { Offer::Body } else { Offer::Head(keys) }
    }

    fn open(request: &HttpRequest) -> Result<Ga4, ApiError> {
        let is_protocol = request.match_info().get("api").is_some();
        Ok(Ga4 { is_protocol, query: request.query_string().to_owned() })
    }

    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        // A gtag request without a body has its one event in the query.
        match !self.is_protocol && body.trim_ascii().is_empty() {
            true => Ok(Bytes::from(std::mem::take(&mut self.query))),
            false => Ok(body),
        }
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        if self.is_protocol {
            let body: Measured<'a> = json_body(contents)?;
            let built = |raw: &&'a RawValue| {
                let read = serde_json::from_str::<MeasuredEvent>(raw.get());
                let read = read.map_err(|e| Rejection::Malformed(e.to_string()));
                Built::new(raw.get().as_bytes(), read.map(|event| event.incoming(&body)))
            };
            let events = body.events.iter().map(built).collect();
            return Ok(Split::new(events, Field::Absent, max_events)?);
        }
        let shared = parameters(&self.query);
        if self.query.is_empty() {
            // The contents are the query, which has gone there.
            self.query = String::from_utf8_lossy(contents).into_owned();
        }
        let lines = contents.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let built = |line: &'a [u8]| {
            let mut tag = parameters(&String::from_utf8_lossy(line));
            tag.extend(shared.iter().cloned());
            Built::new(line, Ok(tagged(&tag)))
        };
        Ok(Split::new(lines.map(built).collect(), Field::Absent, max_events)?)
    }

    fn ids_in_body(&self) -> Vec<String> {
        parameter(&parameters(&self.query), "tid").map(str::to_owned).into_iter().collect()
    }

    fn is_of_page(&self) -> bool {
        !self.is_protocol
    }

    fn answer(self, _: &Outcome) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

impl MeasuredEvent {
    fn incoming(self, body: &Measured<'_>) -> Incoming<'static> {
        let mut properties = BuiltProperties::of(self.params);
        let session = field_of(properties.0.get("session_id"));
        place(&mut properties);
        let client = field_of(Some(&body.client_id)).or(field_of(Some(&body.app_instance_id)));
        let time = field_of(Some(&self.timestamp_micros));
        Incoming {
            kind: field_of(Some(&self.name)),
            timestamp: time.or(field_of(Some(&body.timestamp_micros))),
            user_id: field_of(Some(&body.user_id)),
            session_id: session.or(client),
            properties: properties.finish(),
            refused: denied(&body.consent),
            ..Incoming::default()
        }
    }
}

/// Where an event happened, under the names that breakdowns look for.
fn place(properties: &mut BuiltProperties) {
    let page = properties.get("page_location").map(str::to_owned);
    properties.path(page.as_deref());
    for (name, from) in [("referrer", "page_referrer"), ("message", "description")] {
        let value = properties.0.get(from).cloned();
        properties.value(name, value.as_ref());
    }
}

/// The event that parameters of gtag say.
fn tagged(tag: &[(String, String)]) -> Incoming<'static> {
    let get = |name: &str| parameter(tag, name);
    let mut properties = BuiltProperties::default();
    for (name, value) in tag {
        if let Some(name) = name.strip_prefix("ep.") {
            properties.text(name, Some(value));
        } else if let Some(name) = name.strip_prefix("epn.") {
            properties.value(name, Some(&number(value)));
        }
    }
    for (name, from) in
        [("page_location", "dl"), ("page_title", "dt"), ("page_referrer", "dr"), ("currency", "cu")]
    {
        properties.text(name, get(from));
    }
    let items: Vec<Value> = (1..=200)
        .map_while(|n| get(&format!("pr{n}")))
        .map(|item| Value::Object(product(item)))
        .collect();
    if !items.is_empty() {
        properties.value("items", Some(&Value::from(items)));
    }
    place(&mut properties);
    Incoming {
        kind: field(get("en")),
        user_id: field(get("uid")),
        session_id: field(get("sid").or(get("cid"))),
        properties: properties.finish(),
        refused: refused_by(get("gcs").unwrap_or_default()),
        ..Incoming::default()
    }
}

/// The kinds of consent that are denied: `{"analytics_storage":"DENIED"}`. The Measurement Protocol itself
/// knows only kinds that are about advertising, which are no refusal to be analysed.
fn denied(consent: &Value) -> Vec<String> {
    let is_denied =
        |value: &Value| value.as_str().is_some_and(|it| it.eq_ignore_ascii_case("denied"));
    let kinds = consent.as_object().into_iter().flatten();
    kinds.filter(|(_, value)| is_denied(value)).map(|(kind, _)| kind.clone()).collect()
}

/// What gtag's consent mode says: `G1` and a digit each for `ad_storage` and `analytics_storage`, of which
/// 0 is denied and 1 is granted.
fn refused_by(gcs: &str) -> Vec<String> {
    let choices = gcs.strip_prefix("G1").unwrap_or_default().chars();
    let kinds = ["ad_storage", "analytics_storage"].into_iter().zip(choices);
    kinds.filter(|(_, choice)| *choice == '0').map(|(kind, _)| kind.to_owned()).collect()
}

/// A number as JSON; a text that is none stays a text.
fn number(text: &str) -> Value {
    serde_json::from_str::<Value>(text).ok().filter(Value::is_number).unwrap_or(Value::from(text))
}

/// A product as gtag writes it: `idSKU~nmMug~pr19.99~qt3`, two letters and the value.
fn product(text: &str) -> Map<String, Value> {
    let mut product = Map::new();
    for part in text.split('~') {
        let Some((key, value)) = part.split_at_checked(2).filter(|(_, value)| !value.is_empty())
        else {
            continue;
        };
        let (name, value) = match key {
            "id" => ("item_id", Value::from(value)),
            "nm" => ("item_name", Value::from(value)),
            "br" => ("item_brand", Value::from(value)),
            "ca" => ("item_category", Value::from(value)),
            "va" => ("item_variant", Value::from(value)),
            "pr" => ("price", number(value)),
            "qt" => ("quantity", number(value)),
            other => (other, Value::from(value)),
        };
        product.insert(name.to_owned(), value);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dialect::DialectEvent;

    fn ga4(is_protocol: bool, query: &str) -> Ga4 {
        Ga4 { is_protocol, query: query.to_owned() }
    }

    #[test]
    fn events_of_the_measurement_protocol() {
        let body = br#"{"client_id":"1.2","user_id":"u1","timestamp_micros":"1795420800000000",
            "events":[{"name":"purchase","params":{"transaction_id":"o1","value":59.97,
            "session_id":"123","page_location":"https://shop.example/a?b"}},{"name":"x"},7]}"#;
        let mut ga4 = ga4(true, "");
        let mut split = ga4.split(body, 9).unwrap();
        let first = split.events()[0].read().unwrap();
        assert_eq!(first.session_id, Field::Text("123".into()));
        assert_eq!(first.timestamp, Field::Text("1795420800000000".into()));
        assert!(first.properties.as_deref().unwrap().contains(r#""path":"/a""#));
        let second = split.events()[1].read().unwrap();
        assert_eq!(second.session_id, Field::Text("1.2".into()));
        assert!(matches!(split.events()[2].read(), Err(Rejection::Malformed(_))));
    }

    #[test]
    fn tags_of_a_page() {
        let query = "v=2&tid=G-TEST&cid=111.222&sid=17&dl=https%3A%2F%2Fshop.example%2Fp&cu=EUR";
        let body = b"en=page_view\nen=purchase&ep.transaction_id=o1&epn.value=59.97&pr1=idSKU~nmMug~pr19.99~qt3\n";
        let mut ga4_ = ga4(false, query);
        let contents = ga4_.contents(Bytes::from_static(body)).unwrap();
        let mut split = ga4_.split(&contents, 9).unwrap();
        assert_eq!(split.events().len(), 2);
        let order = split.events()[1].read().unwrap();
        assert_eq!(order.kind, Field::Text("purchase".into()));
        let properties = order.properties.as_deref().unwrap();
        for part in [
            r#""value":59.97"#,
            r#""currency":"EUR""#,
            r#""path":"/p""#,
            r#"{"item_id":"SKU","item_name":"Mug","price":19.99,"quantity":3}"#,
        ] {
            assert!(properties.contains(part), "{part} {properties}");
        }
        assert_eq!(ga4_.ids_in_body(), ["G-TEST"]);
        // Without a body the event stands in the query.
        let mut by_query = ga4(false, "tid=G-TEST&en=page_view&cid=1");
        let contents = by_query.contents(Bytes::new()).unwrap();
        assert_eq!(by_query.split(&contents, 9).unwrap().events().len(), 1);
        assert_eq!(by_query.ids_in_body(), ["G-TEST"]);
    }
}
