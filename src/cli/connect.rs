//! Opens the stores that a configuration names, for commands that talk to them without running a
//! server.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    archive,
    config::Config,
    domain::time::{BusinessZone, now_ms},
    live,
    sink::{Installation, SinkError, SinkErrorKind},
    spool::DataDir,
    store::{
        self, Stores,
        postgres::PostgresStore,
        rollup::remake::{Remade, RemakeAsked},
        sqlite,
    },
    trust,
};

/// The store: PostgreSQL where `postgres.url` is set, else SQLite in the data dir.
pub async fn stores(config: &Config) -> Result<Stores, String> {
    // A command for a server may run anywhere, so no data dir says which installation it is of.
    // The client of S3 asks for it, as a server does when it starts.
    trust::use_ring();
    let opened = match config.postgres.url.is_empty() {
        true => store::open(config).await,
        false => store::open_as(config, Arc::new(Installation::of_command(config))).await,
    };
    archive::attach(opened.map_err(|e| e.to_string())?, &config.archive)
}

/// Brings the store's schema up to date. Returns in words what was done.
pub async fn migrate(config: &Config) -> Result<String, String> {
    let store = stores(config).await?.info;
    store.check().await.map_err(|e| e.to_string())?;
    let migrated = store.migrate().await.map_err(|e| e.to_string())?;
    let done = match migrated.applied.is_empty() {
        true => "the schema was up to date already".to_owned(),
        false => format!("applied {}", migrated.applied.join(", ")),
    };
    Ok(format!("{}: {done}{}", store.name(), migrated.beside()))
}

/// Tries what [`migrate`] would apply, and leaves nothing of it. Returns in words what that is.
pub async fn rehearse(config: &Config) -> Result<String, String> {
    let (store, pending) = match config.postgres.url.is_empty() {
        true => ("sqlite", sqlite::pending(&config.data_dir)),
        false => {
            let installation = Arc::new(Installation::of_command(config));
            let store = PostgresStore::open(&config.postgres, installation);
            ("postgres", async { store?.pending().await }.await)
        }
    };
    let pending = pending.map_err(|e| e.to_string())?;
    let found = match pending.applied.is_empty() {
        true => "the schema is up to date".to_owned(),
        false => format!("would apply {}; tried, and taken back", pending.applied.join(", ")),
    };
    Ok(format!("{store}: {found}{}", pending.beside()))
}

/// Counts the live counters again from the ledger. With `change_settings`, the time zone and the
/// Redis prefix become those of this configuration; without, it is an error where they differ.
/// Returns in words what was done.
pub async fn rebuild(config: &Config, change_settings: bool) -> Result<String, String> {
    let zone = BusinessZone::named(&config.timezone)?;
    // A server that runs on this data dir counts in its process, by the settings that it started with.
    let _held = match config.postgres.url.is_empty() && change_settings {
        true => Some(DataDir::open(&config.data_dir).map_err(|e| e.to_string())?),
        false => None,
    };
    let stores = stores(config).await?;
    let words = |e: SinkError| e.to_string();
    if !change_settings {
        stores.info.claim().await.map_err(words)?;
    }
    // In this order: a server that still runs with the old time zone refuses to count from the moment
    // at which Redis has the new one, and one that starts refuses from the moment at which the store
    // has it. Where this ends in between, no server starts until it was run again.
    stores.info.change_terms().await.map_err(words)?;
    if config.redis.urls.is_empty() {
        return Ok(format!(
            "the store has the time zone {}; the counters live in the server's process, which counts \
             them anew from the ledger at each start",
            config.timezone
        ));
    }
    live::rebuild(config, &stores, zone).await.map_err(words)?;
    Ok(format!(
        "the counters in Redis are what the ledger says, by days of the time zone {}",
        config.timezone
    ))
}

/// Makes the rollups of a day (`2026-11-26`, of the business zone) anew from its events. Returns in words what
/// was done.
pub async fn remake(config: &Config, day: &str) -> Result<String, String> {
    let zone = BusinessZone::named(&config.timezone)?;
    let named = zone.day_named(day);
    let of = named.ok_or_else(|| format!("--rollups: {day:?} is no date such as 2026-11-26"))?;
    if of.end > now_ms() {
        return Err(format!("--rollups: {day} is not over yet"));
    }
    let stores = stores(config).await?;
    let words = |e: SinkError| e.to_string();
    stores.info.claim().await.map_err(words)?;
    let asked = RemakeAsked {
        from: of.start,
        to: of.end,
        metric_set: config.rules.metric_set.clone(),
        max_types: config.live.max_event_types,
        archived: stores.archived.clone().map(|it| it as _),
    };
    let work = store::rollup::remake::remake(&stores, &asked);
    let remade = match config.archive.url.is_empty() {
        true => work.await,
        // Rows of the day must not move while it is added up.
        false => {
            let (list, retention) = (&*stores.archive, &*stores.retention);
            let alone =
                store::archive::alone(list, retention, &Uuid::new_v4().to_string(), work).await;
            alone.map_err(words)?.ok_or_else(|| {
                let busy = "another process moves or removes rows at the moment; try again";
                SinkError::new(SinkErrorKind::Other, busy)
            })
        }
    };
    let Remade { events, sums, breakdowns, sketches } = remade.map_err(words)?;
    Ok(format!(
        "the rollups of {day} are what its {events} events say: {sums} sums by minute, {breakdowns} \
         summaries of breakdowns, {sketches} sketches"
    ))
}
