//! How many events a second one client may send: `http.client_events_per_s`, or what its key says.

use std::{
    collections::HashMap,
    net::SocketAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::http::StatusCode;
use governor::{
    RateLimiter,
    clock::{Clock, DefaultClock, QuantaInstant},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};
use parking_lot::Mutex;

use crate::{
    config,
    http::{auth::WriteAccess, client::Client, error::ApiError},
};

/// How many seconds of its rate a client may send at once.
const BURST_S: u32 = 10;
/// How often the clients that are within their rate are forgotten, to give back their memory.
const FORGET_EVERY: Duration = Duration::from_secs(10);

type Limiter =
    RateLimiter<Client, DashMapStateStore<Client>, DefaultClock, NoOpMiddleware<QuantaInstant>>;

/// The rates of all clients. A clone shares them.
#[derive(Clone)]
pub struct Quota {
    /// By `http.client_events_per_s`; `None` where that limits nobody.
    usual: Option<Arc<ClientRates>>,
    /// Those of keys with a rate of their own, by that rate.
    own: Arc<Mutex<HashMap<NonZeroU32, Arc<ClientRates>>>>,
}

struct ClientRates {
    /// The rate.
    a_second: u32,
    /// The most events that one client may send at once: a bucket that is full. A single request
    /// may have more, for which its client then waits ([`ClientRates::take`]).
    most: u32,
    limiter: Limiter,
    turned_away: Mutex<TurnedAway>,
}

/// The clients that were told to come back later. Until then their requests are not read, since
/// reading is what costs the server most.
struct TurnedAway {
    until: HashMap<Client, Instant>,
    /// When those whose time has passed were last taken out.
    cleaned: Instant,
}

impl Quota {
    /// With the rate of `http.client_events_per_s`; 0 limits nobody who has no rate of their own.
    pub fn new(config: &config::HttpConfig) -> Quota {
        let usual = NonZeroU32::new(config.client_events_per_s);
        Quota { usual: usual.map(|rate| Arc::new(ClientRates::new(rate))), own: Arc::default() }
    }

    /// Lets a sender in that has a request to read.
    ///
    /// # Errors
    /// 429 for a sender that was told to wait and has not waited long enough.
    pub fn enter(
        &self,
        access: &WriteAccess,
        peer: Option<SocketAddr>,
    ) -> Result<RatePermit, ApiError> {
        let sender = access.sender();
        let rates = match sender.events_per_s.and_then(NonZeroU32::new) {
            Some(rate) => self.of_rate(rate),
            None => match &self.usual {
                Some(rates) => rates.clone(),
                None => return Ok(RatePermit(None)),
            },
        };
        let client = sender.client(peer);
        match rates.waits(client) {
            Some(wait) => Err(rates.refusal(wait)),
            None => Ok(RatePermit(Some((rates, client)))),
        }
    }

    /// The rates of clients whose keys have this rate. Keys are as many as their limit in the book
    /// allows, and so are their rates.
    fn of_rate(&self, rate: NonZeroU32) -> Arc<ClientRates> {
        let mut own = self.own.lock();
        own.entry(rate).or_insert_with(|| Arc::new(ClientRates::new(rate))).clone()
    }
}

/// Permission to have one request read. Only reading shows how many events it holds, which is why
/// the quota is asked a second time ([`RatePermit::take`]).
pub struct RatePermit(Option<(Arc<ClientRates>, Client)>);

/// The proof that a request passed the guard and the quota: its sender has a key, and may send
/// that many events now. Without it nothing is handed over to the ingest actor.
#[derive(Debug)]
pub struct Admission(());

impl RatePermit {
    /// Counts the events that the request holds.
    ///
    /// # Errors
    /// 429 where that is more than the sender may send now. Then none of them is counted.
    pub fn take(self, events: usize) -> Result<Admission, ApiError> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        if let Some((rates, client)) = self.0 {
            rates.take(client, events)?;
        }
        Ok(Admission(()))
    }
}

impl ClientRates {
    fn new(a_second: NonZeroU32) -> ClientRates {
        let most = a_second.saturating_mul(BURST_S.try_into().expect("not 0"));
        let quota = governor::Quota::per_second(a_second).allow_burst(most);
        ClientRates {
            a_second: a_second.get(),
            most: most.get(),
            limiter: RateLimiter::dashmap(quota),
            turned_away: Mutex::new(TurnedAway { until: HashMap::new(), cleaned: Instant::now() }),
        }
    }

    /// Takes the events out of the client's bucket. A request that is larger than the bucket needs a
    /// full one, or it could never pass. Its client then waits for as long as that many events take
    /// at its rate, which is when the bucket is full again. So no client is faster than its rate
    /// for long, however it cuts its events into requests.
    fn take(&self, client: Client, events: u32) -> Result<(), ApiError> {
        let Some(from_bucket) = NonZeroU32::new(events.min(self.most)) else { return Ok(()) };
        // Another request of the same client may have been let in at the same time as this one.
        if let Some(wait) = self.waits(client) {
            return Err(self.refusal(wait));
        }
        let Ok(taken) = self.limiter.check_key_n(&client, from_bucket) else {
            unreachable!("never more than the burst");
        };
        match taken {
            Ok(()) if events > self.most => {
                self.turn_away(client, Duration::from_secs_f64(self.seconds(events)));
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(until) => {
                let wait = until.wait_time_from(self.limiter.clock().now());
                self.turn_away(client, wait);
                Err(self.refusal(wait))
            }
        }
    }

    /// How long so many events take at the rate of a client.
    fn seconds(&self, events: u32) -> f64 {
        f64::from(events) / f64::from(self.a_second)
    }

    fn turn_away(&self, client: Client, wait: Duration) {
        self.turned_away.lock().until.insert(client, Instant::now() + wait);
    }

    fn refusal(&self, wait: Duration) -> ApiError {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u32;
        let message = format!("more than {} events a second from this client", self.a_second);
        ApiError {
            retry_after: Some(seconds),
            ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
        }
    }

    /// How long a client still has to wait; `None` where it may send now.
    fn waits(&self, client: Client) -> Option<Duration> {
        let now = Instant::now();
        let mut turned_away = self.turned_away.lock();
        if now - turned_away.cleaned >= FORGET_EVERY {
            // A client that has not sent for a while then takes no memory.
            turned_away.cleaned = now;
            turned_away.until.retain(|_, until| *until > now);
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let until = *turned_away.until.get(&client)?;
        (until > now).then(|| until - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::SharedBook, config::Config, domain::access::Book, http::auth::WriteKeys};

    fn quota(a_second: u32, largest: usize) -> Quota {
        let http = Config::default().http;
        let limits = config::HttpConfig { client_events_per_s: a_second, ..http };
        Quota::new(&config::HttpConfig { max_request_events: largest, ..limits })
    }

    fn send(quota: &Quota, peer: &str, events: usize) -> Result<(), u32> {
        let peer = format!("{peer}:1234").parse().unwrap();
        let book = SharedBook::of(Book::default());
        let access = WriteKeys::new(&Config::default(), book).in_body(&[], &[]);
        let access = access.expect("everybody is let in");
        let sent = quota.enter(&access, Some(peer)).and_then(|permit| permit.take(events));
        sent.map(drop).map_err(|error| {
            assert_eq!(error.status, StatusCode::TOO_MANY_REQUESTS);
            error.retry_after.unwrap()
        })
    }

    #[test]
    fn a_client_that_sends_too_much_is_told_when_to_come_back_and_others_go_on() {
        let quota = quota(10, 50);
        assert_eq!(send(&quota, "192.0.2.1", 50), Ok(()));
        assert_eq!(send(&quota, "192.0.2.1", 50), Ok(()));
        // However often it tries: that costs it nothing.
        for _ in 0..50 {
            // On a busy machine a part of the five seconds may have passed.
            let wait = send(&quota, "192.0.2.1", 50).unwrap_err();
            assert!((1..=5).contains(&wait), "{wait}");
            assert!(send(&quota, "192.0.2.1", 1).unwrap_err() <= wait);
        }
        assert_eq!(send(&quota, "192.0.2.2", 50), Ok(()));
        assert_eq!(send(&quota, "[2001:db8:0:1::1]", 100), Ok(()));
        assert!(send(&quota, "[2001:db8:0:1:ffff::2]", 50).is_err(), "the same network");
    }

    #[test]
    fn the_largest_request_passes_at_the_lowest_rate_and_is_waited_for() {
        let quota = quota(1, 5_000);
        assert_eq!(send(&quota, "192.0.2.1", 5_000), Ok(()));
        assert!(send(&quota, "192.0.2.1", 1).unwrap_err() > 4_990);
        // One that has used a part of its bucket waits until that is full.
        assert_eq!(send(&quota, "192.0.2.2", 5), Ok(()));
        let wait = send(&quota, "192.0.2.2", 5_000).unwrap_err();
        assert!((1..=5).contains(&wait), "{wait}");
    }

    #[test]
    fn small_requests_get_no_more_at_once_than_the_bucket_holds() {
        let quota = quota(5, 5_000);
        let began = Instant::now();
        let taken = (0..100).filter(|_| send(&quota, "192.0.2.1", 1).is_ok()).count();
        let filled_meanwhile = (began.elapsed().as_secs_f64() * 5.0).ceil() as usize;
        assert!((50..=50 + filled_meanwhile).contains(&taken), "{taken}");
    }

    #[test]
    fn without_a_rate_nobody_is_limited() {
        let quota = quota(0, 50);
        for _ in 0..1_000 {
            assert_eq!(send(&quota, "192.0.2.1", 50), Ok(()));
        }
    }
}
