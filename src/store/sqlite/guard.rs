//! The guard: which batch of a lane may be written next, what is missing before it, and what a replay
//! is compared with.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

use crate::{
    domain::{
        batch::{BatchId, NodeId, RestOf, RunId},
        time::now_ms,
    },
    sink::SinkError,
    store::{
        LaneHeads, Missing, Written,
        ledger::{Entry, StoredEntry},
    },
};

/// Moves the head of the lane on to a batch, in the transaction of the batch; `false` where it is not
/// the batch that comes next, or where the store has only the beginning of the one before it.
pub(super) fn take_turn(tx: &Connection, entry: &Entry) -> Result<bool, SinkError> {
    let id = entry.id;
    let (run, lane, seq) = (id.run.as_bytes(), id.lane() as i64, id.seq as i64);
    let sealed_at = entry.sealed_or_now();
    let Some(after) = entry.after else {
        let sql = "INSERT INTO ledger_heads (node, lane, seq, sealed_at) VALUES (?, ?, ?, ?)
                   ON CONFLICT DO NOTHING";
        return Ok(tx.prepare_cached(sql)?.execute(params![run, lane, seq, sealed_at])? > 0);
    };
    let move_on = match after.run == id.run {
        true => {
            "UPDATE ledger_heads SET seq = ?3, sealed_at = ?7
             WHERE node = ?1 AND lane = ?2 AND seq = ?5 AND "
        }
        // The chain of the lane goes on from run to run.
        false => {
            "INSERT INTO ledger_heads
                 (node, lane, seq, sealed_at, chain_node, chain_seq, chain_hash)
             SELECT ?1, ?2, ?3, ?7, chain_node, chain_seq, chain_hash FROM ledger_heads
             WHERE node = ?4 AND lane = ?2 AND seq >= ?5 AND "
        }
    };
    let is_whole = "NOT EXISTS (SELECT 1 FROM ledger WHERE node = ?4 AND lane = ?2 AND seq = ?5
                                AND coalesce(whole_events, events) < ?6)";
    let once = if after.run == id.run { "" } else { " ON CONFLICT DO NOTHING" };
    let before = (after.run.as_bytes(), after.seq as i64, entry.after_events as i64);
    let moved = tx
        .prepare_cached(&format!("{move_on}{is_whole}{once}"))?
        .execute(params![run, lane, seq, before.0, before.1, before.2, sealed_at])?;
    Ok(moved > 0)
}

/// Notes that the store gets `events` more events of a batch; `false` where it does not have exactly
/// those before them.
pub(super) fn lengthen(tx: &Connection, of: RestOf, events: u64) -> Result<bool, SinkError> {
    let (run, lane, seq) = (of.id.run.as_bytes(), of.id.lane() as i64, of.id.seq as i64);
    let lengthened = tx
        .prepare_cached(
            "UPDATE ledger SET whole_events = ?5
             WHERE node = ?1 AND lane = ?2 AND seq = ?3 AND coalesce(whole_events, events) = ?4",
        )?
        .execute(params![run, lane, seq, of.known as i64, (of.known + events) as i64])?;
    Ok(lengthened > 0)
}

/// Says why a batch was not the next: it is a replay, which is compared with its ledger row, or an
/// earlier one is missing.
pub(super) fn why_not(tx: &Connection, entry: &Entry) -> Result<Written, SinkError> {
    let (run, lane) = (entry.id.run.as_bytes(), entry.id.lane() as i64);
    let head: Option<i64> = tx
        .prepare_cached("SELECT seq FROM ledger_heads WHERE node = ? AND lane = ?")?
        .query_row(params![run, lane], |row| row.get(0))
        .optional()?;
    let stored = tx
        .prepare_cached(
            "SELECT events, coalesce(whole_events, events), delta FROM ledger
             WHERE node = ? AND lane = ? AND seq = ?",
        )?
        .query_row(params![run, lane, entry.id.seq as i64], |row| {
            let (events, whole): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (events, whole_events) = (events as u64, whole as u64);
            Ok(StoredEntry { events, whole_events, delta: row.get(2)? })
        })
        .optional()?;
    Ok(entry.judge(head.unwrap_or(0) as u64, stored))
}

/// See [`crate::store::BatchStore::heads`].
pub(super) fn heads(conn: &Connection, run: RunId) -> Result<LaneHeads, SinkError> {
    let mut heads = LaneHeads::default();
    let mut select = conn.prepare_cached(
        "SELECT h.lane, h.seq, coalesce(l.whole_events, l.events) FROM ledger_heads h
         LEFT JOIN ledger l ON l.node = h.node AND l.lane = h.lane AND l.seq = h.seq
         WHERE h.node = ?",
    )?;
    let mut rows = select.query([run.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let (lane, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
        if let Some(head) = usize::try_from(lane).ok().and_then(|lane| heads.get_mut(lane)) {
            head.seq = seq as u64;
            head.events = row.get::<_, Option<i64>>(2)?.map(|events| events as u64);
        }
    }
    Ok(heads)
}

/// See [`crate::store::BatchStore::events_of`].
pub(super) fn events_of(conn: &Connection, id: BatchId) -> Result<Option<u64>, SinkError> {
    let events: Option<i64> = conn
        .prepare_cached(
            "SELECT coalesce(whole_events, events) FROM ledger
             WHERE node = ? AND lane = ? AND seq = ?",
        )?
        .query_row(params![id.run.as_bytes(), id.lane() as i64, id.seq as i64], |row| row.get(0))
        .optional()?;
    Ok(events.map(|events| events as u64))
}

/// See [`crate::store::BatchStore::skip`].
pub(super) fn skip(
    conn: &mut Connection,
    missing: &Missing,
    before: Option<BatchId>,
    whole_events: u64,
) -> Result<(), SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Missing { node, first, last, events } = missing;
    let lane = last.lane() as i64;
    // The chain of the lane goes on from the run of the batch before the first one that is missing.
    tx.execute(
        "INSERT INTO ledger_heads (node, lane, seq, sealed_at, chain_node, chain_seq, chain_hash)
         SELECT ?1, ?2, ?3, ?4, h.chain_node, h.chain_seq, h.chain_hash
         FROM (SELECT 1) LEFT JOIN ledger_heads h ON h.node = ?5 AND h.lane = ?2
         WHERE true ON CONFLICT (node, lane) DO UPDATE SET seq = excluded.seq
         WHERE ledger_heads.seq < excluded.seq",
        params![
            last.run.as_bytes(),
            lane,
            last.seq as i64,
            now_ms(),
            before.map_or(first.run, |it| it.run).as_bytes(),
        ],
    )?;
    tx.execute(
        "UPDATE ledger SET whole_events = ?4
         WHERE node = ?1 AND lane = ?2 AND seq = ?3 AND coalesce(whole_events, events) < ?4",
        params![last.run.as_bytes(), lane, last.seq as i64, whole_events as i64],
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
