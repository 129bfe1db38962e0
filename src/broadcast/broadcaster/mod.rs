//! The broadcaster actor: turns what the live side counts into frames and sends these to all
//! viewers of this node.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, StreamHandler,
    prelude::SendError,
};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    broadcast::{
        ACTIVE_USERS, ACTIVE_USERS_APPROXIMATE, BREAKDOWN_BYTES, BREAKDOWNS_WINDOW, BUSINESS,
        BUSINESS_TODAY, INGEST_TO_VIEWER, SECONDS_WINDOW, VIEWER_EVICTIONS, VIEWERS,
        connection::ConnectionHandle,
        history::HistoryLimits,
        hub::{Deliver, Hub, OfferError, Outlet, Pulse, ViewerId, ViewerLimits},
        monotonic_ms,
        pass::Pass,
        permit::Leave,
        playback::Played,
        timeline::{Frame, FramePace, Texts, Timeline},
    },
    config,
    domain::access::Sight,
    live::{Counted, Feed},
    numbers::MirrorWriter,
    panics,
    telemetry::queue::{Depth, QueuePlace},
};

/// Sends what was counted to all viewers of this node. It runs on a thread of its own.
///
/// - Gets the live side's [`Feed`] (through a bounded channel, so that a feed that is too fast
///   waits), [`Counted`] from the counter actor, [`Join`] and [`Leave`] from the sessions, and
///   [`Shutdown`]. Sends each session [`Deliver`] and never waits for it.
/// - Owns the mirror (everyone else reads it as [`crate::numbers::Mirror`]), the timeline of
///   frames and the hub.
/// - Bounded by: the feed's capacity, one frame a tick, `stream.resume_frames` and
///   `stream.resume_bytes` kept frames, one `Join` and one `Leave` for each of the
///   `stream.max_viewers` permits.
/// - A panic in it ends the process: the mirror may hold half of a delta, and what is counted
///   but not yet in the ledger is nowhere else. The next start counts it again.
pub struct Broadcaster {
    /// The time between two frames (`stream.tick_ms`).
    tick: Duration,
    close_timeout_ms: u64,
    mirror: MirrorWriter,
    /// Taken when the actor starts.
    feed: Option<mpsc::Receiver<Feed>>,
    timeline: Timeline,
    hub: Hub<SessionOutlet>,
    /// `Some` once the server shuts down.
    /// Whether the counters have been loaded since the start.
    loaded: bool,
    closing: Option<Closing>,
    metrics: Metrics,
    _watch: panics::Watch,
}

/// A shutdown under way.
struct Closing {
    /// How many viewers are told in one batch.
    batch: usize,
    /// When those that are left are cut, monotonic ms.
    deadline: u64,
    /// Who waits for the end.
    answers: Vec<oneshot::Sender<usize>>,
}

/// Asks the broadcaster to close all viewers with 1001. It answers when all have gone or
/// `within` has passed, with the number of those that had to be cut.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "usize")]
pub struct Shutdown {
    /// The time there is for it.
    pub within: Duration,
}

/// A session tells the broadcaster of its viewer, which waits for a first frame.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Join {
    /// The viewer.
    pub id: ViewerId,
    /// The way to its session.
    pub outlet: SessionOutlet,
    /// What the hub and the session share.
    pub pulse: Arc<Pulse>,
    /// By what right the viewer watches.
    pub pass: Pass,
    /// What it watches.
    pub watches: Watches,
    /// Its place among what waits for the broadcaster.
    pub place: QueuePlace,
}

/// What a viewer watches.
pub enum Watches {
    /// The live stream, after the frame of this epoch and seq, if it came back.
    Live(Option<(String, u64)>),
    /// The past. Its player sends [`Played`].
    Past,
}

/// The way to one session: its address, and its connection for the case that it hangs.
pub(super) struct SessionOutlet {
    /// The only address of the session. actix lets each clone of an address put one message
    /// beyond the limit into a full mailbox.
    pub session: Recipient<Deliver>,
    /// Cuts the connection from outside.
    pub connection: ConnectionHandle,
}

impl Outlet for SessionOutlet {
    fn offer(&self, what: Deliver) -> Result<(), OfferError> {
        self.session.try_send(what).map_err(|error| match error {
            SendError::Full(_) => OfferError::Full,
            SendError::Closed(_) => OfferError::Gone,
        })
    }

    fn cut(&self) {
        self.connection.cut();
    }
}

/// The time between two batches of Close frames at shutdown.
const CLOSE_INTERVAL: Duration = Duration::from_millis(50);
/// The Close frames of a shutdown are spread over at most this time, so that not all viewers
/// reconnect to other nodes in the same instant.
const CLOSE_SPREAD: Duration = Duration::from_secs(2);

impl Broadcaster {
    pub(super) fn new(
        stream: &config::StreamConfig,
        mirror: MirrorWriter,
        feed: mpsc::Receiver<Feed>,
        watch: panics::Watch,
    ) -> Broadcaster {
        let pace = FramePace { tick_ms: stream.tick_ms, heartbeat_ms: stream.heartbeat_ms };
        let limits = ViewerLimits {
            mailbox_frames: stream.mailbox_frames as u64,
            slow_timeout_ms: stream.slow_timeout_ms,
            silence_timeout_ms: stream.silence_timeout_ms,
            close_timeout_ms: stream.close_timeout_ms,
        };
        let epoch = Uuid::new_v4().simple().to_string();
        let kept = HistoryLimits { frames: stream.resume_frames, bytes: stream.resume_bytes };
        Broadcaster {
            tick: Duration::from_millis(stream.tick_ms),
            close_timeout_ms: stream.close_timeout_ms,
            timeline: Timeline::new(epoch, pace, kept, &mirror, monotonic_ms()),
            mirror,
            feed: Some(feed),
            hub: Hub::new(limits),
            loaded: false,
            closing: None,
            metrics: Metrics::new(),
            _watch: watch,
        }
    }

    /// Sends this tick's frame, sends a snapshot to those that need one, and judges the rest.
    fn tick(&mut self) {
        let (now, monotonic) = (self.mirror.now(), monotonic_ms());
        let (frame, snapshots) = {
            // The counters are locked for reading while frames are written, and not while they
            // are sent. Frame and snapshots come from the same state.
            let counters = self.mirror.counters();
            let frame = self.timeline.tick(&self.mirror, &counters, now, monotonic);
            let mut wanted = self.hub.wants_snapshot();
            let snapshots = wanted.map(|sight, wanted| {
                let timeline = &mut self.timeline;
                let snapshot = || timeline.snapshot(sight, &self.mirror, &counters, now, monotonic);
                wanted.then(snapshot).flatten()
            });
            (frame, snapshots)
        };
        if let Some(frame) = &frame {
            self.hub.send(&frame.texts, frame.is_snapshot, monotonic);
            self.metrics.sent(frame, now);
        }
        if snapshots != Texts::default() {
            self.hub.serve_snapshot(&snapshots);
        }
        let evicted = self.hub.judge(monotonic);
        self.metrics.evictions.increment(evicted);
        self.metrics.viewers.set(self.hub.len() as f64);
    }

    /// Sets the gauges of today's totals, as `/current` shows them.
    fn report(&self) {
        // Before the first load, nobody knows them: 0 would be a wrong number.
        if !self.loaded {
            return;
        }
        let current = self.mirror.current(Sight::Everything);
        for (metric, value) in [
            ("page_views", current.page_views as f64),
            ("purchases", current.purchases as f64),
            ("revenue", current.revenue.0 as f64 / 10_000.0),
            ("errors", current.errors as f64),
            ("signups", current.signups as f64),
            ("events", current.events as f64),
        ] {
            metrics::gauge!(BUSINESS, "metric" => metric).set(value);
            metrics::gauge!(BUSINESS_TODAY, "metric" => metric).set(value);
        }
        metrics::gauge!(ACTIVE_USERS).set(current.active_users.unwrap_or(0) as f64);
        let approximate = current.active_users_approximate;
        metrics::gauge!(ACTIVE_USERS_APPROXIMATE).set(f64::from(u8::from(approximate)));
        let (seconds, breakdowns) = self.mirror.windows();
        metrics::gauge!(SECONDS_WINDOW).set(seconds as f64 / 1000.0);
        metrics::gauge!(BREAKDOWNS_WINDOW).set(breakdowns as f64 / 1000.0);
        metrics::gauge!(BREAKDOWN_BYTES).set(self.mirror.counters().breakdown_bytes() as f64);
    }

    /// Goes on with a shutdown: tells the next batch of viewers, and answers at the end.
    fn close_next(&mut self) {
        let Some(closing) = &mut self.closing else { return };
        let now = monotonic_ms();
        let until = (now + self.close_timeout_ms).min(closing.deadline);
        self.hub.close_some(closing.batch, until);
        self.hub.judge(now);
        let cut = match self.hub.len() {
            0 => 0,
            _ if now < closing.deadline => return,
            _ => self.hub.cut_all(),
        };
        for answer in closing.answers.drain(..) {
            // An error means that whoever asked has stopped waiting.
            let _ = answer.send(cut);
        }
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(mut feed) = self.feed.take() {
            ctx.add_stream(futures_util::stream::poll_fn(move |cx| feed.poll_recv(cx)));
        }
        ctx.run_interval(self.tick, |actor, _| actor.tick());
        ctx.run_interval(Duration::from_secs(1), |actor, _| {
            let now = actor.mirror.now();
            actor.mirror.prune(now);
            let monotonic = monotonic_ms();
            actor.hub.expel(monotonic);
            for (depth, waiting) in actor.metrics.frames.iter().zip(actor.hub.waiting()) {
                depth.set(waiting as usize);
            }
            actor.timeline.watched(&actor.hub.watched(), monotonic);
            actor.report();
        });
    }
}

impl StreamHandler<Feed> for Broadcaster {
    fn handle(&mut self, event: Feed, _: &mut Context<Self>) {
        let now = self.mirror.now();
        match event {
            Feed::Delta { delta, lane, sealed_at } => {
                self.mirror.apply(lane, &delta, sealed_at, now);
                self.timeline.add(&delta, sealed_at, now);
            }
            Feed::Reset(counters) => {
                self.timeline.start_over(&counters, now);
                self.mirror.replace(*counters);
                self.loaded = true;
                self.report();
            }
            Feed::Interrupted { reason } => self.mirror.interrupt(reason),
            Feed::Restored => self.mirror.restored(),
        }
    }

    /// The live store has dropped its end of the feed, because the process is stopping or the
    /// store has failed. Frames go on: the actor is not stopped.
    fn finished(&mut self, _: &mut Context<Self>) {
        self.mirror.interrupt("the live counters' feed has ended".into());
    }
}

impl Handler<Counted> for Broadcaster {
    type Result = ();

    fn handle(&mut self, counted: Counted, _: &mut Context<Self>) {
        self.mirror.set_population(counted.population, counted.day);
    }
}

impl Handler<Join> for Broadcaster {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        let (now, monotonic) = (self.mirror.now(), monotonic_ms());
        let sight = join.pass.sight;
        drop(join.place);
        let resume = match join.watches {
            Watches::Live(resume) => resume,
            Watches::Past => {
                return self.hub.join_playback(join.id, join.outlet, join.pulse, join.pass);
            }
        };
        self.hub.join(join.id, join.outlet, join.pulse, join.pass, monotonic);
        self.timeline.join(sight, monotonic);
        let missed = resume.and_then(|(epoch, seq)| self.timeline.resume(sight, &epoch, seq));
        let first = missed.map(Deliver::Missed).or_else(|| {
            let counters = self.mirror.counters();
            let snapshot = self.timeline.snapshot(sight, &self.mirror, &counters, now, monotonic);
            snapshot.map(Deliver::Frame)
        });
        // No snapshot is made while the state holds something that was not sent yet. Then the
        // next tick sends one.
        if let Some(first) = first {
            self.hub.follow(join.id, first);
        }
    }
}

impl Handler<Played> for Broadcaster {
    type Result = ();

    fn handle(&mut self, played: Played, _: &mut Context<Self>) {
        self.hub.play(played.id, played.what, monotonic_ms());
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) {
        self.hub.leave(leave.id);
        drop(leave.place);
    }
}

impl Handler<Shutdown> for Broadcaster {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, Shutdown { within }: Shutdown, ctx: &mut Context<Self>) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        match &mut self.closing {
            Some(closing) => closing.answers.push(answer),
            None => {
                let spread = CLOSE_SPREAD.min(within / 4);
                let batches = (spread.as_millis() / CLOSE_INTERVAL.as_millis()) as usize;
                self.closing = Some(Closing {
                    batch: self.hub.len().div_ceil(batches.max(1)).max(1),
                    deadline: monotonic_ms() + within.as_millis() as u64,
                    answers: vec![answer],
                });
                self.close_next();
                ctx.run_interval(CLOSE_INTERVAL, |actor, _| actor.close_next());
            }
        }
        Box::pin(async { answered.await.unwrap_or(0) })
    }
}

/// The metrics of each tick. They are looked up once, since a look-up by name costs more than
/// the update.
struct Metrics {
    viewers: Gauge,
    /// Frames that wait for all sessions, and for the one that has most.
    frames: [Depth; 2],
    evictions: Counter,
    ingest_to_viewer: Histogram,
}

impl Metrics {
    fn new() -> Metrics {
        Metrics {
            viewers: gauge!(VIEWERS),
            frames: [Depth::of("sessions"), Depth::longest("sessions")],
            evictions: counter!(VIEWER_EVICTIONS),
            ingest_to_viewer: histogram!(INGEST_TO_VIEWER),
        }
    }

    fn sent(&self, frame: &Frame, now: i64) {
        // 0 marks deltas that were counted again after a loss: when their batches were sealed is
        // not known any more.
        if let Some(sealed_at) = frame.oldest_sealed_at.filter(|at| *at > 0) {
            self.ingest_to_viewer.record((now - sealed_at).max(0) as f64 / 1000.0);
        }
    }
}

#[cfg(test)]
mod tests;
