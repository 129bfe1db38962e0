//! What `floodmark check` asks of Postgres: whether it takes all writes, and whether its settings are
//! such that what it takes stays.

use super::{PostgresStore, alerts, errors::Failure, rights, rollups, schema, session::Session};
use crate::{
    domain::{batch::LANES, time::Millis},
    sink::{Looked, SinkError, SinkErrorKind},
    store::{StoreTotals, later::Migrated},
};

/// The oldest major version that its makers still mend.
const LEAST_MAJOR: i64 = 14;
/// Connections that one node may open: the pools of [`PostgresStore`].
const NODE_CONNECTIONS: i64 =
    (LANES as usize + super::READERS + 1 + rollups::CHARTS + alerts::CONNECTIONS) as i64;
/// Less than this (MB) makes checkpoints follow on each other at a few ten thousand events a second.
const LEAST_WAL_MB: i64 = 512;

/// Settings that must not have a value: name, value, what follows and what to do.
const HARMFUL: &[(&str, &str, &str)] = &[
    ("fsync", "off", "a crash of its machine can destroy the whole database; set fsync = on"),
    (
        "full_page_writes",
        "off",
        "a crash of its machine can tear pages of the database; set full_page_writes = on",
    ),
    (
        "synchronous_commit",
        "off",
        "a crash loses the last commits; nodes send them again for as long as they keep them \
         (spool.keep_s), and only if they are told of the crash by an older answer; set \
         synchronous_commit = on, or local for this user",
    ),
    (
        "autovacuum",
        "off",
        "the tables ledger and rollups are updated all the time and will grow without end; set \
         autovacuum = on",
    ),
];

impl PostgresStore {
    /// The ledger's events are those of the rows that are there and of the rows that were dropped
    /// once they had been folded.
    pub(super) async fn try_totals(&self) -> Result<StoreTotals, Failure> {
        let session = self.reader().await?;
        session.begin("READ ONLY").await?;
        let rows = session
            .rows(
                "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dead_letters),
                        (SELECT coalesce(sum(events), 0) FROM ledger)
                            + (SELECT coalesce(sum(dropped), 0) FROM fold_heads)",
            )
            .await?;
        session.run("COMMIT").await?;
        session.done();
        let count = |i: usize| rows[0][i].as_deref().and_then(|text| text.parse().ok());
        Ok(StoreTotals {
            events: count(0).unwrap_or_default(),
            dead_letters: count(1).unwrap_or_default(),
            ledger_events: count(2).unwrap_or_default(),
        })
    }

    /// Asks the server whether it would take all writes, and leaves none behind. The transaction has
    /// no mode, so that it shows the database's own default.
    pub(super) async fn try_check(&self) -> Result<Looked, Failure> {
        let session = self.readers.get().await?;
        session.begin("").await?;
        let rows = session
            .rows("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
            .await?;
        let told = |i: usize| rows[0][i].as_deref().unwrap_or_default();
        let why = match (told(0), told(1)) {
            ("t", _) => "it is a standby, and takes no writes",
            (_, "on") => "default_transaction_read_only is on, it takes no writes",
            _ => {
                let mut doubts = rights::try_all(&session).await?;
                self.compare_if_there(&session).await?;
                let (version, settings) = settings(&session).await?;
                doubts.extend(settings);
                session.run("ROLLBACK").await?;
                session.done();
                return Ok(Looked { version, doubts });
            }
        };
        Err(Failure::new(SinkErrorKind::ReadOnly, why))
    }

    /// The migrations that the schema lacks; each was tried, and taken back.
    ///
    /// # Errors
    /// One of them can't be applied, or the server can't be reached.
    pub async fn pending(&self) -> Result<Migrated, SinkError> {
        self.try_pending().await.map_err(|e| self.told(e))
    }

    async fn try_pending(&self) -> Result<Migrated, Failure> {
        let session = self.readers.get().await?;
        session.begin("").await?;
        let applied = schema::rehearse(&session).await?;
        session.run("ROLLBACK").await?;
        session.done();
        Ok(applied)
    }

    /// The clock of the server, Unix ms.
    pub(super) async fn try_clock(&self) -> Result<Millis, Failure> {
        let session = self.readers.get().await?;
        session.begin("READ ONLY").await?;
        let now = session.clock().await?;
        session.run("COMMIT").await?;
        session.done();
        Ok(now)
    }
}

/// The server's version, and what there is to say about its settings.
async fn settings(session: &Session) -> Result<(String, Vec<String>), Failure> {
    let named: Vec<String> = HARMFUL.iter().map(|(name, ..)| format!("'{name}'")).collect();
    let sql = format!(
        "SELECT current_setting('server_version'), current_setting('server_version_num'),
                current_setting('max_connections'),
                current_setting('superuser_reserved_connections'),
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                (SELECT setting FROM pg_settings WHERE name = 'max_wal_size'),
                (SELECT string_agg(name || '=' || setting, ' ') FROM pg_settings
                 WHERE name IN ({}))",
        named.join(", ")
    );
    let rows = session.rows(&sql).await?;
    let text = |i: usize| rows[0][i].as_deref().unwrap_or_default();
    let number = |i: usize| text(i).parse::<i64>().unwrap_or_default();
    let version = text(0).split(' ').next().unwrap_or_default().to_owned();
    let mut doubts = Vec::new();
    if number(1) / 10_000 < LEAST_MAJOR {
        doubts.push(format!(
            "version {version} gets no security fixes any more: move to {LEAST_MAJOR} or newer"
        ));
    }
    let free = number(2) - number(3) - number(4);
    if free < NODE_CONNECTIONS {
        doubts.push(format!(
            "a node may open {NODE_CONNECTIONS} connections, and {} are in use of the {} that \
             max_connections allows: raise it, or put PgBouncer between (pool_mode = transaction)",
            number(4),
            number(2)
        ));
    }
    if number(5) < LEAST_WAL_MB {
        doubts.push(format!(
            "max_wal_size is {} MB, so checkpoints follow on each other under load: set it to 1GB \
             or more",
            number(5)
        ));
    }
    let set =
        |name: &str, value: &str| text(6).split(' ').any(|it| it == format!("{name}={value}"));
    let harmful = HARMFUL.iter().filter(|(name, value, _)| set(name, value));
    doubts.extend(harmful.map(|(name, value, why)| format!("{name} is {value}: {why}")));
    Ok((version, doubts))
}
