//! How the ingest actor tells when the store has what was taken in, for imports.

use actix::{Context, Handler};

use super::IngestActor;
use crate::{ingest::messages::AwaitStored, sink::Sink};

impl IngestActor {
    /// Answers those who wait for batches that the store has by now. Where the disk has failed nobody is told: what
    /// they wait for may be nowhere.
    pub(super) fn tell_stored(&mut self) {
        if self.failed.is_some() {
            return self.awaiting.clear();
        }
        let settled = self.spool.settled(Sink::Store);
        let (stored, waiting) =
            std::mem::take(&mut self.awaiting).into_iter().partition(|(seq, _)| *seq <= settled);
        self.awaiting = waiting;
        let stored: Vec<_> = stored;
        for (_, reply) in stored {
            // Whoever has stopped waiting needs no answer.
            let _ = reply.send(());
        }
    }
}

impl Handler<AwaitStored> for IngestActor {
    type Result = ();

    fn handle(&mut self, wait: AwaitStored, _: &mut Context<Self>) {
        // The open batch gets the next number, and all others are sealed.
        let last = self.next_seq - u64::from(self.open.is_empty());
        self.awaiting.push((last, wait.0));
        self.tell_stored();
    }
}
