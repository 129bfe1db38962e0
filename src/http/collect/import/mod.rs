//! Imports: events of the past, each taken once, however late its file is sent again.
//!
//! ```text
//!  keys of the events ─> claim ─> lead ─> look up ─> append ─> wait for the store ─> answer
//!                        (here)   (node)  (store)    (spool)   (keys and rows are there)
//! ```
//!
//! The window of the intake's ids ends after some days, so what was imported is looked up in the store, which notes a
//! key of each imported event in the transaction that writes it. Between the look and that transaction an event must
//! not come a second time. So a request claims its keys until the store has its events, one node imports at a time, and
//! a node that begins waits first until the store has everything that it took in before: what a kill has left in the
//! spool then is in the store, too.
//!
//! An order may also have come when it happened. Those are looked up by their id among the events of its time.

mod live_orders;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::Recipient;
use hashbrown::HashSet;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use self::live_orders::LiveOrders;
use super::{Intake, append::append, quota::Admission};
use crate::{
    config::Config,
    domain::{
        batch::NodeId,
        books::OrderEvent,
        ids::MONEY_TYPES,
        imported::{ImportKey, key},
        row::{Row, rows},
        time::{Millis, SECOND, now_ms},
    },
    failpoint::kill_point,
    http::error::ApiError,
    ingest::{
        Accepted, Request,
        hand_over::{HandOver, NotAppended},
        messages::AwaitStored,
    },
    sink::SinkError,
    store::{imported::ImportedIds, nodes::NodeList},
};

/// How long a request may wait for the store. Then it is to be sent again.
const WITHIN: Duration = Duration::from_secs(25);
/// So many requests are under way at a time.
const REQUESTS: usize = 32;
/// How long a node that imports keeps others from it after its last request, where it does not end in order: what it
/// has not stored by then is found when it comes back.
const LEASE: Duration = Duration::from_secs(3600);
/// A node lets others import when nothing came for so long.
const IDLE: Duration = Duration::from_secs(10);
/// Takes imports. A clone is the same desk.
#[derive(Clone)]
pub struct ImportDesk(Arc<ImportTurns>);

struct ImportTurns {
    store: Arc<dyn ImportedIds>,
    /// Which nodes share the store, where any can.
    nodes: Option<Arc<dyn NodeList>>,
    node: NodeId,
    ingest: Recipient<AwaitStored>,
    /// For how long (ms) the index of ids remembers what a shop sends.
    remembers: Millis,
    /// The keys of events that are not in the store yet.
    under_way: Mutex<HashSet<ImportKey>>,
    /// Tells when some of them are.
    freed: Notify,
    requests: Arc<Semaphore>,
    /// Until when this node leads.
    leads_until: tokio::sync::Mutex<Option<Instant>>,
    /// Goes up with each request.
    begun: AtomicU64,
    orders: tokio::sync::Mutex<LiveOrders>,
}

/// The keys of a request, until the store has its events.
struct UnderWay {
    desk: Arc<ImportTurns>,
    keys: Vec<ImportKey>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = self.desk.under_way.lock();
        self.keys.iter().for_each(|key| _ = under_way.remove(key));
        drop(under_way);
        self.desk.freed.notify_waiters();
    }
}

/// What is looked at of each row of a request.
struct ImportedRow {
    key: ImportKey,
    time: Millis,
    is_order: bool,
    /// The order that it tells of, as the books name it.
    order: Option<String>,
}

impl ImportDesk {
    /// A desk of this node.
    pub fn new(
        config: &Config,
        store: Arc<dyn ImportedIds>,
        nodes: Option<Arc<dyn NodeList>>,
        node: NodeId,
        ingest: Recipient<AwaitStored>,
    ) -> ImportDesk {
        let seconds = config.dedupe.longest_window_s();
        let desk = Arc::new(ImportTurns {
            store,
            nodes,
            node,
            ingest,
            remembers: Millis::try_from(seconds).unwrap_or(Millis::MAX / SECOND) * SECOND,
            under_way: Mutex::default(),
            freed: Notify::new(),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            leads_until: tokio::sync::Mutex::new(None),
            begun: AtomicU64::new(0),
            orders: tokio::sync::Mutex::default(),
        });
        actix_web::rt::spawn(desk.clone().let_go_of_before());
        ImportDesk(desk)
    }
}

/// Takes the events of an import, and waits until they are in the store.
///
/// # Errors
/// 503 where the store is away or slow, another node imports, or the intake refuses. To send the same again is always
/// safe.
pub(super) async fn import(
    intake: &Intake,
    hand_over: &HandOver,
    admission: Admission,
    mut request: Request,
) -> Result<Accepted, ApiError> {
    let Some(ImportDesk(desk)) = &intake.imports else {
        return Err(ApiError::unavailable("stopping", "nothing is imported here", 30));
    };
    let Ok(permit) = desk.requests.clone().try_acquire_owned() else {
        return Err(ApiError::unavailable("overloaded", "too many imports at a time", 1));
    };
    let taken = async {
        let read = read(&request);
        let under_way = desk.claim(&read, permit).await;
        desk.begun.fetch_add(1, Ordering::Relaxed);
        // From here on this node may lead, whatever becomes of the request.
        desk.clone().resign_when_idle();
        desk.lead().await?;
        let known = desk.known(&read).await.map_err(|error| {
            // What the store said is for the log; it may name hosts and tables.
            tracing::warn!(%error, "the store can't say what was imported");
            ApiError::unavailable("store_unavailable", "the store does not answer", 5)
        })?;
        sort_out(&mut request, &read, &known?, now_ms() - desk.remembers);
        // What is on the disk is waited for even if the client is gone, so that its keys stay claimed.
        let (intake, hand_over, desk) = (intake.clone(), hand_over.clone(), desk.clone());
        let finished = actix_web::rt::spawn(async move {
            let appended = append(&intake, &hand_over, admission, request).await;
            if appended.is_ok() {
                kill_point!("import-appended");
                desk.stored().await?;
            }
            drop(under_way);
            appended
        });
        finished.await.unwrap_or_else(|_| Err(NotAppended::Stopping.into()))
    };
    timeout(WITHIN, taken).await.unwrap_or_else(|_| {
        let words = "the store does not have the events yet; send them again to hear when it has";
        Err(ApiError::unavailable("store_unavailable", words, 5))
    })
}

fn read(request: &Request) -> Vec<ImportedRow> {
    let row = |row: Row<'_>| ImportedRow {
        key: key(row.id, row.kind),
        time: row.time,
        is_order: MONEY_TYPES.contains(&row.kind),
        order: OrderEvent::of(&row).filter(|it| it.counts).map(|it| it.order_id),
    };
    rows(&request.rows).flatten().map(row).collect()
}

/// Marks those rows that are known, and takes ids that are older than `since` (Unix ms) out of those that the index
/// of ids is to remember.
fn sort_out(
    request: &mut Request,
    read: &[ImportedRow],
    known: &HashSet<ImportKey>,
    since: Millis,
) {
    let mut seen = HashSet::new();
    for (index, row) in (0u32..).zip(read) {
        if known.contains(&row.key) || !seen.insert(row.key) {
            request.known.push(index);
        }
    }
    let mut ids = std::mem::take(&mut request.client_ids);
    ids.retain(|(index, _)| request.known.binary_search(index).is_err());
    let is_past = |(index, _): &(u32, String)| read[*index as usize].time < since;
    (request.past_ids, request.client_ids) = ids.into_iter().partition(is_past);
}

impl ImportTurns {
    /// Claims the keys of a request, once no other has any of them.
    async fn claim(
        self: &Arc<ImportTurns>,
        read: &[ImportedRow],
        permit: OwnedSemaphorePermit,
    ) -> UnderWay {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on a key that becomes free is heard of.
            freed.as_mut().enable();
            {
                let mut under_way = self.under_way.lock();
                if read.iter().all(|row| !under_way.contains(&row.key)) {
                    let keys: Vec<ImportKey> = read.iter().map(|row| row.key).collect();
                    under_way.extend(keys.iter().copied());
                    return UnderWay { desk: self.clone(), keys, _permit: permit };
                }
            }
            freed.await;
        }
    }

    /// Makes sure that this node is the one that imports, and that the store has all that nodes which imported before
    /// have taken in.
    async fn lead(&self) -> Result<(), ApiError> {
        let mut until = self.leads_until.lock().await;
        let now = Instant::now();
        if until.is_some_and(|until| until > now + LEASE / 2) {
            return Ok(());
        }
        let away = |error: SinkError| {
            tracing::warn!(%error, "the store can't say who imports");
            ApiError::unavailable("store_unavailable", "the store does not answer", 5)
        };
        if until.is_none_or(|until| until <= now) {
            *until = None;
            let nodes = match &self.nodes {
                Some(nodes) => nodes.nodes().await.map_err(away)?,
                None => Vec::new(),
            };
            let gone =
                nodes.iter().find(|it| it.node != self.node && !it.alive && !it.has_left_nothing());
            if let Some(gone) = gone {
                let words = format!(
                    "node {} is gone and may have imported events that are not stored yet: start or retire it",
                    gone.said.place
                );
                return Err(ApiError::unavailable("import_waits", words, 30));
            }
        }
        let is_new = until.is_none();
        if !self.store.lead_import(&self.node.to_string(), LEASE).await.map_err(away)? {
            *until = None;
            let words = "another node imports, or has done so in the last hour and did not end in order: \
                         send the import there";
            return Err(ApiError::unavailable("import_waits", words, 30));
        }
        if is_new {
            self.stored().await?;
        }
        *until = Some(now + LEASE);
        Ok(())
    }

    /// Lets other nodes import once nothing is under way, unless another request has come by then.
    fn resign_when_idle(self: Arc<ImportTurns>) {
        let begun = self.begun.load(Ordering::Relaxed);
        actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(IDLE).await;
                let mut until = self.leads_until.lock().await;
                if self.begun.load(Ordering::Relaxed) != begun {
                    return;
                }
                if self.under_way.lock().is_empty() {
                    *until = None;
                    // Where the store is away, the lease ends by itself.
                    let _ = self.store.resign_import(&self.node.to_string()).await;
                    return;
                }
            }
        });
    }

    /// After a start: lets other nodes import, once the store has what this node had taken in before.
    async fn let_go_of_before(self: Arc<ImportTurns>) {
        while self.stored().await.is_ok() {
            let until = self.leads_until.lock().await;
            if until.is_some() || self.store.resign_import(&self.node.to_string()).await.is_ok() {
                return;
            }
            drop(until);
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Waits until the store has everything that this node has taken in.
    async fn stored(&self) -> Result<(), ApiError> {
        let (reply, answer) = oneshot::channel();
        // `do_send` ignores the mailbox's limit, but there are never more messages than permits.
        self.ingest.do_send(AwaitStored(reply));
        answer.await.map_err(|_| NotAppended::Stopping.into())
    }

    /// Those of the keys that were imported before, or whose order came when it happened.
    async fn known(
        &self,
        read: &[ImportedRow],
    ) -> Result<Result<HashSet<ImportKey>, ApiError>, SinkError> {
        let keys: Vec<ImportKey> = read.iter().map(|row| row.key).collect();
        let mut known = self.store.imported(&keys).await?;
        let new_orders = read.iter().filter(|row| row.is_order && !known.contains(&row.key));
        let asked: Vec<&ImportedRow> = new_orders.collect();
        if asked.is_empty() {
            return Ok(Ok(known));
        }
        // The books know orders whose rows have been removed or moved since, and whatever time they were given.
        let told: Vec<String> = asked.iter().filter_map(|row| row.order.clone()).collect();
        let told = self.store.orders_told(&told).await?;
        let mut orders = self.orders.lock().await;
        for row in asked {
            if row.order.as_ref().is_some_and(|order| told.contains(order)) {
                known.insert(row.key);
                continue;
            }
            for block in LiveOrders::blocks(row.time) {
                match orders.of(&*self.store, block).await? {
                    Some(there) if there.contains(&row.key) => _ = known.insert(row.key),
                    Some(_) => {}
                    None => {
                        let words = "the store has more orders of these days than an import can be compared with";
                        return Ok(Err(ApiError::unavailable("import_waits", words, 60)));
                    }
                }
            }
        }
        Ok(Ok(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: ImportKey, time: Millis) -> ImportedRow {
        ImportedRow { key, time, is_order: false, order: None }
    }

    #[test]
    fn what_is_known_or_comes_twice_is_left_out_and_old_ids_are_not_remembered() {
        let ids = (0..4).map(|index| (index, format!("id-{index}"))).collect();
        let mut request = Request { client_ids: ids, ..Request::default() };
        let read = [row(7, 10), row(8, 99), row(7, 100), row(9, 101)];
        sort_out(&mut request, &read, &HashSet::from([8]), 100);
        assert_eq!(request.known, [1, 2]);
        let indexes = |ids: &[(u32, String)]| ids.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!(indexes(&request.past_ids), [0]);
        assert_eq!(indexes(&request.client_ids), [3]);
    }
}
