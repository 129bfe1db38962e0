//! Marks in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, TransactionBehavior, params};

use super::{SqliteStore, alerts::numbered, with};
use crate::{
    domain::{
        mark::{Mark, NewMark},
        time::Millis,
    },
    sink::SinkError,
    store::marks::{BY_KEY, INSERT, LIST, MadeMark, MarkLog, MarksAsked, REMOVE},
};

#[async_trait]
impl MarkLog for SqliteStore {
    async fn add_mark(&self, new: &NewMark) -> Result<MadeMark, SinkError> {
        let NewMark { mark, key, made_at } = new.clone();
        with(&self.writer, move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let row = params![
                mark.id,
                mark.time,
                mark.until,
                mark.title,
                mark.source,
                mark.link,
                key,
                made_at
            ];
            let made = match tx.prepare_cached(&numbered(INSERT))?.execute(row)? {
                1 => MadeMark::New(mark),
                _ => MadeMark::Known(
                    tx.prepare_cached(&numbered(BY_KEY))?.query_row(params![key], read)?,
                ),
            };
            tx.commit()?;
            Ok(made)
        })
        .await
    }

    async fn remove_mark(
        &self,
        id: &str,
        (by, only_of): (&str, Option<&str>),
        now: Millis,
    ) -> Result<bool, SinkError> {
        let (id, by, only_of) = (id.to_owned(), by.to_owned(), only_of.map(str::to_owned));
        with(&self.writer, move |conn| {
            let mut remove = conn.prepare_cached(&numbered(REMOVE))?;
            Ok(remove.execute(params![id, now, by, only_of])? == 1)
        })
        .await
    }

    async fn marks(&self, asked: MarksAsked) -> Result<Vec<Mark>, SinkError> {
        with(&self.reader, move |conn| {
            let mut select = conn.prepare_cached(&numbered(LIST))?;
            let which = params![asked.from, asked.to, asked.earliest(), asked.limit as i64];
            let rows = select.query_map(which, read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Mark> {
    Ok(Mark {
        id: row.get(0)?,
        time: row.get(1)?,
        until: row.get(2)?,
        title: row.get(3)?,
        source: row.get(4)?,
        link: row.get(5)?,
    })
}
