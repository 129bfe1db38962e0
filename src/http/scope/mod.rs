//! Scopes: who may call a route is decided by where it hangs.
//!
//! | scope | who may call its routes | what else its routes have in common |
//! | --- | --- | --- |
//! | [`Collect`] | senders: write keys (`auth.write_keys`) | any page may send (CORS); one handler for all dialects |
//! | [`View`] | viewers: tokens of the configuration and of the book ([`ViewerGuard`]), as far as each route needs | answers are compressed |
//! | [`Open`] | everybody: health, the dashboard's files; our own page, which signs people in | answers are compressed |
//!
//! A handler does not check keys, so none can forget to. [`app`] makes the app with the routes
//! of these scopes. The last scope takes every path that is left, so a resource that is added to
//! the app beside the scopes is never reached.
//!
//! The guard of a route runs after its method is known: a method that a path does not take is
//! answered 405, and a path that leads nowhere 404, with or without a key.
//!
//! What is read, the stream too, is answered only to who calls the server by a name that it knows
//! ([`crate::http::hosts`]), since a page of another site can take a name of its own there. Senders, the
//! script that they load and health checks may use any name.
//!
//! To add a scope, write a fourth type here with a guard of its own, as [`View`] has one, and make it a
//! field of [`Scopes`].

mod list;
mod open;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::{
    App, Error, FromRequest, Handler, Responder,
    body::{BoxBody, MessageBody},
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::Method,
    middleware::{Compress, Next, from_fn},
    web,
};

pub use self::{
    list::{HungRoute, RouteList},
    open::Open,
    view::{RoutePart, View},
};
use crate::{
    access::SharedBook,
    broadcast::ConnectionSocket,
    config::Config,
    http::{
        auth::ViewerGuard,
        collect,
        dialect::{Dialect, ForEach},
        error::ApiError,
        hosts::KnownHosts,
        methods,
        security_headers::{self, StrictTransport},
    },
};

/// What the guards of [`View`] check against. The guard of [`Collect`] is not among them: it is
/// the first step of [`collect::receive`], since in some dialects the key stands in the body.
#[derive(Clone, Debug)]
pub struct Guards {
    viewers: ViewerGuard,
    allowed_origins: Arc<[String]>,
    hosts: KnownHosts,
    strict_transport: StrictTransport,
}

impl Guards {
    /// The tokens of `[auth]` and those of the book, the origins of `stream.allowed_origins`, and the names of
    /// `http.allowed_hosts`.
    pub fn new(config: &Config, book: SharedBook) -> Guards {
        let viewers = ViewerGuard::new(config, book);
        Guards {
            allowed_origins: config.stream.allowed_origins.clone().into(),
            hosts: KnownHosts::new(config, viewers.clone()),
            strict_transport: StrictTransport::new(&config.http),
            viewers,
        }
    }
}

/// All scopes, to hang routes in.
pub struct Scopes<'a> {
    /// Routes of those who send events.
    pub collect: Collect<'a>,
    /// Routes of those who read numbers.
    pub view: View,
    /// Routes that are open to everybody.
    pub open: Open,
}

/// An app with the routes that `hang` hangs in the scopes, and no others.
pub fn app(
    guards: Guards,
    hang: impl FnOnce(&mut Scopes<'_>),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse,
        Error = Error,
        InitError = (),
    >,
> {
    App::new().configure(|config| _ = hang_all(config, guards, hang))
}

/// The routes that an app with these has.
pub fn listed(guards: Guards, hang: impl FnOnce(&mut Scopes<'_>)) -> Vec<HungRoute> {
    let mut list = RouteList::default();
    let _ = App::new().configure(|config| list = hang_all(config, guards, hang));
    list.routes()
}

/// Hangs routes in the scopes, and the scopes in the app.
fn hang_all(
    config: &mut web::ServiceConfig,
    guards: Guards,
    hang: impl FnOnce(&mut Scopes<'_>),
) -> RouteList {
    let list = RouteList::default();
    let mut scopes = Scopes {
        collect: Collect { app: config, list: list.clone() },
        view: View::new(guards, list.clone()),
        open: Open::new(list.clone()),
    };
    hang(&mut scopes);
    let Scopes { view, open, .. } = scopes;
    close(config, view, open);
    list
}

/// Adds the routes that the scopes have collected to the app. Paths are tried in the order in
/// which they are added, so the last scope, whose prefix is empty, hides whatever comes after it.
fn close(app: &mut web::ServiceConfig, view: View, open: Open) {
    // A page that sends to a wrong path below /v1 can read the 404, since CORS allows it to.
    app.service(web::scope("/v1").wrap(any_page()).wrap(from_fn(never_a_viewer)));
    let Guards { hosts, strict_transport, .. } = view.guards;
    let known_host = move |request: ServiceRequest, next: Next<BoxBody>| {
        let checked = hosts.check(request.request());
        let_in(checked, request, next)
    };
    for socket in view.sockets {
        // Sockets stay outside the scope that compresses: the frames of a WebSocket are no body.
        app.service(socket.wrap(from_fn(known_host.clone())));
    }
    for probe in open.probes {
        app.service(probe);
    }
    for script in open.scripts {
        app.service(script.wrap(Compress::default()));
    }
    let reads = view.reads.into_iter().chain(open.reads);
    let rest = reads.fold(web::scope(""), |rest, resource| rest.service(resource));
    let headers = move |request: ServiceRequest, next: Next<_>| {
        security_headers::layer(request, next, strict_transport.clone())
    };
    app.service(rest.wrap(from_fn(known_host)).wrap(Compress::default()).wrap(from_fn(headers)));
    app.default_service(web::to(methods::not_found));
}

/// The scope of senders. Its routes are the endpoints of the dialects, and all have the handler
/// [`collect::receive`], which hands nothing over without the proof that the sender has a write
/// key.
pub struct Collect<'a> {
    app: &'a mut web::ServiceConfig,
    list: RouteList,
}

impl ForEach for Collect<'_> {
    fn dialect<D: Dialect>(&mut self) {
        for endpoint in D::ENDPOINTS {
            let route = methods::route(endpoint.methods, collect::receive::<D>);
            let hung = HungRoute {
                path: endpoint.path.to_owned(),
                methods: endpoint.methods,
                scope: if D::WEBHOOK.is_some() { "signed" } else { "collect" },
                parameters: D::PARAMETERS,
            };
            let resource = methods::resource(hung, route, &self.list);
            self.app.service(resource.wrap(any_page()).wrap(from_fn(never_a_viewer)));
        }
    }
}

impl Collect<'_> {
    /// Hangs a path that takes webhooks (POST) that are no events. Its handler hands nothing over before it
    /// knows who sends ([`crate::http::collect::signed`]).
    pub fn signed<F, Args>(&mut self, path: &str, handler: F, parameters: &'static [&'static str])
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = methods::route(methods::CHANGE, handler);
        let mut hung = hung(path, methods::CHANGE, "signed");
        hung.parameters = parameters;
        let resource = methods::resource(hung, route, &self.list);
        self.app.service(resource.wrap(any_page()).wrap(from_fn(never_a_viewer)));
    }
}

/// How long a browser may remember the answer to a preflight, in seconds. Browsers cut it to what
/// they allow, two hours or a day.
const PREFLIGHT_S: usize = 86_400;

/// Lets the pages of any site send events, with credentials too: `sendBeacon` of JSON and several
/// SDKs send in that mode, and a browser that may not would not send at all. The cookies that come
/// along are never looked at. Pages may read when to send again.
fn any_page() -> Cors {
    Cors::default()
        .allow_any_origin()
        .allow_any_header()
        .allow_any_method()
        .supports_credentials()
        .expose_headers(["Retry-After", "X-Sentry-Rate-Limits", "X-Request-Id"])
        .max_age(PREFLIGHT_S)
}

/// A layer for the routes of senders: once there are very many, their connections give back the handle
/// that is kept in case a connection becomes a viewer's. A handle is a file descriptor.
async fn never_a_viewer<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if let Some(connection) = request.conn_data::<ConnectionSocket>() {
        connection.release();
    }
    next.call(request).await
}

fn hung(path: &str, methods: &'static [Method], scope: &'static str) -> HungRoute {
    HungRoute { path: path.to_owned(), methods, scope, parameters: &[] }
}

/// Calls the handler where the guard lets the request in. A refusal is returned as an answer and
/// not as an error of the service, because the outer layers put their headers on answers only.
async fn let_in(
    checked: Result<(), ApiError>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    match checked {
        Ok(()) => next.call(request).await,
        Err(error) => Ok(request.error_response(error)),
    }
}
