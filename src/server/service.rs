//! The HTTP server: its listeners, their routes, and the limits of their connections.

use std::{rc::Rc, time::Duration};

use actix_http::{HttpService, error::DispatchError};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service,
    map_config,
};
use actix_web::{
    App,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use metrics_exporter_prometheus::PrometheusHandle;

use super::{listener::Listeners, pipeline::Pipeline, storage::Storage};
use crate::{
    broadcast::{self, Viewers},
    causes::Explainer,
    config::Config,
    domain::occasion::Occasions,
    http::{
        access,
        access_log::AccessLog,
        alerts,
        answer::WatchedBody,
        assets,
        auth::{ViewerGuard, WriteKeys},
        books::{self, BookReader},
        breakdown, breakdowns,
        client::ProxyNetworks,
        collect::{Intake, import::ImportDesk},
        connections::Connections,
        current,
        dead_letters::{self, LetterReader},
        dialect,
        events::{self, SingleEvents},
        explain,
        export::{self, ExportPlaces},
        login::{self, OidcProvider, Reception},
        mark_webhooks, marks, moment,
        observed::{self, RefusalLog},
        occasions, openapi, operated, ops, pace, request_id,
        schema::{self, SchemaReader},
        scope::{self, Guards, Scopes},
        stream, timeseries,
        tls::Tls,
        tracker,
    },
    numbers::{MarkDesk, MarkEffects, Mirror, PaceReader, Past, PastMoments, TimeSeries},
    reload::Reloader,
};

/// How long a connection that was told to close may stay.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// Asks the store for what was before.
    pub past: Past,
    /// Answers what was true at moments of the past.
    pub moments: PastMoments,
    /// Makes and reads marks.
    pub marks: MarkDesk,
    /// Says what marks have done.
    pub effects: MarkEffects,
    /// Finds out why a metric has changed.
    pub explainer: Explainer,
    /// Where users sign in, besides here.
    pub provider: Option<OidcProvider>,
    /// Renders `/metrics`.
    pub exporter: PrometheusHandle,
    /// Reads the configuration again.
    pub reloader: Reloader,
}

/// Starts the server on listeners that are bound already.
pub fn start(
    config: &Config,
    listeners: Listeners,
    state: RouteState<'_>,
) -> std::io::Result<Server> {
    let workers = match config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let builder = Server::build()
        .workers(workers)
        // actix counts the connections of each worker by itself.
        .max_concurrent_connections(config.http.max_connections.div_ceil(workers))
        .shutdown_timeout(config.http.shutdown_timeout_ms.div_ceil(1000))
        .disable_signals();
    let shared = Shared::new(config, state, &builder);
    let (tls, ops_tls) = (listeners.tls.clone(), listeners.ops_tls());
    let (for_ops, routes) = match listeners.ops {
        Some(_) => (shared.clone(), routes_beside_ops as Hang),
        None => (shared.clone(), routes as Hang),
    };
    let mut builder = builder
        .listen("http", listeners.public, move || shared.connections(tls.clone(), routes))?;
    if let Some(ops) = listeners.ops {
        let hang = ops_routes as Hang;
        builder = builder.listen("ops", ops, move || for_ops.connections(ops_tls.clone(), hang))?;
    }
    Ok(builder.run())
}

/// Hangs the routes of one listener.
type Hang = fn(&mut Scopes<'_>);

/// What all workers and both listeners share.
#[derive(Clone)]
struct Shared {
    guards: Guards,
    viewer_guard: ViewerGuard,
    reception: Reception,
    intake: Intake,
    ops: ops::Ops,
    refusals: web::Data<RefusalLog>,
    access_log: web::Data<AccessLog>,
    mirror: Mirror,
    viewers: Viewers,
    series: web::Data<TimeSeries>,
    past: web::Data<Past>,
    moments: web::Data<PastMoments>,
    occasions: web::Data<Occasions>,
    pace: web::Data<PaceReader>,
    letters: LetterReader,
    single_events: SingleEvents,
    export_places: ExportPlaces,
    schemas: SchemaReader,
    books: BookReader,
    marks: MarkDesk,
    effects: MarkEffects,
    explainer: web::Data<Explainer>,
    reloader: web::Data<Reloader>,
    connections: Connections,
    stops: GracefulShutdownSignal,
    keep_alive: Duration,
    header_timeout: Duration,
}

impl Shared {
    fn new(config: &Config, state: RouteState<'_>, builder: &ServerBuilder) -> Shared {
        observed::show_all();
        let (pipeline, book) = (state.pipeline, state.storage.access.book());
        let keys = WriteKeys::new(config, book.clone());
        Shared {
            guards: Guards::new(config, book.clone()),
            viewer_guard: ViewerGuard::new(config, book.clone()),
            reception: Reception::new(config, state.storage.access.clone(), state.provider),
            intake: Intake::new(
                config,
                keys.clone(),
                pipeline.ingest.clone().recipient(),
                pipeline.claims.clone(),
            )
            .with_imports(ImportDesk::new(
                config,
                state.storage.stores.imported.clone(),
                state.storage.stores.nodes.clone(),
                state.storage.node,
                pipeline.ingest.clone().recipient(),
            )),
            ops: ops::Ops {
                health: state.storage.health.clone(),
                spool: state.storage.spool.clone(),
                keys,
                mirror: state.storage.mirror.clone(),
                proxies: ProxyNetworks::new(&config.http),
                metrics: state.exporter,
                unready_lag_ms: config.spool.unready_lag_s as i64 * 1000,
            },
            refusals: web::Data::new(RefusalLog::new(ProxyNetworks::new(&config.http))),
            access_log: web::Data::new(AccessLog::new(config)),
            mirror: state.storage.mirror.clone(),
            viewers: state.viewers.clone(),
            pace: web::Data::new(PaceReader::new(
                (config.rules.targets.clone(), config.rules.occasions.clone()),
                state.storage.mirror.clone(),
                state.series.clone(),
                state.past.clone(),
            )),
            series: web::Data::new(state.series),
            past: web::Data::new(state.past),
            moments: web::Data::new(state.moments),
            occasions: web::Data::new(config.rules.occasions.clone()),
            letters: LetterReader(state.storage.stores.letters.clone()),
            single_events: SingleEvents(
                state.storage.stores.events.clone(),
                state.storage.stores.retention.clone(),
            ),
            export_places: ExportPlaces::default(),
            schemas: SchemaReader(state.storage.stores.schemas.clone()),
            books: BookReader::new(state.storage.stores.books.clone(), config.currency.clone()),
            marks: state.marks,
            effects: state.effects,
            explainer: web::Data::new(state.explainer),
            reloader: web::Data::new(state.reloader),
            connections: Connections::new(config),
            stops: builder.graceful_shutdown_signal(),
            keep_alive: Duration::from_millis(config.http.keep_alive_ms),
            header_timeout: Duration::from_millis(config.http.header_timeout_ms),
        }
    }

    /// What one worker does with the connections of one listener.
    fn connections(
        &self,
        tls: Option<Tls>,
        hang: Hang,
    ) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> + use<>
    {
        let (stops, connections) = (self.stops.clone(), self.connections.clone());
        let on_connect = connections.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stops = stops.clone();
                async move { stops.notified().await }
            })
            .keep_alive(self.keep_alive)
            .client_request_timeout(self.header_timeout)
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .h1_write_buffer_size(broadcast::WRITE_BUFFER_BYTES)
            .on_connect_ext(move |wire, data| on_connect.on_connect(wire, data))
            .h1(map_config(
                self.app(hang).into_factory().map_err(|error| error.error_response()),
                |()| AppConfig::default(),
            ));
        let http = Rc::new(http);
        let refusals = self.refusals.clone();
        fn_factory(move || {
            let (http, connections) = (http.clone(), connections.clone());
            let (tls, refusals) = (tls.clone(), refusals.clone());
            async move {
                let http = Rc::new(http.new_service(()).await?);
                Ok(fn_service(move |stream: TcpStream| {
                    let (http, connections) = (http.clone(), connections.clone());
                    let (tls, refusals) = (tls.clone(), refusals.clone());
                    async move {
                        let accepted = connections.accept(stream, tls.as_ref()).await;
                        let wire = accepted.map_err(drop)?;
                        let peer = wire.peer();
                        let ended = http.call((wire, peer)).await;
                        if let Err(DispatchError::Parse(_)) = ended {
                            observed::no_request(&refusals, peer);
                        }
                        Ok(())
                    }
                }))
            }
        })
    }

    /// The app of one worker and listener.
    fn app(
        &self,
        hang: Hang,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<WatchedBody>,
            Error = actix_web::Error,
            InitError = (),
        > + use<>,
    > {
        scope::app(self.guards.clone(), hang)
            // This is made anew for each worker: workers share nothing when they hand requests
            // over, so that they never wait for each other.
            .app_data(web::Data::new(self.intake.hand_over()))
            .app_data(web::Data::new(self.intake.clone()))
            .app_data(web::Data::new(self.viewer_guard.clone()))
            .app_data(web::Data::new(self.reception.clone()))
            .app_data(web::Data::new(self.ops.clone()))
            .app_data(self.refusals.clone())
            .app_data(self.access_log.clone())
            .app_data(web::Data::new(self.mirror.clone()))
            .app_data(web::Data::new(self.viewers.clone()))
            .app_data(self.series.clone())
            .app_data(self.past.clone())
            .app_data(self.moments.clone())
            .app_data(self.occasions.clone())
            .app_data(self.pace.clone())
            .app_data(web::Data::new(self.letters.clone()))
            .app_data(web::Data::new(self.single_events.clone()))
            .app_data(web::Data::new(self.export_places.clone()))
            .app_data(web::Data::new(self.schemas.clone()))
            .app_data(web::Data::new(self.books.clone()))
            .app_data(web::Data::new(self.marks.clone()))
            .app_data(web::Data::new(self.effects.clone()))
            .app_data(self.explainer.clone())
            .app_data(self.reloader.clone())
            .wrap(from_fn(request_id::layer))
    }
}

/// All routes, each in the scope that says who may call it.
pub(super) fn routes(scopes: &mut Scopes<'_>) {
    senders(scopes);
    ops_routes(scopes);
}

/// The routes that operators have: all but those of senders.
fn ops_routes(scopes: &mut Scopes<'_>) {
    numbers_and_page(scopes);
    ops::metrics(&mut scopes.view);
}

/// The routes of everybody where operators have a listener of their own.
fn routes_beside_ops(scopes: &mut Scopes<'_>) {
    senders(scopes);
    numbers_and_page(scopes);
}

fn senders(scopes: &mut Scopes<'_>) {
    dialect::for_each(&mut scopes.collect);
    mark_webhooks::routes(&mut scopes.collect);
    tracker::routes(&mut scopes.open);
}

fn numbers_and_page(scopes: &mut Scopes<'_>) {
    let Scopes { view, open, .. } = scopes;
    stream::routes(view);
    current::routes(view);
    moment::routes(view);
    occasions::routes(view);
    pace::routes(view);
    timeseries::routes(view);
    alerts::routes(view);
    dead_letters::routes(view);
    events::routes(view);
    export::routes(view);
    breakdown::routes(view);
    breakdowns::routes(view);
    schema::routes(view);
    books::routes(view);
    marks::routes(view);
    explain::routes(view);
    login::routes(view, open);
    access::routes(view);
    operated::routes(view);
    ops::routes(open);
    openapi::routes(open);
    assets::routes(open);
}
