//! PostHog's capture API.
//!
//! - Servers send `POST /batch/`, browsers `POST /e/`, `/i/v0/e/` or `/capture/`: an object with the
//!   list `batch`, an array, or one event; as JSON, or as `data=` in a form, in base64.
//! - Browsers ask for settings as well (`/flags/`, `/decide/`, `/array/KEY/config`). They get empty
//!   ones: no feature is on.
//! - The answer is 200 with `{"status":1}`. Clients lose events after any other 2xx.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Query,
};
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::from_base64,
    envelope::Envelope,
    json_event::{EventMembers, JsonEvent},
    member::{Added, object, parsed, property},
};
use crate::{
    domain::event::{Field, Incoming},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
    },
};

/// One request of a PostHog SDK.
#[derive(Debug)]
pub struct PostHog {
    call: PostHogCall,
    /// The keys that the body has.
    keys: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PostHogCall {
    Capture,
    Flags,
    Config,
}

/// The members of an event that are looked at.
#[derive(Deserialize)]
pub struct Captured<'a> {
    #[serde(borrow, default)]
    event: Field<'a>,
    #[serde(borrow, default)]
    uuid: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    distinct_id: Field<'a>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// What stands in the properties of an exception.
#[derive(Default, Deserialize)]
struct CapturedExceptions<'a> {
    #[serde(borrow, rename = "$exception_list", default)]
    list: Vec<CapturedException<'a>>,
}

#[derive(Clone, Default, Deserialize)]
struct CapturedException<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Field<'a>,
    #[serde(borrow, default)]
    value: Field<'a>,
}

const POST: &[Method] = &[Method::POST];
const GET: &[Method] = &[Method::GET];

impl Dialect for PostHog {
    const NAME: &'static str = "posthog";
    const TRANSLATES: bool = true;

    const ENDPOINTS: &'static [Endpoint] = &[
        Endpoint { path: "/{call:batch|e|capture|flags|decide}", methods: POST },
        Endpoint { path: "/{call:batch|e|capture|flags|decide}/", methods: POST },
        Endpoint { path: "/i/v0/{call:e}/", methods: POST },
        Endpoint { path: "/array/{key}/config", methods: GET },
    ];

    type Event<'a> = JsonEvent<'a, Captured<'a>>;

    fn offer(request: &HttpRequest) -> Offer {
        let mut keys = usual_write_keys(request);
        keys.extend(request.match_info().get("key").map(str::to_owned));
        Offer::head_or_body(keys)
    }

    fn open(request: &HttpRequest) -> Result<PostHog, ApiError> {
        let call = match request.match_info().get("call") {
            None => PostHogCall::Config,
            Some("flags" | "decide") => PostHogCall::Flags,
            Some(_) => PostHogCall::Capture,
        };
        Ok(PostHog { call, keys: Vec::new() })
    }

    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        if !body.starts_with(b"data=") {
            return Ok(body);
        }
        let form = String::from_utf8_lossy(&body);
        let form = Query::<Vec<(String, String)>>::from_query(&form).map(Query::into_inner);
        let data = form.unwrap_or_default().into_iter().find(|(name, _)| name == "data");
        from_base64(&data.map(|(_, text)| text).unwrap_or_default(), &BASE64)
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Self::Event<'a>>, ApiError> {
        if self.call == PostHogCall::Config {
            return Ok(Split::default());
        }
        let envelope = Envelope::read(contents, "batch")?;
        let own = [envelope.text("api_key"), envelope.text("token")];
        self.keys.extend(own.into_iter().flatten());
        // A browser's array of events has the key in the properties of each.
        let first = envelope.events.first().map(|event| event.get());
        if let Some(first) = first
            && let Ok(event) = serde_json::from_str::<Captured<'_>>(first)
            && let Field::Text(token) = property(object(event.properties), "token")
        {
            self.keys.push(token.into_owned());
        }
        if self.call == PostHogCall::Flags {
            return Ok(Split::default());
        }
        let sent_at = envelope.field("sent_at");
        let events = envelope.events.into_iter().map(JsonEvent::unread).collect();
        Ok(Split::new(events, sent_at, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn answer(self, _: &Outcome) -> HttpResponse {
        HttpResponse::Ok().json(match self.call {
            PostHogCall::Capture => json!({"status": 1}),
            PostHogCall::Flags => {
                json!({"flags": {}, "featureFlags": {}, "errorsWhileComputingFlags": false})
            }
            PostHogCall::Config => json!({"supportedCompression": ["gzip-js"]}),
        })
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        let body = json!({"status": 0, "code": error.code, "detail": error.message});
        // The browser SDK drops what gets a 429, as it does with every 4xx.
        if error.status == StatusCode::TOO_MANY_REQUESTS {
            let later = ApiError { status: StatusCode::SERVICE_UNAVAILABLE, ..error.clone() };
            return later.with_body(body);
        }
        error.with_body(body)
    }
}

impl<'a> EventMembers<'a> for Captured<'a> {
    fn incoming(self, size: usize) -> Incoming<'a> {
        let own = object(self.properties);
        let person = self.distinct_id.or(property(own, "distinct_id"));
        let exceptions: CapturedExceptions<'a> = match &self.event {
            Field::Text(name) if name == "$exception" => {
                parsed(self.properties).unwrap_or_default()
            }
            _ => CapturedExceptions::default(),
        };
        let exception = exceptions.list.first().cloned().unwrap_or_default();
        let properties = Added::to(own)
            .text("path", &property(own, "$pathname"))
            .text("referrer", &property(own, "$referrer"))
            .text("code", &exception.kind)
            .text("message", &exception.value)
            .without("token")
            .finish();
        // Before somebody logs in, the id is one that the browser has made up.
        let is_anonymous = property(own, "$is_identified") == Field::Text("false".into());
        Incoming {
            kind: self.event,
            timestamp: self.timestamp,
            sent_at: Field::Absent,
            user_id: if is_anonymous { Field::Absent } else { person.clone() },
            session_id: property(own, "$session_id").or(person),
            id: self.uuid,
            user_agent: property(own, "$raw_user_agent"),
            properties: Some(properties),
            plain: false,
            size,
            notes: Vec::new(),
            refused: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dialect::DialectEvent;

    #[test]
    fn a_page_is_read_and_the_key_in_it_is_not_kept() {
        let body = br#"[{"event":"$pageview","uuid":"e1","timestamp":1795420800000,"properties":
            {"token":"phc_1","distinct_id":"d1","$session_id":"s1","$is_identified":"false",
             "$pathname":"/product/mug","plan":"pro"}}]"#;
        let mut posthog = PostHog { call: PostHogCall::Capture, keys: Vec::new() };
        let mut split = posthog.split(body, 9).unwrap();
        let read = split.events()[0].read().unwrap();
        let properties = read.properties.as_deref().unwrap();
        assert!(properties.starts_with(r#"{"path":"/product/mug","#), "{properties}");
        assert!(properties.contains("plan") && !properties.contains("token"), "{properties}");
        assert_eq!((&read.session_id, &read.user_id), (&Field::Text("s1".into()), &Field::Absent));
        assert_eq!(posthog.keys_in_body(), ["phc_1"]);
    }
}
