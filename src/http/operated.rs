//! What an admin changes of a running server: `POST /api/server/reload` reads the configuration again, and
//! `POST /api/server/log-level` changes what is logged.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, ReqData},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    domain::access::Permission,
    http::{
        access::actor, auth::Principal, current::no_store, error::ApiError, login::Reception,
        scope::View,
    },
    reload::{Reloaded, Reloader},
};

/// Adds the routes.
pub fn routes(view: &mut View) {
    let admin = Some(Permission::Access);
    view.change(admin, "/api/server/reload", reload).change(
        admin,
        "/api/server/log-level",
        log_level,
    );
}

/// The body of [`reload`], which has no members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `{"taken":["log.level"],"needsRestart":["listen"]}`
async fn reload(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
    reloader: web::Data<Reloader>,
) -> Result<HttpResponse, ApiError> {
    let Nothing {} = reception.read(&request, payload).await?;
    let by = actor(&reception.access, &principal);
    // Files are read.
    let done = web::block(move || reloader.reload(&by)).await;
    let done = done.unwrap_or_else(|e| Err(e.to_string()));
    let Reloaded { taken, waiting } =
        done.map_err(|why| ApiError::new(StatusCode::CONFLICT, "invalid_configuration", why))?;
    Ok(no_store().json(json!({"taken": taken, "needsRestart": waiting})))
}

/// The body of [`log_level`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedLevel {
    level: String,
}

/// `{"level":"debug"}`, as it was asked for.
async fn log_level(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
    reloader: web::Data<Reloader>,
) -> Result<HttpResponse, ApiError> {
    let WantedLevel { level } = reception.read(&request, payload).await?;
    reloader
        .set_log_level(&level, &actor(&reception.access, &principal))
        .map_err(|why| ApiError::bad_request("invalid_level", why))?;
    Ok(no_store().json(json!({"level": level})))
}
