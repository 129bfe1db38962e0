//! Rollups in Postgres. Folding and dropping share one connection, and charts have two of their
//! own, so that no batch waits for either and neither waits for the other.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{
    PostgresStore, breakdowns,
    errors::Failure,
    schemas,
    session::{PostgresSessions, Session},
    sketches,
};
use crate::{
    config::{self, PostgresAddress},
    domain::{delta::Series, time::Millis},
    sink::{SinkError, SinkErrorKind},
    store::rollup::{
        ADD_UP, BEHIND, Fold, FoldLane, FoldLimits, Folded, Head, KNOWN, Known, LedgerRow,
        ROLLUP_ROWS, Summed, too_many_minutes,
    },
};

/// The number that `pg_try_advisory_xact_lock` locks, so that one node folds or drops at a time.
/// It is "floodfld" in ASCII. The lock is a transaction's: behind PgBouncer a session's lock would
/// stay with the server's connection, which the next client gets.
const LOCK: i64 = 0x666c_6f6f_6466_6c64;

/// Connections for charts.
pub(super) const CHARTS: usize = 2;
/// How long a statement for a chart may take, in ms. Whoever asked for the chart has gone by then.
pub(super) const CHART_TIMEOUT_MS: u64 = 5_000;

/// The connections for rollups.
pub(super) struct RollupSessions {
    /// For folding and dropping.
    folder: PostgresSessions,
    charts: PostgresSessions,
}

impl RollupSessions {
    /// Pools for `address`. Connects to nothing yet.
    pub fn new(
        config: &config::PostgresConfig,
        address: &PostgresAddress,
    ) -> Result<RollupSessions, SinkError> {
        let mut impatient = config.clone();
        impatient.statement_timeout_ms = config.statement_timeout_ms.min(CHART_TIMEOUT_MS);
        Ok(RollupSessions {
            folder: PostgresSessions::new(config, address, ("folder", 1))?,
            charts: PostgresSessions::new(&impatient, address, ("charts", CHARTS))?,
        })
    }
}

impl PostgresStore {
    /// Begins a transaction in which no other node folds or drops; `None` where one does already.
    pub(super) async fn alone(&self) -> Result<Option<Session>, Failure> {
        self.ready().await?;
        let session = self.rollups.folder.get().await?;
        // In this mode each statement sees all that was committed before it. The lock is let go
        // of only after the commit that it guards is visible, so whoever gets the lock sees what
        // the one before has folded. One snapshot for the whole transaction might be older.
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        let locked = session.rows(&format!("SELECT pg_try_advisory_xact_lock({LOCK})")).await?;
        if locked[0][0].as_deref() == Some("t") {
            return Ok(Some(session));
        }
        session.run("ROLLBACK").await?;
        session.done();
        Ok(None)
    }

    /// Begins a transaction for a chart, on the replica if there is one that keeps up. A server that takes no
    /// writes can still be read.
    pub(super) async fn chart(&self) -> Result<Session, Failure> {
        if let Some(replica) = &self.replica
            && let Some(session) = replica.session().await
        {
            return Ok(session);
        }
        match self.ready().await {
            Err(failure) if failure.kind != SinkErrorKind::ReadOnly => return Err(failure),
            _ => {}
        }
        let session = self.rollups.charts.get().await?;
        session.begin("READ ONLY").await?;
        Ok(session)
    }

    /// Reads the lanes that are behind, adds their rows up, and writes sums and heads in the
    /// transaction in which they were read: a kill in between leaves neither.
    pub(super) async fn try_fold(&self, limits: FoldLimits) -> Result<Folded, Failure> {
        let Some(session) = self.alone().await? else {
            return Ok(Folded::nothing(true));
        };
        let mut fold = Fold::new(limits);
        for row in session.query(BEHIND, &[]).await? {
            let lane = FoldLane {
                node: row.try_get(0)?,
                lane: row.try_get::<_, i16>(1)?.into(),
                folded: row.try_get(2)?,
                stored: row.try_get(3)?,
                broken_down: row.try_get(4)?,
                sketched: row.try_get(5)?,
            };
            match fold.room() {
                Some(room) => fold.add(&lane, &next_rows(&session, &lane, room).await?),
                None => fold.leave(),
            }
        }
        let mut unlearnt = 0;
        if !fold.heads.is_empty() {
            add_up(&session, &fold).await?;
            breakdowns::add(&session, &mut fold).await?;
            sketches::add(&session, &mut fold).await?;
            unlearnt = schemas::add(&session, &fold).await?;
            move_heads(&session, &fold.heads).await?;
        }
        session.run("COMMIT").await?;
        session.done();
        Ok(fold.outcome(unlearnt))
    }

    /// Drops folded rows and adds their events to `dropped` of the lane's head in one statement,
    /// so that the total of events stays what it was.
    pub(super) async fn try_drop(
        &self,
        before: Millis,
        keep: Millis,
        limit: u64,
    ) -> Result<u64, Failure> {
        let Some(session) = self.alone().await? else {
            return Ok(0);
        };
        let rows = session
            .query(
                "WITH old AS (
                     SELECT l.node, l.lane, l.seq
                     FROM ledger l JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
                     WHERE l.sealed_at < $1 AND (l.last_second IS NULL OR l.last_second < $1)
                           AND l.seq <= f.seq AND l.seq <= f.breakdowns AND l.seq <= f.sketches
                           AND l.written_at <= (extract(epoch FROM now()) * 1000)::bigint - $3
                     ORDER BY l.sealed_at LIMIT $2
                 ), gone AS (
                     DELETE FROM ledger l USING old
                     WHERE l.node = old.node AND l.lane = old.lane AND l.seq = old.seq
                     RETURNING l.node, l.lane, l.events, l.last_second
                 ), counted AS (
                     UPDATE fold_heads f
                     SET dropped = f.dropped + lane.events,
                         dropped_to = greatest(f.dropped_to, lane.last_second)
                     FROM (SELECT node, lane, sum(events)::bigint AS events,
                                  max(last_second) AS last_second
                           FROM gone GROUP BY node, lane) lane
                     WHERE f.node = lane.node AND f.lane = lane.lane
                 )
                 SELECT count(*) FROM gone",
                &[(&before, Type::INT8), (&(limit as i64), Type::INT8), (&keep, Type::INT8)],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(rows[0].try_get::<_, i64>(0)? as u64)
    }

    /// See [`Rollups::known`](crate::store::Rollups::known).
    pub(super) async fn try_rollup_known(&self) -> Result<Known, Failure> {
        let session = self.chart().await?;
        let rows = session.query(KNOWN, &[]).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(Known { since: rows[0].try_get(0)?, until: rows[0].try_get(1)? })
    }

    /// See [`Rollups::minutes`](crate::store::Rollups::minutes). One row more than allowed is asked
    /// for: if it comes, the read would be too large.
    pub(super) async fn try_rollup(
        &self,
        from: Millis,
        to: Millis,
        series: Option<&[Series]>,
    ) -> Result<Vec<(Millis, Series, i64)>, Failure> {
        let session = self.chart().await?;
        let keys: Option<Vec<String>> =
            series.map(|series| series.iter().map(Series::to_string).collect());
        let rows = session
            .query(
                "SELECT minute, series, value FROM rollups
                 WHERE minute >= $1 AND minute < $2 AND ($3::text[] IS NULL OR series = ANY ($3))
                 ORDER BY minute, series LIMIT $4",
                &[
                    (&from, Type::INT8),
                    (&to, Type::INT8),
                    (&keys, Type::TEXT_ARRAY),
                    (&(ROLLUP_ROWS as i64 + 1), Type::INT8),
                ],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        if rows.len() > ROLLUP_ROWS {
            return Err(too_many_minutes().into());
        }
        let mut minutes = Vec::with_capacity(rows.len());
        for row in rows {
            // A key that this version can't read was written by a later one. Nothing here asks
            // for it, so it is passed over.
            if let Some(series) = Series::parse(row.try_get(1)?) {
                minutes.push((row.try_get(0)?, series, row.try_get(2)?));
            }
        }
        Ok(minutes)
    }

    /// See [`Rollups::sums`](crate::store::Rollups::sums). `sum` gives a numeric, which can't
    /// overflow; it is then cut to what an i64 holds.
    pub(super) async fn try_rollup_sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, Failure> {
        let session = self.chart().await?;
        let (from, to): (Vec<Millis>, Vec<Millis>) = stretches.iter().copied().unzip();
        let which = match summed {
            Summed::One(_) => "series = $3",
            Summed::AllCounts => "starts_with(series, $3)",
        };
        let rows = session
            .query(
                &format!(
                    "SELECT CASE WHEN total IS NOT NULL THEN
                     least(greatest(total, -9223372036854775807), 9223372036854775807)::bigint
                 END
                 FROM unnest($1, $2) WITH ORDINALITY AS stretch (a, b, n)
                 CROSS JOIN LATERAL (
                     SELECT sum(value) AS total FROM rollups
                     WHERE minute >= a AND minute < b AND {which}
                 ) AS sums
                 ORDER BY n"
                ),
                &[(&from, Type::INT8_ARRAY), (&to, Type::INT8_ARRAY), (&summed.key(), Type::TEXT)],
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        let sums = rows.iter().map(|row| row.try_get(0));
        Ok(sums.collect::<Result<_, _>>()?)
    }
}

/// The next ledger rows of a lane, as many as there is room for. The first is taken whatever its
/// size, or a large row would never be folded.
async fn next_rows(
    session: &Session,
    lane: &FoldLane,
    (max_rows, max_bytes): (u64, u64),
) -> Result<Vec<LedgerRow>, Failure> {
    // Postgres knows the length of a delta without reading it, so the running sum is cheap.
    let rows = session
        .query(
            "SELECT seq, sealed_at, events, delta, shape, visitors FROM (
                 SELECT *, sum(bytes) OVER (ORDER BY seq) - bytes AS bytes_before
                 FROM (SELECT seq, sealed_at, events, delta, shape, visitors,
                              octet_length(delta) + octet_length(visitors)
                                  + coalesce(octet_length(shape), 0) AS bytes
                       FROM ledger
                       WHERE node = $1 AND lane = $2 AND seq > $3 AND seq <= $4
                       ORDER BY seq LIMIT $5) AS next
             ) AS sized
             WHERE bytes_before < $6 ORDER BY seq",
            &[
                (&lane.node, Type::UUID),
                (&(lane.lane as i16), Type::INT2),
                (&lane.from(), Type::INT8),
                (&lane.stored, Type::INT8),
                (&(max_rows.min(i64::MAX as u64) as i64), Type::INT8),
                (&(max_bytes.min(i64::MAX as u64) as i64), Type::INT8),
            ],
        )
        .await?;
    let row = |row: &tokio_postgres::Row| {
        Ok(LedgerRow {
            seq: row.try_get(0)?,
            sealed_at: row.try_get(1)?,
            events: row.try_get(2)?,
            delta: row.try_get(3)?,
            shape: row.try_get(4)?,
            visitors: row.try_get(5)?,
        })
    };
    rows.iter().map(row).collect()
}

/// Adds the sums of a fold to the rollups.
async fn add_up(session: &Session, fold: &Fold) -> Result<(), Failure> {
    let sums = fold.sums();
    let series: Vec<&str> = sums.iter().map(|sum| &*sum.0).collect();
    let minutes: Vec<Millis> = sums.iter().map(|sum| sum.1).collect();
    let values: Vec<i64> = sums.iter().map(|sum| sum.2).collect();
    session
        .query(
            &format!(
                "INSERT INTO rollups (series, minute, value) SELECT * FROM unnest($1, $2, $3)
                 ON CONFLICT (series, minute) DO UPDATE SET value = {ADD_UP}"
            ),
            &[
                (&series, Type::TEXT_ARRAY),
                (&minutes, Type::INT8_ARRAY),
                (&values, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Moves the heads on to where the fold has come.
async fn move_heads(session: &Session, heads: &[Head]) -> Result<(), Failure> {
    let nodes: Vec<Uuid> = heads.iter().map(|head| head.node).collect();
    let lanes: Vec<i16> = heads.iter().map(|head| head.lane as i16).collect();
    let seqs: Vec<i64> = heads.iter().map(|head| head.to).collect();
    let broken_down: Vec<i64> = heads.iter().map(|head| head.broken_down_to).collect();
    let sketched: Vec<i64> = heads.iter().map(|head| head.sketched_to).collect();
    let since: Vec<Option<Millis>> = heads.iter().map(|head| head.since).collect();
    let moved = session
        .query(
            "INSERT INTO fold_heads (node, lane, seq, since, breakdowns, sketches)
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
             ON CONFLICT (node, lane) DO UPDATE
             SET seq = excluded.seq, since = coalesce(fold_heads.since, excluded.since),
                 breakdowns = excluded.breakdowns,
                 breakdowns_lack = CASE WHEN fold_heads.breakdowns = 0 THEN fold_heads.dropped_to
                                        ELSE fold_heads.breakdowns_lack END,
                 sketches = excluded.sketches,
                 sketches_lack = CASE WHEN fold_heads.sketches = 0 THEN fold_heads.dropped_to
                                      ELSE fold_heads.sketches_lack END
             WHERE fold_heads.seq <= excluded.seq AND fold_heads.breakdowns <= excluded.breakdowns
                   AND fold_heads.sketches <= excluded.sketches
                   AND (fold_heads.breakdowns < excluded.breakdowns
                        OR fold_heads.sketches < excluded.sketches)
             RETURNING seq",
            &[
                (&nodes, Type::UUID_ARRAY),
                (&lanes, Type::INT2_ARRAY),
                (&seqs, Type::INT8_ARRAY),
                (&since, Type::INT8_ARRAY),
                (&broken_down, Type::INT8_ARRAY),
                (&sketched, Type::INT8_ARRAY),
            ],
        )
        .await?;
    if moved.len() == heads.len() {
        return Ok(());
    }
    // A head has moved although we hold the lock, so some program does not take it. The error
    // rolls this fold back: its rows were folded by that program, and must not count twice.
    Err(Failure::new(
        SinkErrorKind::Other,
        "another program moves fold_heads at the same time: nothing was folded",
    ))
}
