//! The broadcaster actor.

use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use jiff::civil::Date;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    broadcast::{
        ACTIVE_USERS, BUSINESS, INGEST_TO_VIEWER,
        connection::ConnectionHandle,
        hub::{Hub, Pulse, Viewer, ViewerId},
        monotonic_ms,
        session::{Deliver, ViewerSession},
        timeline::{Pace, Timeline},
        view::LiveView,
        viewers::Settings,
    },
    live::{Feed, Population},
};

/// Fans what was counted out to all viewers of this node.
///
/// - Gets the live side's [`Feed`], [`Counted`] from the counter actor, `Join` and `Leave`
///   from the sessions; sends each session `Deliver` and `Goodbye`.
/// - Owns the mirror (everyone else reads it through [`LiveView`]), the frame sequence and the
///   list of viewers.
/// - Bounded by: the feed's capacity, one frame a tick, `stream.resume_frames` kept frames.
pub struct Broadcaster {
    view: LiveView,
    timeline: Timeline,
    hub: Hub,
    pace: Pace,
    follow: Option<mpsc::Receiver<Feed>>,
    stopping: Option<oneshot::Sender<()>>,
}

/// The counter actor to the broadcaster: so many there are.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Counted {
    /// Active visitors, and distinct values.
    pub population: Population,
    /// The business day of the distinct values.
    pub day: Date,
}

/// Closes all viewers with 1001, in batches; answered when all are told.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Shutdown(pub oneshot::Sender<()>);

/// A session to the broadcaster: here is a viewer.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Join {
    pub id: ViewerId,
    pub session: Addr<ViewerSession>,
    pub connection: Option<ConnectionHandle>,
    pub pulse: Pulse,
    /// Epoch and seq of the last frame that it saw.
    pub resume: Option<(String, u64)>,
}

/// A session to the broadcaster: the viewer has gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave(pub ViewerId);

#[derive(Message)]
#[rtype(result = "()")]
struct Fed(Feed);

/// Viewers told at once when the server stops, so that they don't all return at once.
const DISMISSED_AT_ONCE: usize = 200;
const DISMISS_EVERY: Duration = Duration::from_millis(20);

impl Broadcaster {
    pub(super) fn new(
        settings: &Settings,
        view: LiveView,
        follow: mpsc::Receiver<Feed>,
    ) -> Broadcaster {
        let stream = &settings.stream;
        let pace = Pace { tick_ms: stream.tick_ms, heartbeat_ms: stream.heartbeat_ms };
        let epoch = Uuid::new_v4().simple().to_string();
        let timeline = Timeline::new(epoch, pace, stream.resume_frames, &view, monotonic_ms());
        Broadcaster {
            view,
            timeline,
            hub: Hub::new(stream.slow_timeout_ms, stream.silence_timeout_ms),
            pace,
            follow: Some(follow),
            stopping: None,
        }
    }

    fn tick(&mut self) {
        let (now, monotonic) = (self.view.now(), monotonic_ms());
        let view = self.view.clone();
        let frame = self.timeline.tick(&view, &view.state(), now, monotonic);
        if let Some(frame) = frame {
            if frame.is_snapshot {
                self.hub.send_snapshot(&frame.text, monotonic);
            } else {
                self.hub.send_delta(&frame.text, monotonic);
            }
            if let Some(sealed_at) = frame.oldest_sealed_at
                && sealed_at > 0
            {
                let seconds = (now - sealed_at).max(0) as f64 / 1000.0;
                metrics::histogram!(INGEST_TO_VIEWER).record(seconds);
            }
        }
        if self.hub.someone_lacks() {
            let snapshot = self.timeline.snapshot(&view, &view.state(), now, monotonic);
            if let Some(text) = snapshot {
                self.hub.catch_up(&text, monotonic);
            }
        }
        self.hub.evict(monotonic);
    }

    fn report(&self) {
        let current = self.view.current();
        for (metric, value) in [
            ("page_views", current.page_views as f64),
            ("purchases", current.purchases as f64),
            ("revenue", current.revenue.0 as f64 / 10_000.0),
            ("errors", current.errors as f64),
            ("signups", current.signups as f64),
            ("events", current.events as f64),
        ] {
            metrics::gauge!(BUSINESS, "metric" => metric).set(value);
        }
        metrics::gauge!(ACTIVE_USERS).set(current.active_users as f64);
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(mut follow) = self.follow.take() {
            let feed = futures_util::stream::poll_fn(move |cx| follow.poll_recv(cx));
            ctx.add_message_stream(futures_util::StreamExt::map(feed, Fed));
        }
        ctx.run_interval(Duration::from_millis(self.pace.tick_ms), |actor, _| actor.tick());
        ctx.run_interval(Duration::from_secs(1), |actor, _| {
            let now = actor.view.now();
            actor.view.write().prune(now);
            actor.report();
        });
    }
}

impl Handler<Fed> for Broadcaster {
    type Result = ();

    fn handle(&mut self, fed: Fed, _: &mut Context<Self>) {
        let now = self.view.now();
        match fed.0 {
            Feed::Reset(state) => {
                *self.view.write() = *state;
                self.view.filled();
                let view = self.view.clone();
                self.timeline.start_over(&view.state(), now);
            }
            Feed::Delta { delta, lane, sealed_at } => {
                self.view.write().apply(lane, &delta, now);
                self.timeline.add(&delta, sealed_at, now);
            }
            Feed::Interrupted { reason } => self.view.interrupt(reason),
            Feed::Restored => self.view.restored(),
        }
    }
}

impl Handler<Counted> for Broadcaster {
    type Result = ();

    fn handle(&mut self, counted: Counted, _: &mut Context<Self>) {
        self.view.set_population(counted.population, counted.day);
    }
}

impl Handler<Join> for Broadcaster {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        let (now, monotonic) = (self.view.now(), monotonic_ms());
        let view = self.view.clone();
        let missed = join.resume.and_then(|(epoch, seq)| self.timeline.resume(&epoch, seq));
        // Where the state has something that is still to be sent, the next tick sends the
        // snapshot.
        let first = missed.or_else(|| {
            let snapshot = self.timeline.snapshot(&view, &view.state(), now, monotonic);
            snapshot.map(|text| vec![text])
        });
        let mut viewer = Viewer {
            session: join.session,
            connection: join.connection,
            pulse: join.pulse,
            lacking_since: Some(monotonic),
        };
        if let Some(frames) = first {
            let fits =
                frames.into_iter().all(|text| viewer.session.try_send(Deliver(text)).is_ok());
            if fits {
                viewer.lacking_since = None;
            }
        }
        self.hub.join(join.id, viewer);
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) {
        self.hub.leave(leave.0);
    }
}

impl Handler<Shutdown> for Broadcaster {
    type Result = ();

    fn handle(&mut self, shutdown: Shutdown, ctx: &mut Context<Self>) {
        self.stopping = Some(shutdown.0);
        ctx.run_interval(DISMISS_EVERY, |actor, _| {
            actor.hub.dismiss(DISMISSED_AT_ONCE);
            if actor.hub.len() == 0
                && let Some(done) = actor.stopping.take()
            {
                let _ = done.send(());
            }
        });
    }
}
