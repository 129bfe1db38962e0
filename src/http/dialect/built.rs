//! An event that its dialect has put together itself, where the text that was sent is no object of
//! JSON with the event in it: queries, forms, protobuf, nested attributes.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, HeaderName, HeaderValue},
    web::Query,
};
use base64::Engine;
use bytes::Bytes;
use serde_json::{Map, Value, value::RawValue};

use super::{DialectEvent, member::path_of};
use crate::{
    domain::event::{Field, Incoming, Rejection},
    http::error::ApiError,
};

/// One event, read.
#[derive(Debug)]
pub struct Built<'a> {
    /// The text that was sent for it.
    as_sent: Cow<'a, [u8]>,
    /// The event, or why it is none.
    read: Result<Incoming<'static>, Rejection>,
}

impl<'a> Built<'a> {
    /// An event that was made of this text.
    pub fn new(
        as_sent: impl Into<Cow<'a, [u8]>>,
        read: Result<Incoming<'static>, Rejection>,
    ) -> Built<'a> {
        let as_sent = as_sent.into();
        let size = as_sent.len();
        Built { read: read.map(|event| Incoming { size, ..event }), as_sent }
    }

    /// The event, which borrows from nothing.
    ///
    /// # Errors
    /// Why it is none.
    pub fn incoming(&self) -> Result<&Incoming<'static>, Rejection> {
        self.read.as_ref().map_err(Clone::clone)
    }
}

impl<'a> DialectEvent<'a> for Built<'a> {
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection> {
        self.incoming()
    }

    fn as_sent(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.as_sent)
    }
}

/// A GIF of one transparent pixel, which pages ask for as an image.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// The answer to a page that asks for an image.
pub fn pixel() -> HttpResponse {
    as_pixel(HttpResponse::Ok().content_type("image/gif").body(PIXEL))
}

/// The refusal of a page that asks for an image. It gets one all the same, or it would show that one is
/// missing; the status says what went wrong.
pub fn refused_pixel(error: &ApiError) -> HttpResponse {
    as_pixel(error.with_bytes("image/gif", PIXEL.to_vec()))
}

fn as_pixel(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Pages that let in only what says that it is for them.
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
    response
}

/// The parameters of a query or a form, decoded, in their order. A text that is none has none.
pub fn parameters(text: &str) -> Vec<(String, String)> {
    let text = text.trim().trim_start_matches('?');
    Query::<Vec<(String, String)>>::from_query(text).map(Query::into_inner).unwrap_or_default()
}

/// Those parameters of a request's query that have one of these names ([`super::Dialect::PARAMETERS`]).
pub fn named(request: &HttpRequest, names: &[&str]) -> Vec<(String, String)> {
    let mut found = parameters(request.query_string());
    found.retain(|(name, _)| names.contains(&name.as_str()));
    found
}

/// The value of a parameter; `None` where it is absent or empty.
pub fn parameter<'p>(parameters: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let found = parameters.iter().find(|(known, value)| known == name && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

/// A text as an event's field.
pub fn field(text: Option<&str>) -> Field<'static> {
    text.filter(|text| !text.is_empty())
        .map_or(Field::Absent, |text| Field::Text(Cow::Owned(text.to_owned())))
}

/// A value of JSON as an event's field.
pub fn field_of(value: Option<&Value>) -> Field<'static> {
    match value {
        None | Some(Value::Null) => Field::Absent,
        Some(Value::String(text)) => field(Some(text)),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Field::Integer(whole),
            (None, Some(float)) => Field::Float(float),
            (None, None) => Field::Other,
        },
        Some(_) => Field::Other,
    }
}

/// BuiltProperties that are put together one by one.
#[derive(Clone, Debug, Default)]
pub struct BuiltProperties(pub Map<String, Value>);

impl BuiltProperties {
    /// Those of an object; none where the value is another.
    pub fn of(value: Option<Value>) -> BuiltProperties {
        match value {
            Some(Value::Object(members)) => BuiltProperties(members),
            _ => BuiltProperties::default(),
        }
    }

    /// Adds a text where there is one and the name is not taken.
    pub fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.0.entry(name).or_insert_with(|| Value::from(text));
        }
    }

    /// Adds a value where there is one and the name is not taken.
    pub fn value(&mut self, name: &str, value: Option<&Value>) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.0.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// Adds the path of an address.
    pub fn path(&mut self, url: Option<&str>) {
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            self.text("path", Some(&path_of(url)));
        }
    }

    /// A property that is a text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The properties as JSON.
    pub fn finish(self) -> Option<Cow<'static, str>> {
        Some(Cow::Owned(Value::Object(self.0).to_string()))
    }
}

/// What a text of base64 stands for that came in a form.
///
/// # Errors
/// 400 where it is none.
pub fn from_base64(text: &str, alphabet: &impl Engine) -> Result<Bytes, ApiError> {
    // In a form `+` is a space. Clients that leave it as it is mean the character of base64.
    let decoded = alphabet.decode(text.trim().replace(' ', "+"));
    decoded
        .map(Bytes::from)
        .map_err(|e| ApiError::bad_request("malformed_encoding", format!("data is no base64: {e}")))
}

/// A body of JSON as a value.
///
/// # Errors
/// 400 where it is none.
pub fn json_body<'a, T: serde::Deserialize<'a>>(contents: &'a [u8]) -> Result<T, ApiError> {
    if contents.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("empty_body", "the body is empty"));
    }
    serde_json::from_slice(contents)
        .map_err(|e| ApiError::bad_request("malformed", format!("the body is not valid JSON: {e}")))
}

/// The elements of an array as they were sent, or the one that is no array.
///
/// # Errors
/// 400 where the text is no JSON.
pub fn one_or_many(contents: &[u8]) -> Result<Vec<&RawValue>, ApiError> {
    match contents.trim_ascii().first() {
        Some(b'[') => json_body(contents),
        _ => Ok(vec![json_body(contents)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whatever_it_is() {
        let read = parameters("?a=1&b=%C3%BC+x&c=&a=2&d");
        assert_eq!((parameter(&read, "a"), parameter(&read, "b")), (Some("1"), Some("ü x")));
        assert_eq!((parameter(&read, "c"), parameter(&read, "d")), (None, None));
        assert!(parameters("%ff%zz&&=").len() <= 2);
    }

    #[test]
    fn what_is_there_is_not_replaced() {
        let mut properties = BuiltProperties::of(Some(serde_json::json!({"path": "/own"})));
        properties.path(Some("https://shop.example/other?x"));
        properties.text("title", Some(""));
        assert_eq!(properties.finish().as_deref(), Some(r#"{"path":"/own"}"#));
        assert_eq!(PIXEL.len(), 42);
    }
}
