//! Rollups in SQLite. A fold has two steps: [`read`] adds up on a connection that only reads, and
//! [`write`] adds the sums to the rollups, provided that no head has moved in between.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Row as SqlRow, TransactionBehavior, params};
use uuid::Uuid;

use super::runs::{Run, merged};
use crate::{
    domain::{
        delta::Series,
        time::{Millis, now_ms},
    },
    sink::{SinkError, SinkErrorKind},
    store::rollup::{
        ADD_UP, BEHIND, Fold, FoldLane, FoldLimits, Folded, KNOWN, Known, LedgerRow, ROLLUP_ROWS,
        Summed, too_many_minutes,
    },
};

/// How long a read for a chart may take. Whoever asked for the chart has gone by then.
pub(super) const CHART_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows between two looks at the clock, which costs more than to read a row.
const CLOCK_EVERY: usize = 1_000;

/// Adds up ledger rows that are not folded yet, within `limits`.
pub(super) fn read(conn: &mut Connection, limits: FoldLimits) -> Result<Fold, SinkError> {
    // One transaction, so that heads and rows are of the same moment.
    let tx = conn.transaction()?;
    let mut fold = Fold::new(limits);
    let mut behind = tx.prepare_cached(BEHIND)?;
    let mut next = tx.prepare_cached(
        "SELECT seq, sealed_at, events, delta, shape, visitors FROM ledger
         WHERE node = ? AND lane = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
    )?;
    let mut lanes = behind.query([])?;
    while let Some(row) = lanes.next()? {
        let lane = FoldLane {
            node: Uuid::from_bytes(row.get(0)?),
            lane: row.get(1)?,
            folded: row.get(2)?,
            stored: row.get(3)?,
            broken_down: row.get(4)?,
            sketched: row.get(5)?,
        };
        let Some((max_rows, max_bytes)) = fold.room() else {
            fold.leave();
            continue;
        };
        let max_rows = max_rows.min(i64::MAX as u64) as i64;
        let key = params![lane.node.as_bytes(), lane.lane, lane.from(), lane.stored, max_rows];
        let mut found = next.query(key)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes
            && let Some(row) = found.next()?
        {
            let row = LedgerRow {
                seq: row.get(0)?,
                sealed_at: row.get(1)?,
                events: row.get(2)?,
                delta: row.get(3)?,
                shape: row.get(4)?,
                visitors: row.get(5)?,
            };
            bytes += row.bytes();
            rows.push(row);
        }
        fold.add(&lane, &rows);
    }
    Ok(fold)
}

/// Writes what [`read`] added up, unless somebody has folded these rows since.
pub(super) fn write(conn: &mut Connection, fold: &mut Fold) -> Result<Folded, SinkError> {
    if fold.heads.is_empty() {
        return Ok(fold.outcome(0));
    }
    // Where this function returns early, the transaction is dropped without a commit and rolls
    // back: either all heads move and all sums are added, or nothing happens.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut head = tx.prepare_cached(
        "INSERT INTO fold_heads (node, lane, seq, since, breakdowns, sketches)
         VALUES (?1, ?2, ?3, ?4, ?5, ?8)
         ON CONFLICT (node, lane) DO UPDATE
         SET seq = excluded.seq, since = coalesce(fold_heads.since, excluded.since),
             breakdowns = excluded.breakdowns,
             breakdowns_lack = CASE WHEN fold_heads.breakdowns = 0 THEN fold_heads.dropped_to
                                    ELSE fold_heads.breakdowns_lack END,
             sketches = excluded.sketches,
             sketches_lack = CASE WHEN fold_heads.sketches = 0 THEN fold_heads.dropped_to
                                  ELSE fold_heads.sketches_lack END
         WHERE fold_heads.seq = ?6 AND fold_heads.breakdowns = ?7 AND fold_heads.sketches = ?9",
    )?;
    for it in &fold.heads {
        let (node, to, from) = (it.node.as_bytes(), it.broken_down_to, it.broken_down_from);
        let sketched = (it.sketched_to, it.sketched_from);
        let moved = head.execute(params![
            node, it.lane, it.to, it.since, to, it.from, from, sketched.0, sketched.1
        ])?;
        // The head is not where the fold began, so its rows are in the rollups already.
        if moved == 0 {
            return Ok(Folded::nothing(false));
        }
    }
    let mut add = tx.prepare_cached(&format!(
        "INSERT INTO rollups (series, minute, value) VALUES (?, ?, ?)
         ON CONFLICT (series, minute) DO UPDATE SET value = {ADD_UP}"
    ))?;
    for sum in fold.sums() {
        add.execute(params![sum.0, sum.1, sum.2])?;
    }
    super::breakdowns::add(&tx, fold)?;
    super::sketches::add(&tx, fold)?;
    let unlearnt = super::schemas::add(&tx, fold)?;
    // A statement borrows the transaction, and commit takes it whole.
    drop((head, add));
    tx.commit()?;
    Ok(fold.outcome(unlearnt))
}

/// Drops folded ledger rows, and adds their events to `dropped` of the lane's head, so that the
/// total of events stays what it was. Which rows of `events` belong to which time is known from
/// the ledger rows, so that is kept in `event_runs`.
pub(super) fn drop_folded(
    conn: &mut Connection,
    before: Millis,
    keep: Millis,
    limit: u64,
) -> Result<u64, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut old = tx.prepare_cached(
        "SELECT l.node, l.lane, l.seq, l.events, l.first_row, l.last_row, l.first_second,
                l.last_second
         FROM ledger l JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
         WHERE l.sealed_at < ?1 AND (l.last_second IS NULL OR l.last_second < ?1)
               AND l.seq <= f.seq AND l.seq <= f.breakdowns AND l.seq <= f.sketches
               AND l.written_at <= ?3
         ORDER BY l.sealed_at LIMIT ?2",
    )?;
    let mut drop_row =
        tx.prepare_cached("DELETE FROM ledger WHERE node = ? AND lane = ? AND seq = ?")?;
    let mut count = tx.prepare_cached(
        "UPDATE fold_heads SET dropped = dropped + ?1,
                dropped_to = max(coalesce(dropped_to, ?4), coalesce(?4, dropped_to))
         WHERE node = ?2 AND lane = ?3",
    )?;
    let mut keep_run = tx.prepare_cached(
        "INSERT INTO event_runs (first_row, last_row, first_second, last_second)
         VALUES (?, ?, ?, ?)",
    )?;
    type Old = ([u8; 16], i64, i64, i64, Option<Run>);
    let whole = |row: &SqlRow<'_>| {
        let run = match (row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?) {
            (Some(first), Some(last), Some(from), Some(to)) => {
                Some(Run { rows: (first, last), seconds: (from, to) })
            }
            _ => None,
        };
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, run))
    };
    let rows: Vec<Old> = old
        .query_map(params![before, limit as i64, now_ms() - keep], whole)?
        .collect::<Result<_, _>>()?;
    for (node, lane, seq, events, run) in &rows {
        drop_row.execute(params![node, lane, seq])?;
        count.execute(params![events, node, lane, run.as_ref().map(|run| run.seconds.1)])?;
    }
    for run in merged(rows.iter().filter_map(|row| row.4).collect()) {
        keep_run.execute(params![run.rows.0, run.rows.1, run.seconds.0, run.seconds.1])?;
    }
    drop((old, drop_row, count, keep_run));
    tx.commit()?;
    Ok(rows.len() as u64)
}

/// See [`Rollups::known`](crate::store::Rollups::known).
pub(super) fn known(conn: &mut Connection) -> Result<Known, SinkError> {
    let mut select = conn.prepare_cached(KNOWN)?;
    Ok(select.query_row([], |row| Ok(Known { since: row.get(0)?, until: row.get(1)? }))?)
}

/// See [`Rollups::minutes`](crate::store::Rollups::minutes).
pub(super) fn minutes(
    conn: &mut Connection,
    from: Millis,
    to: Millis,
    series: Option<&[Series]>,
) -> Result<Vec<(Millis, Series, i64)>, SinkError> {
    let mut watch = RowBudget::new();
    let mut found = Vec::new();
    let mut take = |row: &SqlRow<'_>| {
        watch.look()?;
        if found.len() == ROLLUP_ROWS {
            return Err(too_many_minutes());
        }
        // A key that this version can't read was written by a later one. Nothing here asks for
        // it, so it is passed over.
        if let Some(series) = Series::parse(row.get_ref(1)?.as_str().unwrap_or_default()) {
            found.push((row.get(0)?, series, row.get(2)?));
        }
        Ok(())
    };
    let sql = "SELECT minute, series, value FROM rollups WHERE minute >= ?1 AND minute < ?2";
    match series {
        None => {
            let mut select = conn.prepare_cached(sql)?;
            let mut rows = select.query([from, to])?;
            while let Some(row) = rows.next()? {
                take(row)?;
            }
        }
        Some(series) => {
            let mut select = conn.prepare_cached(&format!("{sql} AND series = ?3"))?;
            for series in series {
                let mut rows = select.query(params![from, to, series.to_string()])?;
                while let Some(row) = rows.next()? {
                    take(row)?;
                }
            }
        }
    }
    found.sort_by_cached_key(|(minute, series, _)| (*minute, series.to_string()));
    Ok(found)
}

/// See [`Rollups::sums`](crate::store::Rollups::sums).
pub(super) fn sums(
    conn: &mut Connection,
    stretches: &[(Millis, Millis)],
    summed: &Summed,
) -> Result<Vec<Option<i64>>, SinkError> {
    let which = match summed {
        Summed::One(_) => "series = ?3",
        Summed::AllCounts => "substr(series, 1, length(?3)) = ?3",
    };
    let sql = format!("SELECT value FROM rollups WHERE minute >= ?1 AND minute < ?2 AND {which}");
    let mut select = conn.prepare_cached(&sql)?;
    let (key, mut watch) = (summed.key(), RowBudget::new());
    let mut sums = Vec::with_capacity(stretches.len());
    for (from, to) in stretches {
        let mut sum: Option<i64> = None;
        let mut rows = select.query(params![from, to, key])?;
        // They are added here, since SQLite's sum() answers an overflow with an error.
        while let Some(row) = rows.next()? {
            watch.look()?;
            sum = Some(sum.unwrap_or(0).saturating_add(row.get(0)?));
        }
        sums.push(sum);
    }
    Ok(sums)
}

/// Ends a read that takes too long. SQLite has no timeout for a statement.
pub(super) struct RowBudget {
    started: Instant,
    rows: usize,
}

impl RowBudget {
    pub(super) fn new() -> RowBudget {
        RowBudget { started: Instant::now(), rows: 0 }
    }

    /// Counts a row, and fails once the time is over.
    pub(super) fn look(&mut self) -> Result<(), SinkError> {
        self.rows += 1;
        if self.rows.is_multiple_of(CLOCK_EVERY) && self.started.elapsed() > CHART_TIMEOUT {
            return Err(SinkError {
                kind: SinkErrorKind::Unavailable,
                message: format!(
                    "SQLite: rollups could not be read within {} ms",
                    CHART_TIMEOUT.as_millis()
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            batch::{Batch, BatchId},
            delta::DeltaSum,
            row::Row as EventRow,
        },
        store::{BatchStore, Rollups, sqlite::SqliteStore},
    };

    #[tokio::test]
    async fn events_are_found_by_time_after_their_ledger_rows_have_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        for seq in 1..=12u64 {
            let (mut rows, mut sum) = (Vec::new(), DeltaSum::default());
            for n in 0..5 {
                let id = format!("{seq}-{n}");
                let row = EventRow {
                    time: seq as Millis * 100_000 + n * 1_000,
                    received_at: 0,
                    id: &id,
                    kind: "page_view",
                    user_id: None,
                    session_id: None,
                    properties: "{}",
                    ..EventRow::default()
                };
                sum.count(row.kind, row.time);
                row.encode(&mut rows);
            }
            let mut batch = Batch::void(BatchId { run: Uuid::nil(), seq });
            (batch.events, batch.delta, batch.rows) = (5, sum.finish().into(), vec![rows.into()]);
            store.write(&batch).await.unwrap();
        }
        assert!(store.fold(FoldLimits::default()).await.unwrap().done);
        assert_eq!(store.drop_folded(850_000, 0, 100).await.unwrap(), 8);
        let conn = Connection::open(dir.path().join(crate::store::sqlite::FILE)).unwrap();
        let count = |from: Millis, to: Millis| -> i64 {
            let sql = "SELECT count(*) FROM events_near WHERE last_second >= ?1
                       AND first_second < ?2 AND time >= ?1 AND time < ?2";
            conn.query_row(sql, [from, to], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(0, Millis::MAX), 60, "each once");
        assert_eq!(count(302_000, 403_000), 3 + 3);
        assert_eq!(count(800_000, 903_000), 5 + 3);
        let runs: i64 =
            conn.query_row("SELECT count(*) FROM event_runs", [], |row| row.get(0)).unwrap();
        assert!(runs < 8, "{runs}: neighbours are merged");
    }
}
