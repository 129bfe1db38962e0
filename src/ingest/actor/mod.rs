//! The ingest actor, which makes batches of the requests that HTTP workers hand over.

mod group;
mod known;
mod report;
mod stored;

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, StreamHandler};
use futures_util::stream;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use self::group::{Durable, Gathering};
use crate::{
    config::{Config, MemoryShares},
    domain::{
        aggregate::{Aggregator, LookAround, OwnTypes},
        batch::NodeId,
        row::rows,
        time::{Steady, now_ms},
    },
    ingest::{
        Accepted, Answer, NotTaken, Request, Waiting,
        committer::{Committed, Committer},
        dedupe::indexes::IdIndexes,
        messages::{Append, Close, Drain},
        open_batch::OpenBatch,
    },
    panics,
    sink::{Dispatch, RecentBatches, Settled, Sink},
    spool::{Group, IdWindows, OwnTypesFile, Recovery, Spool},
    telemetry::health::Health,
};

/// Accumulates events into fixed-size batches and hands these to the writers of both sinks.
///
/// - Gets [`Append`] from the HTTP workers, [`Committed`] from the committer thread,
///   [`Settled`] from the writers of both sinks, [`Drain`] at shutdown.
/// - Sends `Work` to the committer thread and `WriteBatch` to the writers.
/// - Owns the open batch, the index of ids and the order of batches.
/// - Bounded by: the permits of requests that wait (`ingest.queue_requests`), the bytes of
///   requests in flight (`http.max_inflight_bytes`), one open batch
///   (`batch.max_events`, `batch.max_bytes`), one group at the committer, one batch at each
///   writer.
/// - A panic in it ends the process, since the open batch may then have half a request. Nothing of
///   that request was answered, and the next start goes by what is in the spool.
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
    /// The channels from the committer and the writers, until [`Actor::started`] listens to them.
    told: Option<(UnboundedReceiver<Committed>, UnboundedReceiver<Settled>)>,
    dedupe: IdIndexes,
    aggregator: Aggregator,
    /// Where it is written which event types have counters of their own.
    types_file: OwnTypesFile,
    /// The clock by which the window of ids is measured. It never goes back, whatever the system's
    /// clock does.
    clock: Steady,
    /// Store and live, in the order of [`Sink`].
    sinks: [Dispatch; 2],
    recent: RecentBatches,

    open: OpenBatch,
    /// The number that the open batch will be sealed with.
    next_seq: u64,
    /// The timer that seals the open batch after `batch.flush_interval_ms`; `None` while the batch
    /// is empty.
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
    /// Whether the last write found no room on the disk.
    no_room: bool,
    /// Those who wait until both sinks have everything.
    drains: Vec<oneshot::Sender<()>>,
    /// Those who wait until the store has a batch and all before it, by its number.
    awaiting: Vec<(u64, oneshot::Sender<()>)>,
    /// `floodmark_events_duplicate_total`, looked up once and not at each request.
    duplicates: metrics::Counter,
    /// Raises the alarm when it is dropped by a panic.
    _watch: panics::Watch,
}

/// The settings that bound the actor.
struct Limits {
    queue_requests: usize,
    batch_events: u64,
    batch_bytes: usize,
    flush_interval: Duration,
}

/// What the ingest actor starts with.
pub struct IngestSetup {
    /// The identity of the node, which is in the name of each batch.
    pub node: NodeId,
    /// The spool.
    pub spool: Spool,
    /// What the start has found in the spool.
    pub recovery: Recovery,
    /// How long and how many ids are remembered.
    pub id_windows: IdWindows,
    /// What the recent batches may take.
    pub shares: MemoryShares,
    /// Store and live, in this order.
    pub sinks: [Dispatch; 2],
    /// Where it is written which event types have counters of their own, and what is written there.
    pub types: (OwnTypesFile, OwnTypes),
    /// Says which event types are counted on all nodes.
    pub elsewhere: LookAround,
    /// The thread that writes the spool.
    pub committer: Committer,
    /// Says what became of each group.
    pub commits: UnboundedReceiver<Committed>,
    /// Says which batches the sinks have.
    pub settlements: UnboundedReceiver<Settled>,
    /// Raises the alarm when the actor panics.
    pub watch: panics::Watch,
    /// Is told of trouble with the spool's disk.
    pub health: Health,
}

impl IngestActor {
    /// Continues from what the spool has: its ids, its unsealed batch, its next number.
    pub fn new(config: &Config, setup: IngestSetup) -> IngestActor {
        let mut dedupe = IdIndexes::new(&setup.id_windows);
        let clock = Steady::begin(now_ms());
        dedupe.recover(setup.recovery.ids, clock.now());
        let mut aggregator =
            Aggregator::new(config.rules.metric_set.clone(), config.live.max_event_types);
        let (types_file, types) = setup.types;
        aggregator = aggregator.going_on(types, setup.elsewhere);
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
            recent: RecentBatches::within(setup.shares.recent_batches as usize),
            open: OpenBatch::recovered(&mut aggregator, recovered.rows, recovered.dead_letters),
            aggregator,
            types_file,
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
            awaiting: Vec::new(),
            duplicates: metrics::counter!("floodmark_events_duplicate_total"),
            _watch: setup.watch,
        }
    }

    /// Takes a request in, all of it or nothing.
    fn take_in(&mut self, request: Request) -> Answer {
        if let Some(reason) = &self.failed {
            return Err(NotTaken::Failed(reason.clone()));
        }
        // This is checked before anything is added, since there is no answer for a request that is
        // taken in half.
        let incoming = request.rows.len() as u64;
        if self.spool.is_full(incoming) {
            self.spool.refuse(incoming);
            return Err(NotTaken::Full);
        }
        Ok(self.append(request))
    }

    /// Adds the events of a request that have not come before to the open batch, and seals the
    /// batch whenever it is full.
    fn append(&mut self, request: Request) -> Accepted {
        let mut accepted = Accepted::default();
        let now = self.clock.now();
        let mut ids = request.client_ids.iter().peekable();
        let mut known = request.known.iter().peekable();
        let mut past = request.past_ids.iter().peekable();
        let mut at = 0;
        let mut walk = rows(&request.rows);
        let mut index = 0;
        let mut has_joined = false;
        // Our own encoder made the rows, so each of them decodes.
        while let Some(Ok(row)) = walk.next() {
            let encoded = &request.rows[at..walk.position()];
            at = walk.position();
            let id = ids.next_if(|(of, _)| *of == index).map(|(_, id)| id.as_str());
            let elsewhere = known.next_if_eq(&&index).is_some();
            let past = past.next_if(|(of, _)| *of == index).map(|(_, id)| id.as_str());
            index += 1;
            if elsewhere || past.is_some_and(|id| self.dedupe.knows(id, now)) {
                // Some node has it on its disk, so this node's index need not know of it.
                accepted.duplicates += 1;
                continue;
            }
            if let Some(id) = id {
                let Some(class) = self.dedupe.insert(id, now) else {
                    accepted.duplicates += 1;
                    continue;
                };
                // So many ids are taken back if the group does not reach the disk.
                self.gathering.ids.add(class);
            }
            if !std::mem::replace(&mut has_joined, true) {
                self.open.joined(request.span);
            }
            self.open.push(&mut self.aggregator, &row, encoded, id);
            accepted.accepted += 1;
            if self.open.events() >= self.limits.batch_events
                || self.open.bytes() >= self.limits.batch_bytes
            {
                self.seal();
                has_joined = false;
            }
        }
        if !request.dead_letters.is_empty() {
            self.open.refuse(request.dead_letters);
        }
        self.duplicates.increment(accepted.duplicates.into());
        accepted
    }

    /// Gives batches that have become durable to writers that are idle.
    fn pump(&mut self) {
        for sink in &mut self.sinks {
            sink.pump(&self.spool, &self.recent);
        }
    }

    /// Starts or stops the timer by which a batch that does not fill up is sealed after
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

    /// Answers [`Drain`] once both sinks have everything, or once the disk has failed and nothing
    /// can be done any more.
    fn answer_drains(&mut self) {
        let settled = || Sink::ALL.iter().all(|sink| self.spool.lag(*sink).batches == 0);
        let idle = self.open.is_empty() && self.committing.is_none() && self.group.is_empty();
        if !self.drains.is_empty() && (self.failed.is_some() || (idle && settled())) {
            for drain in self.drains.drain(..) {
                // Whoever has stopped waiting needs no answer.
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
        // What a crash has left unsealed becomes the next batch, before anything new is taken in.
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
        // These requests do not wait any more, so others may.
        drop(append.permits);
        let answers = append.requests.into_iter().map(|request| self.take_in(request));
        let answers: Vec<Answer> = answers.collect();
        let waiting = Waiting { answers, reply: append.reply };
        // If nothing was taken in, there is nothing to wait for on the disk.
        if waiting.answers.iter().all(Result::is_err) {
            return waiting.answer(&Ok(()));
        }
        self.gathering.waiting.push(waiting);
        self.commit();
        self.schedule_flush(ctx);
    }
}

impl StreamHandler<Settled> for IngestActor {
    /// The default would end the actor when the writers end, at a stop. It goes on until it is
    /// closed.
    fn finished(&mut self, _: &mut Context<Self>) {}

    fn handle(&mut self, settled: Settled, _: &mut Context<Self>) {
        let sink = &mut self.sinks[settled.sink as usize];
        sink.settled(settled.seq, &self.spool, &self.recent);
        // A batch stays in memory until the slower sink has it too.
        let both = Sink::ALL.map(|sink| self.spool.settled(sink)).into_iter().min();
        self.recent.forget_before(both.unwrap_or(0) + 1);
        self.tell_stored();
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
        // This waits for the thread, which first writes what it has, and then the cursors.
        drop(self.committer.take());
        let _ = close.0.send(());
    }
}
