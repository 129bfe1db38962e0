//! Who has access, in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{SqliteStore, alerts::numbered, with};
use crate::{
    domain::access::{AccessChange, AuditEntry, StoredBook},
    sink::SinkError,
    store::access::{
        self, AUDIT, AccessStore, DOORS, HEAD, IDENTITIES, MOVE_ON, NOTE, PUT, VERSION, number_of,
    },
};

#[async_trait]
impl AccessStore for SqliteStore {
    async fn access_version(&self) -> Result<i64, SinkError> {
        with(&self.reader, |conn| {
            Ok(conn.prepare_cached(VERSION)?.query_row([], |row| row.get(0))?)
        })
        .await
    }

    async fn access_doors(&self) -> Result<(bool, bool), SinkError> {
        with(&self.reader, |conn| doors(conn)).await
    }

    async fn access_book(&self) -> Result<StoredBook, SinkError> {
        with(&self.reader, book).await
    }

    async fn change_access(&self, change: &AccessChange) -> Result<bool, SinkError> {
        let change = change.clone();
        with(&self.writer, move |conn| write(conn, &change)).await
    }

    async fn access_audit(&self, before: i64, limit: usize) -> Result<Vec<AuditEntry>, SinkError> {
        with(&self.reader, move |conn| {
            let mut select = conn.prepare_cached(&numbered(AUDIT))?;
            let mut rows = select.query(params![before, limit as i64])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(access::read(&row.get::<_, String>(0)?)?);
            }
            Ok(found)
        })
        .await
    }
}

/// See [`AccessStore::access_doors`].
pub(super) fn doors(conn: &Connection) -> Result<(bool, bool), SinkError> {
    let there = "SELECT count(*) FROM sqlite_master WHERE name = 'access_head'";
    if conn.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok((false, false));
    }
    Ok(conn.query_row(DOORS, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn book(conn: &mut Connection) -> Result<StoredBook, SinkError> {
    // Head and identities come from one transaction, so that they are of one version.
    let tx = conn.transaction()?;
    let mut book = tx.prepare_cached(HEAD)?.query_row([], |row| {
        Ok(StoredBook {
            version: row.get(0)?,
            session_key: row.get(1)?,
            sends_closed: row.get(2)?,
            views_closed: row.get(3)?,
            last_number: row.get(4)?,
            identities: Vec::new(),
        })
    })?;
    let mut select = tx.prepare_cached(IDENTITIES)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        book.identities.push(access::read(&row.get::<_, String>(0)?)?);
    }
    book.identities = access::in_order(book.identities);
    Ok(book)
}

fn write(conn: &mut Connection, change: &AccessChange) -> Result<bool, SinkError> {
    // Dropped without a commit, the transaction rolls back.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let head = params![change.from, change.closes_sends, change.closes_views, number_of(change)];
    if tx.prepare_cached(&numbered(MOVE_ON))?.execute(head)? != 1 {
        return Ok(false);
    }
    let identity = &change.identity;
    tx.prepare_cached(&numbered(PUT))?.execute(params![
        identity.id,
        identity.kind_name(),
        identity.name,
        access::body(identity),
        identity.revoked_at,
    ])?;
    let audit = &change.audit;
    let row = params![audit.version, audit.at, access::body(audit)];
    tx.prepare_cached(&numbered(NOTE))?.execute(row)?;
    tx.commit()?;
    Ok(true)
}
