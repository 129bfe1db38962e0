//! Marks in Postgres. Reading takes the connections of readers, since a list may be long and
//! those of alerts are two.

use async_trait::async_trait;
use tokio_postgres::{Row, types::Type};

use super::{PostgresStore, errors::Failure, session::Parameter};
use crate::{
    domain::{
        mark::{Mark, NewMark},
        time::Millis,
    },
    sink::{SinkError, SinkErrorKind},
    store::marks::{BY_KEY, INSERT, LIST, MadeMark, MarkLog, MarksAsked, REMOVE},
};

impl PostgresStore {
    async fn try_add_mark(&self, new: &NewMark) -> Result<MadeMark, Failure> {
        let NewMark { mark, key, made_at } = new;
        let session = self.changing().await?;
        self.still_ours(&session).await?;
        let parameters: [Parameter<'_>; 8] = [
            (&mark.id, Type::TEXT),
            (&mark.time, Type::INT8),
            (&mark.until, Type::INT8),
            (&mark.title, Type::TEXT),
            (&mark.source, Type::TEXT),
            (&mark.link, Type::TEXT),
            (key, Type::TEXT),
            (made_at, Type::INT8),
        ];
        let inserted = session.query(&format!("{INSERT} RETURNING 1"), &parameters).await?;
        let made = match inserted.is_empty() {
            false => MadeMark::New(mark.clone()),
            true => {
                let rows = session.query(BY_KEY, &[(key, Type::TEXT)]).await?;
                let known = rows.first().map(read).transpose()?;
                MadeMark::Known(known.ok_or_else(|| {
                    Failure::new(SinkErrorKind::Other, "two marks have the same id".to_owned())
                })?)
            }
        };
        session.run("COMMIT").await?;
        session.done();
        Ok(made)
    }

    async fn try_marks(&self, asked: MarksAsked) -> Result<Vec<Mark>, Failure> {
        let session = self.reader().await?;
        let parameters: [Parameter<'_>; 4] = [
            (&asked.from, Type::INT8),
            (&asked.to, Type::INT8),
            (&asked.earliest(), Type::INT8),
            (&(asked.limit as i64), Type::INT8),
        ];
        session.begin("READ ONLY").await?;
        let rows = session.query(LIST, &parameters).await?;
        session.run("COMMIT").await?;
        session.done();
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<Mark, Failure> {
    Ok(Mark {
        id: row.try_get(0)?,
        time: row.try_get(1)?,
        until: row.try_get(2)?,
        title: row.try_get(3)?,
        source: row.try_get(4)?,
        link: row.try_get(5)?,
    })
}

#[async_trait]
impl MarkLog for PostgresStore {
    async fn add_mark(&self, new: &NewMark) -> Result<MadeMark, SinkError> {
        self.try_add_mark(new).await.map_err(|e| self.told(e))
    }

    async fn remove_mark(
        &self,
        id: &str,
        (by, only_of): (&str, Option<&str>),
        now: Millis,
    ) -> Result<bool, SinkError> {
        let parameters: [Parameter<'_>; 4] =
            [(&id, Type::TEXT), (&now, Type::INT8), (&by, Type::TEXT), (&only_of, Type::TEXT)];
        Ok(self.change(REMOVE, &parameters).await.map_err(|e| self.told(e))? == 1)
    }

    async fn marks(&self, asked: MarksAsked) -> Result<Vec<Mark>, SinkError> {
        self.try_marks(asked).await.map_err(|e| self.told(e))
    }
}
