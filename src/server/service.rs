//! The HTTP server: which routes there are, and the limits of their connections.

use std::{net::TcpListener, time::Duration};

use actix_cors::Cors;
use actix_web::{
    App, HttpServer,
    dev::Server,
    middleware::{Compress, from_fn},
    web,
};
use metrics_exporter_prometheus::PrometheusHandle;

use super::{pipeline::Pipeline, storage::Storage};
use crate::{
    broadcast::{self, Viewers},
    config::Config,
    http::{
        alerts, assets,
        auth::Keys,
        breakdown, current,
        ingest::{self, Intake},
        methods, ops, request_id, stream, timeseries,
    },
    numbers::TimeSeries,
};

/// What the routes work with.
pub struct Parts<'a> {
    /// Where events go.
    pub pipeline: &'a Pipeline,
    /// Whose state `/readyz` tells.
    pub storage: &'a Storage,
    /// Who watches.
    pub viewers: &'a Viewers,
    /// Answers charts.
    pub series: TimeSeries,
    /// Renders `/metrics`.
    pub exporter: PrometheusHandle,
}

/// Starts the server on a listener that is bound already.
pub fn start(config: &Config, listener: TcpListener, parts: Parts<'_>) -> std::io::Result<Server> {
    let intake = Intake::new(
        config,
        parts.pipeline.ingest.clone().recipient(),
        parts.pipeline.claims.clone(),
    );
    let for_workers = intake.clone();
    let intake = web::Data::new(intake);
    let keys = Keys::new(&config.auth);
    let ops = web::Data::new(ops::Ops {
        health: parts.storage.health.clone(),
        spool: parts.storage.spool.clone(),
        mirror: parts.storage.mirror.clone(),
        metrics: parts.exporter,
        keys: keys.clone(),
        unready_lag_ms: config.spool.unready_lag_s as i64 * 1000,
    });
    let keys = web::Data::new(keys);
    let mirror = web::Data::new(parts.storage.mirror.clone());
    let viewers = web::Data::new(parts.viewers.clone());
    let series = web::Data::new(parts.series);
    let app = move || {
        App::new()
            .app_data(intake.clone())
            // A worker hands requests over by itself: it shares nothing with the others.
            .app_data(web::Data::new(for_workers.hand_over()))
            .app_data(ops.clone())
            .app_data(keys.clone())
            .app_data(mirror.clone())
            .app_data(viewers.clone())
            .app_data(series.clone())
            .wrap(from_fn(request_id::layer))
            .configure(routes)
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
        // actix counts the connections of each worker by itself.
        .max_connections(config.http.max_connections.div_ceil(workers))
        .shutdown_timeout(config.http.shutdown_timeout_ms.div_ceil(1000))
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// All routes.
fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::scope("/v1")
                // Any page may send events; none may read the answer's cookies (there are none).
                .wrap(Cors::default().allow_any_origin().allow_any_header().allow_any_method())
                .wrap(from_fn(stream::never_a_viewer))
                .configure(ingest::routes),
        )
        .configure(stream::routes)
        .service(
            web::scope("")
                .wrap(Compress::default())
                .configure(current::routes)
                .configure(timeseries::routes)
                .configure(alerts::routes)
                .configure(breakdown::routes)
                .configure(ops::routes)
                .configure(assets::routes),
        )
        .default_service(web::to(methods::not_found));
}
