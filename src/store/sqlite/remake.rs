//! The rollups of a day made anew, in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{SqliteStore, breakdowns::kept_minutes, sketches, with};
use crate::{
    domain::{
        delta::QUARTER_HOUR,
        row::Row,
        time::{SECOND, now_ms},
    },
    sink::SinkError,
    store::{
        rollup::remake::{DayMade, Remade, Remake, RemakeAsked, Remaking, removed},
        sketches::LONGEST_DAY,
    },
};

/// The last batch of each lane, by node and lane.
type Heads = BTreeMap<(Vec<u8>, i64), i64>;

/// What is read of events.
pub(super) const READ: &str = "time, received_at, type, user_id, session_id, properties, source";

/// Adds up the events of the day, in one view of the store.
fn made_anew(
    conn: &mut Connection,
    asked: &RemakeAsked,
) -> Result<Option<(Heads, DayMade)>, SinkError> {
    let tx = conn.transaction()?;
    if is_removed(&tx, asked)? {
        return Err(removed());
    }
    let (from, to) = Remaking::stretch(asked);
    let open: i64 = tx.query_row(
        "SELECT count(*) FROM ledger l LEFT JOIN fold_heads f ON f.node = l.node AND f.lane = l.lane
         WHERE l.first_second < ?2 AND l.last_second >= ?1
               AND (l.seq > coalesce(f.seq, 0) OR l.seq > coalesce(f.breakdowns, 0)
                    OR l.seq > coalesce(f.sketches, 0))",
        [from, to],
        |row| row.get(0),
    )?;
    if open > 0 {
        return Ok(None);
    }
    let mut select = tx.prepare("SELECT node, lane, seq FROM ledger_heads")?;
    let head = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
    let heads: Heads = select.query_map([], head)?.collect::<Result<_, _>>()?;
    let mut select =
        tx.prepare("SELECT DISTINCT series FROM rollups WHERE minute >= ? AND minute < ?")?;
    let counted = select.query_map([asked.from, asked.to], |row| row.get(0))?;
    let counted: Vec<String> = counted.collect::<Result<_, _>>()?;
    let mut remaking = Remaking::new(asked, &counted);
    add_rows(&tx, asked, &mut remaking)?;
    Ok(Some((heads, remaking.finish())))
}

/// Adds up the rows of a day.
pub(super) fn add_rows(
    tx: &Transaction<'_>,
    asked: &RemakeAsked,
    remaking: &mut Remaking,
) -> Result<(), SinkError> {
    let (from, to) = Remaking::stretch(asked);
    // The view finds runs of rows by the seconds that they span.
    let mut select = tx.prepare(&format!(
        "SELECT {READ} FROM events_near WHERE last_second > ?1 - ?3 AND first_second < ?2 AND time >= ?1 AND
             time < ?2"
    ))?;
    add_found(&mut select.query([from, to, SECOND])?, remaking)?;
    if let Some(archived) = &asked.archived {
        let mut given = archived.rows(from, to);
        while let Some(rows) = given.blocking_recv() {
            remaking.add_encoded(&rows?)?;
        }
    }
    Ok(())
}

/// Adds rows of events, whose columns are [`READ`].
pub(super) fn add_found(
    rows: &mut rusqlite::Rows<'_>,
    remaking: &mut Remaking,
) -> Result<(), SinkError> {
    while let Some(row) = rows.next()? {
        let text = |at: usize| -> rusqlite::Result<Option<&str>> {
            Ok(row.get_ref(at)?.as_str_or_null().unwrap_or_default())
        };
        remaking.add(&Row {
            time: row.get(0)?,
            received_at: row.get(1)?,
            kind: text(2)?.unwrap_or_default(),
            user_id: text(3)?,
            session_id: text(4)?,
            properties: text(5)?.unwrap_or_default(),
            source: text(6)?,
            ..Row::default()
        });
    }
    Ok(())
}

/// Whether events of the day were removed from the table.
fn is_removed(tx: &Transaction<'_>, asked: &RemakeAsked) -> Result<bool, SinkError> {
    let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'removed_rows'";
    if tx.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(false);
    }
    let removed: i64 = tx.query_row(
        "SELECT count(*) FROM removed_rows
         WHERE day >= date(?1 / 1000, 'unixepoch') AND day <= date(?2 / 1000, 'unixepoch')
               AND reason <> 'archive'",
        [asked.from, asked.to - 1],
        |row| row.get(0),
    )?;
    Ok(removed > 0)
}

/// Puts what was made in the place of what is there, unless a batch after these heads counts in the day.
fn replace(
    conn: &mut Connection,
    asked: &RemakeAsked,
    heads: &Heads,
    mut made: DayMade,
) -> Result<Option<Remade>, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let (from, to) = Remaking::stretch(asked);
        let mut select = tx.prepare(
            "SELECT node, lane, seq FROM ledger WHERE first_second < ?2 AND last_second >= ?1",
        )?;
        let mut rows = select.query([from, to])?;
        while let Some(row) = rows.next()? {
            let lane: (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
            if row.get::<_, i64>(2)? > heads.get(&lane).copied().unwrap_or(0) {
                return Ok(None);
            }
        }
    }
    made.without_minutes(&kept_minutes(&tx)?);
    let day = [asked.from, asked.to];
    tx.execute("DELETE FROM rollups WHERE minute >= ? AND minute < ?", day)?;
    tx.execute(
        "DELETE FROM breakdown_rollups WHERE span IN (60000, 900000) AND at >= ? AND at < ?",
        day,
    )?;
    // Days that were added up of it are added up again later.
    tx.execute(
        "DELETE FROM sketch_rollups WHERE (span IN (60000, 900000) AND at >= ?1 AND at < ?2)
             OR (span > ?3 AND at > ?1 - ?4 AND at < ?2 AND at + span > ?1)",
        [asked.from, asked.to, QUARTER_HOUR, LONGEST_DAY],
    )?;
    write(&tx, &made)?;
    tx.execute(
        "INSERT INTO rebuilt_days (at, until, made_at) VALUES (?, ?, ?)
         ON CONFLICT (at, until) DO UPDATE SET made_at = excluded.made_at",
        [asked.from, asked.to, now_ms()],
    )?;
    tx.commit()?;
    Ok(Some(made.told()))
}

/// Writes the rollups of the day, of which nothing is there any more.
fn write(tx: &Transaction<'_>, made: &DayMade) -> Result<(), SinkError> {
    let mut add =
        tx.prepare_cached("INSERT INTO rollups (series, minute, value) VALUES (?, ?, ?)")?;
    for (series, minute, value) in &made.sums {
        add.execute(params![series, minute, value])?;
    }
    let mut add = tx.prepare_cached(
        "INSERT INTO breakdown_rollups (breakdown, span, at, top) VALUES (?, ?, ?, ?)",
    )?;
    for it in &made.tops {
        add.execute(params![it.breakdown, it.span, it.at, it.onto(None)?])?;
    }
    for it in &made.sketches {
        sketches::write(tx, &it.name, (it.span, it.at), &it.onto(None)?)?;
    }
    Ok(())
}

#[async_trait]
impl Remake for SqliteStore {
    async fn try_remake(&self, asked: &RemakeAsked) -> Result<Option<Remade>, SinkError> {
        let day = asked.clone();
        let made = with(&self.reader, move |conn| made_anew(conn, &day)).await?;
        let (Some((heads, made)), asked) = (made, asked.clone()) else { return Ok(None) };
        with(&self.writer, move |conn| replace(conn, &asked, &heads, made)).await
    }
}
