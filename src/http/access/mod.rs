//! Who has access, for those who decide it: `GET /api/access` lists, and `POST` below it makes, changes
//! and revokes. `GET /api/access/audit` says what was done.
//!
//! Each of these does what the command of the same name does ([`crate::access`]), in the name of whoever
//! calls it. A secret stands in the answer that made it, and nowhere else.

mod making;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, ReqData},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    access::{Access, ChangeError},
    domain::{
        access::{
            AccessChange, AccessFault, Book, Identity, Permission, Role, change::By,
            shown::shown_identity,
        },
        time::now_ms,
    },
    http::{
        auth::{Principal, WhoReads, nobody_known},
        error::ApiError,
        login::Reception,
        query,
        scope::View,
    },
};

/// Which lines of the audit are asked for: those of lower versions, and how many.
const PARAMETERS: [&str; 2] = ["before", "limit"];
/// The most lines of the audit in one answer.
const MAX_LINES: usize = 500;

/// Adds the routes.
pub fn routes(view: &mut View) {
    view.read_with(Permission::Access, "/api/access", list);
    view.read_with(Permission::Access, "/api/access/audit", audit).parameters(&PARAMETERS);
    let access = Some(Permission::Access);
    view.change(access, "/api/access/keys", making::key)
        .change(access, "/api/access/users", making::user)
        .change(access, "/api/access/tokens", making::token)
        .change(access, "/api/access/links", making::link)
        .change(access, "/api/access/change", change_user)
        .change(access, "/api/access/revoke", revoke);
}

/// `{"keys":[…],"users":[…],"tokens":[…],"links":[…]}`
async fn list(reception: web::Data<Reception>) -> Result<HttpResponse, ApiError> {
    let book = reception.access.book().current().ok_or_else(nobody_known)?;
    let of = |kind: &str| book.of_kind(kind).map(shown_identity).collect::<Vec<Value>>();
    Ok(HttpResponse::Ok().json(json!({
        "keys": of("key"), "users": of("user"), "tokens": of("token"), "links": of("link"),
    })))
}

/// `[{"version","at","actor","action","kind","id","name","detail"}]`, the newest first.
async fn audit(
    request: HttpRequest,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let [before, limit] = query::read(request.query_string(), &PARAMETERS)?;
    let number = |name: &str, text: Option<String>, usual: i64, most: i64| match text {
        None => Ok(usual),
        Some(text) => text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
            let message = format!("{name}: a whole number from 1 to {most}");
            ApiError::bad_request("invalid_parameter", message)
        }),
    };
    let before = number("before", before, i64::MAX, i64::MAX)?;
    let limit = number("limit", limit, 100, MAX_LINES as i64)? as usize;
    let lines = reception.access.audit(before, limit).await;
    Ok(HttpResponse::Ok().json(lines.map_err(ChangeError::from).map_err(refused)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    kind: String,
    id: String,
}

async fn revoke(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let Revoke { kind, id } = reception.read(&request, payload).await?;
    let revoked = changed(&reception, &principal, |book, by| book.revoke(by, &kind, &id)).await?;
    Ok(HttpResponse::Ok().json(shown_identity(&revoked)))
}

/// What may be changed about a user: one thing in a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UserChange {
    id: String,
    role: Option<Role>,
    #[serde(default)]
    hide_money: bool,
    password: Option<String>,
    #[serde(default)]
    logout: bool,
}

async fn change_user(
    request: HttpRequest,
    payload: web::Payload,
    principal: ReqData<Principal>,
    reception: web::Data<Reception>,
) -> Result<HttpResponse, ApiError> {
    let UserChange { id, role, hide_money, password, logout } =
        reception.read(&request, payload).await?;
    let user = match (role, password, logout) {
        (Some(role), None, false) => {
            let set = |book: &Book, by: By<'_>| book.set_role(by, &id, role, !hide_money);
            changed(&reception, &principal, set).await?
        }
        (None, Some(password), false) => {
            let book = reception.access.book().current().ok_or_else(nobody_known)?;
            let name = book.named("user", &id).map_or("", |user| &user.name);
            let hash = reception.hash_chosen(password, name).await?;
            let set = |book: &Book, by: By<'_>| book.set_password(by, &id, hash.clone());
            changed(&reception, &principal, set).await?
        }
        (None, None, true) => {
            changed(&reception, &principal, |book, by| book.logout(by, &id, None)).await?
        }
        _ => {
            let message = "one of role, password and logout is to be given";
            return Err(ApiError::bad_request("invalid_access", message));
        }
    };
    Ok(HttpResponse::Ok().json(shown_identity(&user)))
}

/// Changes the book in the name of whoever sent the request.
async fn changed(
    reception: &Reception,
    principal: &Principal,
    make: impl Fn(&Book, By<'_>) -> Result<AccessChange, AccessFault>,
) -> Result<Identity, ApiError> {
    let by = actor(&reception.access, principal);
    let make = |book: &Book| make(book, By { actor: &by, at: now_ms() }).map(Some);
    let changed = reception.access.change(make).await.map_err(refused)?;
    Ok(changed.expect("there is always a change"))
}

/// What the audit calls somebody: `user alice`, `token ci`.
pub fn actor(access: &Access, principal: &Principal) -> String {
    let id = match &principal.reader {
        WhoReads::Token(id) => id,
        WhoReads::Session(session) => &session.identity,
        WhoReads::Configured => return "a token of the configuration".to_owned(),
        WhoReads::Anybody => return "anybody".to_owned(),
    };
    let book = access.book().current();
    let identity = book.as_ref().and_then(|book| book.by_id(id));
    identity.map_or_else(|| id.clone(), |it| format!("{} {}", it.kind_name(), it.name))
}

/// The refusal of a change.
pub fn refused(why: ChangeError) -> ApiError {
    let message = why.to_string();
    match why {
        ChangeError::Fault(AccessFault::Invalid(_)) => {
            ApiError::bad_request("invalid_access", message)
        }
        ChangeError::Fault(AccessFault::Unknown { .. }) => {
            ApiError::new(StatusCode::NOT_FOUND, "unknown_identity", message)
        }
        ChangeError::Fault(AccessFault::Taken { .. }) => {
            ApiError::new(StatusCode::CONFLICT, "name_taken", message)
        }
        ChangeError::Fault(AccessFault::TooMany) => {
            ApiError::new(StatusCode::CONFLICT, "too_many_identities", message)
        }
        ChangeError::Fault(AccessFault::LastAdmin) => {
            ApiError::new(StatusCode::CONFLICT, "last_admin", message)
        }
        ChangeError::Store(error) => {
            tracing::warn!(%error, "who has access can't be read or changed");
            ApiError::unavailable("store_unavailable", "the store does not answer", 1)
        }
        ChangeError::Contended => ApiError::unavailable("store_unavailable", message, 1),
    }
}
