//! The alert actor.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    alert::{
        Direct, LeaseHolder, Notifier, Payload,
        watched::{Moment, Watched},
    },
    domain::{
        alert::{AlertRules, Firing},
        time::{Millis, SECOND, now_ms},
    },
    failpoint::panic_point,
    numbers::{Baselines, Mirror, Spans},
    panics,
    store::alerts::{AlertHistory, AlertLog, HISTORY, Notice, Recorded},
};

/// How often the rules are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The second in progress, and the time that an event takes to be counted, ms.
const LAG: Millis = SECOND;
/// How often the store is read.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How long to wait for the store.
const STORE_WITHIN: Duration = Duration::from_secs(3);
/// How long a store that failed is left alone.
const STORE_REST: Duration = Duration::from_secs(5);
/// Changes that may wait for the store.
const MAX_UNRECORDED: usize = 10_000;

/// What the alert actor works with.
pub struct AlertSetup {
    /// What is watched.
    pub rules: Arc<AlertRules>,
    /// The numbers of all nodes, and what is shown of the alerts.
    pub mirror: Mirror,
    /// Yesterday and last week.
    pub baselines: Baselines,
    /// Where alerts are kept.
    pub log: Arc<dyn AlertLog>,
    /// Who leads.
    pub lease: LeaseHolder,
    /// Who tells the webhooks.
    pub notifier: Addr<Notifier>,
    /// What money is in.
    pub currency: String,
}

/// Evaluates the alerts once a second while this node leads, and shows what fires.
///
/// - Gets [`Resign`] at the end; sends [`Direct`] to the notifier while the store is down.
/// - Owns where each alert stands while it leads. What fires is in the store, where the next leader
///   finds it.
/// - Bounded by: one look at a time, within a few seconds.
pub struct AlertActor {
    watch: Arc<Mutex<AlertWatch>>,
}

/// Let another node lead.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Resign;

struct AlertWatch {
    parts: AlertSetup,
    /// Where each alert stands, by its name.
    watched: HashMap<String, Watched>,
    leads: bool,
    /// Changes that the store has not taken yet, in their order.
    unrecorded: VecDeque<Unrecorded>,
    known: AlertHistory,
    read_at: Option<Instant>,
    /// The store failed: it is left alone until then, so that looks stay a second apart.
    store_rests_until: Option<Instant>,
    trouble: Option<String>,
    has_resigned: bool,
}

struct Unrecorded {
    firing: Firing,
    notices: Vec<Notice>,
    told: bool,
}

impl AlertActor {
    /// Begins when it is started.
    pub fn new(parts: AlertSetup) -> AlertActor {
        let watch = AlertWatch {
            parts,
            watched: HashMap::new(),
            leads: false,
            unrecorded: VecDeque::new(),
            known: AlertHistory::default(),
            read_at: None,
            store_rests_until: None,
            trouble: None,
            has_resigned: false,
        };
        AlertActor { watch: Arc::new(Mutex::new(watch)) }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let watch = self.watch.clone();
        let look = async move {
            let mut watch = watch.lock().await;
            if panics::caught(watch.look()).await.is_none() {
                // What it held can't be trusted: it begins again from the store.
                watch.leads = false;
                watch.watched.clear();
            }
        };
        ctx.spawn(look.into_actor(self).map(|(), _, ctx| {
            ctx.run_later(LOOK_EVERY, Self::look);
        }));
    }
}

impl Actor for AlertActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<Resign> for AlertActor {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, _: Resign, _: &mut Context<Self>) -> Self::Result {
        let watch = self.watch.clone();
        Box::pin(async move {
            let mut watch = watch.lock().await;
            watch.has_resigned = true;
            watch.leads = false;
            watch.parts.lease.resign().await;
        })
    }
}

impl AlertWatch {
    async fn look(&mut self) {
        self.lead().await;
        self.record().await;
        let freshness = self.parts.mirror.freshness();
        let numbers_move = freshness.is_filled() && freshness.interrupted().is_none();
        if self.leads && self.parts.lease.leading().now() && numbers_move {
            let before = self.unrecorded.len();
            self.evaluate();
            if self.unrecorded.len() > before {
                self.record().await;
            }
        }
        self.read().await;
        self.show();
    }

    async fn lead(&mut self) {
        if self.has_resigned {
            return;
        }
        let leads = match self.parts.lease.renew().await {
            Ok(leads) => leads,
            Err(e) => {
                self.trouble("the lease of alerts can't be renewed", &e);
                self.parts.lease.leading().now()
            }
        };
        if leads && !self.leads {
            tracing::info!("this node evaluates the alerts");
            self.take_over().await;
        } else if !leads && self.leads {
            tracing::info!("another node evaluates the alerts");
            self.watched.clear();
        }
        self.leads = leads;
    }

    /// Goes on where the last leader stood: from the store, or failing that from what this
    /// node has last heard.
    async fn take_over(&mut self) {
        self.read_at = None;
        self.read().await;
        let now = now_ms();
        self.watched.clear();
        let shown = self.shown();
        for over in &shown.over {
            // The last one first.
            let over_at = over.cleared_at.unwrap_or(over.since);
            self.watched.entry(over.name.clone()).or_insert_with(|| Watched::over(over_at));
        }
        for firing in shown.firing {
            if self.parts.rules.alert(&firing.name).is_some() {
                self.watched.insert(firing.name.clone(), Watched::fires(firing));
            } else {
                // Its rule has gone from the configuration.
                self.changed(Firing { cleared_at: Some(now), ..firing });
            }
        }
    }

    /// Looks at every alert once.
    fn evaluate(&mut self) {
        let AlertSetup { rules, mirror, baselines, currency, .. } = &self.parts;
        let (metric_set, now) = (mirror.metric_set(), mirror.now());
        let mut changes = Vec::new();
        {
            // The broadcaster waits meanwhile, so what has changed is noted afterwards.
            let counters = mirror.counters();
            let numbers = Spans::live(metric_set, &counters, baselines, now);
            let (until, zone) = (now - LAG, mirror.zone());
            let moment = Moment { metric_set, numbers: &numbers, until, now, zone, currency };
            for alert in &rules.alerts {
                let watched = self.watched.entry(alert.name.clone()).or_default();
                let new_id = || Uuid::now_v7().to_string();
                changes.extend(watched.look(alert, &moment, new_id));
            }
        }
        for firing in changes {
            self.changed(firing);
        }
    }

    /// Notes a change, with what webhooks are to be told of it.
    fn changed(&mut self, firing: Firing) {
        panic_point!("alert-changed");
        let payload = Payload::new(&firing);
        tracing::warn!(
            alert = firing.name,
            change = payload.change,
            summary = firing.summary,
            "alert"
        );
        let now = firing.cleared_at.unwrap_or(firing.since);
        let webhooks = self.parts.rules.webhooks.iter();
        let notices =
            webhooks.filter(|webhook| webhook.severity <= firing.severity).map(|webhook| Notice {
                id: Uuid::now_v7().to_string(),
                alert: firing.id.clone(),
                change: payload.change.clone(),
                webhook: webhook.name.clone(),
                body: payload.json(),
                created_at: now,
                due_at: now,
                attempts: 0,
                outcome: None,
            });
        let notices = notices.collect();
        if self.unrecorded.len() < MAX_UNRECORDED {
            self.unrecorded.push_back(Unrecorded { firing, notices, told: false });
        } else {
            tracing::error!("the store takes no alerts for too long: one is not recorded");
        }
    }

    /// Records what is not recorded yet; tells it from memory where that can't be done.
    async fn record(&mut self) {
        while let Some(Unrecorded { firing, notices, .. }) = self.unrecorded.front() {
            if self.store_rests() {
                return self.tell_from_memory();
            }
            let record = self.parts.log.record_alert(firing, notices);
            match tokio::time::timeout(STORE_WITHIN, record).await {
                Ok(Ok(Recorded::Done)) => {}
                Ok(Ok(Recorded::Known(known))) => {
                    // Another leader was quicker: it is the same incident.
                    self.watched.insert(known.name.clone(), Watched::fires(*known));
                }
                failed => {
                    let why = match failed {
                        Ok(Err(e)) => e.to_string(),
                        _ => format!("no answer within {} s", STORE_WITHIN.as_secs()),
                    };
                    self.trouble("alerts can't be recorded; they are told from memory", &why);
                    self.store_rests_until = Some(Instant::now() + STORE_REST);
                    return self.tell_from_memory();
                }
            }
            self.unrecorded.pop_front();
            // What was just written is read at once.
            self.read_at = None;
        }
    }

    fn tell_from_memory(&mut self) {
        for waiting in self.unrecorded.iter_mut().filter(|it| !it.told) {
            waiting.told = true;
            for notice in &waiting.notices {
                self.parts.notifier.do_send(Direct(notice.clone()));
            }
        }
    }

    fn store_rests(&self) -> bool {
        self.store_rests_until.is_some_and(|until| Instant::now() < until)
    }

    async fn read(&mut self) {
        if self.store_rests() || self.read_at.is_some_and(|at| at.elapsed() < READ_EVERY) {
            return;
        }
        match tokio::time::timeout(STORE_WITHIN, self.parts.log.alert_history()).await {
            Ok(Ok(known)) => {
                self.known = known;
                self.read_at = Some(Instant::now());
                if self.unrecorded.is_empty() && self.trouble.take().is_some() {
                    tracing::info!("alerts are well again");
                }
            }
            failed => {
                let why = match failed {
                    Ok(Err(e)) => e.to_string(),
                    _ => format!("no answer within {} s", STORE_WITHIN.as_secs()),
                };
                self.trouble("alerts can't be read", &why);
                self.store_rests_until = Some(Instant::now() + STORE_REST);
            }
        }
    }

    /// What the store knows, and what it does not know yet.
    fn shown(&self) -> AlertHistory {
        let mut shown = self.known.clone();
        for Unrecorded { firing, .. } in &self.unrecorded {
            shown.firing.retain(|known| known.id != firing.id);
            match firing.cleared_at {
                None => shown.firing.push(firing.clone()),
                Some(_) => shown.over.insert(0, firing.clone()),
            }
        }
        shown.over.truncate(HISTORY);
        shown
    }

    fn show(&self) {
        let shown = self.shown();
        for alert in &self.parts.rules.alerts {
            let fires = shown.firing.iter().any(|firing| firing.name == alert.name);
            metrics::gauge!("floodmark_alerts_firing", "name" => alert.name.clone())
                .set(if fires { 1.0 } else { 0.0 });
        }
        self.parts.mirror.alerts().show(shown.firing, shown.over);
    }

    /// Logs a trouble once, until it is over.
    fn trouble(&mut self, what: &str, why: &str) {
        if self.trouble.as_deref() != Some(what) {
            tracing::warn!(why, "{what}");
            self.trouble = Some(what.to_owned());
        }
    }
}
