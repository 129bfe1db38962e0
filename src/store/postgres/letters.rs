//! Dead letters in Postgres, for those who look at them and send them again.

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use super::{PostgresStore, errors::Failure, session::Parameter};
use crate::{
    domain::time::Millis,
    sink::SinkError,
    store::letters::{
        self, DeadLetters, EventWithId, LetterFilter, LetterGroup, LetterSample, LetterState,
        MAX_GROUPS, SAMPLE_CHARS, StoredLetter,
    },
};

/// The letters of a filter, whose parameters are the first five.
const MEANT: &str = "FROM dead_letters
    WHERE received_at >= timestamptz 'epoch' + $1 * interval '1 ms'
      AND received_at < timestamptz 'epoch' + $2 * interval '1 ms'
      AND ($3::text IS NULL OR code = $3) AND ($4::text IS NULL OR source = $4)
      AND ($5::text IS NULL OR write_key = $5)";
/// When a letter was received, Unix ms.
const RECEIVED: &str = "(extract(epoch FROM received_at) * 1000)::int8";
/// The event in the native format, as far as it is known.
const NATIVE: &str = "CASE WHEN event = '' THEN raw ELSE event END";

fn parameters(filter: &LetterFilter) -> [Parameter<'_>; 5] {
    [
        (&filter.from, Type::INT8),
        (&filter.to, Type::INT8),
        (&filter.code, Type::TEXT),
        (&filter.source, Type::TEXT),
        (&filter.key, Type::TEXT),
    ]
}

impl PostgresStore {
    async fn try_letter_groups(
        &self,
        filter: &LetterFilter,
        samples: usize,
    ) -> Result<Vec<LetterGroup>, Failure> {
        let sql = format!(
            "SELECT code, source, write_key, count(*) FILTER (WHERE state <> 'sent'),
                    count(*) FILTER (WHERE state = 'sent'),
                    (extract(epoch FROM min(received_at)) * 1000)::int8,
                    (extract(epoch FROM max(received_at)) * 1000)::int8
             {MEANT} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5 DESC, 1, 2, 3 LIMIT {MAX_GROUPS}"
        );
        let rows = self.read(&sql, &parameters(filter)).await?;
        let group = |row: &Row| -> Result<LetterGroup, Failure> {
            Ok(LetterGroup {
                code: row.try_get(0)?,
                source: row.try_get(1)?,
                key: row.try_get(2)?,
                waiting: row.try_get::<_, i64>(3)? as u64,
                sent: row.try_get::<_, i64>(4)? as u64,
                first: row.try_get(5)?,
                last: row.try_get(6)?,
                samples: Vec::new(),
            })
        };
        let groups = rows.iter().map(group).collect::<Result<Vec<_>, _>>()?;
        if samples == 0 || groups.is_empty() {
            return Ok(groups);
        }
        let sql = format!(
            "SELECT code, source, write_key, received, message, dialect, text FROM (
                 SELECT code, source, write_key, {RECEIVED} AS received, message, dialect,
                        left({NATIVE}, {SAMPLE_CHARS}) AS text,
                        row_number() OVER (PARTITION BY code, source, write_key
                                           ORDER BY received_at DESC, letter) AS place
                 {MEANT} AND state <> 'sent') AS placed
             WHERE place <= {samples} ORDER BY received DESC"
        );
        let rows = self.read(&sql, &parameters(filter)).await?;
        let sample = |row: &Row| -> Result<([String; 3], LetterSample), Failure> {
            let sample = LetterSample {
                received_at: row.try_get(3)?,
                message: row.try_get(4)?,
                dialect: row.try_get(5)?,
                text: row.try_get(6)?,
            };
            Ok(([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?], sample))
        };
        let samples = rows.iter().map(sample).collect::<Result<Vec<_>, _>>()?;
        Ok(letters::with_samples(groups, samples))
    }

    async fn try_letters(
        &self,
        filter: &LetterFilter,
        (at, letter): (Millis, Uuid),
        limit: usize,
    ) -> Result<Vec<StoredLetter>, Failure> {
        let sql = format!(
            "SELECT letter, {RECEIVED}, {NATIVE}, cut, event_time, source, state = 'sending' {MEANT} AND state <> 'sent'
               AND (received_at, letter) > (timestamptz 'epoch' + $6 * interval '1 ms', $7)
             ORDER BY received_at, letter LIMIT $8"
        );
        let limit = limit as i64;
        let mut all = parameters(filter).to_vec();
        all.extend([(&at as _, Type::INT8), (&letter as _, Type::UUID), (&limit as _, Type::INT8)]);
        let rows = self.read(&sql, &all).await?;
        let stored = |row: &Row| -> Result<StoredLetter, Failure> {
            Ok(StoredLetter {
                letter: row.try_get(0)?,
                received_at: row.try_get(1)?,
                event: row.try_get(2)?,
                cut: row.try_get(3)?,
                time: row.try_get(4)?,
                source: row.try_get(5)?,
                sending: row.try_get(6)?,
            })
        };
        rows.iter().map(stored).collect()
    }

    async fn try_events_with_ids(
        &self,
        ids: &[String],
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EventWithId>, Failure> {
        let sql = "SELECT id, type, source FROM events
                   WHERE time >= timestamptz 'epoch' + $1 * interval '1 ms'
                     AND time <= timestamptz 'epoch' + $2 * interval '1 ms' AND id = ANY($3)";
        let parameters: [Parameter<'_>; 3] =
            [(&from, Type::INT8), (&to, Type::INT8), (&ids, Type::TEXT_ARRAY)];
        let rows = self.read(sql, &parameters).await?;
        let found = |row: &Row| -> Result<EventWithId, Failure> {
            let (id, kind) = (row.try_get(0)?, row.try_get(1)?);
            Ok(EventWithId { id, kind, source: row.try_get(2)? })
        };
        rows.iter().map(found).collect()
    }
}

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn letter_groups(
        &self,
        filter: &LetterFilter,
        samples: usize,
    ) -> Result<Vec<LetterGroup>, SinkError> {
        self.try_letter_groups(filter, samples).await.map_err(|e| self.told(e))
    }

    async fn letters(
        &self,
        filter: &LetterFilter,
        after: (Millis, Uuid),
        limit: usize,
    ) -> Result<Vec<StoredLetter>, SinkError> {
        self.try_letters(filter, after, limit).await.map_err(|e| self.told(e))
    }

    async fn mark_letters(
        &self,
        letters: &[Uuid],
        state: LetterState,
        at: Millis,
    ) -> Result<(), SinkError> {
        let state = state.name();
        let parameters: [Parameter<'_>; 3] =
            [(&letters, Type::UUID_ARRAY), (&state, Type::TEXT), (&at, Type::INT8)];
        let sql = "UPDATE dead_letters SET state = $2, state_at = $3 WHERE letter = ANY($1)";
        self.change(sql, &parameters).await.map(drop).map_err(|e| self.told(e))
    }

    async fn events_with_ids(
        &self,
        ids: &[String],
        from: Millis,
        to: Millis,
    ) -> Result<Vec<EventWithId>, SinkError> {
        self.try_events_with_ids(ids, from, to).await.map_err(|e| self.told(e))
    }
}
