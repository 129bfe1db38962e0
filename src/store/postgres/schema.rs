//! Migrations of the schema. The crate refinery embeds them, but it applies them over several
//! transactions. Two nodes that start at once need a lock around all of them, and behind
//! PgBouncer in transaction mode a lock lasts no longer than a transaction. So they are applied
//! here, all in one transaction under a transaction's lock. The history is kept in refinery's own
//! table, so that refinery's command line still works on the database.

use refinery::Migration;

use crate::sink::SinkErrorKind;
use crate::store::{
    later::{self, Migrated},
    postgres::{errors::Failure, session::Session},
};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// The number that `pg_advisory_xact_lock` locks, so that changes of the schema, new partitions
/// included, happen one after the other over all nodes. It is "floodmrk" in ASCII.
pub(super) const LOCK: i64 = 0x666c_6f6f_646d_726b;

/// The table in which refinery keeps what was applied.
const HISTORY: &str = "refinery_schema_history";

/// Brings the schema up to date. Where it is up to date already, nothing is written and no lock is taken,
/// so that a read-only server passes too.
pub(super) async fn migrate(session: &Session) -> Result<Migrated, Failure> {
    let mut wanted = embedded::migrations::runner().get_migrations().clone();
    wanted.sort();
    session.begin("").await?;
    let outcome = match look(session, &wanted).await {
        Ok(SchemaLook { missing, later }) if missing.is_empty() => {
            Ok(Migrated { applied: vec![], later })
        }
        Ok(SchemaLook { later, .. }) => {
            apply(session, &wanted, "applying").await.map(|applied| Migrated { applied, later })
        }
        Err(e) => Err(e),
    };
    let migrated = outcome?;
    session.run("COMMIT").await?;
    Ok(migrated)
}

/// Applies what is missing in the transaction that is open, for a caller that rolls it back, and says
/// what that is. A server that runs on the database is not held up for long: a lock that is not free
/// soon ends the attempt.
pub(super) async fn rehearse(session: &Session) -> Result<Migrated, Failure> {
    let mut wanted = embedded::migrations::runner().get_migrations().clone();
    wanted.sort();
    let SchemaLook { missing, later } = look(session, &wanted).await?;
    if missing.is_empty() {
        return Ok(Migrated { applied: Vec::new(), later });
    }
    session.run("SET LOCAL lock_timeout = '3s'").await?;
    let applied = apply(session, &wanted, "trying").await?;
    Ok(Migrated { applied, later })
}

/// Applies what is missing, under the lock. `doing` says in the log what that is.
async fn apply(
    session: &Session,
    wanted: &[Migration],
    doing: &str,
) -> Result<Vec<String>, Failure> {
    let mut applied = Vec::new();
    session.run(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    // Look again: another node may have applied them while this one waited for the lock.
    for migration in look(session, wanted).await?.missing {
        tracing::info!("Postgres: {doing} migration {migration}");
        applied.push(migration.to_string());
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
    Ok(applied)
}

/// An SQL expression that says whether a table of this name is there. It reads the catalogue
/// instead of calling `to_regclass`, which answers from a cache that may not know yet what
/// another session committed while we waited for its lock.
pub(super) fn exists(table: &str) -> String {
    format!("EXISTS (SELECT FROM pg_class WHERE relname = '{table}' AND pg_table_is_visible(oid))")
}

/// How the migrations of the database differ from those of this version.
struct SchemaLook<'a> {
    /// Those that the database does not have yet, in order.
    missing: Vec<&'a Migration>,
    /// The names of those of later versions.
    later: Vec<String>,
}

/// Compares the migrations of the database with these.
///
/// # Errors
/// The database has a migration that this version does not have and can't work beside, or has with
/// other contents. Or its encoding is not UTF8.
async fn look<'a>(session: &Session, wanted: &'a [Migration]) -> Result<SchemaLook<'a>, Failure> {
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
    let mut later = Vec::new();
    if field(0) != Some("t") {
        return Ok(SchemaLook { missing, later });
    }
    let newest = wanted.last().map_or(0, |it| i64::from(it.version()));
    let applied = session.rows(&format!("SELECT version, name, checksum FROM {HISTORY}")).await?;
    for row in applied {
        let [Some(version), Some(name), Some(checksum)] = &row[..] else {
            continue;
        };
        let same = |it: &Migration| {
            it.version().to_string() == *version && it.checksum().to_string() == *checksum
        };
        if !wanted.iter().any(same) {
            let version = version.parse().unwrap_or_default();
            later.push(later::judge(version, name, newest).map_err(refused)?);
        }
        missing.retain(|it| !same(it));
    }
    later::in_order(missing.first().copied(), &later).map_err(refused)?;
    Ok(SchemaLook { missing, later })
}

fn refused(why: String) -> Failure {
    Failure::new(SinkErrorKind::Schema, format!("the database: {why}"))
}
