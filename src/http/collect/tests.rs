//! A made-up dialect shows that the steps of a request serve other dialects than the native one:
//! its key stands in the body, its events may stand in the query, they own their text, and it has
//! answers of its own.

use std::{borrow::Cow, cell::RefCell, rc::Rc};

use actix::{Actor, Context, Handler};
use actix_web::{http::Method, test};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::Deserialize;

use super::*;
use crate::{
    access::SharedBook,
    domain::{
        access::Book,
        event::{Field, Incoming, Rejection},
        row::rows,
    },
    http::{
        auth::Offer,
        dialect::{DialectEvent, Endpoint, ForEach, Split},
        scope::{self, Guards},
    },
    ingest::{Accepted, Request},
};

/// `{"token":KEY,"notes":[TEXT]}`, posted or as base64 in a query; answered with `ok N`.
struct Notes {
    /// The last part of the path: the type of the events.
    kind: String,
    /// The query of a GET.
    query: Option<String>,
    /// The key that was found in the body.
    token: Option<String>,
}

struct Note {
    text: String,
    kind: String,
    read: Incoming<'static>,
}

#[derive(Deserialize)]
struct Body {
    token: Option<String>,
    notes: Vec<String>,
}

impl<'a> DialectEvent<'a> for Note {
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection> {
        if self.text.is_empty() {
            return Err(Rejection::Malformed("an empty note".to_owned()));
        }
        self.read = Incoming {
            kind: Field::Text(Cow::Owned(self.kind.clone())),
            properties: Some(serde_json::json!({"text": self.text}).to_string().into()),
            size: self.text.len(),
            ..Incoming::default()
        };
        Ok(&self.read)
    }

    fn as_sent(&self) -> Cow<'_, [u8]> {
        Cow::Owned(format!("note {:?}", self.text).into_bytes())
    }
}

impl Dialect for Notes {
    const NAME: &'static str = "notes";
    const ENDPOINTS: &'static [Endpoint] =
        &[Endpoint { path: "/notes/{kind}", methods: &[Method::GET, Method::POST] }];
    type Event<'a> = Note;

    fn offer(_: &HttpRequest) -> Offer {
        Offer::Body
    }

    fn open(request: &HttpRequest) -> Result<Notes, ApiError> {
        let kind = request.match_info().query("kind").to_owned();
        let reads = request.method() == Method::GET;
        let query = reads.then(|| request.query_string().to_owned());
        Ok(Notes { kind, query, token: None })
    }

    fn contents(&mut self, body: Bytes) -> Result<Bytes, ApiError> {
        let Some(query) = self.query.take() else { return Ok(body) };
        let decoded = BASE64.decode(query).map_err(|_| ApiError::bad_request("base64", "no"))?;
        Ok(decoded.into())
    }

    fn split<'a>(
        &mut self,
        contents: &'a [u8],
        max_events: usize,
    ) -> Result<Split<'a, Note>, ApiError> {
        let body: Body = serde_json::from_slice(contents)
            .map_err(|e| ApiError::bad_request("malformed", e.to_string()))?;
        self.token = body.token;
        let note = |text| Note { text, kind: self.kind.clone(), read: Incoming::default() };
        let notes = body.notes.into_iter().map(note).collect();
        Ok(Split::new(notes, Field::Absent, max_events)?)
    }

    fn keys_in_body(&self) -> Vec<String> {
        self.token.clone().into_iter().collect()
    }

    fn answer(self, outcome: &Outcome) -> HttpResponse {
        let codes: Vec<_> = outcome.rejected.iter().map(|r| (r.index, r.reason.code())).collect();
        HttpResponse::Ok().body(format!("ok {} {codes:?}", outcome.accepted))
    }

    fn refuse(_: &HttpRequest, error: &ApiError) -> HttpResponse {
        HttpResponse::build(error.status).body(format!("sorry: {}", error.code))
    }
}

/// Stands for the ingest actor: accepts all, and keeps it.
#[derive(Default)]
struct Desk(Rc<RefCell<Vec<Request>>>);

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<Append> for Desk {
    type Result = ();

    fn handle(&mut self, append: Append, _: &mut Context<Self>) {
        let accept = |request: &Request| Ok(Accepted { accepted: request.events, duplicates: 0 });
        let _ = append.reply.send(append.requests.iter().map(accept).collect());
        self.0.borrow_mut().extend(append.requests);
    }
}

/// What a desk has got, and the answers to these requests (method, path, body), in turn.
async fn ask(config: &Config, requests: &[(Method, &str, &str)]) -> (Vec<Request>, Vec<String>) {
    let taken = Rc::default();
    let book = SharedBook::of(Book::default());
    let keys = WriteKeys::new(config, book.clone());
    let intake = Intake::new(config, keys, Desk(Rc::clone(&taken)).start().recipient(), None);
    let app = scope::app(Guards::new(config, book), |scopes| scopes.collect.dialect::<Notes>())
        .app_data(web::Data::new(intake.hand_over()))
        .app_data(web::Data::new(intake));
    let app = test::init_service(app).await;
    let mut answers = Vec::new();
    for (method, path, body) in requests {
        let request = test::TestRequest::with_uri(path).method(method.clone());
        let response =
            test::call_service(&app, request.set_payload((*body).to_owned()).to_request());
        let response = response.await;
        let status = response.status().as_u16();
        let body = test::read_body(response).await;
        answers.push(format!("{status} {}", String::from_utf8_lossy(&body)));
    }
    (taken.take(), answers)
}

fn with_key() -> Config {
    let mut config = Config::default();
    config.auth.write_keys = vec!["k".to_owned()];
    config
}

#[actix_web::test]
async fn a_key_in_the_body_is_checked_before_anything_is_handed_over() {
    let post = |body| (Method::POST, "/notes/a", body);
    let requests = [
        post(r#"{"notes":["x"]}"#),
        post(r#"{"notes":["x"],"token":"wrong"}"#),
        post(r#"{"notes":[]}"#),
        post(r#"{"notes":["x","y"],"token":"k"}"#),
    ];
    let (taken, answers) = ask(&with_key(), &requests).await;
    let sorry = "401 sorry: unauthorized";
    assert_eq!(answers, [sorry, sorry, sorry, "200 ok 2 []"]);
    assert_eq!(taken.iter().map(|request| request.events).collect::<Vec<_>>(), [2]);
    // A server that has no keys asks for none.
    assert_eq!(ask(&Config::default(), &requests[..1]).await.1, ["200 ok 1 []"]);
}

#[actix_web::test]
async fn a_dialect_may_build_its_events_and_has_its_own_words() {
    let packed = BASE64.encode(r#"{"notes":["héllo",""],"token":"k"}"#);
    let in_query = format!("/notes/hint?{packed}");
    let requests = [
        (Method::GET, &*in_query, ""),
        (Method::GET, "/notes/hint?***", ""),
        (Method::POST, "/notes/hint", "{"),
        (Method::PUT, "/notes/hint", ""),
    ];
    let (taken, answers) = ask(&with_key(), &requests).await;
    assert_eq!(answers[0], r#"200 ok 1 [(1, "malformed")]"#);
    assert_eq!(answers[1..3], ["400 sorry: base64", "400 sorry: malformed"]);
    assert!(answers[3].starts_with("405 "), "{}", answers[3]);
    let row = rows(&taken[0].rows).next().unwrap().unwrap();
    assert_eq!((row.kind, row.properties), ("hint", r#"{"text":"héllo"}"#));
    assert_eq!(taken[0].dead_letters[0].raw, r#"note """#);
}
