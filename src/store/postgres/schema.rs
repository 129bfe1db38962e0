//! Migrations. refinery embeds them and keeps their history table, but applies them over
//! several transactions, which leaves no place for a lock that PgBouncer's transaction mode
//! knows. So they are applied here, all in one transaction under a transaction lock, into
//! refinery's own table: its command line still works on the database.

use refinery::Migration;

use crate::sink::SinkErrorKind;
use crate::store::postgres::{errors::Failure, session::Session};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// What `pg_advisory_xact_lock` locks: changes of the schema, partitions included, go one
/// after the other over all nodes. "floodmrk" in ASCII.
pub(super) const LOCK: i64 = 0x666c_6f6f_646d_726b;

const HISTORY: &str = "refinery_schema_history";

/// Brings the schema up to date. Where it is already, nothing is written, so that a
/// read-only server passes.
pub(super) async fn migrate(session: &Session) -> Result<(), Failure> {
    let mut wanted = embedded::migrations::runner().get_migrations().clone();
    wanted.sort();
    session.begin("").await?;
    let outcome = match missing(session, &wanted).await {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(_) => apply(session, &wanted).await,
        Err(e) => Err(e),
    };
    outcome?;
    session.run("COMMIT").await
}

async fn apply(session: &Session, wanted: &[Migration]) -> Result<(), Failure> {
    session.run(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // Another node may have been quicker.
    for migration in missing(session, wanted).await? {
        tracing::info!("Postgres: applying migration {migration}");
        let sql = migration.sql().expect("an embedded migration has its text");
        session.run(sql).await?;
        session
            .run(&format!(
                "CREATE TABLE IF NOT EXISTS {HISTORY} (version int4 PRIMARY KEY,
                     name varchar(255), applied_on varchar(255), checksum varchar(255));
                 INSERT INTO {HISTORY} VALUES ({}, '{}', '{}', '{}')",
                migration.version(),
                migration.name(),
                jiff::Timestamp::now(),
                migration.checksum(),
            ))
            .await?;
    }
    Ok(())
}

/// SQL: whether a table of this name is there. Not `to_regclass`, which answers from a
/// cache that may not have heard of what another session committed while we waited for its
/// lock.
pub(super) fn exists(table: &str) -> String {
    format!("EXISTS (SELECT FROM pg_class WHERE relname = '{table}' AND pg_table_is_visible(oid))")
}

/// The migrations that the database does not have. One that it has and we don't, or have
/// otherwise, is another version's database: an error.
async fn missing<'a>(
    session: &Session,
    wanted: &'a [Migration],
) -> Result<Vec<&'a Migration>, Failure> {
    let found = session
        .rows(&format!("SELECT {}, current_setting('server_encoding')", exists(HISTORY)))
        .await?;
    let field = |i: usize| found.first().and_then(|row| row.get(i)?.as_deref());
    if field(1) != Some("UTF8") {
        return Err(Failure::new(
            SinkErrorKind::Schema,
            format!(
                "the database's encoding is {}, and only UTF8 holds every event: \
                 create it with ENCODING 'UTF8' TEMPLATE template0",
                field(1).unwrap_or("unknown")
            ),
        ));
    }
    let mut missing: Vec<&Migration> = wanted.iter().collect();
    if field(0) != Some("t") {
        return Ok(missing);
    }
    let applied = session.rows(&format!("SELECT version, name, checksum FROM {HISTORY}")).await?;
    for row in applied {
        let [Some(version), Some(name), Some(checksum)] = &row[..] else {
            continue;
        };
        let same = |it: &Migration| {
            it.version().to_string() == *version && it.checksum().to_string() == *checksum
        };
        if !wanted.iter().any(same) {
            return Err(Failure::new(
                SinkErrorKind::Schema,
                format!(
                    "the database has migration V{version}__{name}, which this version of \
                     Floodmark does not have: run the version that made it, or a newer one"
                ),
            ));
        }
        missing.retain(|it| !same(it));
    }
    Ok(missing)
}
