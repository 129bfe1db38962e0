//! What operators see of requests: how many came at each route, with which status, how long they
//! took, and which were refused and why.
//!
//! A rotated key or a misspelt path loses all traffic of its senders, who may be programs that
//! nobody looks at. So each refusal is counted by its code, and the log names the codes of refusals:
//! the first at once, and then how many there were, once a minute.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpMessage, HttpRequest, body::MessageBody, dev::ServiceResponse, rt, web};
use metrics::{Counter, Histogram};
use parking_lot::Mutex;

use crate::{
    http::{
        access_log::AccessLog,
        client::{ProxyNetworks, network},
    },
    panics,
    telemetry::otlp::spans::{self, RequestSpan},
};

/// The route of requests that lead nowhere. Their paths are no labels, since a scanner would fill
/// the memory with them.
pub const NO_ROUTE: &str = "none";
/// The code of a refusal that is not one of ours: an answer of 400 or more without a code.
const NO_CODE: &str = "other";
/// The code of what is no request: a head that can't be read.
const NO_REQUEST: &str = "no_request";
/// How often the log says how many requests were refused for one reason.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Refusals that operators watch; they stand in `/metrics` from the start, at 0.
const WATCHED: &[&str] = &[
    "all_rejected",
    "forbidden",
    "malformed",
    "method_not_allowed",
    "no_request",
    "not_events",
    "not_found",
    "origin",
    "overloaded",
    "rate_limited",
    "spool_full",
    "too_large",
    "too_many_attempts",
    "too_many_events",
    "unauthorized",
    "unknown_host",
    "unsupported_encoding",
    "unsupported_type",
    "wrong_credentials",
];
/// The answers of the native route that operators watch, likewise.
const WATCHED_STATUSES: &[&str] = &["202", "400", "401", "422", "429", "503"];
const NATIVE_ROUTE: &str = "/v1/events";

/// The code of a refusal, which its answer carries along for [`answered`].
#[derive(Clone, Copy, Debug)]
pub struct RefusalCode(pub &'static str);

/// Puts the metrics that operators watch into `/metrics`, where they stand at 0.
pub fn show_all() {
    for code in WATCHED {
        refused_counter(code).increment(0);
    }
    for status in WATCHED_STATUSES {
        requests(NATIVE_ROUTE, (*status).to_owned()).increment(0);
    }
}

fn refused_counter(code: &'static str) -> Counter {
    metrics::counter!("floodmark_http_refused_total", "code" => code)
}

fn requests(route: &str, status: String) -> Counter {
    metrics::counter!(
        "floodmark_http_requests_total", "route" => route.to_owned(), "status" => status
    )
}

/// The metrics of one route. They are looked up once in each worker, since the lock and the hash of
/// the registry cost a request of one event more than its JSON does.
struct RouteMeter {
    route: String,
    seconds: Histogram,
    statuses: Vec<(u16, Counter)>,
}

impl RouteMeter {
    fn new(route: &str) -> RouteMeter {
        let seconds =
            metrics::histogram!("floodmark_http_request_seconds", "route" => route.to_owned());
        RouteMeter { route: route.to_owned(), seconds, statuses: Vec::new() }
    }

    fn count(&mut self, status: u16, took: Duration) {
        self.seconds.record(took.as_secs_f64());
        let known = self.statuses.iter().find(|(known, _)| *known == status);
        match known {
            Some((_, counter)) => counter.increment(1),
            None => {
                let counter = requests(&self.route, status.to_string());
                counter.increment(1);
                self.statuses.push((status, counter));
            }
        }
    }
}

thread_local! {
    /// The meters of this worker, by route.
    static METERS: RefCell<HashMap<String, RouteMeter>> = RefCell::default();
}

/// Counts a request that has its answer, and notes it where it is a refusal.
pub fn answered<B: MessageBody>(response: &ServiceResponse<B>, began: Instant) {
    let (request, status) = (response.request(), response.status().as_u16());
    let took = began.elapsed();
    if let Some(log) = request.app_data::<web::Data<AccessLog>>() {
        log.note(response, took);
    }
    if let Some(span) = request.extensions().get::<RequestSpan>() {
        let pattern = request.match_pattern().filter(|pattern| !pattern.is_empty());
        spans::answered(*span, request.method().as_str(), pattern.as_deref(), status, took);
    }
    METERS.with_borrow_mut(|meters| {
        // Most paths are their own pattern. Only where one is not, the pattern is put together.
        if let Some(meter) = meters.get_mut(request.path()) {
            return meter.count(status, took);
        }
        let pattern = request.match_pattern().filter(|pattern| !pattern.is_empty());
        let route = pattern.as_deref().unwrap_or(NO_ROUTE);
        if !meters.contains_key(route) {
            meters.insert(route.to_owned(), RouteMeter::new(route));
        }
        meters.get_mut(route).expect("it was added").count(status, took);
    });
    let code = response.response().extensions().get::<RefusalCode>().map(|code| code.0);
    if let Some(code) = code.or((status >= 400).then_some(NO_CODE)) {
        refused_counter(code).increment(1);
        if let Some(refusals) = request.app_data::<web::Data<RefusalLog>>() {
            refusals.note(code, status, request);
        }
    }
}

/// Counts what was no request at all, to which actix-http has answered 400 or 431 and hung up.
pub fn no_request(refusals: &RefusalLog, from: Option<SocketAddr>) {
    refused_counter(NO_REQUEST).increment(1);
    refusals.note_refusal(NO_REQUEST, 400, || NO_ROUTE.to_owned(), from);
}

/// The refusals that the log has not named yet, by code. All workers share them.
#[derive(Debug, Default)]
pub struct RefusalLog {
    proxies: ProxyNetworks,
    since_last: Arc<Mutex<HashMap<&'static str, Refused>>>,
}

/// Refusals with one code.
#[derive(Debug)]
struct Refused {
    requests: u64,
    /// The last of them. Its client is named, so that an operator finds who has to change something;
    /// its query string is not, since keys stand there.
    status: u16,
    route: String,
    from: IpAddr,
}

impl RefusalLog {
    /// An empty log. Clients behind these proxies are named by what the proxies say.
    pub fn new(proxies: ProxyNetworks) -> RefusalLog {
        RefusalLog { proxies, since_last: Arc::default() }
    }

    fn note(&self, code: &'static str, status: u16, request: &HttpRequest) {
        let from = self.proxies.client_of(request);
        // Nothing is put together for the ten thousandth refusal of a minute.
        let route = || request.match_pattern().unwrap_or_else(|| NO_ROUTE.to_owned());
        self.note_refusal(code, status, route, from);
    }

    fn note_refusal(
        &self,
        code: &'static str,
        status: u16,
        route: impl FnOnce() -> String,
        from: Option<SocketAddr>,
    ) {
        let mut refused = self.since_last.lock();
        let is_first = !refused.contains_key(code);
        let entry = refused.entry(code).or_insert_with(|| Refused {
            requests: 0,
            status,
            route: String::new(),
            from: IpAddr::from([0, 0, 0, 0]),
        });
        entry.requests += 1;
        entry.status = status;
        entry.from = network(from);
        if entry.route.is_empty() {
            entry.route = route();
        }
        if is_first {
            entry.say(code);
            entry.clear();
            rt::spawn(panics::lasting("refusals", {
                let since_last = self.since_last.clone();
                move || say_from_time_to_time(since_last.clone(), code)
            }));
        }
    }
}

impl Refused {
    fn say(&self, code: &'static str) {
        let Refused { requests, status, route, from } = self;
        tracing::warn!(code, status, route, requests, example = %from, "requests are refused");
    }

    fn clear(&mut self) {
        self.requests = 0;
        self.route.clear();
    }
}

/// Says each minute how many were refused with this code, until a minute passes without any.
async fn say_from_time_to_time(
    since_last: Arc<Mutex<HashMap<&'static str, Refused>>>,
    code: &'static str,
) {
    loop {
        rt::time::sleep(SAY_EVERY).await;
        let mut refused = since_last.lock();
        match refused.get_mut(code) {
            Some(some) if some.requests > 0 => {
                some.say(code);
                some.clear();
            }
            _ => {
                refused.remove(code);
                return;
            }
        }
    }
}
