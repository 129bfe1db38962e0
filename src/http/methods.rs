//! Which methods a path takes. Any other is refused (405), and so is a path that leads nowhere
//! (404), in the one way in which HTTP says no.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, ResponseError, Route,
    guard,
    http::{Method, StatusCode, header},
    web,
};

use crate::http::error::ApiError;

/// What is read is read with GET, or with HEAD by who wants to know only whether it is there.
pub const READ: &[Method] = &[Method::GET, Method::HEAD];

/// Answers these methods with a handler.
pub fn route<F, Args>(methods: &'static [Method], handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let takes = guard::fn_guard(move |context| methods.contains(&context.head().method));
    web::route().guard(takes).to(handler)
}

/// A path with a route for these methods, which refuses all others.
pub fn resource(path: &str, methods: &'static [Method], route: Route) -> Resource {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let allowed = names.join(", ");
    let refuse = move |request| {
        let answer = refuse(request, &allowed);
        async move { answer }
    };
    web::resource(path).route(route).default_service(web::to(refuse))
}

fn refuse(request: HttpRequest, allowed: &str) -> HttpResponse {
    let message = format!("{} takes {allowed}, not {}", request.path(), request.method());
    let mut response = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .error_response();
    if let Ok(allowed) = header::HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// For every other path.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = format!("there is nothing at {}", request.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message).error_response()
}
