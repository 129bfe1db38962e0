//! The notifier actor.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use awc::{
    Client, Connector,
    http::{StatusCode, header},
};

use crate::{
    alert::{
        Leading,
        payload::{body, signature},
    },
    config,
    domain::{
        alert::{AlertRules, Webhook},
        time::{HOUR, Millis, now_ms, parse_rfc3339},
    },
    panics,
    retry::Backoff,
    store::alerts::{AlertLog, Notice, NoticeOutcome},
};

/// A request that the webhook says is wrong is tried so often, within some 15 s: time for a
/// receiver that is just being deployed, and no day of knocking at one that is gone.
const MAX_REFUSALS: u32 = 5;
/// How often it looks for notices.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Requests under way at most.
const MAX_IN_FLIGHT: usize = 16;
/// Notices of memory at most: each change makes one a webhook, and the store is down.
const MAX_DIRECT: usize = 10_000;
/// The first pause after a failure, ms.
const FIRST_PAUSE_MS: u64 = 1_000;
/// The longest pause that a Retry-After is given, ms.
const MAX_RETRY_AFTER: Millis = HOUR;
/// How long to wait for the store.
const STORE_WITHIN: Duration = Duration::from_secs(3);
/// A claim outlives its request by this, ms: time to say how it ended.
const CLAIM_SLACK: Millis = 10_000;
/// How long an outcome that the store has not heard of is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Sends notices to webhooks, each until it is taken or given up.
///
/// - Looks into the store for due notices while this node leads; gets [`Direct`] from the
///   alert actor while the store is down. Sends nothing to other actors: the store is told.
/// - Owns no notice that the store has: a restart goes on where it stood.
/// - Bounded by: 16 requests under way, each within `notify.timeout_ms`.
pub struct Notifier {
    log: Arc<dyn AlertLog>,
    rules: Arc<AlertRules>,
    leading: Leading,
    notify: config::NotifyConfig,
    client: Option<Client>,
    in_flight: HashMap<String, Notice>,
    direct: Vec<Notice>,
    /// Outcomes of direct notices: the store is told when it comes to know them.
    settled: HashMap<String, (NoticeOutcome, Instant)>,
}

/// A notice that could not be recorded yet.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Direct(pub Notice);

/// How a try ended.
enum Sent {
    Taken,
    Refused(Refusal),
}

/// Why a try was in vain.
struct Refusal {
    /// In words.
    why: String,
    /// When to try again at the earliest, Unix ms.
    after: Option<Millis>,
    /// The request is at fault, or its address: the next will fare no better.
    is_final: bool,
}

impl Notifier {
    /// Sends what `rules` say while `leading`.
    pub fn new(
        log: Arc<dyn AlertLog>,
        rules: Arc<AlertRules>,
        leading: Leading,
        notify: config::NotifyConfig,
    ) -> Notifier {
        Notifier {
            log,
            rules,
            leading,
            notify,
            client: None,
            in_flight: HashMap::new(),
            direct: Vec::new(),
            settled: HashMap::new(),
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        self.send_direct(ctx);
        self.settled.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        let room = MAX_IN_FLIGHT.saturating_sub(self.in_flight.len());
        let (log, leads) = (self.log.clone(), self.leading.now() && room > 0);
        // Those under way are due no more, but direct ones may be among the found.
        let limit = MAX_IN_FLIGHT + self.in_flight.len();
        let look = async move {
            if !leads {
                return Vec::new();
            }
            match tokio::time::timeout(STORE_WITHIN, log.due_notices(now_ms(), limit)).await {
                Ok(Ok(notices)) => notices,
                // The alert actor says that the store is down.
                _ => Vec::new(),
            }
        };
        ctx.spawn(look.into_actor(self).map(|notices, notifier, ctx| {
            for notice in notices {
                notifier.take(notice, ctx);
            }
            ctx.run_later(LOOK_EVERY, Self::look);
        }));
    }

    /// A notice that the store says is due.
    fn take(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        if let Some((outcome, _)) = self.settled.remove(&notice.id) {
            let log = self.log.clone();
            let settle = async move {
                let _ = log.settle_notice(&notice.id, outcome, now_ms()).await;
            };
            ctx.spawn(settle.into_actor(self));
            return;
        }
        if self.in_flight.len() >= MAX_IN_FLIGHT || self.in_flight.contains_key(&notice.id) {
            return;
        }
        // The store has it now.
        self.direct.retain(|direct| direct.id != notice.id);
        self.in_flight.insert(notice.id.clone(), notice.clone());
        let (log, leading) = (self.log.clone(), self.leading.clone());
        let until = now_ms() + self.notify.timeout_ms as Millis + CLAIM_SLACK;
        let request = self.request(&notice);
        let give_up_at = self.give_up_at(&notice);
        let pause = self.pause(notice.attempts);
        let id = notice.id.clone();
        let work = async move {
            let claim = log.claim_notice(&notice, until);
            let claimed = tokio::time::timeout(STORE_WITHIN, claim).await;
            if !matches!(claimed, Ok(Ok(true))) || !leading.now() {
                return;
            }
            let sent = request.await;
            let next = judge(&notice, sent, give_up_at, pause);
            // Until the store has it, the claim holds others off; after that the notice goes
            // out again, and the receiver knows it by its key.
            let told = async {
                match next {
                    Next::Settled(outcome) => {
                        log.settle_notice(&notice.id, outcome, now_ms()).await
                    }
                    Next::Again(due_at) => log.postpone_notice(&notice.id, due_at).await,
                }
            };
            if let Ok(Err(e)) = tokio::time::timeout(STORE_WITHIN, told).await {
                tracing::warn!(error = %e, id = notice.id, "can't note how a notice ended");
            }
        };
        // After a panic the claim runs out, and it is tried again.
        ctx.spawn(panics::caught(work).into_actor(self).map(move |_, notifier, _| {
            notifier.in_flight.remove(&id);
        }));
    }

    /// Sends what the store could not take.
    fn send_direct(&mut self, ctx: &mut Context<Self>) {
        let now = now_ms();
        let mut waiting = std::mem::take(&mut self.direct);
        // The begin before the end.
        waiting.sort_by_key(|notice| notice.created_at);
        for notice in waiting {
            let earlier = |other: &Notice| {
                other.alert == notice.alert
                    && other.webhook == notice.webhook
                    && other.id != notice.id
                    && other.change == "fired"
            };
            let blocked = self.in_flight.values().any(earlier) || self.direct.iter().any(earlier);
            if blocked || notice.due_at > now || self.in_flight.len() >= MAX_IN_FLIGHT {
                self.direct.push(notice);
                continue;
            }
            self.in_flight.insert(notice.id.clone(), notice.clone());
            let request = self.request(&notice);
            let (give_up_at, pause) = (self.give_up_at(&notice), self.pause(notice.attempts));
            ctx.spawn(panics::caught(request).into_actor(self).map(move |sent, notifier, _| {
                notifier.in_flight.remove(&notice.id);
                match judge(&notice, sent.flatten(), give_up_at, pause) {
                    Next::Settled(outcome) => {
                        notifier.settled.insert(notice.id, (outcome, Instant::now()));
                    }
                    Next::Again(due_at) => {
                        let attempts = notice.attempts + 1;
                        notifier.direct.push(Notice { due_at, attempts, ..notice });
                    }
                }
            }));
        }
    }

    fn give_up_at(&self, notice: &Notice) -> Millis {
        notice.created_at + self.notify.give_up_hours as Millis * HOUR
    }

    /// The pause after so many tries: as long after a restart as before.
    fn pause(&self, attempts: u32) -> Millis {
        let (initial_ms, max_ms) = (FIRST_PAUSE_MS, self.notify.max_retry_ms.max(FIRST_PAUSE_MS));
        let mut backoff = Backoff::new(&config::RetryConfig { initial_ms, max_ms });
        let steps = attempts.min(30);
        (0..=steps).map(|_| backoff.pause()).last().unwrap_or_default().as_millis() as Millis
    }

    fn request(&self, notice: &Notice) -> impl Future<Output = Option<Sent>> + 'static {
        let webhook = self.rules.webhooks.iter().find(|it| it.name == notice.webhook).cloned();
        let client = self.client.clone().expect("made when the actor started");
        let notice = notice.clone();
        async move { Some(post(&client, &webhook?, &notice).await) }
    }
}

enum Next {
    Settled(NoticeOutcome),
    Again(Millis),
}

/// What to do after a try. `None`: its webhook is gone.
fn judge(notice: &Notice, sent: Option<Sent>, give_up_at: Millis, pause: Millis) -> Next {
    let count = |result: &'static str| {
        metrics::counter!("floodmark_webhooks_total", "result" => result).increment(1);
    };
    let about = (notice.webhook.as_str(), notice.change.as_str(), notice.alert.as_str());
    let (Refusal { why, after, is_final }, tries) = match sent {
        Some(Sent::Taken) => {
            count(NoticeOutcome::Delivered.name());
            return Next::Settled(NoticeOutcome::Delivered);
        }
        Some(Sent::Refused(refusal)) => (refusal, MAX_REFUSALS),
        None => {
            let why = "the configuration has no such webhook any more".to_owned();
            (Refusal { why, after: None, is_final: true }, 1)
        }
    };
    let due_at = after.unwrap_or(now_ms() + pause);
    if is_final && notice.attempts + 1 >= tries || due_at >= give_up_at {
        tracing::error!(webhook = about.0, change = about.1, alert = about.2, why, "given up");
        count(NoticeOutcome::GivenUp.name());
        return Next::Settled(NoticeOutcome::GivenUp);
    }
    if is_final {
        // Said once, where it is given up.
        tracing::debug!(webhook = about.0, change = about.1, alert = about.2, why, "trying again");
    } else {
        tracing::warn!(webhook = about.0, change = about.1, alert = about.2, why, "trying again");
    }
    count("failed");
    Next::Again(due_at)
}

async fn post(client: &Client, webhook: &Webhook, notice: &Notice) -> Sent {
    let body = body(&notice.body, webhook.format);
    let now = now_ms();
    let mut request = client
        .post(&webhook.url.0)
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header(("Idempotency-Key", notice.id.clone()))
        .insert_header(("X-Floodmark-Timestamp", now.to_string()));
    if !webhook.secret.0.is_empty() {
        let signature = signature(&webhook.secret.0, now, &body);
        request = request.insert_header(("X-Floodmark-Signature", signature));
    }
    // The errors of the client don't show the URL.
    match request.send_body(body).await {
        Ok(answer) if answer.status().is_success() => Sent::Taken,
        Ok(answer) => {
            let after = answer.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|value| retry_at(value.to_str().ok()?, now));
            let status = answer.status();
            let why = format!("{} answers {status}", webhook.place());
            Sent::Refused(Refusal { why, after, is_final: is_final(status) })
        }
        Err(e) => {
            let why = format!("{}: {e}", webhook.place());
            Sent::Refused(Refusal { why, after: None, is_final: false })
        }
    }
}

/// Whether the answer says that this request will never be taken (RFC 9110, 15.5). Those that
/// ask for another try are timeout, too early and too many.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
}

/// What Retry-After says: seconds, or a date (RFC 9110, 10.2.3).
fn retry_at(text: &str, now: Millis) -> Option<Millis> {
    let at = match text.trim().parse::<Millis>() {
        Ok(seconds) => now.saturating_add(seconds.max(0).saturating_mul(1000)),
        Err(_) => jiff::fmt::rfc2822::parse(text)
            .map(|date| date.timestamp().as_millisecond())
            .ok()
            .or_else(|| parse_rfc3339(text))?,
    };
    Some(at.clamp(now, now + MAX_RETRY_AFTER))
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // https needs a process-wide provider; if there is one already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_millis(self.notify.timeout_ms);
        let client = Client::builder()
            .connector(Connector::new().timeout(timeout))
            .timeout(timeout)
            .disable_redirects()
            .add_default_header((
                header::USER_AGENT,
                concat!("floodmark/", env!("CARGO_PKG_VERSION")),
            ));
        self.client = Some(client.finish());
        self.look(ctx);
    }
}

impl Handler<Direct> for Notifier {
    type Result = ();

    fn handle(&mut self, direct: Direct, _: &mut Context<Self>) {
        let Direct(notice) = direct;
        let known = self.direct.iter().any(|known| known.id == notice.id);
        if known || self.settled.contains_key(&notice.id) {
            return;
        }
        match self.direct.len() < MAX_DIRECT {
            true => self.direct.push(notice),
            false => tracing::error!(id = notice.id, "too many notices in memory: one is dropped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = 1_795_420_800_000;
        assert_eq!(retry_at("120", now), Some(now + 120_000));
        assert_eq!(retry_at("999999", now), Some(now + MAX_RETRY_AFTER));
        assert_eq!(retry_at("Mon, 23 Nov 2026 08:01:00 GMT", now), Some(now + 60_000));
        assert_eq!(retry_at("Mon, 23 Nov 2020 08:01:00 GMT", now), Some(now));
        assert_eq!(retry_at("soon", now), None);
    }
}
