//! Which methods a route takes. Any other is refused (405), and so is a path that leads nowhere
//! (404), in the one way in which HTTP says no.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, ResponseError, guard,
    http::{Method, StatusCode, header},
    web,
};

use crate::http::error::ApiError;

/// A path that is read: with GET, or with HEAD by who wants to know only whether it is there.
pub fn read<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reads = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    web::resource(path)
        .route(reads.to(handler))
        .default_service(web::to(|request| async { refuse(request, "GET, HEAD") }))
}

/// A path that takes one method alone.
pub fn only<F, Args>(method: Method, path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let refuse = {
        let allowed = method.to_string();
        move |request| {
            let allowed = allowed.clone();
            async move { refuse(request, &allowed) }
        }
    };
    web::resource(path).route(web::method(method).to(handler)).default_service(web::to(refuse))
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
