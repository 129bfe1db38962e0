//! Forgets a person in SQLite: all rows are looked through in the order of their rowids, some thousand in each
//! transaction. What is deleted is overwritten in the file (`secure_delete`).

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{SqliteStore, alerts::numbered, archive::move_file, chain, overwriting, with};
use crate::{
    domain::time::{DAY, Millis, now_ms},
    sink::SinkError,
    store::{
        archive::{FileState, ForgottenRows},
        chain::GoneRows,
        forget::{
            ADD_SESSION, ADD_WORK, COUNTS, DataSubject, Forget, ForgetCounts, ForgetPhase,
            ForgetRequest, IS_NOTED, OPEN, SESSIONS, SPARE_SESSION,
        },
        retention::{NOTE, RemovalReason, UtcDay, date_of},
    },
};

/// Rows of events that one step looks through.
const STEP_ROWS: i64 = 5_000;
/// Dead letters that one step looks through; each is read whole.
const STEP_LETTERS: i64 = 500;

/// Which rows are of the person (`?3`), by the sessions that the request (`?4`) has noted.
fn of_person(person: &DataSubject) -> &'static str {
    match person {
        DataSubject::User(_) => {
            "(user_id = ?3 OR (user_id IS NULL AND session_id IN
              (SELECT value FROM forget_work WHERE request = ?4 AND what = 'session')))"
        }
        DataSubject::Session(_) => "(session_id = ?3 AND ?4 IS NOT NULL)",
    }
}

/// How far a phase has come.
fn progress(tx: &Transaction<'_>, request: &str, what: &str) -> Result<i64, SinkError> {
    let found = tx
        .prepare_cached(
            "SELECT rows FROM forget_work WHERE request = ? AND what = ? AND value = ''",
        )?
        .query_row(params![request, what], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

fn add(tx: &Transaction<'_>, work: (&str, &str, &str), rows: i64) -> Result<(), SinkError> {
    let (request, what, value) = work;
    tx.prepare_cached(&numbered(ADD_WORK))?.execute(params![request, what, value, rows])?;
    Ok(())
}

fn step(
    conn: &mut Connection,
    request: &str,
    person: &DataSubject,
    phase: ForgetPhase,
) -> Result<bool, SinkError> {
    // Rows that come are behind the others, and the phase before goes on to the last row that there is.
    if phase == ForgetPhase::Late {
        return Ok(true);
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let first = progress(&tx, request, phase.name())?;
    let (last, looked): (Option<i64>, i64) = tx
        .prepare_cached(
            "SELECT max(rowid), count(*) FROM
             (SELECT rowid FROM events WHERE rowid > ?1 ORDER BY rowid LIMIT ?2)",
        )?
        .query_row([first, STEP_ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(last) = last else { return Ok(true) };
    let within = "rowid > ?1 AND rowid <= ?2";
    let these = params![first, last, person.id(), request];
    match phase {
        ForgetPhase::Look => {
            let sql = format!(
                "INSERT OR IGNORE INTO forget_work SELECT DISTINCT ?4, 'session', session_id, 0
                 FROM events WHERE {within} AND user_id = ?3 AND session_id IS NOT NULL"
            );
            tx.prepare_cached(&sql)?.execute(these)?;
        }
        ForgetPhase::Spare => {
            let sql = format!(
                "DELETE FROM forget_work WHERE request = ?4 AND what = 'session' AND value IN
                 (SELECT session_id FROM events WHERE {within} AND user_id <> ?3)"
            );
            tx.prepare_cached(&sql)?.execute(these)?;
        }
        ForgetPhase::Delete | ForgetPhase::Late => {
            let sql = format!(
                "DELETE FROM events WHERE {within} AND {} RETURNING {}",
                of_person(person),
                chain::EVENT.replace("e.", "")
            );
            let mut counts = BTreeMap::<(UtcDay, String), i64>::new();
            let mut gone = GoneRows::default();
            let mut delete = tx.prepare_cached(&sql)?;
            let mut rows = delete.query(these)?;
            while let Some(row) = rows.next()? {
                chain::with_row(row, |row| {
                    let of = (row.time.div_euclid(DAY), row.kind.to_owned());
                    *counts.entry(of).or_default() += 1;
                    gone.add(row);
                })?;
            }
            chain::forget(&tx, gone)?;
            let mut note = tx.prepare_cached(&numbered(NOTE))?;
            for ((day, kind), rows) in counts {
                let (date, reason) = (date_of(day), RemovalReason::Person.name());
                note.execute(params![date, kind, reason, rows, now_ms(), None::<i64>])?;
                add(&tx, (request, "day", &date), rows)?;
            }
        }
    }
    add(&tx, (request, phase.name(), ""), last - first)?;
    crate::failpoint::kill_point!("forget-step");
    tx.commit()?;
    // What comes while the last rows are looked through is later than the request.
    Ok(looked < STEP_ROWS)
}

fn letters(conn: &mut Connection, request: &str, person: &DataSubject) -> Result<bool, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let first = progress(&tx, request, "letter")?;
    let mut select = tx.prepare_cached(
        "SELECT rowid, raw, event FROM dead_letters WHERE rowid > ? ORDER BY rowid LIMIT ?",
    )?;
    let mut rows = select.query([first, STEP_LETTERS])?;
    let (mut last, mut looked, mut named) = (first, 0, Vec::new());
    while let Some(row) = rows.next()? {
        (last, looked) = (row.get(0)?, looked + 1);
        if [1, 2].into_iter().any(|at| {
            let text = row.get_ref(at).ok().and_then(|text| text.as_str().ok());
            text.is_some_and(|text| person.is_named_in(text))
        }) {
            named.push(last);
        }
    }
    drop(rows);
    drop(select);
    for rowid in &named {
        tx.execute("DELETE FROM dead_letters WHERE rowid = ?", [rowid])?;
    }
    add(&tx, (request, "letters", ""), named.len() as i64)?;
    add(&tx, (request, "letter", ""), last - first)?;
    tx.commit()?;
    Ok(looked < STEP_LETTERS)
}

/// Puts one file in the place of another that has rows of a person, and takes these off the chain.
pub(super) fn replace_file(
    conn: &mut Connection,
    old: &str,
    new: Option<&str>,
    forgotten: ForgottenRows,
) -> Result<bool, SinkError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut is_done = move_file(&tx, old, FileState::Kept, FileState::Leaving)?;
    if let Some(new) = new {
        is_done &= move_file(&tx, new, FileState::Checked, FileState::Kept)?;
    }
    if is_done {
        let ForgottenRows { request, day, kind, rows, gone } = forgotten;
        let (rows, none, now) = (rows as i64, None::<i64>, now_ms());
        tx.execute(&numbered(ADD_WORK), params![request, "day", day, rows])?;
        // They are counted once: as rows that have gone, and not as rows in the archive.
        for (reason, rows) in [(RemovalReason::Archive, -rows), (RemovalReason::Person, rows)] {
            tx.execute(&numbered(NOTE), params![day, kind, reason.name(), rows, now, none])?;
        }
        chain::forget(&tx, gone)?;
        tx.commit()?;
    }
    Ok(is_done)
}

#[async_trait]
impl Forget for SqliteStore {
    async fn open_requests(&self) -> Result<Vec<ForgetRequest>, SinkError> {
        with(&self.reader, |conn| {
            let mut select = conn.prepare(OPEN)?;
            let rows = select.query_map([], |row| {
                Ok(ForgetRequest {
                    id: row.get(0)?,
                    subject: row.get(1)?,
                    person: row.get(2)?,
                    salt: row.get(3)?,
                    asked_at: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn begin_forgetting(&self, request: &ForgetRequest) -> Result<(), SinkError> {
        let it = request.clone();
        with(&self.writer, move |conn| {
            conn.execute(
                "INSERT INTO forgotten (request, subject, person, salt, asked_at)
                 VALUES (?, ?, ?, ?, ?)",
                params![it.id, it.subject, it.person, it.salt, it.asked_at],
            )?;
            Ok(())
        })
        .await
    }

    async fn forget_step(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
        phase: ForgetPhase,
    ) -> Result<bool, SinkError> {
        let (request, person) = (request.id.clone(), person.clone());
        let step = move |conn: &mut _| step(conn, &request, &person, phase);
        with(&self.writer, |conn| overwriting(conn, step)).await
    }

    async fn forget_letters(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
    ) -> Result<bool, SinkError> {
        let (request, person) = (request.id.clone(), person.clone());
        let letters = move |conn: &mut _| letters(conn, &request, &person);
        with(&self.writer, |conn| overwriting(conn, letters)).await
    }

    async fn is_noted(
        &self,
        request: &ForgetRequest,
        phase: ForgetPhase,
    ) -> Result<bool, SinkError> {
        let (id, what) = (request.id.clone(), phase.in_archive());
        with(&self.reader, move |conn| {
            let noted: i64 =
                conn.query_row(&numbered(IS_NOTED), params![id, what], |row| row.get(0))?;
            Ok(noted > 0)
        })
        .await
    }

    async fn note_sessions(
        &self,
        request: &ForgetRequest,
        phase: ForgetPhase,
        sessions: &[String],
    ) -> Result<(), SinkError> {
        let (id, sessions) = (request.id.clone(), sessions.to_vec());
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = if phase == ForgetPhase::Look { ADD_SESSION } else { SPARE_SESSION };
            for session in sessions {
                tx.prepare_cached(&numbered(sql))?.execute(params![id, session])?;
            }
            add(&tx, (&id, phase.in_archive(), ""), 0)?;
            tx.commit()?;
            Ok(())
        })
        .await
    }

    async fn noted_sessions(&self, request: &ForgetRequest) -> Result<Vec<String>, SinkError> {
        let id = request.id.clone();
        with(&self.reader, move |conn| {
            let mut select = conn.prepare(&numbered(SESSIONS))?;
            let sessions = select.query_map([id], |row| row.get(0))?;
            Ok(sessions.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn purge(&self, _: &ForgetRequest) -> Result<(), SinkError> {
        // The pages were overwritten in the WAL; those in the file follow with a checkpoint. One that a
        // reader holds up is done by the server soon.
        with(&self.writer, |conn| {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    async fn forgotten(&self, request: &ForgetRequest) -> Result<ForgetCounts, SinkError> {
        let id = request.id.clone();
        with(&self.reader, move |conn| {
            let mut counts = ForgetCounts::default();
            let mut select = conn.prepare(&numbered(COUNTS))?;
            let mut rows = select.query([id])?;
            while let Some(row) = rows.next()? {
                let what: String = row.get(0)?;
                counts.add(&what, row.get(1)?, row.get::<_, i64>(2)? as u64);
            }
            Ok(counts)
        })
        .await
    }

    async fn end_forgetting(
        &self,
        request: &ForgetRequest,
        receipt: &str,
        at: Millis,
    ) -> Result<(), SinkError> {
        let (id, receipt) = (request.id.clone(), receipt.to_owned());
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute("DELETE FROM forget_work WHERE request = ?", [&id])?;
            tx.execute(
                "UPDATE forgotten SET done_at = ?, receipt = ? WHERE request = ?",
                params![at, receipt, id],
            )?;
            tx.commit()?;
            Ok(())
        })
        .await
    }
}
