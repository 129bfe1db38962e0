//! The broadcaster actor.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, StreamHandler,
};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rand::Rng;
use tokio::sync::{mpsc::Receiver, oneshot};

use crate::{
    broadcast::{
        ACTIVE_USERS, BUSINESS, ConnectionHandle, INGEST_TO_VIEWER, LiveView, VIEWER_EVICTIONS,
        VIEWERS, ViewerSession,
        hub::{Deliver, Hub, Limits, Outlet, Pulse, Refused, ViewerId},
        monotonic_ms,
        timeline::{Frame, Pace, Timeline},
    },
    config,
    domain::time::Millis,
    live::Feed,
};

/// From a Close frame to the cut of the connection.
const CLOSE_GRACE_MS: u64 = 1_000;
/// How often expired seconds, minutes and days are dropped from the mirror.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10);
/// Between two batches of Close frames at shutdown.
const CLOSE_INTERVAL: Duration = Duration::from_millis(50);
/// Over how long the Close frames of a shutdown are spread at most, so that the viewers do
/// not all come back in one instant.
const CLOSE_SPREAD: Duration = Duration::from_secs(2);

/// The actor that owns the mirror and the viewers; one a node, on a thread of its own.
///
/// Sent to by: the live store ([`Feed`], through a bounded channel that makes it wait), the
/// counter actor ([`ActiveUsers`]), HTTP handlers and sessions ([`Join`], [`Leave`]: at
/// most one of each for a seat, and seats are limited by `stream.max_viewers`), the
/// supervisor of the process ([`Shutdown`]).
/// Sends to: [`ViewerSession`]s ([`Deliver`], never waiting).
/// Owns: the mirror (others read it through [`LiveView`]), the timeline of frames, the hub.
/// Bounded by: the feed's capacity, the seats, `stream.resume_frames`.
pub struct Broadcaster {
    stream: Arc<config::Stream>,
    view: LiveView,
    feed: Option<Receiver<Feed>>,
    timeline: Timeline,
    hub: Hub<SessionOutlet>,
    closing: Option<Closing>,
    metrics: Metrics,
}

struct Closing {
    /// Viewers told in one batch.
    batch: usize,
    deadline: u64,
    answers: Vec<oneshot::Sender<usize>>,
}

/// How many distinct visitors there were in the active window, over all nodes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ActiveUsers(pub u64);

/// Close all viewers; answered when all are gone or `within` has passed, with the number
/// of those that had to be cut.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "usize")]
pub struct Shutdown {
    /// The time there is for it.
    pub within: Duration,
}

/// A session has started and waits for its first frame.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Join {
    pub id: ViewerId,
    pub outlet: SessionOutlet,
    pub pulse: Arc<Pulse>,
    pub resume: Option<(String, u64)>,
}

/// A session has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave(pub ViewerId);

/// The one address of a session, and its connection where known.
pub(super) struct SessionOutlet {
    session: Recipient<Deliver>,
    connection: Option<ConnectionHandle>,
}

impl SessionOutlet {
    pub fn new(session: actix::Addr<ViewerSession>, connection: Option<ConnectionHandle>) -> Self {
        SessionOutlet {
            session: session.recipient(),
            connection,
        }
    }
}

impl Outlet for SessionOutlet {
    fn offer(&self, what: Deliver) -> Result<(), Refused> {
        self.session.try_send(what).map_err(|error| match error {
            actix::prelude::SendError::Full(_) => Refused::Full,
            actix::prelude::SendError::Closed(_) => Refused::Gone,
        })
    }

    fn cut(&self) {
        if let Some(connection) = &self.connection {
            connection.cut();
        }
    }
}

impl Broadcaster {
    pub(super) fn new(
        stream: Arc<config::Stream>,
        view: LiveView,
        feed: Receiver<Feed>,
    ) -> Broadcaster {
        let pace = Pace {
            tick_ms: stream.tick_ms,
            heartbeat_ms: stream.heartbeat_ms,
        };
        let limits = Limits {
            mailbox_frames: stream.mailbox_frames as u64,
            slow_timeout_ms: stream.slow_timeout_ms,
            silence_timeout_ms: stream.silence_timeout_ms,
            close_grace_ms: CLOSE_GRACE_MS,
        };
        let epoch = format!("{:016x}", rand::rng().random::<u64>());
        let timeline = Timeline::new(epoch, pace, stream.resume_frames, &view, monotonic_ms());
        Broadcaster {
            timeline,
            hub: Hub::new(limits),
            closing: None,
            metrics: Metrics::new(),
            feed: Some(feed),
            stream,
            view,
        }
    }

    /// Sends this tick's frame, serves those who need a snapshot, judges the rest.
    fn tick(&mut self) {
        let (now, monotonic) = (self.view.now(), monotonic_ms());
        let (frame, snapshot) = {
            let state = self.view.state();
            let frame = self.timeline.tick(&self.view, &state, now, monotonic);
            let snapshot = self
                .hub
                .wants_snapshot()
                .then(|| self.timeline.snapshot(&self.view, &state, now, monotonic));
            (frame, snapshot.flatten())
        };
        if let Some(frame) = &frame {
            self.hub.send(&frame.text, frame.is_snapshot, monotonic);
            self.metrics.frame(frame, &self.view);
        }
        if let Some(snapshot) = snapshot {
            self.hub.serve_snapshot(&snapshot);
        }
        let evicted = self.hub.judge(monotonic);
        self.metrics.evictions.increment(evicted);
        self.metrics.viewers.set(self.hub.len() as f64);
    }

    /// Goes on with a shutdown: tells the next batch, and answers at the end.
    fn close_next(&mut self) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        let now = monotonic_ms();
        self.hub.close_some(closing.batch, now);
        self.hub.judge(now);
        let cut = match self.hub.len() {
            0 => 0,
            _ if now < closing.deadline => return,
            _ => self.hub.cut_all(),
        };
        for answer in closing.answers.drain(..) {
            // Who asked may have stopped waiting.
            let _ = answer.send(cut);
        }
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(mut feed) = self.feed.take() {
            ctx.add_stream(futures_util::stream::poll_fn(move |cx| feed.poll_recv(cx)));
        }
        let tick = Duration::from_millis(self.stream.tick_ms);
        ctx.run_interval(tick, |this, _| this.tick());
        ctx.run_interval(PRUNE_INTERVAL, |this, _| {
            let now = this.view.now();
            this.view.write().prune(now);
        });
    }
}

impl StreamHandler<Feed> for Broadcaster {
    fn handle(&mut self, event: Feed, _: &mut Self::Context) {
        let now = self.view.now();
        match event {
            Feed::Delta { delta, sealed_at } => {
                self.view.write().apply(&delta, now);
                self.timeline.add(&delta, sealed_at, now);
            }
            Feed::Reset(state) => {
                self.timeline.start_over(&state, now);
                *self.view.write() = *state;
                self.view.filled();
            }
            Feed::Interrupted { reason } => self.view.interrupt(reason),
            Feed::Restored => self.view.restored(),
        }
    }

    /// The live store is gone: the process is stopping, or it broke. Frames go on.
    fn finished(&mut self, _: &mut Self::Context) {
        self.view
            .interrupt("the live counters' feed has ended".into());
    }
}

impl Handler<ActiveUsers> for Broadcaster {
    type Result = ();

    fn handle(&mut self, ActiveUsers(active): ActiveUsers, _: &mut Self::Context) {
        self.view.set_active_users(active);
        self.metrics.active_users.set(active as f64);
    }
}

impl Handler<Join> for Broadcaster {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Self::Context) {
        let (now, monotonic) = (self.view.now(), monotonic_ms());
        self.hub.join(join.id, join.outlet, join.pulse, monotonic);
        let missed = join
            .resume
            .and_then(|(epoch, seq)| self.timeline.resume(&epoch, seq))
            .map(Deliver::Missed);
        let first = missed.or_else(|| {
            let state = self.view.state();
            let snapshot = self.timeline.snapshot(&self.view, &state, now, monotonic);
            snapshot.map(Deliver::Frame)
        });
        // Otherwise the next tick has a snapshot for it.
        if let Some(first) = first {
            self.hub.follow(join.id, first);
        }
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Leave(id): Leave, _: &mut Self::Context) {
        self.hub.leave(id);
    }
}

impl Handler<Shutdown> for Broadcaster {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, Shutdown { within }: Shutdown, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        match &mut self.closing {
            Some(closing) => closing.answers.push(answer),
            None => {
                let batches = CLOSE_SPREAD.min(within / 2).as_millis() / CLOSE_INTERVAL.as_millis();
                self.closing = Some(Closing {
                    batch: self.hub.len().div_ceil((batches as usize).max(1)).max(1),
                    deadline: monotonic_ms() + within.as_millis() as u64,
                    answers: vec![answer],
                });
                ctx.run_interval(CLOSE_INTERVAL, |this, _| this.close_next());
            }
        }
        Box::pin(async { answered.await.unwrap_or(0) })
    }
}

/// This actor's metrics, looked up once.
struct Metrics {
    viewers: Gauge,
    evictions: Counter,
    active_users: Gauge,
    ingest_to_viewer: Histogram,
    business: [Gauge; 6],
}

impl Metrics {
    fn new() -> Metrics {
        Metrics {
            viewers: gauge!(VIEWERS),
            evictions: counter!(VIEWER_EVICTIONS),
            active_users: gauge!(ACTIVE_USERS),
            ingest_to_viewer: histogram!(INGEST_TO_VIEWER),
            business: [
                "pageViews",
                "purchases",
                "revenue",
                "errors",
                "signups",
                "events",
            ]
            .map(|metric| gauge!(BUSINESS, "metric" => metric)),
        }
    }

    fn frame(&self, frame: &Frame, view: &LiveView) {
        let Some(sealed_at) = frame.oldest_sealed_at else {
            if frame.is_snapshot {
                self.totals(view);
            }
            return;
        };
        let took: Millis = (view.now() - sealed_at).max(0);
        self.ingest_to_viewer.record(took as f64 / 1_000.0);
        self.totals(view);
    }

    fn totals(&self, view: &LiveView) {
        let current = view.current();
        let totals = [
            current.page_views as f64,
            current.purchases as f64,
            current.revenue.0 as f64 / crate::domain::money::UNITS_PER_WHOLE as f64,
            current.errors as f64,
            current.signups as f64,
            current.events as f64,
        ];
        for (gauge, total) in self.business.iter().zip(totals) {
            gauge.set(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        broadcast::real_clock,
        config::Config,
        domain::{
            delta::{DeltaSum, Series},
            time::{BusinessZone, now_ms},
        },
        live::state::LiveState,
    };

    struct Alone {
        actor: actix::Addr<Broadcaster>,
        view: LiveView,
        feed: mpsc::Sender<Feed>,
        metrics: PrometheusHandle,
    }

    fn utc() -> BusinessZone {
        BusinessZone::named("UTC").unwrap()
    }

    fn alone() -> Alone {
        let stream = config::Stream {
            tick_ms: 5,
            ..Config::default().stream
        };
        let view = LiveView::new(utc(), "USD".into(), 300, real_clock());
        let (feed, events) = mpsc::channel(4);
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let actor = metrics::with_local_recorder(&recorder, || {
            Broadcaster::new(Arc::new(stream), view.clone(), events)
        });
        Alone {
            actor: actor.start(),
            view,
            feed,
            metrics,
        }
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        let wait = async {
            while !condition() {
                actix::clock::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = actix::clock::timeout(Duration::from_secs(20), wait).await;
        waited.expect("condition in time");
    }

    #[actix::test]
    async fn keeps_the_mirror_and_its_metrics() {
        let alone = alone();
        assert!(alone.view.interrupted().is_some());
        let state = Box::new(LiveState::new(utc()));
        alone.feed.send(Feed::Reset(state)).await.unwrap();
        let mut sum = DeltaSum::default();
        sum.count("purchase", now_ms());
        sum.sum(Series::revenue(), now_ms(), 199_900);
        let delta = Feed::Delta {
            delta: Arc::new(sum.finish()),
            sealed_at: now_ms(),
        };
        alone.feed.send(delta).await.unwrap();
        alone.actor.send(ActiveUsers(12)).await.unwrap();
        until(|| alone.view.current().purchases == 1).await;
        assert_eq!(alone.view.current().active_users, 12);
        assert_eq!(alone.view.interrupted(), None);
        for line in [
            "floodmark_business_total{metric=\"purchases\"} 1",
            "floodmark_business_total{metric=\"revenue\"} 19.99",
            "floodmark_active_users 12",
            "floodmark_viewers 0",
            "floodmark_viewer_evictions_total 0",
            "floodmark_ingest_to_viewer_seconds_count 1",
        ] {
            until(|| alone.metrics.render().contains(line)).await;
        }
    }

    #[actix::test]
    async fn outlives_its_feed_and_says_so() {
        let alone = alone();
        let state = Box::new(LiveState::new(utc()));
        alone.feed.send(Feed::Reset(state)).await.unwrap();
        until(|| alone.view.interrupted().is_none()).await;
        drop(alone.feed);
        until(|| alone.view.interrupted().is_some()).await;
        alone.actor.send(ActiveUsers(1)).await.unwrap();
    }

    #[actix::test]
    async fn a_shutdown_without_viewers_is_over_at_once() {
        let alone = alone();
        let within = Duration::from_secs(60);
        let (first, second) = futures_util::future::join(
            alone.actor.send(Shutdown { within }),
            alone.actor.send(Shutdown { within }),
        )
        .await;
        assert_eq!((first.unwrap(), second.unwrap()), (0, 0));
    }
}
