//! How the ingest actor tells which ids are on its disk, for `dedupe.shared`.

use std::pin::Pin;

use actix::{Addr, Context, Handler, Message};

use super::IngestActor;
use crate::{
    domain::ids::{KnownIds, Page},
    ingest::dedupe::indexes::AddedIds,
};

/// Asks the ingest actor for a page of these ids.
#[derive(Message)]
#[rtype(result = "Option<Page>")]
struct AskPage {
    /// The position at which the page begins.
    from: u64,
    /// The most ids of the page.
    limit: usize,
}

impl Handler<AskPage> for IngestActor {
    type Result = Option<Page>;

    fn handle(&mut self, ask: AskPage, _: &mut Context<Self>) -> Option<Page> {
        // The newest ids are not on the disk yet, and may never be, so they are left out.
        let committing = self.committing.as_ref().map_or_else(AddedIds::default, |group| group.ids);
        let newest = self.gathering.ids.and(committing);
        self.dedupe.page(ask.from, ask.limit, newest, self.clock.now())
    }
}

impl KnownIds for Addr<IngestActor> {
    fn page(&self, from: u64, limit: usize) -> Pin<Box<dyn Future<Output = Option<Page>> + Send>> {
        let asked = self.send(AskPage { from, limit });
        // An actor that has ended has no ids to tell.
        Box::pin(async move { asked.await.ok().flatten() })
    }
}
