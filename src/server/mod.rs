//! A whole server, from the configuration to a process that listens.
//!
//! [`start`] puts the parts together in the order in which an event meets them. Each part is
//! started by a short function in a file of its own:
//!
//! | file | what it starts |
//! | --- | --- |
//! | [`storage`] | what is on disk or on another server: the data dir, the spool, the store, the live side |
//! | [`pipeline`] | the actors that bring events from HTTP to the spool and to both sinks |
//! | [`watching`] | the readers of numbers: rollups, baselines, alerts |
//! | [`service`] | the HTTP server, on the listeners of [`listener`] |
//!
//! [`Running::stop`] takes them apart in the reverse order.

mod clocks;
mod counters;
#[cfg(test)]
mod documented;
mod listener;
mod memory;
mod pipeline;
mod presence;
mod replica;
mod service;
mod stop;
mod storage;
#[cfg(test)]
mod tests;
mod watching;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::Addr;
use actix_web::dev::ServerHandle;

use crate::{
    access::SharedBook,
    alert::AlertActor,
    broadcast::Viewers,
    config::Config,
    http::{login::OidcProvider, visitor},
    ingest::actor::IngestActor,
    open_files,
    panics::{self, Alarm},
    reload::Reloader,
    spool::{DataDir, Spool},
    store::StoreInfo,
    telemetry::{
        health::Health,
        otlp::{self, OtlpExport},
        prometheus,
    },
    trust,
};

use listener::Listeners;
use presence::Presence;
pub use stop::Stopped;
use storage::Storage;

/// A running server. Stop it with [`Running::stop`].
pub struct Running {
    /// The address that it listens on. Where port 0 was asked for, this has the port that was
    /// chosen.
    pub addr: SocketAddr,
    /// The address of `http.ops_listen`, where there is one.
    pub ops_addr: Option<SocketAddr>,
    /// Whether clients have to speak TLS.
    pub speaks_tls: bool,
    ingest: Addr<IngestActor>,
    viewers: Viewers,
    alerts: Addr<AlertActor>,
    reloader: Reloader,
    server: ServerHandle,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    drain_time: Duration,
    shutdown_timeout: Duration,
    health: Health,
    spool: Spool,
    alarm: Alarm,
    store: Arc<dyn StoreInfo>,
    presence: Option<Presence>,
    otlp: Option<OtlpExport>,
    /// Keeps the lock of the data dir for as long as the server runs.
    _data_dir: DataDir,
}

/// Why the server could not start, or why it had to stop, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// The error with these words.
    pub fn new(message: String) -> StartError {
        StartError(message)
    }
}

/// Fails where other machines reach the server and nobody says who may send or read. A node that does
/// not know yet whom the store names starts, and lets nobody in whom the configuration does not name.
fn refuse_open_door(config: &Config, book: &SharedBook) -> Result<(), StartError> {
    let Some(book) = book.current() else { return Ok(()) };
    let stored = (book.stored().sends_closed, book.stored().views_closed);
    config.unlocked(stored).map_or(Ok(()), |words| Err(StartError(words)))
}

/// Makes an error of the name of what failed and the reason.
fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> StartError + '_ {
    move |e| StartError(format!("{what}: {e}"))
}

/// Does work in the background for as long as the server runs, also after a panic.
fn hold<W: Future<Output = ()> + 'static>(part: &'static str, work: impl FnMut() -> W + 'static) {
    tokio::task::spawn_local(panics::lasting(part, work));
}

/// Looks at the store's clock and its replica for as long as the process runs.
fn watch_store(config: &Config, storage: &Storage) {
    hold(clocks::PART, {
        let (info, health) = (storage.stores.info.clone(), storage.health.clone());
        move || clocks::watch(info.clone(), health.clone())
    });
    if !config.postgres.read_url.is_empty() {
        let (info, health) = (storage.stores.info.clone(), storage.health.clone());
        hold(replica::PART, move || replica::watch(info.clone(), health.clone()));
    }
}

/// Starts a server. It has to be called on an actix system.
///
/// # Errors
/// The data dir is in use or can't be written, the address is taken, or the store can't be
/// opened. A Postgres or Redis that is down is no error: the server keeps trying.
pub async fn start(mut config: Config) -> Result<Running, StartError> {
    trust::use_ring();
    let as_written = config.clone();
    match open_files::fit(&mut config) {
        Ok(None) => {}
        Ok(Some(became)) => tracing::info!("{became}"),
        Err(message) => tracing::warn!("{message}"),
    }
    let exporter = prometheus::start().map_err(failed("metrics"))?;
    counters::show_all();
    hold("metrics", {
        let exporter = exporter.clone();
        move || prometheus::upkeep(exporter.clone())
    });
    memory::announce(&config).map_err(StartError::new)?;
    // The addresses are taken first: a server that can't listen must not touch the data dir.
    let listeners = Listeners::bind(&config)?;
    let (addr, ops_addr, speaks_tls) = (listeners.addr, listeners.ops_addr, listeners.speaks_tls());
    let provider = OidcProvider::of(&config.oidc).map_err(StartError::new)?;
    let alarm = Alarm::default();

    let (storage, spool_log, viewers) = Storage::open(&config, &alarm).await?;
    let otlp = otlp::start(&config.otlp, &storage.node.to_string(), exporter.clone())
        .map_err(StartError::new)?;
    refuse_open_door(&config, storage.access.book())?;
    hold("access", {
        let (access, health) = (storage.access.clone(), storage.health.clone());
        move || access.clone().follow(health.clone())
    });
    let watching = watching::start(&config, &storage);
    let reloader = Reloader::new(as_written, watching.rules);
    hold("salts", visitor::forget_past_days);
    watch_store(&config, &storage);
    let pipeline = pipeline::start(&config, &storage, spool_log, &viewers, &alarm)?;
    let server = service::start(
        &config,
        listeners,
        service::RouteState {
            pipeline: &pipeline,
            storage: &storage,
            viewers: &viewers,
            series: watching.series,
            past: watching.past,
            moments: watching.moments,
            marks: watching.marks,
            effects: watching.effects,
            explainer: watching.explainer,
            provider,
            exporter,
            reloader: reloader.clone(),
        },
    )
    .map_err(failed("HTTP server"))?;
    Ok(Running {
        addr,
        ops_addr,
        speaks_tls,
        ingest: pipeline.ingest,
        viewers,
        alerts: watching.alerts,
        reloader,
        server: server.handle(),
        serving: tokio::task::spawn_local(server),
        drain_time: Duration::from_millis(config.http.drain_ms),
        shutdown_timeout: Duration::from_millis(config.http.shutdown_timeout_ms),
        presence: storage
            .stores
            .nodes
            .map(|nodes| Presence::start(nodes, storage.node, addr, storage.spool.clone())),
        otlp,
        health: storage.health,
        spool: storage.spool,
        alarm,
        store: storage.stores.info,
        _data_dir: storage.data_dir,
    })
}
