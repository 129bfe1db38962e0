//! The HTTP server: its routes, and the limits of its connections.

use std::{net::TcpListener, time::Duration};

use actix_web::{HttpServer, dev::Server, middleware::from_fn, web};
use metrics_exporter_prometheus::PrometheusHandle;

use super::{pipeline::Pipeline, storage::Storage};
use crate::{
    broadcast::{self, Viewers},
    config::Config,
    http::{
        alerts, assets,
        auth::WriteKeys,
        breakdown,
        client::ProxyNetworks,
        collect::Intake,
        connections::Connections,
        current,
        dead_letters::{self, LetterReader},
        dialect,
        observed::{self, RefusalLog},
        openapi, ops, request_id,
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
    let book = state.storage.access.book();
    let intake = Intake::new(
        config,
        WriteKeys::new(config, book.clone()),
        state.pipeline.ingest.clone().recipient(),
        state.pipeline.claims.clone(),
    );
    let for_workers = intake.clone();
    let intake = web::Data::new(intake);
    let guards = Guards::new(config, book.clone());
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
    openapi::routes(open);
    assets::routes(open);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;
    use crate::{
        access::SharedBook,
        http::{openapi::DOCUMENT, scope::HungRoute},
    };

    /// What the document and the routes have in common of a path and a method: the scope, and the parameters
    /// of the query.
    type Operations = BTreeMap<String, (String, BTreeSet<String>)>;

    /// The parameter of each scope that may hold the key or token.
    const SECRETS: [(&str, &str); 2] = [("collect", "key"), ("view", "token")];

    /// A path with alternatives (`{call:batch|b}`, `{call:[tp]}`), written out, and with plain variables.
    fn written_out(path: &str) -> Vec<String> {
        let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
        let (variable, after) = rest.split_once('}').expect("it is closed");
        let (name, pattern) = variable.split_once(':').unwrap_or((variable, ""));
        let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '|');
        let letters = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let parts: Vec<String> = match letters {
            Some(letters) if is_plain(letters) => letters.chars().map(String::from).collect(),
            _ if !pattern.is_empty() && is_plain(pattern) => {
                pattern.split('|').map(str::to_owned).collect()
            }
            _ => vec![format!("{{{name}}}")],
        };
        let ends = written_out(after);
        let whole =
            |part: &String| ends.iter().map(move |end| format!("{before}{part}{end}")).collect();
        parts.iter().flat_map(|part| -> Vec<String> { whole(part) }).collect()
    }

    fn of_routes() -> Operations {
        let mut found = Operations::new();
        let listed = scope::listed(Guards::new(&Config::default(), SharedBook::default()), routes);
        let is_file = |route: &HungRoute| assets::is_file(&route.path);
        for route in listed.iter().filter(|route| !is_file(route)) {
            let secret = SECRETS.iter().find(|(scope, _)| *scope == route.scope);
            let names = route.parameters.iter().copied().chain(secret.map(|(_, name)| *name));
            let names: BTreeSet<String> = names.map(str::to_owned).collect();
            // Whatever takes GET takes HEAD, which the document says once.
            for method in route.methods.iter().filter(|method| *method != "HEAD") {
                for path in written_out(&route.path) {
                    let about = (route.scope.to_owned(), names.clone());
                    found.insert(format!("{method} {path}"), about);
                }
            }
        }
        found
    }

    fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
        let reference = value["$ref"].as_str().map(|text| text.trim_start_matches('#'));
        reference.map_or(value, |pointer| document.pointer(pointer).expect(pointer))
    }

    fn of_document(document: &Value) -> Operations {
        let mut found = Operations::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let item = resolved(document, item);
            let methods = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
            for (method, operation) in methods {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let parameters = parameters.map(|it| resolved(document, it));
                // An object is a whole event, whose members are not listed.
                let named = parameters
                    .filter(|it| it["in"] == "query" && it["schema"]["type"] != "object")
                    .map(|it| it["name"].as_str().unwrap().to_owned());
                let schemes = operation["security"].as_array().unwrap().iter();
                let schemes = schemes.filter_map(|it| it.as_object().unwrap().keys().next());
                let schemes: Vec<&String> = schemes.collect();
                let secrets = schemes.iter().filter_map(|scheme| {
                    let scheme = &document["components"]["securitySchemes"][scheme.as_str()];
                    (scheme["in"] == "query").then(|| scheme["name"].as_str().unwrap().to_owned())
                });
                let scope = match schemes.first().map(|name| name.as_str()) {
                    Some("writeKeyBearer") => "collect",
                    Some("viewerTokenBearer") => "view",
                    None => "open",
                    Some(other) => panic!("no scope begins with {other}"),
                };
                let about = (scope.to_owned(), named.chain(secrets).collect());
                found.insert(format!("{} {path}", method.to_uppercase()), about);
            }
        }
        found
    }

    #[test]
    fn the_document_for_programs_has_the_routes_that_there_are() {
        let document: Value = serde_json::from_str(DOCUMENT).expect("docs/openapi.json is JSON");
        let (documented, there) = (of_document(&document), of_routes());
        let differing = |one: &Operations, other: &Operations| -> Vec<String> {
            let differs = |(name, about): &(&String, _)| other.get(*name) != Some(*about);
            one.iter().filter(differs).map(|(name, about)| format!("{name} {about:?}")).collect()
        };
        let missing = differing(&there, &documented);
        let surplus = differing(&documented, &there);
        assert!(missing.is_empty(), "docs/openapi.json lacks:\n  {}", missing.join("\n  "));
        assert!(surplus.is_empty(), "only in docs/openapi.json:\n  {}", surplus.join("\n  "));
    }

    #[test]
    fn patterns_are_written_out() {
        assert_eq!(
            written_out("/v1/{call:a|b}/{c:[xy]}"),
            ["/v1/a/x", "/v1/a/y", "/v1/b/x", "/v1/b/y"]
        );
        assert_eq!(written_out("/api/{project:[0-9]+}/e/"), ["/api/{project}/e/"]);
        assert_eq!(written_out("/{key}"), ["/{key}"]);
    }
}
