//! The alert actor: evaluates the alerts while this node leads, records what changes, and shows
//! what fires.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    alert::{
        AlertSetup, Direct, Payload,
        drift::DriftWatch,
        in_force::set_gauges,
        trouble::Trouble,
        watched::{Moment, Watched},
        why,
    },
    domain::{
        alert::{AlertRules, Firing},
        time::{Millis, SECOND, now_ms},
    },
    failpoint::panic_point,
    numbers::Spans,
    panics,
    store::alerts::{AlertHistory, HISTORY, Notice, Recorded},
};

/// How often the rules are evaluated.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far before now the rules look, in ms. The second in progress is not whole yet, and an event
/// takes a moment to be counted.
const LAG: Millis = SECOND;
/// How often the store is read.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How long to wait for the store.
const STORE_WITHIN: Duration = Duration::from_secs(3);
/// How long a store that failed is not asked again.
const STORE_REST: Duration = Duration::from_secs(5);
/// How many changes may wait for the store.
const MAX_UNRECORDED: usize = 10_000;

/// Evaluates the alerts once a second while this node leads, and shows what fires.
///
/// - Gets [`Resign`] when the server stops. Sends [`Direct`] to the notifier while the store is
///   down.
/// - Owns the state of each alert while it leads. What fires is also in the store, where the next
///   leader finds it.
/// - Bounded by: one look at a time, which every question to the store or the lease ends within a
///   few seconds; [`MAX_UNRECORDED`] changes that wait for the store.
/// - A panic in a look ends the look. The actor then forgets what it held and begins again from
///   the store.
pub struct AlertActor {
    watch: Arc<Mutex<AlertWatch>>,
}

/// Asks the alert actor to let another node lead. It leads no more after that.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Resign;

/// What the actor holds. A look takes seconds where the store is slow, so it is a task of its own,
/// and this is behind a lock.
struct AlertWatch {
    setup: AlertSetup,
    /// The rules that the states are of.
    rules: Arc<AlertRules>,
    /// The state of each alert, by its name. Empty while another node leads.
    watched: HashMap<String, Watched>,
    /// Looks for drift of schemas; `None` where that is off.
    drift: Option<DriftWatch>,
    /// Whether this node led at the last look.
    leads: bool,
    /// Changes that the store has not taken yet, in the order in which they happened.
    unrecorded: VecDeque<Unrecorded>,
    /// The alerts that the store had when it was last read.
    known: AlertHistory,
    /// When the store was last read; `None` asks for a read at the next look.
    read_at: Option<Instant>,
    /// Set after the store failed: it is not asked again before then. Otherwise each look would
    /// wait for it, and looks would be more than a second apart.
    store_rests_until: Option<Instant>,
    /// What is wrong with the store.
    store_trouble: Trouble,
    /// What is wrong with the lease. The store may be well all the same.
    lease_trouble: Trouble,
    /// Whether the server stops. Then this node does not take the lease again.
    has_resigned: bool,
}

/// A change that the store has not taken yet.
struct Unrecorded {
    firing: Firing,
    /// What the webhooks are to be told of it.
    notices: Vec<Notice>,
    /// Whether the notices were given to the notifier directly.
    told: bool,
}

impl AlertActor {
    /// An actor that takes its first look when it is started.
    pub fn new(setup: AlertSetup) -> AlertActor {
        let watch = AlertWatch {
            drift: DriftWatch::new(&setup.drift, setup.schemas.clone()),
            rules: setup.in_force.now(),
            setup,
            watched: HashMap::new(),
            leads: false,
            unrecorded: VecDeque::new(),
            known: AlertHistory::default(),
            read_at: None,
            store_rests_until: None,
            store_trouble: Trouble::default(),
            lease_trouble: Trouble::default(),
            has_resigned: false,
        };
        AlertActor { watch: Arc::new(Mutex::new(watch)) }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let watch = self.watch.clone();
        let look = async move {
            let mut watch = watch.lock().await;
            if panics::caught("alerts", watch.look()).await.is_none() {
                // A look that panicked may have left the states half changed. Without them the
                // next look takes over from the store, as a new leader does.
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
            watch.setup.lease.resign().await;
        })
    }
}

impl AlertWatch {
    /// One look: renews the lease, records what waits for the store, evaluates the alerts if this
    /// node leads, reads the store, and shows what fires.
    async fn look(&mut self) {
        // With new rules it begins as a new leader does: what fires by a rule that is gone ends.
        let is_new = self.setup.in_force.take_up(&mut self.rules);
        self.leads &= !is_new;
        self.lead().await;
        self.record().await;
        let freshness = self.setup.mirror.freshness();
        // Numbers that stand still would look like a shop in which nothing happens.
        let numbers_move = freshness.is_filled() && freshness.interrupted().is_none();
        // The lease is asked again, since recording may have taken longer than it lasts.
        if self.leads && self.setup.lease.leading().now() && numbers_move {
            let before = self.unrecorded.len();
            let changes = self.evaluate().await;
            changes.into_iter().for_each(|firing| self.changed(firing));
            if let Some(drift) = &mut self.drift {
                let changes = drift.look(&self.setup.mirror).await;
                changes.into_iter().for_each(|firing| self.changed(firing));
            }
            if self.unrecorded.len() > before {
                self.record().await;
            }
        }
        self.read().await;
        self.show();
    }

    /// Takes or renews the lease, and takes over where this node did not lead before.
    async fn lead(&mut self) {
        if self.has_resigned {
            return;
        }
        let leads = match self.setup.lease.renew().await {
            Ok(leads) => {
                self.lease_trouble.is_over("the lease of alerts is renewed again");
                leads
            }
            Err(e) => {
                self.lease_trouble.is("the lease of alerts can't be renewed", &e);
                self.setup.lease.leading().now()
            }
        };
        if leads && !self.leads {
            tracing::info!("this node evaluates the alerts");
            self.take_over().await;
        } else if !leads && self.leads {
            tracing::info!("another node evaluates the alerts");
            self.watched.clear();
        }
        if let Some(drift) = self.drift.as_mut().filter(|_| !leads) {
            drift.forget();
        }
        self.leads = leads;
    }

    /// Takes over the states of the alerts from the last leader: from the store, or, where the
    /// store does not answer, from what this node has last read of it.
    async fn take_over(&mut self) {
        self.read_at = None;
        self.read().await;
        let now = now_ms();
        self.watched.clear();
        let shown = self.shown();
        for over in &shown.over {
            // `over` begins with the one that ended last, which is the one that counts here.
            let over_at = over.cleared_at.unwrap_or(over.since);
            self.watched.entry(over.name.clone()).or_insert_with(|| Watched::over(over_at));
        }
        for firing in shown.firing {
            if self.rules.alert(&firing.name).is_some() {
                self.watched.insert(firing.name.clone(), Watched::fires(firing));
            } else if self.drift.as_mut().is_some_and(|drift| drift.take_over(&firing)) {
                tracing::debug!(alert = firing.name, "a drift that goes on");
            } else {
                // The configuration has no such rule any more, so nothing else would end it.
                self.changed(Firing { cleared_at: Some(now), ..firing });
            }
        }
    }

    /// Evaluates every alert once. Returns what has changed, with its cause.
    async fn evaluate(&mut self) -> Vec<Firing> {
        let AlertSetup { mirror, baselines, currency, .. } = &self.setup;
        let (metric_set, now) = (mirror.metric_set(), mirror.now());
        let mut changes = Vec::new();
        {
            // While the counters are locked the broadcaster waits. So the changes are only
            // collected here, and noted after the lock is given up.
            let counters = mirror.counters();
            let spans = Spans::live(metric_set, &counters, baselines, mirror.lateness(), now);
            let (until, zone, shown) = (now - LAG, mirror.zone(), mirror.marks().snapshot());
            let marks = shown.recent.as_slice();
            let moment = Moment { metric_set, reader: &spans, until, now, zone, currency, marks };
            for alert in &self.rules.alerts {
                let watched = self.watched.entry(alert.name.clone()).or_default();
                changes.extend(watched.look(alert, &moment, || Uuid::now_v7().to_string()));
            }
        }
        if !self.store_rests() {
            why::explain(&self.setup, &mut changes, LAG).await;
        }
        for firing in &changes {
            self.watched.entry(firing.name.clone()).or_default().said(firing);
        }
        changes
    }

    /// Notes that an alert fires or, with `cleared_at`, that it is over, and what the webhooks are
    /// to be told of it.
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
        let webhooks = self.rules.webhooks.iter();
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

    /// Records the changes that are not recorded yet. Where the store does not take them, the
    /// webhooks are told from memory.
    async fn record(&mut self) {
        while let Some(Unrecorded { firing, notices, .. }) = self.unrecorded.front() {
            if self.store_rests() {
                return self.tell_from_memory();
            }
            let record = self.setup.log.record_alert(firing, notices);
            match tokio::time::timeout(STORE_WITHIN, record).await {
                Ok(Ok(Recorded::Done)) => {}
                Ok(Ok(Recorded::Known(known))) => {
                    // Another leader has recorded that this alert fires. It is the same incident,
                    // so this node goes on with that one.
                    let goes_on = |drift: &mut DriftWatch| drift.take_over(&known);
                    if !self.drift.as_mut().is_some_and(goes_on) {
                        self.watched.insert(known.name.clone(), Watched::fires(*known));
                    }
                }
                failed => {
                    let why = match failed {
                        Ok(Err(e)) => e.to_string(),
                        _ => format!("no answer within {} s", STORE_WITHIN.as_secs()),
                    };
                    self.store_trouble
                        .is("alerts can't be recorded; they are told from memory", &why);
                    self.store_rests_until = Some(Instant::now() + STORE_REST);
                    return self.tell_from_memory();
                }
            }
            self.unrecorded.pop_front();
            // This look then reads the store again, so that the change is shown at once.
            self.read_at = None;
        }
    }

    /// Gives the notices of unrecorded changes to the notifier, each once.
    fn tell_from_memory(&mut self) {
        for waiting in self.unrecorded.iter_mut().filter(|it| !it.told) {
            waiting.told = true;
            for notice in &waiting.notices {
                self.setup.notifier.do_send(Direct(notice.clone()));
            }
        }
    }

    /// Whether the store has failed lately and is not asked now.
    fn store_rests(&self) -> bool {
        self.store_rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Reads the alerts from the store, if the last read is old enough.
    async fn read(&mut self) {
        if self.store_rests() || self.read_at.is_some_and(|at| at.elapsed() < READ_EVERY) {
            return;
        }
        match tokio::time::timeout(STORE_WITHIN, self.setup.log.alert_history()).await {
            Ok(Ok(known)) => {
                self.known = known;
                self.read_at = Some(Instant::now());
                if self.unrecorded.is_empty() {
                    self.store_trouble.is_over("alerts are well again");
                }
            }
            failed => {
                let why = match failed {
                    Ok(Err(e)) => e.to_string(),
                    _ => format!("no answer within {} s", STORE_WITHIN.as_secs()),
                };
                self.store_trouble.is("alerts can't be read", &why);
                self.store_rests_until = Some(Instant::now() + STORE_REST);
            }
        }
    }

    /// The alerts that the store knows, with the changes that it has not taken yet.
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

    /// Shows the alerts to this node's readers, and sets the gauges.
    fn show(&self) {
        let shown = self.shown();
        set_gauges(&self.rules, &shown.firing);
        self.setup.mirror.alerts().show(shown.firing, shown.over);
    }
}
