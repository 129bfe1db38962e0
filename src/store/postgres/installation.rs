//! Which installation the database belongs to. A node looks before it migrates anything, and each
//! write looks again in its transaction: another database may answer behind the same address, also
//! behind a pooler, which says nothing of that to its clients.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{PostgresStore, errors::Failure, schema::exists, session::Session};
use crate::{
    sink::{Installation, Terms},
    store::postgres::schema,
};

/// What messages call the database.
const PLACE: &str = "this database";

/// The condition under which a statement may change something: the database is still that of
/// installation `id`.
pub(super) fn is_still(id: Uuid) -> String {
    format!("(SELECT id FROM installation) = '{id}'")
}

impl PostgresStore {
    /// Brings the schema up to date and writes the row of the installation where there is none, but
    /// only in a database that does not belong to somebody else.
    pub(super) async fn take_up(&self, session: &Session) -> Result<(), Failure> {
        let there = session.rows(&format!("SELECT {}", exists("installation"))).await?;
        if there[0][0].as_deref() == Some("t") {
            self.compare(session).await?;
        }
        schema::migrate(session).await?;
        self.claim(session).await
    }

    /// Fails where the database is another installation's, or has other settings; for `check`, after
    /// which nothing of the installation is there that was not there before.
    pub(super) async fn compare_if_there(&self, session: &Session) -> Result<(), Failure> {
        self.compare(session).await.map(drop)
    }

    /// Compares the row, if there is one, with what this node knows.
    async fn compare(&self, session: &Session) -> Result<bool, Failure> {
        compare_with(&self.installation, session).await
    }

    /// Writes what the row lacks, and compares it with what this node knows.
    async fn claim(&self, session: &Session) -> Result<(), Failure> {
        // The usual case writes nothing, so that a read-only server passes.
        if self.compare(session).await? {
            return Ok(());
        }
        let Installation { terms, .. } = &*self.installation;
        session.begin("ISOLATION LEVEL READ COMMITTED").await?;
        if kept(session).await?.is_none() {
            let id = self.installation.offer();
            let sql = "INSERT INTO installation (id, zone, currency, redis_prefix)
                       VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            session
                .query(
                    sql,
                    &[
                        (&id, Type::UUID),
                        (&terms.zone, Type::TEXT),
                        (&terms.currency, Type::TEXT),
                        (&terms.redis_prefix, Type::TEXT),
                    ],
                )
                .await?;
        }
        // The first node that counts in Redis says where.
        let sql = "UPDATE installation SET redis_prefix = $1 WHERE redis_prefix = ''";
        session.query(sql, &[(&terms.redis_prefix, Type::TEXT)]).await?;
        session.run("COMMIT").await?;
        self.compare(session).await?;
        Ok(())
    }

    /// Fails where the database is another's by now. To be called where a guarded statement changed
    /// nothing, or in the transaction of one that has no guard.
    pub(super) async fn still_ours(&self, session: &Session) -> Result<(), Failure> {
        match kept(session).await? {
            Some((id, _)) => _ = self.installation.settle(Some(id), PLACE)?,
            // Emptied since this process looked: the next attempt takes it up again.
            None => {
                let why = "the table `installation` is empty";
                return Err(Failure::new(crate::sink::SinkErrorKind::Schema, why));
            }
        }
        Ok(())
    }

    /// Puts this node's terms in the place of those that are kept, for `floodmark rebuild`. The
    /// currency stays: sums in one currency don't become sums in another.
    pub(super) async fn try_change_terms(&self) -> Result<(), Failure> {
        let session = self.writers.get().await?;
        schema::migrate(&session).await?;
        if let Some((id, kept)) = kept(&session).await? {
            self.installation.settle(Some(id), PLACE)?;
            let Terms { zone, redis_prefix, .. } = self.installation.terms.clone();
            // All else may differ: that is what the command is for.
            let own = &self.installation.terms;
            Terms { currency: own.currency.clone(), ..kept.clone() }.agree(&kept, PLACE)?;
            session
                .query(
                    "UPDATE installation SET zone = $1, redis_prefix = $2",
                    &[(&zone, Type::TEXT), (&redis_prefix, Type::TEXT)],
                )
                .await?;
        }
        self.claim(&session).await?;
        session.done();
        Ok(())
    }
}

/// Compares the row with an installation. Returns whether there is one that needs no change.
pub(super) async fn compare_with(
    installation: &Installation,
    session: &Session,
) -> Result<bool, Failure> {
    let Some((id, terms)) = kept(session).await? else { return Ok(false) };
    installation.settle(Some(id), PLACE)?;
    installation.terms.agree(&terms, PLACE)?;
    Ok(terms.redis_prefix == installation.terms.redis_prefix)
}

/// The row; `None` where there is none yet.
async fn kept(session: &Session) -> Result<Option<(Uuid, Terms)>, Failure> {
    let sql = "SELECT id, zone, currency, redis_prefix FROM installation";
    let rows = session.query(sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let terms =
        Terms { zone: row.try_get(1)?, currency: row.try_get(2)?, redis_prefix: row.try_get(3)? };
    Ok(Some((row.try_get(0)?, terms)))
}
