//! The HTTP server: its routes, and the limits of its connections.

use std::{net::TcpListener, time::Duration};

use actix_web::{HttpServer, dev::Server, middleware::from_fn, web};
use metrics_exporter_prometheus::PrometheusHandle;

use super::{pipeline::Pipeline, storage::Storage};
use crate::{
    broadcast::{self, Viewers},
    config::Config,
    http::{
        alerts, assets, breakdown,
        client::ProxyNetworks,
        collect::Intake,
        connections::Connections,
        current,
        dead_letters::{self, LetterReader},
        dialect,
        observed::{self, RefusalLog},
        ops, request_id,
        scope::{self, Guards, Scopes},
        stream, timeseries,
    },
    numbers::TimeSeries,
};

/// The parts of the server that the routes work with.
pub struct RouteState<'a> {
    /// Takes events.
    pub pipeline: &'a Pipeline,
    /// Has the mirror, and the state that `/readyz` reports.
    pub storage: &'a Storage,
    /// The fan-out to viewers.
    pub viewers: &'a Viewers,
    /// Answers queries for time series.
    pub series: TimeSeries,
    /// Renders `/metrics`.
    pub exporter: PrometheusHandle,
}

/// Starts the server on a listener that is bound already.
pub fn start(
    config: &Config,
    listener: TcpListener,
    state: RouteState<'_>,
) -> std::io::Result<Server> {
    let intake = Intake::new(
        config,
        state.pipeline.ingest.clone().recipient(),
        state.pipeline.claims.clone(),
    );
    let for_workers = intake.clone();
    let intake = web::Data::new(intake);
    let guards = Guards::new(config);
    observed::show_all();
    let refusals = web::Data::new(RefusalLog::new(ProxyNetworks::new(&config.http)));
    let ops = web::Data::new(ops::Ops {
        health: state.storage.health.clone(),
        spool: state.storage.spool.clone(),
        mirror: state.storage.mirror.clone(),
        metrics: state.exporter,
        unready_lag_ms: config.spool.unready_lag_s as i64 * 1000,
    });
    let mirror = web::Data::new(state.storage.mirror.clone());
    let viewers = web::Data::new(state.viewers.clone());
    let series = web::Data::new(state.series);
    let letters = web::Data::new(LetterReader(state.storage.stores.letters.clone()));
    let app = move || {
        scope::app(guards.clone(), routes)
            .app_data(intake.clone())
            // This is made anew for each worker: workers share nothing when they hand requests
            // over, so that they never wait for each other.
            .app_data(web::Data::new(for_workers.hand_over()))
            .app_data(ops.clone())
            .app_data(refusals.clone())
            .app_data(mirror.clone())
            .app_data(viewers.clone())
            .app_data(series.clone())
            .app_data(letters.clone())
            .wrap(from_fn(request_id::layer))
    };
    let workers = match config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let connections = Connections::new(config);
    let server = HttpServer::new(app)
        .workers(workers)
        .on_connect(move |io, data| connections.on_connect(io, data))
        .h1_write_buffer_size(broadcast::WRITE_BUFFER_BYTES)
        .keep_alive(Duration::from_millis(config.http.keep_alive_ms))
        .client_request_timeout(Duration::from_millis(config.http.header_timeout_ms))
        // actix counts the connections of each worker by itself.
        .max_connections(config.http.max_connections.div_ceil(workers))
        .shutdown_timeout(config.http.shutdown_timeout_ms.div_ceil(1000))
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// All routes, each in the scope that says who may call it.
fn routes(scopes: &mut Scopes<'_>) {
    let Scopes { collect, view, open } = scopes;
    dialect::for_each(collect);
    stream::routes(view);
    current::routes(view);
    timeseries::routes(view);
    alerts::routes(view);
    dead_letters::routes(view);
    breakdown::routes(view);
    ops::routes(open, view);
    assets::routes(open);
}
