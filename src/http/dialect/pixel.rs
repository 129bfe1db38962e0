//! `GET /v1/pixel.gif`: one event in the query, for pages without scripts, and for mails. The answer is an
//! image of one transparent pixel, also where the event is refused.
//!
//! The names of an event's fields are those fields; every other parameter is a property. An `<img>` sends no
//! header of its own, so the key stands in the query (`key`). It is left out wherever the event is kept. The
//! session is the visitor of today ([`crate::http::visitor`]) where none is named.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
};
use bytes::Bytes;

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{Built, BuiltProperties, field, parameter, parameters, pixel, refused_pixel},
};
use crate::{
    domain::event::{Field, Incoming},
    http::{error::ApiError, visitor},
};

/// The parameter that holds the key.
const KEY: &str = "key";
/// The parameters that are fields of the event; `properties` is an object of JSON.
const FIELDS: [&str; 6] = ["type", "timestamp", "userId", "sessionId", "id", "properties"];
/// What an event without a type is.
const USUAL_TYPE: &str = "page_view";

/// One request of a pixel.
#[derive(Debug)]
pub struct Pixel {
    visitor: String,
    /// The query without the key.
    query: String,
}

impl Dialect for Pixel {
    const NAME: &'static str = "pixel";

    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/v1/pixel.gif", methods: &[Method::GET] }];

    type Event<'a> = Built<'a>;

    fn open(request: &HttpRequest) -> Result<Pixel, ApiError> {
        let visitor = visitor::of_today(request, Self::NAME);
        Ok(Pixel { visitor, query: without_key(request.query_string()) })
    }

    fn contents(&mut self, _: Bytes) -> Result<Bytes, ApiError> {
        Ok(Bytes::from(self.query.clone()))
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Built<'a>>, ApiError> {
        Ok(Split::new(vec![Built::new(contents, Ok(self.incoming()))], Field::Absent, max_events)?)
    }

    fn is_of_page(&self) -> bool {
        true
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        match outcome.all_rejected() {
            true => refused_pixel(&ApiError::all_rejected(StatusCode::UNPROCESSABLE_ENTITY)),
            false => pixel(),
        }
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        refused_pixel(error)
    }
}

impl Pixel {
    fn incoming(&self) -> Incoming<'static> {
        let sent = parameters(&self.query);
        let get = |name: &str| parameter(&sent, name);
        let object = get("properties").and_then(|text| serde_json::from_str(text).ok());
        let mut properties = BuiltProperties::of(object);
        for (name, value) in sent.iter().filter(|(name, _)| !FIELDS.contains(&name.as_str())) {
            properties.text(name, Some(value));
        }
        Incoming {
            kind: field(get("type").or(Some(USUAL_TYPE))),
            timestamp: field(get("timestamp")),
            user_id: field(get("userId")),
            session_id: field(get("sessionId").or(Some(&self.visitor))),
            id: field(get("id")),
            properties: properties.finish(),
            ..Incoming::default()
        }
    }
}

/// A query without the key, in whatever way its name is written.
fn without_key(query: &str) -> String {
    let is_key = |pair: &&str| parameters(pair).iter().any(|(name, _)| name == KEY);
    query.split('&').filter(|pair| !is_key(pair)).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Incoming<'static> {
        Pixel { visitor: "today".to_owned(), query: without_key(query) }.incoming()
    }

    fn text(text: &str) -> Field<'static> {
        Field::Text(text.to_owned().into())
    }

    #[test]
    fn what_is_no_field_is_a_property() {
        let order =
            read("key=k&type=purchase&amount=19.99&currency=EUR&id=o1&userId=u&sessionId=s");
        assert_eq!((order.kind, order.id), (text("purchase"), text("o1")));
        assert_eq!((order.user_id, order.session_id), (text("u"), text("s")));
        assert_eq!(order.properties.as_deref(), Some(r#"{"amount":"19.99","currency":"EUR"}"#));

        let view = read("properties=%7B%22width%22%3A7%7D&path=%2Fmug&width=8&empty=");
        assert_eq!((view.kind, view.session_id), (text("page_view"), text("today")));
        assert_eq!(view.properties.as_deref(), Some(r#"{"path":"/mug","width":7}"#));
        assert_eq!(read("properties=7").properties.as_deref(), Some("{}"));
    }

    #[test]
    fn no_key_is_kept() {
        for query in ["key=secret&a=1", "a=1&k%65y=secret", "a=1&key=secret&key=secret"] {
            assert_eq!(without_key(query), "a=1");
        }
        assert_eq!(without_key("monkey=1&key"), "monkey=1");
    }
}
