//! The ingest actor.

mod group;
mod known;
mod report;

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, StreamHandler};
use futures_util::stream;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use self::group::{Durable, Gathering};
use crate::{
    config::Config,
    domain::{
        aggregate::Aggregator,
        batch::NodeId,
        row::rows,
        time::{Millis, Steady, now_ms},
    },
    ingest::{
        Accepted, Answer, NotTaken, Request, Waiting,
        committer::{Committed, Committer},
        dedupe::Dedupe,
        messages::{Append, Close, Drain},
        open_batch::OpenBatch,
    },
    panics,
    sink::{Dispatch, RecentBatches, Settled, Sink},
    spool::{Group, Recovery, Spool},
    telemetry::health::Health,
};

/// Accumulates events into fixed-size batches and hands these to the writers.
///
/// - Gets [`Append`] from the HTTP workers, [`Committed`] from the committer thread,
///   [`Settled`] from the writers of both sinks, [`Drain`] at shutdown.
/// - Sends `Work` to the committer thread and `WriteBatch` to the writers.
/// - Owns the open batch, the index of ids and the order of batches.
/// - Bounded by: the permits of requests that wait (`ingest.queue_requests`), the bytes of
///   requests in flight (`http.max_inflight_bytes`), one open batch
///   (`batch.max_events`, `batch.max_bytes`), one group at the committer, one batch at each
///   writer.
/// - A panic in it ends the process: the open batch may have half a request. Nothing of that
///   was answered, and the spool is the truth for the next start.
///
/// While the committer writes one group of records, the actor gathers the next. So what it has
/// taken in is in four places, which move together:
///
/// ```text
///  Append ──> open batch, index of ids
///                 │ each request; a full batch is sealed
///                 v
///  ┌─ the group in the making ──────────────────────────────────────┐
///  │ group      its records, as they will be on disk                │
///  │ gathering  what belongs to them: who waits for an answer, the  │
///  │            batches that they seal, how many ids they added     │
///  └──────────────┬─────────────────────────────────────────────────┘
///                 │ commit, once the committer is idle: both begin anew, empty
///                 v
///  committing     the gathering of the group that the committer writes now
///                 │
///     Committed ──┼─ on disk ─────> durable := the open batch as this group leaves it;
///                 │                 its batches go to the sinks
///                 └─ not on disk ─> open batch := durable; who waits in gathering is refused
///                                   (the committer has refused its own), and the ids of both
///                                   are taken back
/// ```
pub struct IngestActor {
    node: NodeId,
    limits: Limits,
    spool: Spool,
    /// `None` once the server stops.
    committer: Option<Committer>,
    /// What the committer and the writers tell, until [`Actor::started`] follows it.
    told: Option<(UnboundedReceiver<Committed>, UnboundedReceiver<Settled>)>,
    dedupe: Dedupe,
    aggregator: Aggregator,
    /// What the window of ids is measured by.
    clock: Steady,
    sinks: [Dispatch; 2],
    recent: RecentBatches,

    open: OpenBatch,
    next_seq: u64,
    /// Seals the open batch after `batch.flush_interval_ms`.
    flush: Option<SpawnHandle>,

    /// The records of the group in the making.
    group: Group,
    /// What belongs to these records.
    gathering: Gathering,
    /// What belongs to the records that the committer writes now.
    committing: Option<Gathering>,
    /// The open batch as it is on disk: where to go back to when a write fails.
    durable: Durable,
    /// Why nothing is taken in any more: the disk failed, or the server stops.
    failed: Option<String>,
    health: Health,
    /// The last write found no room on the disk.
    no_room: bool,
    drains: Vec<oneshot::Sender<()>>,
    /// `floodmark_events_duplicate_total`, looked up once.
    duplicates: metrics::Counter,
    _watch: panics::Watch,
}

struct Limits {
    queue_requests: usize,
    batch_events: u64,
    batch_bytes: usize,
    flush_interval: Duration,
}

/// What the ingest actor starts with.
pub struct IngestSetup {
    /// The node's identity.
    pub node: NodeId,
    /// The spool.
    pub spool: Spool,
    /// What was found in it at start.
    pub recovery: Recovery,
    /// Store and live, in this order.
    pub sinks: [Dispatch; 2],
    /// The thread that writes the spool.
    pub committer: Committer,
    /// What the committer tells.
    pub commits: UnboundedReceiver<Committed>,
    /// What the writers of both sinks tell.
    pub settlements: UnboundedReceiver<Settled>,
    /// Raises the alarm when the actor panics.
    pub watch: panics::Watch,
    /// Where trouble of the disk is told.
    pub health: Health,
}

impl IngestActor {
    /// Takes up where the spool stands.
    pub fn new(config: &Config, setup: IngestSetup) -> IngestActor {
        let window_ms = config.dedupe.window_s as Millis * 1000;
        let mut dedupe = Dedupe::new(window_ms, config.dedupe.max_ids);
        let clock = Steady::begin(now_ms());
        dedupe.recover(setup.recovery.ids, clock.now());
        let mut aggregator =
            Aggregator::new(config.rules.metric_set.clone(), config.live.max_event_types);
        let recovered = setup.recovery.open;
        let durable = Durable {
            next_seq: setup.recovery.next_seq,
            chunks: recovered.rows.clone(),
            dead_letters: recovered.dead_letters.clone(),
        };
        IngestActor {
            node: setup.node,
            limits: Limits {
                queue_requests: config.ingest.queue_requests,
                batch_events: config.batch.max_events,
                batch_bytes: config.batch.max_bytes,
                flush_interval: Duration::from_millis(config.batch.flush_interval_ms),
            },
            spool: setup.spool,
            committer: Some(setup.committer),
            told: Some((setup.commits, setup.settlements)),
            dedupe,
            clock,
            sinks: setup.sinks,
            recent: RecentBatches::default(),
            open: OpenBatch::recovered(&mut aggregator, recovered.rows, recovered.dead_letters),
            aggregator,
            next_seq: setup.recovery.next_seq,
            flush: None,
            gathering: Gathering::default(),
            group: Group::default(),
            committing: None,
            durable,
            failed: None,
            health: setup.health,
            no_room: false,
            drains: Vec::new(),
            duplicates: metrics::counter!("floodmark_events_duplicate_total"),
            _watch: setup.watch,
        }
    }

    /// Takes a request in, all of it or nothing.
    fn take_in(&mut self, request: Request) -> Answer {
        if let Some(reason) = &self.failed {
            return Err(NotTaken::Failed(reason.clone()));
        }
        // Before anything is added: what is taken in half could not be answered.
        let incoming = request.rows.len() as u64;
        if self.spool.is_full(incoming) {
            self.spool.refuse(incoming);
            return Err(NotTaken::Full);
        }
        Ok(self.append(request))
    }

    /// Adds to the open batch what has not come before; seals it whenever it is full.
    fn append(&mut self, request: Request) -> Accepted {
        let mut accepted = Accepted::default();
        let now = self.clock.now();
        let mut ids = request.client_ids.iter().peekable();
        let mut known = request.known.iter().peekable();
        let mut at = 0;
        let mut walk = rows(&request.rows);
        let mut index = 0;
        // The encoder is ours: a row that doesn't decode can't be.
        while let Some(Ok(row)) = walk.next() {
            let encoded = &request.rows[at..walk.position()];
            at = walk.position();
            let id = ids.next_if(|(of, _)| *of == index).map(|(_, id)| id.as_str());
            let elsewhere = known.next_if_eq(&&index).is_some();
            index += 1;
            if elsewhere {
                // Another node has it on its disk, so this node's index needs no word of it.
                accepted.duplicates += 1;
                continue;
            }
            if let Some(id) = id {
                if !self.dedupe.insert(id, now) {
                    accepted.duplicates += 1;
                    continue;
                }
                // So many are taken back if the group does not reach the disk.
                self.gathering.ids += 1;
            }
            self.open.push(&mut self.aggregator, &row, encoded, id);
            accepted.accepted += 1;
            if self.open.events() >= self.limits.batch_events
                || self.open.bytes() >= self.limits.batch_bytes
            {
                self.seal();
            }
        }
        if !request.dead_letters.is_empty() {
            self.open.refuse(request.dead_letters);
        }
        self.duplicates.increment(accepted.duplicates.into());
        accepted
    }

    /// Gives the writers that are idle what has become durable.
    fn pump(&mut self) {
        for sink in &mut self.sinks {
            sink.pump(&self.spool, &self.recent);
        }
    }

    /// Sees to it that a batch which does not fill up is sealed after
    /// `batch.flush_interval_ms`, whether events still come or not.
    fn schedule_flush(&mut self, ctx: &mut Context<Self>) {
        if self.open.is_empty() {
            if let Some(flush) = self.flush.take() {
                ctx.cancel_future(flush);
            }
        } else if self.flush.is_none() {
            self.flush = Some(ctx.run_later(self.limits.flush_interval, |actor, ctx| {
                actor.flush = None;
                if !actor.open.is_empty() {
                    actor.seal();
                    actor.commit();
                }
                actor.schedule_flush(ctx);
            }));
        }
    }

    /// Answers those who wait for a stop, once nothing is left to do or nothing can be done.
    fn answer_drains(&mut self) {
        let settled = || Sink::ALL.iter().all(|sink| self.spool.lag(*sink).batches == 0);
        let idle = self.open.is_empty() && self.committing.is_none() && self.group.is_empty();
        if !self.drains.is_empty() && (self.failed.is_some() || (idle && settled())) {
            for drain in self.drains.drain(..) {
                let _ = drain.send(());
            }
        }
    }
}

impl Actor for IngestActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(self.limits.queue_requests);
        if let Some((mut commits, mut settlements)) = self.told.take() {
            ctx.add_stream(stream::poll_fn(move |cx| commits.poll_recv(cx)));
            ctx.add_stream(stream::poll_fn(move |cx| settlements.poll_recv(cx)));
        }
        ctx.run_interval(Duration::from_secs(1), |actor, _| actor.report());
        // What a crash left unsealed becomes the next batch, before anything new.
        if !self.open.is_empty() {
            self.seal();
        }
        self.report();
        self.commit();
        self.pump();
    }
}

impl Handler<Append> for IngestActor {
    type Result = ();

    fn handle(&mut self, append: Append, ctx: &mut Context<Self>) {
        // The requests do not wait any more: others may.
        drop(append.permits);
        let answers = append.requests.into_iter().map(|request| self.take_in(request));
        let answers: Vec<Answer> = answers.collect();
        let waiting = Waiting { answers, reply: append.reply };
        // Where nothing was taken in, nobody has to wait for the disk.
        if waiting.answers.iter().all(Result::is_err) {
            return waiting.answer(&Ok(()));
        }
        self.gathering.waiting.push(waiting);
        self.commit();
        self.schedule_flush(ctx);
    }
}

impl StreamHandler<Settled> for IngestActor {
    /// The other end is dropped when the server stops; the actor goes on until it is closed.
    fn finished(&mut self, _: &mut Context<Self>) {}

    fn handle(&mut self, settled: Settled, _: &mut Context<Self>) {
        let sink = &mut self.sinks[settled.sink as usize];
        sink.settled(settled.seq, &self.spool, &self.recent);
        // A batch stays in memory until the slower sink has it.
        let both = Sink::ALL.map(|sink| self.spool.settled(sink)).into_iter().min();
        self.recent.forget_before(both.unwrap_or(0) + 1);
        self.answer_drains();
    }
}

impl Handler<Drain> for IngestActor {
    type Result = ();

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) {
        self.drains.push(drain.0);
        if !self.open.is_empty() {
            self.seal();
        }
        self.commit();
        self.answer_drains();
    }
}

impl Handler<Close> for IngestActor {
    type Result = ();

    fn handle(&mut self, close: Close, _: &mut Context<Self>) {
        self.failed.get_or_insert_with(|| "the server is stopping".to_owned());
        // Waits for the thread, which writes what it has and the cursors.
        drop(self.committer.take());
        let _ = close.0.send(());
    }
}
