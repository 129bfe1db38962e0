//! The guard: which batch of a lane may be written next, what is missing before it, and what a replay
//! is compared with.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

use crate::{
    domain::{
        batch::{BatchId, LANES, NodeId, RunId},
        time::now_ms,
    },
    sink::{Heads, SinkError},
    store::{Missing, Written, ledger::Entry},
};

/// Moves the head of the lane on to batch `id`, in the transaction of the batch; `false` where it is not
/// the batch that comes next.
pub(super) fn take_turn(
    tx: &Connection,
    id: BatchId,
    after: Option<BatchId>,
) -> Result<bool, SinkError> {
    let (run, lane, seq) = (id.run.as_bytes(), id.lane() as i64, id.seq as i64);
    let moved = match after {
        Some(after) if after.run == id.run => tx
            .prepare_cached("UPDATE ledger_heads SET seq = ? WHERE node = ? AND lane = ? AND seq = ?")?
            .execute(params![seq, run, lane, after.seq as i64])?,
        Some(after) => tx
            .prepare_cached(
                "INSERT INTO ledger_heads (node, lane, seq) SELECT ?1, ?2, ?3
                 WHERE EXISTS (SELECT 1 FROM ledger_heads WHERE node = ?4 AND lane = ?2 AND seq >= ?5)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![run, lane, seq, after.run.as_bytes(), after.seq as i64])?,
        None => tx
            .prepare_cached(
                "INSERT INTO ledger_heads (node, lane, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![run, lane, seq])?,
    };
    Ok(moved > 0)
}

/// Says why a batch was not the next: it is a replay, which is compared with its ledger row, or an
/// earlier one is missing.
pub(super) fn why_not(tx: &Connection, entry: &Entry) -> Result<Written, SinkError> {
    let (run, lane) = (entry.id.run.as_bytes(), entry.id.lane() as i64);
    let head: Option<i64> = tx
        .prepare_cached("SELECT seq FROM ledger_heads WHERE node = ? AND lane = ?")?
        .query_row(params![run, lane], |row| row.get(0))
        .optional()?;
    let stored: Option<(i64, Vec<u8>)> = tx
        .prepare_cached("SELECT events, delta FROM ledger WHERE node = ? AND lane = ? AND seq = ?")?
        .query_row(params![run, lane, entry.id.seq as i64], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let stored = stored.map(|(events, delta)| (events as u64, delta));
    Ok(entry.judge(head.unwrap_or(0) as u64, stored))
}

/// See [`crate::store::BatchStore::heads`].
pub(super) fn heads(conn: &Connection, run: RunId) -> Result<Heads, SinkError> {
    let mut heads = [0; LANES as usize];
    let mut select = conn.prepare_cached("SELECT lane, seq FROM ledger_heads WHERE node = ?")?;
    let mut rows = select.query([run.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let (lane, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        if let Some(head) = usize::try_from(lane).ok().and_then(|lane| heads.get_mut(lane)) {
            *head = seq as u64;
        }
    }
    Ok(heads)
}

/// See [`crate::store::BatchStore::skip`].
pub(super) fn skip(conn: &mut Connection, missing: &Missing) -> Result<(), SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Missing { node, first, last, events } = missing;
    let lane = last.lane() as i64;
    tx.execute(
        "INSERT INTO ledger_heads (node, lane, seq) VALUES (?, ?, ?)
         ON CONFLICT (node, lane) DO UPDATE SET seq = excluded.seq
         WHERE ledger_heads.seq < excluded.seq",
        params![last.run.as_bytes(), lane, last.seq as i64],
    )?;
    tx.execute(
        "INSERT INTO missing_batches
             (node, lane, first_run, first, last_run, last, events, noticed_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        params![
            node.as_bytes(),
            lane,
            first.run.as_bytes(),
            first.seq as i64,
            last.run.as_bytes(),
            last.seq as i64,
            events.map(|events| events as i64),
            now_ms(),
        ],
    )?;
    Ok(tx.commit()?)
}

/// See [`crate::store::BatchStore::missing`].
pub(super) fn missing(conn: &Connection, node: NodeId) -> Result<Vec<Missing>, SinkError> {
    let mut select = conn.prepare_cached(
        "SELECT first_run, first, last_run, last, events FROM missing_batches
         WHERE node = ? ORDER BY noticed_at, lane",
    )?;
    let rows = select.query_map([node.as_bytes()], |row| {
        let id = |run, seq: i64| BatchId { run: Uuid::from_bytes(run), seq: seq as u64 };
        Ok(Missing {
            node,
            first: id(row.get(0)?, row.get(1)?),
            last: id(row.get(2)?, row.get(3)?),
            events: row.get::<_, Option<i64>>(4)?.map(|events| events as u64),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
