//! The wiring: one function that reads like the picture in DESIGN section 1, from the spool
//! outwards, and its reverse at shutdown.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, Addr, Arbiter};
use actix_cors::Cors;
use actix_web::{App, HttpServer, dev::ServerHandle, web};
use tokio::sync::{mpsc, oneshot};

use crate::{
    alert::{self, AlertActor, Lease, Notifier, Resign},
    broadcast::{self, LiveView},
    config::Config,
    counter::CounterActor,
    domain::{
        batch::LANES,
        time::{BusinessZone, now_ms},
    },
    http::{
        alerts, assets, auth::Keys, breakdown, current, history::History, ingest as intake,
        methods, ops, request_id, stream, timeseries,
    },
    ingest::{
        actor::{Begin, Drain, IngestActor, Parts},
        committer::Committer,
        dispatch::Dispatch,
    },
    live::{
        self,
        baseline::{BaselineReader, Baselines},
        redis::claims::Claims,
        writer::LiveWriter,
    },
    open_files,
    panics::Alarm,
    spool::{DataDir, IdWindow, Sink, Spool, SpoolOptions},
    store::{self, fold::Folder, writer::StoreWriter},
    telemetry::{health::Health, prometheus},
};

/// The share of `http.shutdown_timeout_ms` after which viewers that are still there are cut,
/// so that requests under way have the rest.
const VIEWERS_SHARE: f64 = 0.7;

/// Feed events that may wait for the broadcaster.
const FEED_CAPACITY: usize = 256;

/// A server that runs. Stop it with [`Running::stop`].
pub struct Running {
    /// Where it listens (with the port that was chosen for port 0).
    pub addr: SocketAddr,
    ingest: Addr<IngestActor>,
    viewers: broadcast::Viewers,
    watcher: Addr<AlertActor>,
    server: ServerHandle,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    shutdown_timeout: Duration,
    alarm: Alarm,
    /// Keeps the data dir's lock.
    _data_dir: DataDir,
}

/// Why it could not start: what failed, on what.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// In words.
    pub fn new(message: String) -> StartError {
        StartError(message)
    }
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> StartError + '_ {
    move |e| StartError(format!("{what}: {e}"))
}

/// Starts everything. Call it on an actix system.
///
/// # Errors
/// The data dir is in use or can't be written, the address is taken, the store can't be
/// opened. A Postgres or Redis that is down is no error: they are tried again.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let zone = BusinessZone::named(&config.timezone).map_err(failed("timezone"))?;
    if let Err(message) = open_files::raise(&config) {
        tracing::warn!("{message}");
    }
    let metrics = prometheus::start().map_err(failed("metrics"))?;
    let listener = TcpListener::bind(&config.listen)
        .map_err(failed(&format!("can't listen on {}", config.listen)))?;
    let addr = listener.local_addr().map_err(failed("listen"))?;
    let health = Health::default();
    let alarm = Alarm::default();
    let now = now_ms();

    // The log in the middle.
    let data_dir = DataDir::open(&config.data_dir).map_err(failed("data dir"))?;
    let node = data_dir.node();
    let options = SpoolOptions {
        dir: data_dir.spool_dir(),
        node,
        segment_bytes: config.spool.segment_bytes,
        max_bytes: config.spool.max_bytes,
    };
    let ids = IdWindow {
        window_ms: config.dedupe.window_s as i64 * 1000,
        max_ids: config.dedupe.max_ids,
    };
    let opened = Spool::open(options, ids, now).map_err(failed("spool"))?;
    for finding in data_dir.report().iter().chain(&opened.recovery.report) {
        tracing::warn!(finding, "spool recovery");
    }
    let spool = opened.spool;

    // The fan-out, which the live side feeds.
    let (feed, follow) = mpsc::channel(FEED_CAPACITY);
    let settings = broadcast::Settings::new(&config, zone.clone());
    let viewers = broadcast::start(settings, follow, &alarm);
    let view = viewers.view().clone();
    let counted = spool.clone();
    view.watch_lag(config.stream.behind_after_ms as i64, move || counted.lag(Sink::Live).oldest_ms);

    // The two sinks.
    let store = store::open(&config).await.map_err(failed("store"))?;
    let baselines = Baselines::new(zone.clone(), now);
    let live = live::open(&config, store.clone(), zone.clone(), feed, now)
        .await
        .map_err(failed("live"))?;

    // The actors: one thread for intake, one for each sink's writers.
    let intake_thread = Arbiter::new();
    let store_thread = Arbiter::new();
    let live_thread = Arbiter::new();

    let counter = CounterActor {
        live: live.clone(),
        broadcaster: viewers.counted(),
        window: config.live.active_window_s as i64 * 1000,
        zone: zone.clone(),
    };
    let counter = CounterActor::start_in_arbiter(&live_thread.handle(), |_| counter);

    // Behind the store: the ledger becomes rollups, and these the baselines.
    let folder = Folder::new(store.clone(), health.clone(), &config);
    Folder::start_in_arbiter(&store_thread.handle(), |_| folder);
    let reader = BaselineReader::new(baselines.clone(), store.clone(), &config.retry);
    BaselineReader::start_in_arbiter(&store_thread.handle(), |_| reader);
    let history = History { store: store.clone(), baselines: baselines.clone() };

    // Alerts: evaluated by one node, shown by all.
    let rules = config.rules.alerts.clone();
    let lease = Lease::new(&config, live.clone(), store.clone());
    let alert_thread = Arbiter::new();
    let notifier = {
        let (store, rules, leading) = (store.clone(), rules.clone(), lease.leading().clone());
        let notify = config.notify.clone();
        Notifier::start_in_arbiter(&alert_thread.handle(), move |_| {
            Notifier::new(store, rules, leading, notify)
        })
    };
    let watcher = alert::Parts {
        rules,
        measures: config.rules.measures.clone(),
        view: view.clone(),
        baselines,
        store: store.clone(),
        lease,
        notifier,
        alerts: view.alerts().clone(),
        currency: config.currency.clone(),
    };
    let watcher =
        AlertActor::start_in_arbiter(&alert_thread.handle(), |_| AlertActor::new(watcher));

    let (ingest_tx, ingest_rx) = oneshot::channel();
    let parts = {
        let (spool, health, retry) = (spool.clone(), health.clone(), config.retry.clone());
        let (recovery, watch) = (opened.recovery, alarm.watch("the ingest actor"));
        move |ingest: &Addr<IngestActor>| {
            let stores = (0..LANES).map(|_| {
                let writer = StoreWriter {
                    store: store.clone(),
                    spool: spool.clone(),
                    settled: ingest.clone().recipient(),
                    health: health.clone(),
                    retry: retry.clone(),
                };
                StoreWriter::start_in_arbiter(&store_thread.handle(), |_| writer).recipient()
            });
            let lives = (0..LANES).map(|_| {
                let writer = LiveWriter {
                    live: live.clone(),
                    store: store.clone(),
                    spool: spool.clone(),
                    counter: counter.clone(),
                    settled: ingest.clone().recipient(),
                    health: health.clone(),
                    retry: retry.clone(),
                    rests_at: None,
                };
                LiveWriter::start_in_arbiter(&live_thread.handle(), |_| writer).recipient()
            });
            let sinks = [
                Dispatch::new(Sink::Store, stores.collect()),
                Dispatch::new(Sink::Live, lives.collect()),
            ];
            Parts { node, spool, recovery, sinks, health, watch }
        }
    };
    let ingest_config = config.clone();
    let ingest = IngestActor::start_in_arbiter(&intake_thread.handle(), move |ctx| {
        use actix::AsyncContext;
        ctx.set_mailbox_capacity(ingest_config.ingest.queue_requests);
        let _ = ingest_tx.send(());
        IngestActor::new(&ingest_config, parts(&ctx.address()))
    });
    ingest_rx.await.map_err(failed("ingest actor"))?;
    let cursor_interval = Duration::from_millis(config.spool.cursor_interval_ms);
    let committer = Committer::start(
        opened.writer,
        ingest.clone().recipient(),
        cursor_interval,
        alarm.watch("the committer"),
    )
    .map_err(failed("committer thread"))?;
    ingest.do_send(Begin(committer));
    let claims = match config.dedupe.shared {
        false => None,
        true => {
            let claims = Claims::new(&config, node, health.clone()).map_err(failed("redis"))?;
            Some(Arc::new(claims))
        }
    };
    if let Some(claims) = claims.clone() {
        tokio::spawn(claims.register(ingest.clone()));
    }

    // The door.
    let intake_state = intake::Intake::new(&config, ingest.clone().recipient(), claims);
    let server =
        serve(&config, listener, intake_state, &viewers, health, spool, view, history, metrics)
            .map_err(failed("HTTP server"))?;
    let handle = server.handle();
    Ok(Running {
        addr,
        ingest,
        viewers,
        watcher,
        server: handle,
        serving: tokio::task::spawn_local(server),
        shutdown_timeout: Duration::from_millis(config.http.shutdown_timeout_ms),
        alarm,
        _data_dir: data_dir,
    })
}

#[allow(clippy::too_many_arguments)] // called once, from the wiring
fn serve(
    config: &Config,
    listener: TcpListener,
    intake_state: intake::Intake,
    viewers: &broadcast::Viewers,
    health: Health,
    spool: Spool,
    view: LiveView,
    history: History,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> std::io::Result<actix_web::dev::Server> {
    let keys = Keys::new(&config.auth);
    let for_workers = intake_state.clone();
    let intake_state = web::Data::new(intake_state);
    let ops_state = web::Data::new(ops::Ops {
        health,
        spool,
        view: view.clone(),
        metrics,
        keys: keys.clone(),
        unready_lag_ms: config.spool.unready_lag_s as i64 * 1000,
    });
    let keys = web::Data::new(keys);
    let view = web::Data::new(view);
    let viewers = web::Data::new(viewers.clone());
    let history = web::Data::new(history);
    let app = move || {
        App::new()
            .app_data(intake_state.clone())
            .app_data(web::Data::new(for_workers.hand_over()))
            .app_data(ops_state.clone())
            .app_data(keys.clone())
            .app_data(view.clone())
            .app_data(viewers.clone())
            .app_data(history.clone())
            .wrap(actix_web::middleware::from_fn(request_id::layer))
            .service(
                web::scope("/v1")
                    // Any page may send events; none may read the answer's cookies (there are
                    // none).
                    .wrap(Cors::default().allow_any_origin().allow_any_header().allow_any_method())
                    .wrap(actix_web::middleware::from_fn(stream::never_a_viewer))
                    .configure(intake::routes),
            )
            .configure(stream::routes)
            .service(
                web::scope("")
                    .wrap(actix_web::middleware::Compress::default())
                    .configure(current::routes)
                    .configure(timeseries::routes)
                    .configure(alerts::routes)
                    .configure(breakdown::routes)
                    .configure(ops::routes)
                    .configure(assets::routes),
            )
            .default_service(web::to(methods::not_found))
    };
    let workers = match config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .on_connect(broadcast::on_connect)
        .h1_write_buffer_size(broadcast::WRITE_BUFFER_BYTES)
        .keep_alive(Duration::from_millis(config.http.keep_alive_ms))
        .client_request_timeout(Duration::from_millis(config.http.header_timeout_ms))
        // actix's limit is a worker's.
        .max_connections(config.http.max_connections.div_ceil(workers))
        .shutdown_timeout(config.http.shutdown_timeout_ms.div_ceil(1000))
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// How long connections are still accepted once it is time to stop: those that clients opened
/// before that wait in the kernel's queue.
const ACCEPTS_FOR: Duration = Duration::from_millis(100);

impl Running {
    /// Waits until a part has panicked that the process can't do without; says which. It is
    /// time to [`Running::stop`] then.
    pub async fn broken(&self) -> StartError {
        let part = self.alarm.raised().await;
        StartError(format!(
            "{part} panicked, and what it held in memory can't be trusted; all that was \
             answered 202 is on disk, and the next start takes up from there"
        ))
    }

    /// Stops in the order in which nothing is lost: no new connection and no new viewer is
    /// accepted, viewers are told (1001) and let go, requests that were begun get their
    /// answer, what is open is sealed, and both sinks get what they can take before the
    /// deadline. What they could not take stays in the spool for the next start. Viewers and
    /// requests have `http.shutdown_timeout_ms` together, the sinks as much again.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let timeout = self.shutdown_timeout;
        let serving_until = tokio::time::Instant::now() + timeout;
        // A connection that the kernel has taken but actix has not would be reset.
        tokio::time::sleep(ACCEPTS_FOR).await;
        self.server.pause().await;
        // Another node may lead from now on.
        let _ = tokio::time::timeout(timeout, self.watcher.send(Resign)).await;
        let cut = self.viewers.shutdown(timeout.mul_f64(VIEWERS_SHARE)).await;
        if cut > 0 {
            tracing::warn!(viewers = cut, "cut: they did not take their Close in time");
        }
        // What viewers that have ended still have to read is written out meanwhile.
        if tokio::time::timeout_at(serving_until, self.server.stop(true)).await.is_err() {
            tracing::warn!("connections that stayed were cut");
        }
        let _ = tokio::time::timeout_at(serving_until, self.serving).await;
        let (done, drained) = oneshot::channel();
        // After a panic there may be nobody left to answer, or to take anything.
        if self.alarm.raised_by().is_none() {
            self.ingest.do_send(Drain(done));
            if tokio::time::timeout(timeout, drained).await.is_err() {
                tracing::warn!(
                    "the sinks are behind: the rest stays in the spool until the next start"
                );
            }
        }
        let (done, closed) = oneshot::channel();
        self.ingest.do_send(crate::ingest::actor::Close(done));
        let _ = tokio::time::timeout(timeout, closed).await;
        tracing::info!("stopped");
    }
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
