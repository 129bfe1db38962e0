//! Mixpanel: `/track` and `/import`, whose events are taken, and `/engage` and `/groups`, which say
//! things of people and are answered and left.
//!
//! The events stand in `data`, of the query or of a form, as JSON or as base64 of it; `/import` may have
//! them as a body of JSON or NDJSON. The key is `properties.token`, or the user name of Basic auth. The
//! answer is `1`, with `verbose=1` `{"status":1,"error":null}`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
};
use base64::{
    alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    Dialect, Endpoint, Outcome, Split,
    built::{field, from_base64, named, one_or_many, parameter, parameters},
    json_event::{EventMembers, JsonEvent},
    member::{Added, object, path_of, property},
};
use crate::{
    domain::event::{Field, Incoming},
    http::{
        auth::{Offer, usual_write_keys},
        error::ApiError,
    },
};

/// One request of a Mixpanel SDK.
#[derive(Debug)]
pub struct Mixpanel {
    /// Whether its contents are events.
    has_events: bool,
    is_import: bool,
    verbose: bool,
    query: Vec<(String, String)>,
    keys: Vec<String>,
}

/// The members of an event that are looked at.
#[derive(Deserialize)]
pub struct MixpanelMembers<'a> {
    #[serde(borrow, default)]
    event: Field<'a>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// Base64 with or without the `=` at its end.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BOTH: &[Method] = &[Method::GET, Method::POST];

impl Dialect for Mixpanel {
    const NAME: &'static str = "mixpanel";
    const TRANSLATES: bool = true;
    const PARAMETERS: &'static [&'static str] = &["data", "verbose", "api_key"];

    const ENDPOINTS: &'static [Endpoint] = &[
        Endpoint { path: "/{call:track|engage|groups|import}", methods: BOTH },
        // Browsers send to these.
        Endpoint { path: "/{call:track|engage|groups|import}/", methods: BOTH },
    ];

    type Event<'a> = JsonEvent<'a, MixpanelMembers<'a>>;

    fn offer(request: &HttpRequest) -> Offer {
        // An import has a secret in Basic auth beside the token in its events, and either may be the
        // key. So the body is read in any case but that of a key which is known by its place.
        let is_basic = request.headers().contains_key(header::AUTHORIZATION);
        let keys = usual_write_keys(request);
        if keys.is_empty() || is_basic { Offer::Body } else { Offer::Head(keys) }
    }

    fn open(request: &HttpRequest) -> Result<Mixpanel, ApiError> {
        let call = request.match_info().get("call").unwrap_or_default();
        let query = named(request, Self::PARAMETERS);
        Ok(Mixpanel {
            has_events: matches!(call, "track" | "import"),
            is_import: call == "import",
            verbose: parameter(&query, "verbose") == Some("1"),
            query,
            keys: usual_write_keys(request),
        })
    }

    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        let is_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        let sent = match body.trim_ascii().is_empty() {
            true => self.query.clone(),
            false if is_json => return Ok(body),
            false => parameters(&String::from_utf8_lossy(&body)),
        };
        self.verbose |= parameter(&sent, "verbose") == Some("1");
        self.keys.extend(parameter(&sent, "api_key").map(str::to_owned));
        let data = parameter(&sent, "data").unwrap_or_default();
        if data.trim_start().starts_with(['{', '[']) {
            return Ok(Bytes::from(data.to_owned()));
        }
        from_base64(data, &PADDED_OR_NOT)
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Self::Event<'a>>, ApiError> {
        let sent = match one_or_many(contents) {
            Ok(sent) => sent,
            // What is no JSON as a whole may have one event on each line.
            Err(error) => lines(contents).ok_or(error)?,
        };
        for raw in &sent {
            if let Ok(members) = serde_json::from_str::<MixpanelMembers<'_>>(raw.get())
                && let Field::Text(token) = property(object(members.properties), "token")
            {
                self.keys.push(token.into_owned());
            }
            // What is said of people has its token beside it.
            if let Field::Text(token) = property(object(Some(raw)), "$token") {
                self.keys.push(token.into_owned());
            }
        }
        if !self.has_events {
            return Ok(Split::default());
        }
        let events = sent.into_iter().map(JsonEvent::unread).collect();
        Ok(Split::new(events, Field::Absent, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.keys.clone()
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        let taken = outcome.accepted + outcome.duplicates;
        match outcome.rejected.first().filter(|_| outcome.all_rejected()) {
            Some(rejected) => ApiError::all_rejected(StatusCode::BAD_REQUEST)
                .with_body(json!({"status": 0, "error": rejected.reason.to_string(), "code": 400})),
            None if self.verbose => HttpResponse::Ok().json(json!({"status": 1, "error": null})),
            None if self.is_import => HttpResponse::Ok().json(json!({
                "code": 200, "num_records_imported": taken, "status": "OK",
            })),
            None => HttpResponse::Ok().content_type("text/plain").body("1"),
        }
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        let code = error.status.as_u16();
        error.with_body(json!({"status": 0, "error": error.message, "code": code}))
    }
}

/// One event on each line; `None` where a line is no JSON.
fn lines(contents: &[u8]) -> Option<Vec<&RawValue>> {
    let lines = contents.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| serde_json::from_slice(line).ok()).collect()
}

impl<'a> EventMembers<'a> for MixpanelMembers<'a> {
    fn incoming(self, size: usize) -> Incoming<'a> {
        let own = object(self.properties);
        let get = |name: &str| property(own, name);
        let path = match (get("current_url_path"), get("$current_url").or(get("current_url"))) {
            (Field::Absent, Field::Text(url)) => field(Some(&path_of(&url))),
            (path, _) => path.into_owned(),
        };
        let added = Added::to(own).text("path", &path).text("referrer", &get("$referrer"));
        // Before somebody logs in, the id is one that the browser has made up.
        let person = get("distinct_id");
        let is_device = matches!(&person, Field::Text(id) if id.starts_with("$device:"));
        let user = if is_device { Field::Absent } else { person.clone() };
        Incoming {
            kind: self.event,
            timestamp: get("time").or(get("$time")),
            user_id: get("$user_id").or(user),
            session_id: get("$session_id").or(get("$device_id")).or(person),
            id: get("$insert_id"),
            properties: Some(added.without("token").finish()),
            size,
            ..Incoming::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;
    use crate::http::dialect::DialectEvent;

    fn mixpanel(query: &str) -> Mixpanel {
        let (query, keys) = (parameters(query), Vec::new());
        let verbose = parameter(&query, "verbose") == Some("1");
        Mixpanel { has_events: true, is_import: false, verbose, query, keys }
    }

    #[test]
    fn the_four_ways_to_send_an_event() {
        let event = r#"{"event":"Order Completed","properties":{"token":"k","distinct_id":"u1","time":1795420800.5,"$insert_id":"i","total":59.97}}"#;
        let packed = PADDED_OR_NOT.encode(event);
        let form = format!("verbose=1&data={}", event.replace('"', "%22"));
        for (query, body) in [
            (format!("verbose=0&data={packed}"), String::new()),
            (String::new(), format!("data={packed}")),
            (String::new(), form),
            (String::new(), format!("[{event}]")),
            (String::new(), format!("{event}\n{event}\n")),
        ] {
            let mut mixpanel = mixpanel(&query);
            let contents = mixpanel.contents(body.into()).unwrap();
            let mut split = mixpanel.split(&contents, 9).unwrap();
            let read = split.events()[0].read().unwrap();
            assert_eq!(read.timestamp, Field::Text("1795420800.5".into()));
            assert_eq!((&read.id, &read.user_id), (&field(Some("i")), &field(Some("u1"))));
            let properties = read.properties.as_deref().unwrap();
            assert!(!properties.contains(r#""k""#), "{properties}");
            assert_eq!(mixpanel.keys[0], "k");
        }
    }

    #[test]
    fn what_is_said_of_people_is_no_event() {
        let mut people = Mixpanel { has_events: false, ..mixpanel("") };
        let body = br#"[{"$token":"k","$distinct_id":"u1","$set":{"a":1}}]"#;
        assert!(people.split(body, 9).unwrap().events().is_empty());
        assert_eq!(people.keys_in_body(), ["k"]);
        assert!(mixpanel("data=!!!").contents(Bytes::new()).is_err());
    }
}
