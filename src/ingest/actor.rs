//! The ingest actor.

mod known;
mod report;

use std::{sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, SpawnHandle, StreamHandler};
use futures_util::stream;
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use crate::{
    config::Config,
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, NodeId},
        row::rows,
        time::{Millis, Steady, now_ms},
    },
    ingest::{
        Accepted, Answer, Refused, Request, Waiting,
        committer::{Committed, Committer, Work},
        dedupe::Dedupe,
        dispatch::{Dispatch, Recent, Settled},
        hand_over::Places,
        open_batch::OpenBatch,
    },
    panics,
    spool::{Group, Recovery, Sink, Spool},
    telemetry::health::Health,
};

/// Accumulates events into fixed-size batches and hands these to the writers.
///
/// - Gets [`Append`] from the HTTP workers, [`Committed`] from the committer thread,
///   [`Settled`] from the writers of both sinks, [`Drain`] at shutdown.
/// - Sends [`Work`] to the committer thread and `WriteBatch` to the writers.
/// - Owns the open batch, the index of ids and the order of batches.
/// - Bounded by: the places of requests that wait (`ingest.queue_requests`), the bytes of
///   requests in flight (`http.max_inflight_bytes`), one open batch
///   (`batch.max_events`, `batch.max_bytes`), one group at the committer, one batch at each
///   writer.
/// - A panic in it ends the process: the open batch may have half a request. Nothing of that
///   was answered, and the spool is the truth for the next start.
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
    recent: Recent,

    open: OpenBatch,
    next_seq: u64,
    /// Seals the open batch after `batch.flush_interval_ms`.
    flush: Option<SpawnHandle>,

    /// What gathers while the committer works.
    gathering: Gathering,
    group: Group,
    /// What the committer has.
    committing: Option<Gathering>,
    /// The open batch as it is on disk: where to go back to when a write fails.
    durable: Durable,
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

/// A group in the making, beside its records.
#[derive(Default)]
struct Gathering {
    waiting: Vec<Waiting>,
    /// Batches that it seals.
    sealed: Vec<Batch>,
    /// Ids that it added to the index.
    ids: usize,
    /// The open batch behind it.
    durable: Durable,
}

#[derive(Default)]
struct Durable {
    next_seq: u64,
    chunks: Vec<bytes::Bytes>,
    dead_letters: Vec<crate::domain::batch::DeadLetter>,
}

/// An HTTP worker to the ingest actor: take these requests in; answered over `reply` once
/// they are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    /// One or more.
    pub requests: Vec<Request>,
    /// Their places in the queue.
    pub places: Places,
    /// Where the answers go, in the order of the requests.
    pub reply: oneshot::Sender<Vec<Answer>>,
}

/// Seal and sync what is open, and answer when both sinks have everything.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain(pub oneshot::Sender<()>);

/// What the ingest actor is made of.
pub struct Parts {
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
    pub fn new(config: &Config, parts: Parts) -> IngestActor {
        let window_ms = config.dedupe.window_s as Millis * 1000;
        let mut dedupe = Dedupe::new(window_ms, config.dedupe.max_ids);
        let clock = Steady::begin(now_ms());
        dedupe.recover(parts.recovery.ids, clock.now());
        let mut aggregator =
            Aggregator::new(config.rules.measures.clone(), config.live.max_event_types);
        let recovered = parts.recovery.open;
        let durable = Durable {
            next_seq: parts.recovery.next_seq,
            chunks: recovered.rows.clone(),
            dead_letters: recovered.dead_letters.clone(),
        };
        IngestActor {
            node: parts.node,
            limits: Limits {
                queue_requests: config.ingest.queue_requests,
                batch_events: config.batch.max_events,
                batch_bytes: config.batch.max_bytes,
                flush_interval: Duration::from_millis(config.batch.flush_interval_ms),
            },
            spool: parts.spool,
            committer: Some(parts.committer),
            told: Some((parts.commits, parts.settlements)),
            dedupe,
            clock,
            sinks: parts.sinks,
            recent: Recent::default(),
            open: OpenBatch::recovered(&mut aggregator, recovered.rows, recovered.dead_letters),
            aggregator,
            next_seq: parts.recovery.next_seq,
            flush: None,
            gathering: Gathering::default(),
            group: Group::default(),
            committing: None,
            durable,
            failed: None,
            health: parts.health,
            no_room: false,
            drains: Vec::new(),
            duplicates: metrics::counter!("floodmark_events_duplicate_total"),
            _watch: parts.watch,
        }
    }

    fn take_in(&mut self, request: Request) -> Answer {
        if let Some(reason) = &self.failed {
            return Err(Refused::Failed(reason.clone()));
        }
        let incoming = request.rows.len() as u64;
        if self.spool.is_full(incoming) {
            self.spool.refuse(incoming);
            return Err(Refused::Full);
        }
        Ok(self.append(request))
    }

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
                accepted.duplicates += 1;
                continue;
            }
            if let Some(id) = id {
                if !self.dedupe.insert(id, now) {
                    accepted.duplicates += 1;
                    continue;
                }
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

    fn seal(&mut self) {
        self.frame();
        let id = BatchId { node: self.node, seq: self.next_seq };
        let batch = self.open.seal(id, now_ms());
        self.group.seal(id.seq, batch.sealed_at, batch.events, &batch.delta);
        self.gathering.sealed.push(batch);
        self.next_seq += 1;
    }

    fn frame(&mut self) {
        let pending = self.open.frame();
        if pending.events > 0 {
            let ids = pending.ids.iter().map(String::as_str);
            self.group.rows(pending.events, &pending.rows, pending.received_at, ids);
        }
        self.group.dead_letters(pending.dead_letters);
    }

    /// Hands what has gathered to the committer, unless that is busy.
    fn commit(&mut self) {
        if self.committing.is_some() {
            return;
        }
        self.frame();
        // A request whose events are all duplicates waits too: their firsts may still be on
        // their way to the disk.
        if self.group.is_empty() && self.gathering.waiting.is_empty() {
            return;
        }
        let mut gathering = std::mem::take(&mut self.gathering);
        let (chunks, dead_letters) = self.open.framed();
        gathering.durable = Durable { next_seq: self.next_seq, chunks, dead_letters };
        let work = Work {
            group: std::mem::take(&mut self.group),
            waiting: std::mem::take(&mut gathering.waiting),
        };
        self.committing = Some(gathering);
        if let Some(committer) = &self.committer {
            committer.send(work);
        }
    }

    /// A group did not reach the disk: everything since the last one that did is undone,
    /// and its requests are refused.
    fn undo(&mut self, group: Gathering, refused: &Refused) {
        let gathering = std::mem::take(&mut self.gathering);
        for waiting in gathering.waiting {
            waiting.answer(&Err(refused.clone()));
        }
        self.dedupe.take_back(gathering.ids + group.ids);
        self.group.clear();
        self.aggregator.undo();
        let (chunks, letters) = (self.durable.chunks.clone(), self.durable.dead_letters.clone());
        self.open = OpenBatch::recovered(&mut self.aggregator, chunks, letters);
        self.next_seq = self.durable.next_seq;
    }

    fn pump(&mut self) {
        for sink in &mut self.sinks {
            sink.pump(&self.spool, &self.recent);
        }
    }

    /// A partial batch leaves after its time, always.
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
        drop(append.places);
        let answers = append.requests.into_iter().map(|request| self.take_in(request));
        let answers: Vec<Answer> = answers.collect();
        let waiting = Waiting { answers, reply: append.reply };
        if waiting.answers.iter().all(Result::is_err) {
            return waiting.answer(&Ok(()));
        }
        self.gathering.waiting.push(waiting);
        self.commit();
        self.schedule_flush(ctx);
    }
}

impl StreamHandler<Committed> for IngestActor {
    /// The committer has ended; the actor goes on until it is closed.
    fn finished(&mut self, _: &mut Context<Self>) {}

    fn handle(&mut self, committed: Committed, ctx: &mut Context<Self>) {
        let group = match (self.committing.take(), &committed.result) {
            (Some(group), _) => group,
            // The committer has died between two groups.
            (None, Err(_)) => Gathering::default(),
            (None, Ok(())) => return,
        };
        self.tell(&committed.result);
        match committed.result {
            Ok(()) => {
                self.durable = group.durable;
                for batch in group.sealed {
                    self.recent.push(Arc::new(batch));
                }
                if self.group.is_empty() {
                    self.group = committed.group;
                }
                self.pump();
            }
            Err(refused) => {
                if let Refused::Failed(reason) = &refused {
                    self.failed = Some(reason.clone());
                }
                self.undo(group, &refused);
            }
        }
        self.commit();
        self.schedule_flush(ctx);
        self.answer_drains();
    }
}

impl StreamHandler<Settled> for IngestActor {
    /// The other end is dropped when the server stops; the actor goes on until it is closed.
    fn finished(&mut self, _: &mut Context<Self>) {}

    fn handle(&mut self, settled: Settled, _: &mut Context<Self>) {
        let sink = &mut self.sinks[settled.sink as usize];
        sink.settled(settled.seq, &self.spool, &self.recent);
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

/// After [`Drain`]: stop the committer thread (cursors are persisted) and answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close(pub oneshot::Sender<()>);

impl Handler<Close> for IngestActor {
    type Result = ();

    fn handle(&mut self, close: Close, _: &mut Context<Self>) {
        self.failed.get_or_insert_with(|| "the server is stopping".to_owned());
        drop(self.committer.take());
        let _ = close.0.send(());
    }
}
