//! What the ingest actor tells `dedupe.shared`: the ids that are on the disk.

use std::pin::Pin;

use actix::{Addr, Context, Handler, Message};

use super::IngestActor;
use crate::domain::ids::{KnownIds, Page};

/// A page of them.
#[derive(Message)]
#[rtype(result = "Option<Page>")]
struct AskPage {
    from: u64,
    limit: usize,
}

impl Handler<AskPage> for IngestActor {
    type Result = Option<Page>;

    fn handle(&mut self, ask: AskPage, _: &mut Context<Self>) -> Option<Page> {
        // The newest are not on the disk yet, and may never be.
        let committing = self.committing.as_ref().map_or(0, |group| group.ids);
        let newest = self.gathering.ids + committing;
        self.dedupe.page(ask.from, ask.limit, newest, self.clock.now())
    }
}

impl KnownIds for Addr<IngestActor> {
    fn page(&self, from: u64, limit: usize) -> Pin<Box<dyn Future<Output = Option<Page>> + Send>> {
        let asked = self.send(AskPage { from, limit });
        Box::pin(async move { asked.await.ok().flatten() })
    }
}
