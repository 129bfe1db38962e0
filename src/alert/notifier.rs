//! The notifier actor: sends notices of alerts to webhooks.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use awc::{Client, Connector, http::header};

use crate::{
    alert::{
        Leading, RulesInForce,
        payload::{body, signature},
        retry_after::{is_final, retry_at},
    },
    config,
    domain::{
        alert::Webhook,
        time::{HOUR, Millis, now_ms},
    },
    panics,
    retry::Backoff,
    store::alerts::{AlertLog, Notice, NoticeOutcome},
    telemetry::queue::Depth,
};

/// How operators know this actor.
const PART: &str = "webhooks";
/// How often a request is tried that the webhook answers with "wrong" (4xx), which takes about
/// 15 s. That is enough for a receiver that is just being deployed, and one that is gone is not
/// asked for a whole day.
const MAX_REFUSALS: u32 = 5;
/// How often to look for notices.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many requests may be under way at once.
const MAX_IN_FLIGHT: usize = 16;
/// How many notices may be in memory while the store is down. Each change makes one for each
/// webhook.
const MAX_DIRECT: usize = 10_000;
/// The first pause after a failure, in ms.
const FIRST_PAUSE_MS: u64 = 1_000;
/// How long to wait for the store.
const STORE_WITHIN: Duration = Duration::from_secs(3);
/// How much longer than its request a claim lasts, in ms. In that time the store is told how the
/// request ended.
const CLAIM_SLACK: Millis = 10_000;
/// How long the outcome of a notice is remembered that the store does not know yet.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Sends notices to webhooks, and tries each again until it is delivered or given up.
///
/// - Looks for due notices in the store while this node leads. Gets [`Direct`] from the alert
///   actor while the store is down. Sends no messages; how a notice ended is written to the store.
/// - Owns the notices that the store does not have yet. All others are only claimed for one try,
///   so after a restart the notifier goes on where it stood.
/// - Bounded by: [`MAX_IN_FLIGHT`] requests under way, each within `notify.timeout_ms`;
///   [`MAX_DIRECT`] notices in memory.
/// - A panic in a try ends that try; the notice is tried again when its claim has run out.
pub struct Notifier {
    log: Arc<dyn AlertLog>,
    rules: RulesInForce,
    leading: Leading,
    notify: config::NotifyConfig,
    /// The HTTP client, made when the actor starts, since it belongs to the actor's thread.
    client: Option<Client>,
    /// The notices whose request is under way, by their id.
    in_flight: HashMap<String, Notice>,
    /// Notices that came from the alert actor directly, and wait for their next try.
    direct: Vec<Notice>,
    /// How direct notices ended, by their id. The store is told once it has the notice itself.
    settled: HashMap<String, (NoticeOutcome, Instant)>,
    /// Notices under way, and those that wait in memory.
    depth: Depth,
}

/// The alert actor sends a notice that it could not record.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Direct(pub Notice);

/// How a try ended.
enum Sent {
    Taken,
    Refused(Refusal),
}

/// Why a try failed.
struct Refusal {
    /// The reason in words, for logs.
    why: String,
    /// When to try again at the earliest, Unix ms, if the webhook said so.
    after: Option<Millis>,
    /// Whether the request or its address is at fault, so that another try is likely to fail too.
    is_final: bool,
}

impl Notifier {
    /// A notifier for the webhooks of `rules`. It takes notices from the store only while `leading`.
    pub fn new(
        log: Arc<dyn AlertLog>,
        rules: RulesInForce,
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
            depth: Depth::of(PART),
        }
    }

    /// Sends direct notices, and then those that the store has and that are due.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.send_direct(ctx);
        self.settled.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        let room = MAX_IN_FLIGHT.saturating_sub(self.in_flight.len());
        let (log, leads) = (self.log.clone(), self.leading.now() && room > 0);
        // A claimed notice is not due, but the store may find direct notices that are under way.
        // So it is asked for that many more.
        let limit = MAX_IN_FLIGHT + self.in_flight.len();
        let look = async move {
            if !leads {
                return Vec::new();
            }
            match tokio::time::timeout(STORE_WITHIN, log.due_notices(now_ms(), limit)).await {
                Ok(Ok(notices)) => notices,
                // This is not logged: the alert actor logs that the store is down.
                _ => Vec::new(),
            }
        };
        ctx.spawn(panics::caught(PART, look).into_actor(self).map(|notices, notifier, ctx| {
            for notice in notices.into_iter().flatten() {
                notifier.take(notice, ctx);
            }
            notifier.depth.set(notifier.in_flight.len() + notifier.direct.len());
            ctx.run_later(LOOK_EVERY, Self::look);
        }));
    }

    /// Takes a notice that the store says is due: claims it, sends it, and writes down how that
    /// ended.
    fn take(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        if let Some((outcome, _)) = self.settled.remove(&notice.id) {
            let log = self.log.clone();
            let settle = async move {
                let _ = log.settle_notice(&notice.id, outcome, now_ms()).await;
            };
            ctx.spawn(panics::caught(PART, settle).into_actor(self).map(|_, _, _| ()));
            return;
        }
        if self.in_flight.len() >= MAX_IN_FLIGHT || self.in_flight.contains_key(&notice.id) {
            return;
        }
        // The store has the notice now, so it is no longer a direct one.
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
            // Until the store knows how it ended, the claim keeps others from sending the notice.
            // If the claim runs out first, the notice is sent again, and the receiver recognises
            // it by its `Idempotency-Key`.
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
        // After a panic the claim runs out, and the notice is tried again.
        ctx.spawn(panics::caught(PART, work).into_actor(self).map(move |_, notifier, _| {
            notifier.in_flight.remove(&id);
        }));
    }

    /// Sends the direct notices that are due.
    fn send_direct(&mut self, ctx: &mut Context<Self>) {
        let now = now_ms();
        let mut waiting = std::mem::take(&mut self.direct);
        // A webhook has to hear that an alert fires before it hears that the alert is over. So the
        // older notice goes first, and a later one of the same alert waits while it is unsettled.
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
            ctx.spawn(panics::caught(PART, request).into_actor(self).map(
                move |sent, notifier, _| {
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
                },
            ));
        }
    }

    /// When the notice is given up, Unix ms.
    fn give_up_at(&self, notice: &Notice) -> Millis {
        notice.created_at + self.notify.give_up_hours as Millis * HOUR
    }

    /// The pause after so many tries, in ms. It is computed from the number of tries alone, so it
    /// is the same after a restart.
    fn pause(&self, attempts: u32) -> Millis {
        let (initial_ms, max_ms) = (FIRST_PAUSE_MS, self.notify.max_retry_ms.max(FIRST_PAUSE_MS));
        let mut backoff = Backoff::new(&config::RetryConfig { initial_ms, max_ms });
        let steps = attempts.min(30);
        (0..=steps).map(|_| backoff.pause()).last().unwrap_or_default().as_millis() as Millis
    }

    /// A request that tells the webhook. Its result is `None` where the configuration has no such
    /// webhook any more.
    fn request(&self, notice: &Notice) -> impl Future<Output = Option<Sent>> + 'static {
        let webhook =
            self.rules.now().webhooks.iter().find(|it| it.name == notice.webhook).cloned();
        let client = self.client.clone().expect("made when the actor started");
        let notice = notice.clone();
        async move { Some(post(&client, &webhook?, &notice).await) }
    }
}

/// What happens to a notice after a try.
enum Next {
    /// It is delivered or given up.
    Settled(NoticeOutcome),
    /// It is tried again at this moment, Unix ms.
    Again(Millis),
}

/// Decides what happens after a try. `sent` is `None` where the webhook is gone from the
/// configuration.
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
        // The operator hears of a final refusal once, when the notice is given up.
        tracing::debug!(webhook = about.0, change = about.1, alert = about.2, why, "trying again");
    } else {
        tracing::warn!(webhook = about.0, change = about.1, alert = about.2, why, "trying again");
    }
    count("failed");
    Next::Again(due_at)
}

/// Sends one request to a webhook.
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
    // The texts of the client's errors don't contain the URL, which may hold a secret.
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

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
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
