//! Which methods a path takes. Another method is answered 405, and a path that leads nowhere 404,
//! both in the form that all refusals have ([`ApiError`]).

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, ResponseError, Route,
    guard,
    http::{Method, StatusCode, header},
    web,
};

use crate::http::{
    assets,
    error::ApiError,
    observed::RefusalCode,
    scope::{HungRoute, RouteList},
};

/// The methods of a route that is read. HEAD is for a client that wants to know only whether
/// there is an answer.
pub const READ: &[Method] = &[Method::GET, Method::HEAD];

/// The method of a route that changes something.
pub const CHANGE: &[Method] = &[Method::POST];

/// The method of a route that takes something away.
pub const REMOVE: &[Method] = &[Method::DELETE];

/// A route that answers these methods with `handler`.
pub fn route<F, Args>(methods: &'static [Method], handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let takes = guard::fn_guard(move |context| methods.contains(&context.head().method));
    web::route().guard(takes).to(handler)
}

/// A path with a route for its methods, which refuses all others. There is no other way to hang a path,
/// so none is missing in the list.
pub fn resource(hung: HungRoute, route: Route, list: &RouteList) -> Resource {
    resource_of([(hung, route)], list)
}

/// A path with several routes, each with methods of its own.
pub fn resource_of<const N: usize>(parts: [(HungRoute, Route); N], list: &RouteList) -> Resource {
    let methods = parts.iter().flat_map(|(hung, _)| hung.methods);
    let names: Vec<&str> = methods.map(Method::as_str).collect();
    let allowed = names.join(", ");
    let refuse = move |request| {
        let answer = refuse(request, &allowed);
        async move { answer }
    };
    let path = parts.iter().map(|(hung, _)| hung.path.clone()).next().unwrap_or_default();
    let mut resource = web::resource(path);
    for (hung, route) in parts {
        list.add(hung);
        resource = resource.route(route);
    }
    resource.default_service(web::to(refuse))
}

/// Answers 405, with the header `Allow` that such an answer must have (RFC 9110).
fn refuse(request: HttpRequest, allowed: &str) -> HttpResponse {
    let message = format!("{} takes {allowed}, not {}", request.path(), request.method());
    let mut response = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .error_response();
    if let Ok(allowed) = header::HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Answers 404, for every path that has no route; to a browser that wants a page, with one.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    if let Some(mut page) = assets::missing(&request) {
        page.extensions_mut().insert(RefusalCode("not_found"));
        return page;
    }
    let message = format!("there is nothing at {}", request.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message).error_response()
}
