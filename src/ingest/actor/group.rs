//! How the ingest actor makes groups of records and hands them to the committer, and how it undoes
//! what it has taken in when a group does not reach the disk. The drawing at [`IngestActor`] shows
//! the parts that move here.

use std::sync::Arc;

use actix::{Context, StreamHandler};
use bytes::Bytes;

use super::IngestActor;
use crate::{
    domain::{
        batch::{Batch, BatchId, DeadLetter, RunId},
        time::now_ms,
    },
    ingest::{
        NotTaken, Waiting,
        committer::{Committed, Work},
        dedupe::indexes::AddedIds,
        open_batch::OpenBatch,
    },
    telemetry::otlp::spans::{self, BatchOpening},
};

/// What belongs to the records of one group.
#[derive(Default)]
pub(super) struct Gathering {
    /// Requests that are answered once the group is on disk. They go with the records to the
    /// committer, which answers them.
    pub waiting: Vec<Waiting>,
    /// Batches that the group seals. The sinks get them once it is on disk.
    pub sealed: Vec<(Batch, Option<BatchOpening>)>,
    /// How many ids the requests of the group have added to the indexes.
    pub ids: AddedIds,
    /// The open batch as the group leaves it.
    pub durable: Durable,
}

/// The open batch as it is on disk, unsealed.
#[derive(Default)]
pub(super) struct Durable {
    /// The number that the open batch will be sealed with.
    pub next_seq: u64,
    /// Its rows.
    pub chunks: Vec<Bytes>,
    /// Its refused events.
    pub dead_letters: Vec<DeadLetter>,
}

impl IngestActor {
    /// Seals the open batch. Its last records and its seal go into the group.
    pub(super) fn seal(&mut self) {
        self.frame();
        // The run is known once the batch is on disk: another one may begin before that.
        let id = BatchId { run: RunId::nil(), seq: self.next_seq };
        let opening = self.open.take_opening();
        let batch = Batch { node: self.node, ..self.open.seal(id, now_ms()) };
        self.group.seal(id.seq, batch.sealed_at, batch.events, &batch.delta);
        self.gathering.sealed.push((batch, opening));
        self.next_seq += 1;
    }

    /// Makes records of what the open batch has taken in since the last time.
    fn frame(&mut self) {
        let pending = self.open.frame();
        if pending.events > 0 {
            let ids = pending.ids.iter().map(String::as_str);
            self.group.rows(pending.events, &pending.rows, pending.received_at, ids);
        }
        self.group.dead_letters(pending.dead_letters);
    }

    /// Hands what has gathered to the committer, unless the committer is busy. It is then handed
    /// over when [`Committed`] comes.
    pub(super) fn commit(&mut self) {
        if self.committing.is_some() {
            return;
        }
        self.frame();
        // A request whose events are all duplicates has no records, but it waits too: the events
        // that came before may still be on their way to the disk.
        if self.group.is_empty() && self.gathering.waiting.is_empty() {
            return;
        }
        // A type that has got a counter keeps it over any crash, so this is on disk before its first event.
        self.types_file.keep(self.aggregator.types(), now_ms());
        let mut gathering = std::mem::take(&mut self.gathering);
        let (chunks, dead_letters) = self.open.framed();
        gathering.durable = Durable { next_seq: self.next_seq, chunks, dead_letters };
        // The committer answers the requests itself, so that their answers need not wait for this
        // actor.
        let work = Work {
            group: std::mem::take(&mut self.group),
            waiting: std::mem::take(&mut gathering.waiting),
        };
        self.committing = Some(gathering);
        if let Some(committer) = &self.committer {
            committer.send(work);
        }
    }

    /// Undoes everything since the last group that reached the disk, because `group` did not. The
    /// committer has refused its requests; those that have gathered since are refused here, since
    /// they were added on top of what is undone.
    fn undo(&mut self, group: Gathering, why: &NotTaken) {
        let gathering = std::mem::take(&mut self.gathering);
        for waiting in gathering.waiting {
            waiting.answer(&Err(why.clone()));
        }
        // The newest ids in the index are those of both groups. They are taken back, or the events
        // would be duplicates when the client sends them again.
        self.dedupe.take_back(gathering.ids.and(group.ids));
        self.group.clear();
        self.aggregator.undo();
        let (chunks, letters) = (self.durable.chunks.clone(), self.durable.dead_letters.clone());
        self.open = OpenBatch::recovered(&mut self.aggregator, chunks, letters);
        self.next_seq = self.durable.next_seq;
    }
}

impl StreamHandler<Committed> for IngestActor {
    /// The default would end the actor when the committer ends. It goes on until it is closed.
    fn finished(&mut self, _: &mut Context<Self>) {}

    fn handle(&mut self, committed: Committed, ctx: &mut Context<Self>) {
        let group = match (self.committing.take(), &committed.result) {
            (Some(group), _) => group,
            // The committer has panicked between two groups.
            (None, Err(_)) => Gathering::default(),
            // Nothing was under way, so nothing can have been written.
            (None, Ok(())) => return,
        };
        self.tell(&committed.result);
        match committed.result {
            Ok(()) => {
                self.durable = group.durable;
                for (batch, opening) in group.sealed {
                    let (id, after) =
                        (self.spool.batch_id(batch.id.seq), self.spool.before(batch.id.seq));
                    let id = id.expect("the spool knows the run of each batch that it has sealed");
                    if let Some(opening) = opening {
                        spans::sealed((id.run, id.seq), batch.events, opening);
                    }
                    let after_events = self.spool.events_before(id.seq);
                    self.recent.push(Arc::new(Batch { id, after, after_events, ..batch }));
                }
                // The buffers of this group are used again, unless the next group has begun to fill
                // its own.
                if self.group.is_empty() {
                    self.group = committed.group;
                }
                self.pump();
            }
            Err(why) => {
                if let NotTaken::Failed(reason) = &why {
                    self.failed = Some(reason.clone());
                }
                self.undo(group, &why);
            }
        }
        self.commit();
        self.schedule_flush(ctx);
        self.answer_drains();
    }
}
