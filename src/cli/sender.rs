//! Sends events to a server's `POST /v1/events`, for `replay` and `demo`. Each call is one request
//! of NDJSON, which is sent again while the server asks for time or can't be reached.
//!
//! Sending again is harmless as long as every event has an id, since the server counts each id
//! once.

use std::time::{Duration, Instant};

use awc::{
    Client, Connector,
    error::{JsonPayloadError, SendRequestError},
    http::{StatusCode, Uri, header},
};
use bytes::Bytes;
use serde::Deserialize;

/// Larger answers are not read. 5,000 rejections, the most that a request can get, fit.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The first pause, if the server names none. It doubles with each retry, with jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause, even if the server asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A client that sends events to one server.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    url: String,
    key: Option<String>,
    patience: Duration,
    /// One more header of each request.
    mark: Option<(&'static str, String)>,
}

/// What the server said about a batch.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct SendReply {
    /// Events that are now on its disk.
    pub accepted: u64,
    /// Events that it had already.
    pub duplicates: u64,
    /// Events that it refused.
    pub rejected: Vec<EventRejection>,
    /// How often the batch was sent again before it was answered.
    #[serde(skip)]
    pub retries: u64,
}

/// One refused event.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct EventRejection {
    /// Its place among the events of the request, from 0.
    pub index: usize,
    /// The reason's code.
    pub code: String,
    /// The reason in words.
    pub message: String,
}

/// Why a batch got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server refuses every request like this one.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// Where it was sent to.
        url: String,
        /// 401, 404, …
        status: StatusCode,
        /// What the server said.
        message: String,
    },
    /// The batch was sent again and again, until the patience ended.
    #[error("{url} took nothing for {} s; the last attempt: {last}", patience.as_secs())]
    GaveUp {
        /// Where it was sent to.
        url: String,
        /// How long it was tried.
        patience: Duration,
        /// Why the last attempt failed.
        last: String,
    },
}

/// Why one attempt brought no answer.
enum Attempt {
    /// A later attempt may succeed; the server may have said after how long.
    Again { why: String, after: Option<Duration> },
    /// Every attempt would fail like this one.
    Never(SendError),
}

impl Sender {
    /// A sender to the server at `base` (`http://127.0.0.1:8080`), with at most
    /// `connections` requests at a time. A batch is tried for `patience`. Needs a running
    /// actix system.
    pub fn new(
        base: &str,
        key: Option<&str>,
        connections: usize,
        patience: Duration,
    ) -> Result<Sender, String> {
        let connector = Connector::new().limit(connections);
        let client = Client::builder()
            .connector(connector)
            .timeout(ATTEMPT_TIMEOUT)
            .disable_redirects()
            .finish();
        Ok(Sender {
            client,
            url: events_url(base)?,
            key: key.map(str::to_owned),
            patience,
            mark: None,
        })
    }

    /// The same sender, each of whose requests has this header.
    pub fn marked(self, header: &'static str, value: String) -> Sender {
        Sender { mark: Some((header, value)), ..self }
    }

    /// The same sender, whose events are of the past and are imported.
    pub fn importing(self) -> Sender {
        Sender { url: format!("{}/import", self.url), ..self }
    }

    /// Sends `events` lines of NDJSON until the server has taken them. An `SendReply` accounts
    /// for all of them.
    pub async fn send(&self, body: Bytes, events: u64) -> Result<SendReply, SendError> {
        let begin = Instant::now();
        let mut retries = 0;
        loop {
            match self.attempt(body.clone(), events).await {
                Ok(answer) => return Ok(SendReply { retries, ..answer }),
                Err(Attempt::Never(error)) => return Err(error),
                Err(Attempt::Again { why, after }) => {
                    let pause =
                        after.unwrap_or_else(|| backoff(retries, rand::random())).min(PAUSE_MAX);
                    if begin.elapsed() + pause > self.patience {
                        return Err(SendError::GaveUp {
                            url: self.url.clone(),
                            patience: self.patience,
                            last: why,
                        });
                    }
                    tracing::debug!(url = self.url, why, ?pause, "sending again");
                    tokio::time::sleep(pause).await;
                    retries += 1;
                }
            }
        }
    }

    /// Sends a batch once.
    async fn attempt(&self, body: Bytes, events: u64) -> Result<SendReply, Attempt> {
        let mut request = self
            .client
            .post(&self.url)
            .insert_header((header::CONTENT_TYPE, "application/x-ndjson"));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some((header, value)) = &self.mark {
            request = request.insert_header((*header, value.as_str()));
        }
        let mut response = request.send_body(body).await.map_err(|e| match e {
            SendRequestError::Url(e) => Attempt::Never(SendError::Refused {
                url: self.url.clone(),
                status: StatusCode::BAD_REQUEST,
                message: e.to_string(),
            }),
            e => Attempt::Again { why: e.to_string(), after: None },
        })?;
        let status = response.status();
        let after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = match response.body().limit(MAX_ANSWER_BYTES).await {
            Ok(body) => body,
            // The server may have taken the batch or not. It is sent again, and counted once.
            Err(e) => {
                return Err(Attempt::Again {
                    why: format!("the answer broke off: {e}"),
                    after: None,
                });
            }
        };
        match status {
            StatusCode::ACCEPTED | StatusCode::OK => serde_json::from_slice(&body).map_err(|e| {
                let e = JsonPayloadError::Deserialize(e);
                Attempt::Never(self.refused(status, format!("not Floodmark's answer: {e}")))
            }),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(all_rejected(&body, events)),
            // This batch is wrong, but the next one may be fine, so the caller goes on.
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(all_rejected(&body, events))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Attempt::Again { why: format!("{status}: {}", error_of(&body).message), after })
            }
            status if status.is_server_error() => {
                Err(Attempt::Again { why: format!("{status}: {}", error_of(&body).message), after })
            }
            status => Err(Attempt::Never(self.refused(status, error_of(&body).message))),
        }
    }

    fn refused(&self, status: StatusCode, message: String) -> SendError {
        SendError::Refused { url: self.url.clone(), status, message }
    }
}

/// The URL of the route, from a server's address with or without it.
fn events_url(base: &str) -> Result<String, String> {
    const ROUTE: &str = "/v1/events";
    let uri: Uri = base.parse().map_err(|e| format!("{base:?}: {e}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(format!("{base:?} is not a server's address such as http://127.0.0.1:8080"));
    }
    let base = base.trim_end_matches('/');
    let route = if base.ends_with(ROUTE) { "" } else { ROUTE };
    Ok(format!("{base}{route}"))
}

/// The pause before attempt `retries + 2`; `jitter` is 0 to 1.
fn backoff(retries: u64, jitter: f64) -> Duration {
    let doubled = PAUSE_FIRST * 2u32.pow(retries.min(10) as u32);
    doubled.min(PAUSE_MAX).mul_f64(0.5 + jitter / 2.0)
}

/// The error of a whole request: `{"error":{"code","message"}}`.
fn error_of(body: &[u8]) -> EventRejection {
    #[derive(Deserialize)]
    struct Whole {
        error: EventRejection,
    }
    match serde_json::from_slice::<Whole>(body) {
        Ok(whole) => whole.error,
        Err(_) => EventRejection {
            index: 0,
            code: "unknown".to_owned(),
            message: String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        },
    }
}

/// The answer for a batch of which every event was refused: each with its own reason if the
/// server gave them, else with the reason of the request.
fn all_rejected(body: &[u8], events: u64) -> SendReply {
    let each: SendReply = serde_json::from_slice(body).unwrap_or_default();
    let mut rejected = each.rejected;
    let missing = (events as usize).saturating_sub(rejected.len());
    rejected.extend(std::iter::repeat_n(error_of(body), missing));
    SendReply { rejected, ..SendReply::default() }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, net::SocketAddr};

    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

    use super::*;

    /// A server that gives these answers one after the other.
    fn server(answers: Vec<fn() -> HttpResponse>) -> SocketAddr {
        let server = HttpServer::new(move || {
            let answers = web::Data::new(RefCell::new(answers.clone().into_iter()));
            let handler =
                |request: HttpRequest, answers: web::Data<RefCell<std::vec::IntoIter<_>>>| async move {
                    let authorization = request.headers().get("authorization");
                    assert_eq!(authorization.unwrap(), "Bearer key");
                    let next: fn() -> HttpResponse = answers.borrow_mut().next().unwrap();
                    next()
                };
            App::new()
                .app_data(answers)
                .route("/v1/events", web::post().to(handler))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let address = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        address
    }

    async fn send(answers: Vec<fn() -> HttpResponse>, patience: u64) -> Result<SendReply, String> {
        let base = format!("http://{}", server(answers));
        let sender = Sender::new(&base, Some("key"), 1, Duration::from_secs(patience)).unwrap();
        let answer = sender.send(Bytes::from_static(b"{}\n{}\n"), 2).await;
        answer.map_err(|e| e.to_string().replace(&base, "BASE"))
    }

    fn busy() -> HttpResponse {
        HttpResponse::TooManyRequests().insert_header(("retry-after", "0")).body("")
    }

    fn full() -> HttpResponse {
        HttpResponse::ServiceUnavailable()
            .insert_header(("retry-after", "1"))
            .body(r#"{"error":{"code":"spool_full","message":"the spool is full"}}"#)
    }

    fn taken() -> HttpResponse {
        HttpResponse::Accepted().body(r#"{"accepted":1,"duplicates":1,"rejected":[]}"#)
    }

    #[actix_web::test]
    async fn it_waits_as_long_as_it_is_asked_to_and_sends_again() {
        let begin = Instant::now();
        let answer = send(vec![busy, full, taken], 20).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(1));
        let expected = SendReply { accepted: 1, duplicates: 1, rejected: Vec::new(), retries: 2 };
        assert_eq!(answer, expected);
    }

    #[actix_web::test]
    async fn its_patience_ends() {
        assert_eq!(
            send(vec![full, full], 0).await.unwrap_err(),
            "BASE/v1/events took nothing for 0 s; the last attempt: \
             503 Service Unavailable: the spool is full"
        );
    }

    #[actix_web::test]
    async fn a_refusal_is_final() {
        let answers: Vec<fn() -> HttpResponse> = vec![|| {
            HttpResponse::Unauthorized()
                .body(r#"{"error":{"code":"key","message":"unknown write key"}}"#)
        }];
        assert_eq!(
            send(answers, 9).await.unwrap_err(),
            "BASE/v1/events answered 401 Unauthorized: unknown write key"
        );
    }

    #[actix_web::test]
    async fn a_batch_refused_as_a_whole_counts_every_event() {
        let answers: Vec<fn() -> HttpResponse> = vec![|| {
            HttpResponse::UnprocessableEntity()
                .body(r#"{"error":{"code":"all_rejected","message":"no event is valid"}}"#)
        }];
        let answer = send(answers, 9).await.unwrap();
        assert_eq!(answer.rejected.len(), 2);
        assert_eq!(answer.rejected[0].code, "all_rejected");
    }

    #[test]
    fn the_route_is_added_to_an_address() {
        let url = |base| events_url(base);
        assert_eq!(url("http://h:1"), Ok("http://h:1/v1/events".to_owned()));
        assert_eq!(url("https://h/"), Ok("https://h/v1/events".to_owned()));
        assert_eq!(url("http://h/x/v1/events"), Ok("http://h/x/v1/events".to_owned()));
        assert!(url("127.0.0.1:8080").is_err());
        assert!(url("ftp://h").is_err());
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(backoff(0, 1.0), PAUSE_FIRST);
        assert_eq!(backoff(0, 0.0), PAUSE_FIRST / 2);
        assert_eq!(backoff(2, 1.0), PAUSE_FIRST * 4);
        assert_eq!(backoff(u64::MAX, 1.0), PAUSE_MAX);
    }
}
