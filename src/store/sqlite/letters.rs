//! Dead letters in SQLite, for those who look at them and send them again.

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior, named_params, params};
use uuid::Uuid;

use super::{SqliteStore, with};
use crate::{
    domain::time::Millis,
    sink::SinkError,
    store::letters::{
        self, DeadLetters, EventWithId, LetterFilter, LetterGroup, LetterSample, LetterState,
        MAX_GROUPS, SAMPLE_CHARS, StoredLetter,
    },
};

/// The letters of a filter.
const MEANT: &str = "FROM dead_letters
    WHERE received_at >= :from AND received_at < :to
      AND (:code IS NULL OR code = :code) AND (:source IS NULL OR source = :source)
      AND (:key IS NULL OR write_key = :key)";
/// The event in the native format, as far as it is known.
const NATIVE: &str = "CASE WHEN event = '' THEN raw ELSE event END";

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn letter_groups(
        &self,
        filter: &LetterFilter,
        samples: usize,
    ) -> Result<Vec<LetterGroup>, SinkError> {
        let filter = filter.clone();
        with(&self.charts, move |conn| groups(conn, &filter, samples)).await
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: (Millis, Uuid),
        limit: usize,
    ) -> Result<Vec<StoredLetter>, SinkError> {
        let filter = filter.clone();
        with(&self.charts, move |conn| stored(conn, &filter, after, limit)).await
    }

    async fn mark_letters(
        &self,
        letters: &[Uuid],
        state: LetterState,
        at: Millis,
    ) -> Result<(), SinkError> {
        let letters = letters.to_vec();
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = "UPDATE dead_letters SET state = ?, state_at = ? WHERE letter = ?";
            for letter in letters {
                tx.prepare_cached(sql)?.execute(params![state.name(), at, letter.as_bytes()])?;
            }
            tx.commit()?;
            Ok(())
        })
        .await
    }

    async fn events_with_ids(
        &self,
        ids: &[String],
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EventWithId>, SinkError> {
        let ids = serde_json::to_string(ids).expect("texts always encode");
        with(&self.charts, move |conn| {
            let mut select = conn.prepare_cached(
                "SELECT id, type, source FROM events_near
                 WHERE last_second >= ?1 - 1000 AND first_second <= ?2 AND time BETWEEN ?1 AND ?2
                   AND id IN (SELECT value FROM json_each(?3))",
            )?;
            let rows = select.query_map(params![from, to, ids], |row| {
                let (id, kind) = (row.get(0)?, row.get(1)?);
                Ok(EventWithId { id, kind, source: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// See [`DeadLetters::letter_groups`].
fn groups(
    conn: &mut Connection,
    filter: &LetterFilter,
    samples: usize,
) -> Result<Vec<LetterGroup>, SinkError> {
    let LetterFilter { code, source, key, from, to } = filter;
    // Both reads are of one moment.
    let tx = conn.transaction()?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT code, source, write_key, sum(state <> 'sent'), sum(state = 'sent'),
                min(received_at), max(received_at)
         {MEANT} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5 DESC, 1, 2, 3 LIMIT {MAX_GROUPS}"
    ))?;
    let asked =
        named_params! {":from": from, ":to": to, ":code": code, ":source": source, ":key": key};
    let groups = select.query_map(asked, |row| {
        Ok(LetterGroup {
            code: row.get(0)?,
            source: row.get(1)?,
            key: row.get(2)?,
            waiting: row.get::<_, i64>(3)? as u64,
            sent: row.get::<_, i64>(4)? as u64,
            first: row.get(5)?,
            last: row.get(6)?,
            samples: Vec::new(),
        })
    })?;
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT code, source, write_key, received_at, message, dialect, text FROM (
             SELECT code, source, write_key, received_at, message, dialect,
                    substr({NATIVE}, 1, {SAMPLE_CHARS}) AS text,
                    row_number() OVER (PARTITION BY code, source, write_key
                                       ORDER BY received_at DESC, letter) AS place
             {MEANT} AND state <> 'sent')
         WHERE place <= {samples} ORDER BY received_at DESC"
    ))?;
    let asked =
        named_params! {":from": from, ":to": to, ":code": code, ":source": source, ":key": key};
    let samples = select.query_map(asked, |row| {
        let sample = LetterSample {
            received_at: row.get(3)?,
            message: row.get(4)?,
            dialect: row.get(5)?,
            text: row.get(6)?,
        };
        Ok(([row.get(0)?, row.get(1)?, row.get(2)?], sample))
    })?;
    Ok(letters::with_samples(groups, samples.collect::<Result<Vec<_>, _>>()?))
}

/// See [`DeadLetters::letters`].
fn stored(
    conn: &mut Connection,
    filter: &LetterFilter,
    (at, letter): (Millis, Uuid),
    limit: usize,
) -> Result<Vec<StoredLetter>, SinkError> {
    let LetterFilter { code, source, key, from, to } = filter;
    let mut select = conn.prepare_cached(&format!(
        "SELECT letter, received_at, {NATIVE}, cut, event_time, source, state = 'sending' {MEANT} AND state <> 'sent'
           AND (received_at, letter) > (:at, :letter)
         ORDER BY received_at, letter LIMIT :limit"
    ))?;
    let asked = named_params! {
        ":from": from, ":to": to, ":code": code, ":source": source, ":key": key,
        ":at": at, ":letter": letter.as_bytes(), ":limit": limit as i64,
    };
    let rows = select.query_map(asked, |row| {
        Ok(StoredLetter {
            letter: Uuid::from_bytes(row.get(0)?),
            received_at: row.get(1)?,
            event: row.get(2)?,
            cut: row.get(3)?,
            time: row.get(4)?,
            source: row.get(5)?,
            sending: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
