//! Reads the ledger in SQLite.

use rusqlite::{Connection, params};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    domain::{delta::Delta, time::Millis},
    sink::SinkError,
    store::{
        LedgerHeads, LedgerSpan,
        ledger::{Summing, not_taken},
    },
};

/// See [`Ledger::read`].
pub(super) fn read(
    conn: &mut Connection,
    asked: LedgerSpan,
    parts: &mpsc::Sender<(u64, Delta)>,
) -> Result<LedgerHeads, SinkError> {
    let LedgerSpan { since, visitors_since, lane } = asked;
    let lane = lane.map(|lane| lane as i64);
    // One transaction, so that heads and rows are of the same moment: the live side takes the
    // heads for its guards and the rows for its counters.
    let tx = conn.transaction()?;
    let mut sum = Summing::default();
    let mut heads = tx.prepare_cached("SELECT node, lane, seq FROM ledger_heads")?;
    let mut rows = heads.query([])?;
    while let Some(row) = rows.next()? {
        sum.head(Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)?;
    }
    let mut ledger = tx.prepare_cached(
        "SELECT lane,
                CASE WHEN last_second >= ?1 THEN delta END,
                CASE WHEN sealed_at >= ?2 THEN visitors END
         FROM ledger
         WHERE (last_second >= ?1 OR sealed_at >= ?2) AND (?3 IS NULL OR lane = ?3)",
    )?;
    let mut rows = ledger.query(params![since, visitors_since, lane])?;
    while let Some(row) = rows.next()? {
        let blob = |column| row.get_ref(column).map(|value| value.as_blob().ok());
        if let Some(part) = sum.add(row.get(0)?, blob(1)?, blob(2)?)? {
            parts.blocking_send(part).map_err(not_taken)?;
        }
    }
    if lane.is_none_or(|lane| lane == 0) {
        add_dropped(&tx, &mut sum, since)?;
    }
    let (heads, last) = sum.finish();
    for part in last {
        parts.blocking_send(part).map_err(not_taken)?;
    }
    Ok(heads)
}

/// Adds what ledger rows have counted since then that were dropped, in the transaction of the sum.
fn add_dropped(tx: &Connection, sum: &mut Summing, since: Millis) -> Result<(), SinkError> {
    let asked = "SELECT count(*) FROM fold_heads WHERE dropped_to >= ?";
    let lanes: i64 = tx.query_row(asked, [since], |row| row.get(0))?;
    if lanes == 0 {
        return Ok(());
    }
    let mut rollups =
        tx.prepare_cached("SELECT series, minute, value FROM rollups WHERE minute >= ?")?;
    let mut rows = rollups.query([since])?;
    while let Some(row) = rows.next()? {
        let series: String = row.get(0)?;
        sum.rolled_up(&series, row.get(1)?, row.get(2)?);
    }
    let mut there = tx.prepare_cached(
        "SELECT l.delta FROM ledger l JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
         WHERE l.last_second >= ? AND l.seq <= f.seq",
    )?;
    let mut rows = there.query([since])?;
    while let Some(row) = rows.next()? {
        let cells: Vec<u8> = row.get(0)?;
        sum.is_there(&cells, since)?;
    }
    Ok(())
}
