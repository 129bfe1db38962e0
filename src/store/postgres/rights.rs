//! Whether this user may do all that serving needs. It is found out in a transaction that is rolled
//! back, so `floodmark check` leaves nothing behind, in an empty database neither.

use super::{errors::Failure, schema, session::Session};
use crate::{
    domain::time::{clock_apart, now_ms},
    sink::SinkErrorKind,
};

/// What a server does with each table. The tables of what only commands write (`forgotten`, `forget_work`) are
/// not here.
const NEEDED: &[(&str, &[&str])] = &[
    ("events", &["SELECT", "INSERT"]),
    ("dead_letters", &["SELECT", "INSERT"]),
    ("orders", &["SELECT", "INSERT", "UPDATE"]),
    ("order_events", &["SELECT", "INSERT"]),
    ("imported_ids", &["SELECT", "INSERT"]),
    ("ledger", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("chain", &["SELECT", "INSERT", "UPDATE"]),
    ("ledger_heads", &["SELECT", "INSERT", "UPDATE"]),
    ("rollups", &["SELECT", "INSERT", "UPDATE"]),
    ("breakdown_rollups", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("removed_rows", &["SELECT", "INSERT", "UPDATE"]),
    ("store_sizes", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("sketch_rollups", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("rebuilt_days", &["SELECT"]),
    ("archive_files", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("history_forgotten", &["SELECT", "INSERT", "UPDATE"]),
    ("spared_minutes", &["SELECT", "INSERT", "DELETE"]),
    ("schema_minutes", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("schema_hours", &["SELECT", "INSERT", "UPDATE"]),
    ("schema_properties", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("fold_heads", &["SELECT", "INSERT", "UPDATE"]),
    ("alerts", &["SELECT", "INSERT", "UPDATE"]),
    ("notifications", &["SELECT", "INSERT", "UPDATE"]),
    ("marks", &["SELECT", "INSERT", "UPDATE"]),
    ("leases", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("missing_batches", &["SELECT", "INSERT"]),
    ("installation", &["SELECT"]),
    ("access_head", &["SELECT", "UPDATE"]),
    ("access_identities", &["SELECT", "INSERT", "UPDATE"]),
    ("access_audit", &["SELECT", "INSERT"]),
];
/// What the first server of an installation needs besides.
const NEEDED_AT_FIRST: &str = "('installation', 'INSERT'), ('installation', 'UPDATE')";

/// Tries what serving needs, in a transaction that the caller rolls back. Returns what an operator
/// should know although the server would run.
///
/// # Errors
/// [`SinkErrorKind::Denied`] with the rights that are missing; or the schema is another version's.
pub(super) async fn try_all(session: &Session) -> Result<Vec<String>, Failure> {
    let asked_at = now_ms();
    let clock = session.clock().await?;
    let apart = clock_apart(clock - (asked_at + now_ms()) / 2);
    schema::rehearse(session).await?;
    let missing = missing(session).await?;
    if !missing.is_empty() {
        let why = format!("this user lacks rights: {};", missing.join("; "));
        return Err(Failure::new(SinkErrorKind::Denied, why));
    }
    let mut doubts = Vec::new();
    doubts.extend(
        apart.map(|apart| format!("its clock is {apart} that of this machine: set both by NTP")),
    );
    let may_make = "SELECT (has_schema_privilege(current_schema(), 'CREATE') AND
        pg_has_role(relowner, 'USAGE'))::text FROM pg_class WHERE oid = 'events'::regclass";
    if session.rows(may_make).await?[0][0].as_deref() != Some("true") {
        doubts.push(
            "this user can't make partitions of the table events: make them beforehand, or all \
             events go to events_default"
                .to_owned(),
        );
    }
    Ok(doubts)
}

/// What gives this user the rights that it lacks, as statements for the owner of the tables.
async fn missing(session: &Session) -> Result<Vec<String>, Failure> {
    let pairs = NEEDED.iter().flat_map(|(table, rights)| {
        rights.iter().map(move |right| format!("('{table}', '{right}')"))
    });
    let mut pairs: Vec<String> = pairs.collect();
    let may_look = session.rows("SELECT has_table_privilege('installation', 'SELECT')").await?;
    if may_look[0][0].as_deref() == Some("t")
        && number(session, "(SELECT count(*) FROM installation)").await? == 0
    {
        pairs.push(NEEDED_AT_FIRST.to_owned());
    }
    let sql = format!(
        "SELECT format('GRANT %s ON %I TO %I', string_agg(kind, ', '), name, current_user)
         FROM (VALUES {}) AS needed (name, kind)
         WHERE NOT has_table_privilege(name, kind) GROUP BY name ORDER BY name",
        pairs.join(", ")
    );
    Ok(session.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

async fn number(session: &Session, expression: &str) -> Result<i64, Failure> {
    let rows = session.rows(&format!("SELECT ({expression})::bigint")).await?;
    Ok(rows[0][0].as_deref().and_then(|text| text.parse().ok()).unwrap_or_default())
}
