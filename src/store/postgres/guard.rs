//! The guard: which batch of a lane may be written next, what is missing before it, and what a replay
//! is compared with.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{
    PostgresStore,
    chain::{self, TURN},
    errors::Failure,
    installation,
    session::Session,
};
use crate::{
    domain::{
        batch::{Batch, BatchId, NodeId, RestOf, RunId},
        time::now_ms,
    },
    store::{
        LaneHeads, Missing, Written,
        chain::Turn,
        ledger::{Entry, StoredEntry},
    },
};

impl PostgresStore {
    /// Moves the head of the lane on to this batch, in the transaction of the batch, and gives the last batch of
    /// the lane that is in the chain of hashes; `None` where it is not the batch that comes next, the store has only the beginning of the one before it, or
    /// the database is not that of this installation. The row stays locked until the transaction
    /// ends, so another writer of the same lane waits here and then sees its outcome.
    pub(super) async fn take_turn(
        &self,
        session: &Session,
        batch: &Batch,
    ) -> Result<Option<Turn>, Failure> {
        let BatchId { run, seq } = batch.id;
        let at = if batch.sealed_at > 0 { batch.sealed_at } else { now_ms() };
        let (lane, known) = (batch.id.lane(), batch.after_events);
        let is_whole = |after: RunId, last: u64| {
            format!(
                "NOT EXISTS (SELECT FROM ledger
                             WHERE node = '{after}' AND lane = {lane} AND seq = {last}
                             AND coalesce(whole_events, events) < {known})"
            )
        };
        // It is known since `ready`, which every write begins with.
        let ours = self.installation.known().map_or("false".to_owned(), installation::is_still);
        let sql = match batch.after {
            Some(BatchId { run: after, seq: last }) if after == run => format!(
                "UPDATE ledger_heads SET seq = {seq}, sealed_at = {at}
                 WHERE node = '{run}' AND lane = {lane} AND seq = {last} AND {ours} AND {}
                 RETURNING {TURN}",
                is_whole(after, last)
            ),
            Some(BatchId { run: after, seq: last }) => format!(
                "INSERT INTO ledger_heads
                     (node, lane, seq, sealed_at, chain_node, chain_seq, chain_hash)
                 SELECT '{run}', {lane}, {seq}, {at}, chain_node, chain_seq, chain_hash
                 FROM ledger_heads
                 WHERE {ours} AND node = '{after}' AND lane = {lane} AND seq >= {last}
                 AND {} ON CONFLICT DO NOTHING RETURNING {TURN}",
                is_whole(after, last)
            ),
            None => format!(
                "INSERT INTO ledger_heads (node, lane, seq, sealed_at)
                 SELECT '{run}', {lane}, {seq}, {at}
                 WHERE {ours} ON CONFLICT DO NOTHING RETURNING {TURN}"
            ),
        };
        Ok(session.rows(&sql).await?.first().map(|row| chain::turn(row)))
    }

    /// Notes that the store gets `events` more events of a batch; `false` where it does not have exactly
    /// those before them, or the database is not that of this installation. The row stays locked until
    /// the transaction ends.
    pub(super) async fn lengthen(
        &self,
        session: &Session,
        of: RestOf,
        events: u64,
    ) -> Result<bool, Failure> {
        let (BatchId { run, seq }, lane, known) = (of.id, of.id.lane(), of.known);
        let ours = self.installation.known().map_or("false".to_owned(), installation::is_still);
        let whole = known + events;
        let sql = format!(
            "UPDATE ledger SET whole_events = {whole} WHERE node = '{run}' AND lane = {lane}
             AND seq = {seq} AND coalesce(whole_events, events) = {known} AND {ours} RETURNING seq"
        );
        Ok(!session.rows(&sql).await?.is_empty())
    }
}

/// Says why a batch was not the next: it is a replay, which is compared with its ledger row, or an
/// earlier one is missing.
pub(super) async fn why_not(session: &Session, entry: &Entry) -> Result<Written, Failure> {
    let rows = session
        .query(
            "SELECT h.seq, l.events, l.delta, coalesce(l.whole_events, l.events) FROM ledger_heads h
             LEFT JOIN ledger l ON l.node = h.node AND l.lane = h.lane AND l.seq = $3
             WHERE h.node = $1 AND h.lane = $2",
            &[
                (&entry.id.run, Type::UUID),
                (&(entry.id.lane() as i16), Type::INT2),
                (&(entry.id.seq as i64), Type::INT8),
            ],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(Written::Gap) };
    let events: Option<i64> = row.try_get(1)?;
    let whole: Option<i64> = row.try_get(3)?;
    let stored = match (events, whole, row.try_get(2)?) {
        (Some(events), Some(whole), Some(delta)) => {
            Some(StoredEntry { events: events as u64, whole_events: whole as u64, delta })
        }
        _ => None,
    };
    Ok(entry.judge(row.try_get::<_, i64>(0)? as u64, stored))
}

impl PostgresStore {
    pub(super) async fn try_heads(&self, run: RunId) -> Result<LaneHeads, Failure> {
        let sql = "SELECT h.lane, h.seq, coalesce(l.whole_events, l.events) FROM ledger_heads h
                   LEFT JOIN ledger l ON l.node = h.node AND l.lane = h.lane AND l.seq = h.seq
                   WHERE h.node = $1";
        let rows = self.read(sql, &[(&run, Type::UUID)]).await?;
        let mut heads = LaneHeads::default();
        for row in rows {
            let (lane, seq): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
            if let Some(head) = heads.get_mut(lane as usize) {
                head.seq = seq as u64;
                head.events = row.try_get::<_, Option<i64>>(2)?.map(|events| events as u64);
            }
        }
        Ok(heads)
    }

    pub(super) async fn try_events_of(&self, id: BatchId) -> Result<Option<u64>, Failure> {
        let rows = self
            .read(
                "SELECT coalesce(whole_events, events) FROM ledger
                 WHERE node = $1 AND lane = $2 AND seq = $3",
                &[
                    (&id.run, Type::UUID),
                    (&(id.lane() as i16), Type::INT2),
                    (&(id.seq as i64), Type::INT8),
                ],
            )
            .await?;
        let events: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?;
        Ok(events.map(|events| events as u64))
    }

    pub(super) async fn try_skip(
        &self,
        missing: &Missing,
        before: Option<BatchId>,
        whole_events: u64,
    ) -> Result<(), Failure> {
        self.ready().await?;
        let Missing { node, first, last, events } = missing;
        let session = self.writers.get().await?;
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        self.still_ours(&session).await?;
        let (lane, first_seq) = (last.lane() as i16, first.seq as i64);
        let (last_seq, events) = (last.seq as i64, events.map(|events| events as i64));
        // The chain of the lane goes on from the run of the batch before the first one that is missing.
        let from = before.map_or(first.run, |it| it.run);
        session
            .query(
                "INSERT INTO ledger_heads (node, lane, seq, chain_node, chain_seq, chain_hash)
                 SELECT $1, $2, $3, h.chain_node, h.chain_seq, h.chain_hash
                 FROM (SELECT 1) one LEFT JOIN ledger_heads h ON h.node = $4 AND h.lane = $2
                 ON CONFLICT (node, lane) DO UPDATE SET seq = excluded.seq
                 WHERE ledger_heads.seq < excluded.seq",
                &[
                    (&last.run, Type::UUID),
                    (&lane, Type::INT2),
                    (&last_seq, Type::INT8),
                    (&from, Type::UUID),
                ],
            )
            .await?;
        session
            .query(
                "UPDATE ledger SET whole_events = $4
                 WHERE node = $1 AND lane = $2 AND seq = $3
                 AND coalesce(whole_events, events) < $4",
                &[
                    (&last.run, Type::UUID),
                    (&lane, Type::INT2),
                    (&last_seq, Type::INT8),
                    (&(whole_events as i64), Type::INT8),
                ],
            )
            .await?;
        session
            .query(
                "INSERT INTO missing_batches
                     (node, lane, first_run, first, last_run, last, events)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                &[
                    (node, Type::UUID),
                    (&lane, Type::INT2),
                    (&first.run, Type::UUID),
                    (&first_seq, Type::INT8),
                    (&last.run, Type::UUID),
                    (&last_seq, Type::INT8),
                    (&events, Type::INT8),
                ],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }

    pub(super) async fn try_missing(&self, node: NodeId) -> Result<Vec<Missing>, Failure> {
        let rows = self
            .read(
                "SELECT first_run, first, last_run, last, events FROM missing_batches
                 WHERE node = $1 ORDER BY noticed_at, lane",
                &[(&node, Type::UUID)],
            )
            .await?;
        let id = |run: Uuid, seq: i64| BatchId { run, seq: seq as u64 };
        let missing = |row: &tokio_postgres::Row| {
            let events: Option<i64> = row.try_get(4)?;
            Ok::<_, tokio_postgres::Error>(Missing {
                node,
                first: id(row.try_get(0)?, row.try_get(1)?),
                last: id(row.try_get(2)?, row.try_get(3)?),
                events: events.map(|events| events as u64),
            })
        };
        Ok(rows.iter().map(missing).collect::<Result<_, _>>()?)
    }
}
