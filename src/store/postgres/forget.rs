//! Forgets a person in Postgres: one partition after the other, each in a transaction of its own with its mark
//! in `forget_work`. Dead rows stay in the files until a VACUUM, so each table that had some gets one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{
    PostgresStore, chain,
    errors::Failure,
    partitions::partition,
    retention::note,
    session::{Parameter, Session},
    swap::{LONG, Leftover},
};
use crate::{
    domain::time::{DAY, Millis, now_ms},
    sink::SinkError,
    store::{
        chain::GoneRows,
        forget::{
            ADD_SESSION, ADD_WORK, COUNTS, DataSubject, Forget, ForgetCounts, ForgetPhase,
            ForgetRequest, IS_NOTED, OPEN, SESSIONS, SPARE_SESSION,
        },
        retention::{RemovalReason, UtcDay, date_of},
    },
};

/// Dead letters that one step looks through; each is read whole.
const STEP_LETTERS: i64 = 500;
/// What is noted of a table that had rows of the person.
pub(super) const TOUCHED: &str = "table";

/// Which rows are of the person (`$1`), by the sessions that the request (`$2`) has noted.
fn of_person(person: &DataSubject) -> &'static str {
    match person {
        DataSubject::User(_) => {
            "(user_id = $1 OR (user_id IS NULL AND session_id IN
              (SELECT value FROM forget_work WHERE request = $2 AND what = 'session')))"
        }
        DataSubject::Session(_) => "(session_id = $1 AND $2::text IS NOT NULL)",
    }
}

pub(super) async fn add_work(
    session: &Session,
    work: (&str, &str, &str),
    rows: i64,
) -> Result<(), Failure> {
    let (request, what, value) = work;
    let parameters: [Parameter<'_>; 4] =
        [(&request, Type::TEXT), (&what, Type::TEXT), (&value, Type::TEXT), (&rows, Type::INT8)];
    session.query(ADD_WORK, &parameters).await.map(drop)
}

impl PostgresStore {
    async fn try_forget_step(
        &self,
        request: &str,
        person: &DataSubject,
        phase: ForgetPhase,
    ) -> Result<bool, Failure> {
        // What a removal has left half done would hide rows of the person.
        for leftover in self.day_tables().await?.1 {
            match leftover {
                Leftover::Gone(day) => self.count_and_drop(day).await.map(drop)?,
                Leftover::Copy { table, day } => self.take_back_copy(&table, day).await?,
            }
        }
        let today = now_ms().div_euclid(DAY);
        let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'events'::regclass AND ($3 OR c.relname = ANY ($4))
              AND NOT EXISTS (SELECT FROM forget_work
                              WHERE request = $1 AND what = $2 AND value = c.relname::text)
            ORDER BY c.relname LIMIT 1";
        // Events that come while the others are deleted are mostly of these days.
        let mut late: Vec<String> = (today - 1..=today + 1).map(partition).collect();
        late.push("events_default".to_owned());
        let parameters: [Parameter<'_>; 4] = [
            (&request, Type::TEXT),
            (&phase.name(), Type::TEXT),
            (&(phase != ForgetPhase::Late), Type::BOOL),
            (&late, Type::TEXT_ARRAY),
        ];
        let found = self.read(sql, &parameters).await?;
        let Some(table) = found.first() else { return Ok(true) };
        let table: &str = table.try_get(0)?;
        let session = self.removal("").await?;
        let these: [Parameter<'_>; 2] = [(&person.id(), Type::TEXT), (&request, Type::TEXT)];
        match phase {
            _ if phase.deletes() => delete(&session, table, person, &these).await?,
            ForgetPhase::Look => {
                let sql = format!(
                    "INSERT INTO forget_work SELECT DISTINCT $2, 'session', session_id, 0
                     FROM {table} WHERE user_id = $1 AND session_id IS NOT NULL
                     ON CONFLICT DO NOTHING"
                );
                session.query_within(LONG, &sql, &these).await?;
            }
            _ => {
                let sql = format!(
                    "DELETE FROM forget_work WHERE request = $2 AND what = 'session' AND value IN
                     (SELECT session_id FROM {table} WHERE user_id <> $1)"
                );
                session.query_within(LONG, &sql, &these).await?;
            }
        }
        add_work(&session, (request, phase.name(), table), 0).await?;
        crate::failpoint::kill_point!("forget-step");
        session.run("COMMIT").await?;
        session.done();
        Ok(false)
    }

    async fn try_forget_letters(
        &self,
        request: &str,
        person: &DataSubject,
    ) -> Result<bool, Failure> {
        let session = self.removal("").await?;
        let asked: [Parameter<'_>; 1] = [(&request, Type::TEXT)];
        let sql = "SELECT max(value) FROM forget_work WHERE request = $1 AND what = 'letter'";
        let after: Option<String> = session.query(sql, &asked).await?[0].try_get(0)?;
        let after = after.and_then(|text| Uuid::parse_str(&text).ok()).unwrap_or_default();
        let sql = "SELECT letter, raw, event FROM dead_letters WHERE letter > $1
                   ORDER BY letter LIMIT $2";
        let page: [Parameter<'_>; 2] = [(&after, Type::UUID), (&STEP_LETTERS, Type::INT8)];
        let rows = session.query(sql, &page).await?;
        let mut named = Vec::<Uuid>::new();
        for row in &rows {
            if person.is_named_in(row.try_get(1)?) || person.is_named_in(row.try_get(2)?) {
                named.push(row.try_get(0)?);
            }
        }
        if let Some(last) = rows.last() {
            let last = last.try_get::<_, Uuid>(0)?.to_string();
            let gone: [Parameter<'_>; 1] = [(&named, Type::UUID_ARRAY)];
            session.query("DELETE FROM dead_letters WHERE letter = ANY ($1)", &gone).await?;
            let sql = "DELETE FROM forget_work WHERE request = $1 AND what = 'letter'";
            session.query(sql, &asked).await?;
            add_work(&session, (request, "letter", &last), 0).await?;
            add_work(&session, (request, "letters", ""), named.len() as i64).await?;
            if !named.is_empty() {
                add_work(&session, (request, TOUCHED, "dead_letters"), 1).await?;
            }
        }
        session.run("COMMIT").await?;
        session.done();
        Ok((rows.len() as i64) < STEP_LETTERS)
    }

    async fn try_purge(&self, request: &str) -> Result<(), Failure> {
        let sql = "SELECT value FROM forget_work WHERE request = $1 AND what = $2 AND value IN
                   (SELECT relname FROM pg_class WHERE pg_table_is_visible(oid))";
        let parameters: [Parameter<'_>; 2] = [(&request, Type::TEXT), (&TOUCHED, Type::TEXT)];
        for row in self.read(sql, &parameters).await? {
            let table: &str = row.try_get(0)?;
            // A VACUUM can't run in a transaction.
            let session = self.removals.get().await?;
            session.vacuum(LONG, table).await?;
            session.done();
        }
        Ok(())
    }

    async fn try_end(&self, request: &str, receipt: &str, at: Millis) -> Result<(), Failure> {
        let session = self.removal("").await?;
        let asked: [Parameter<'_>; 1] = [(&request, Type::TEXT)];
        session.query("DELETE FROM forget_work WHERE request = $1", &asked).await?;
        let sql = "UPDATE forgotten SET done_at = $2, receipt = $3 WHERE request = $1";
        let parameters: [Parameter<'_>; 3] =
            [(&request, Type::TEXT), (&at, Type::INT8), (&receipt, Type::TEXT)];
        session.query(sql, &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(())
    }
}

/// Deletes the rows of the person from one table, and notes how many.
async fn delete(
    session: &Session,
    table: &str,
    person: &DataSubject,
    these: &[Parameter<'_>; 2],
) -> Result<(), Failure> {
    // Whole rows, since one row of the chain may have the time, type and id of another.
    let sql = format!(
        "DELETE FROM {table} WHERE {} RETURNING {}, $2",
        of_person(person),
        chain::event_columns()
    );
    let rows = session.query_within(LONG, &sql, these).await?;
    let (mut days, mut kinds) = (BTreeMap::<UtcDay, i64>::new(), BTreeMap::new());
    let mut gone = GoneRows::default();
    for row in &rows {
        chain::with_row(row, |row, _| {
            let day = row.time.div_euclid(DAY);
            *days.entry(day).or_default() += 1;
            *kinds.entry((day, row.kind.to_owned())).or_default() += 1;
            gone.add(row);
        })?;
    }
    for ((day, kind), count) in &kinds {
        note(session, (*day, kind, RemovalReason::Person), *count, None).await?;
    }
    let Some(first) = rows.first() else { return Ok(()) };
    let request: &str = first.try_get(9)?;
    for (day, count) in days {
        add_work(session, (request, "day", &date_of(day)), count).await?;
    }
    if chain::forget(session, gone).await? {
        add_work(session, (request, TOUCHED, "chain"), 1).await?;
    }
    add_work(session, (request, TOUCHED, table), 1).await
}

#[async_trait]
impl Forget for PostgresStore {
    async fn open_requests(&self) -> Result<Vec<ForgetRequest>, SinkError> {
        let read = async {
            let rows = self.read(OPEN, &[]).await?;
            let request = |row: &tokio_postgres::Row| {
                Ok(ForgetRequest {
                    id: row.try_get(0)?,
                    subject: row.try_get(1)?,
                    person: row.try_get(2)?,
                    salt: row.try_get(3)?,
                    asked_at: row.try_get(4)?,
                })
            };
            rows.iter().map(request).collect::<Result<_, Failure>>()
        };
        read.await.map_err(|e| self.told(e))
    }

    async fn begin_forgetting(&self, request: &ForgetRequest) -> Result<(), SinkError> {
        let sql = "INSERT INTO forgotten (request, subject, person, salt, asked_at)
                   VALUES ($1, $2, $3, $4, $5)";
        let parameters: [Parameter<'_>; 5] = [
            (&request.id, Type::TEXT),
            (&request.subject, Type::TEXT),
            (&request.person, Type::TEXT),
            (&request.salt, Type::TEXT),
            (&request.asked_at, Type::INT8),
        ];
        self.change(sql, &parameters).await.map(drop).map_err(|e| self.told(e))
    }

    async fn forget_step(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
        phase: ForgetPhase,
    ) -> Result<bool, SinkError> {
        self.try_forget_step(&request.id, person, phase).await.map_err(|e| self.told(e))
    }

    async fn forget_letters(
        &self,
        request: &ForgetRequest,
        person: &DataSubject,
    ) -> Result<bool, SinkError> {
        self.try_forget_letters(&request.id, person).await.map_err(|e| self.told(e))
    }

    async fn is_noted(
        &self,
        request: &ForgetRequest,
        phase: ForgetPhase,
    ) -> Result<bool, SinkError> {
        let asked: [Parameter<'_>; 2] =
            [(&request.id, Type::TEXT), (&phase.in_archive(), Type::TEXT)];
        let rows = self.read(IS_NOTED, &asked).await.map_err(|e| self.told(e))?;
        let noted: i64 = rows[0].try_get(0).map_err(|e| self.told(e.into()))?;
        Ok(noted > 0)
    }

    async fn note_sessions(
        &self,
        request: &ForgetRequest,
        phase: ForgetPhase,
        sessions: &[String],
    ) -> Result<(), SinkError> {
        let note = async {
            let session = self.removal("").await?;
            let sql = if phase == ForgetPhase::Look { ADD_SESSION } else { SPARE_SESSION };
            for it in sessions {
                let noted: [Parameter<'_>; 2] = [(&request.id, Type::TEXT), (it, Type::TEXT)];
                session.query(sql, &noted).await?;
            }
            add_work(&session, (&request.id, phase.in_archive(), ""), 0).await?;
            session.run("COMMIT").await?;
            session.done();
            Ok::<_, Failure>(())
        };
        note.await.map_err(|e| self.told(e))
    }

    async fn noted_sessions(&self, request: &ForgetRequest) -> Result<Vec<String>, SinkError> {
        let read = async {
            let rows = self.read(SESSIONS, &[(&request.id, Type::TEXT)]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_, Failure>>()
        };
        read.await.map_err(|e| self.told(e))
    }

    async fn purge(&self, request: &ForgetRequest) -> Result<(), SinkError> {
        self.try_purge(&request.id).await.map_err(|e| self.told(e))
    }

    async fn forgotten(&self, request: &ForgetRequest) -> Result<ForgetCounts, SinkError> {
        let read = async {
            let mut counts = ForgetCounts::default();
            for row in self.read(COUNTS, &[(&request.id, Type::TEXT)]).await? {
                let (what, rows): (&str, i64) = (row.try_get(0)?, row.try_get(2)?);
                counts.add(what, row.try_get(1)?, rows as u64);
            }
            Ok::<_, Failure>(counts)
        };
        read.await.map_err(|e| self.told(e))
    }

    async fn end_forgetting(
        &self,
        request: &ForgetRequest,
        receipt: &str,
        at: Millis,
    ) -> Result<(), SinkError> {
        self.try_end(&request.id, receipt, at).await.map_err(|e| self.told(e))
    }
}
