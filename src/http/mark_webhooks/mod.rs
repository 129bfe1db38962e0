//! Marks that deploys and releases make by themselves: webhooks of GitHub and GitLab. They are known by what
//! their vendor signs them with, or sends along, and a `[[source]]` has the secret.
//!
//! A vendor sends a webhook again where it got no 2xx, and somebody may do so by hand. All deliveries of one
//! deployment or release are one mark. Whatever is neither is answered 200 and makes no mark, since a vendor
//! that gets refusals stops sending.

mod github;
mod gitlab;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::{
    domain::{
        mark::{MAX_TITLE, NewMark},
        time::Millis,
    },
    http::{
        collect::{Intake, signed::HookProof},
        error::ApiError,
        marks::unanswered,
        query,
        scope::Collect,
    },
    numbers::{MarkDesk, Mirror},
};

/// Which environments make marks, with commas between; without it, all that last.
const PARAMETERS: [&str; 1] = ["environment"];

/// A vendor whose webhooks make marks.
pub trait MarkVendor {
    /// How the head of a request proves who sends it.
    ///
    /// # Errors
    /// 400 where the head lacks what every webhook of the vendor has.
    fn proof(request: &HttpRequest) -> Result<HookProof, ApiError>;

    /// What the webhook tells; `None` where that is no deployment that went well and no release.
    ///
    /// # Errors
    /// 400 where the body is none of the vendor's.
    fn told(request: &HttpRequest, body: &[u8]) -> Result<Option<ToldMark>, ApiError>;
}

/// A deployment or release, as its vendor tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldMark {
    /// When it was done, Unix ms; `None` where the vendor does not say.
    pub time: Option<Millis>,
    /// What people read.
    pub title: String,
    /// Who tells: `github shop/web`.
    pub source: String,
    /// A page that says more.
    pub link: Option<String>,
    /// What all deliveries of it have.
    pub key: String,
    /// Where a deployment went; `None` for a release.
    pub environment: Option<String>,
}

/// Adds the routes.
pub fn routes(collect: &mut Collect<'_>) {
    let parameters = &PARAMETERS;
    collect.signed("/v1/webhooks/github", receive::<github::GitHub>, parameters);
    collect.signed("/v1/webhooks/gitlab", receive::<gitlab::GitLab>, parameters);
}

/// `{"mark":{…}}`, or null where the webhook makes none.
async fn receive<V: MarkVendor>(
    request: HttpRequest,
    payload: web::Payload,
    intake: web::Data<Intake>,
    desk: web::Data<MarkDesk>,
    mirror: web::Data<Mirror>,
) -> Result<HttpResponse, ApiError> {
    let [environments] = query::read(request.query_string(), &PARAMETERS)?;
    let body = intake.signed_body(&request, payload, V::proof(&request)?).await?;
    let told = V::told(&request, &body)?.filter(|told| goes_to(told, environments.as_deref()));
    let now = mirror.now();
    let new = told.and_then(|told| {
        let times = (told.time.unwrap_or(now), None);
        let link = told.link.filter(|link| link.chars().count() <= MAX_TITLE);
        let texts = (told.title.as_str(), told.source.as_str());
        let made = NewMark::checked(times, texts, (link, Some(told.key)), now);
        made.inspect_err(|why| tracing::debug!(why, "a webhook makes no mark")).ok()
    });
    let mark = match new {
        None => None,
        Some(new) => Some(desk.add(&new).await.map_err(|error| unanswered(&error))?),
    };
    Ok(HttpResponse::Ok().json(json!({"mark": mark.as_ref().map(|made| made.mark())})))
}

/// Whether a deployment went to one of these environments; a release goes to all.
fn goes_to(told: &ToldMark, environments: Option<&str>) -> bool {
    let (Some(to), Some(wanted)) = (&told.environment, environments) else { return true };
    wanted.split(',').any(|name| name.trim().eq_ignore_ascii_case(to))
}

/// The JSON object of a body.
fn object(body: &[u8]) -> Result<Value, ApiError> {
    let read: Result<Value, _> = serde_json::from_slice(body);
    let object = read.ok().filter(Value::is_object);
    object.ok_or_else(|| ApiError::bad_request("malformed", "the body is no JSON object"))
}

/// The text of a member at this place (`/deployment/sha`), without what no title may have; `None` where there
/// is none.
fn text_at(object: &Value, at: &str) -> Option<String> {
    let text = match object.pointer(at)? {
        Value::String(text) => text.chars().filter(|c| !c.is_control()).take(MAX_TITLE).collect(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text: &String| !text.trim().is_empty())
}

/// "deploy 4f2c1ab to production"
fn deploy_title(sha: Option<String>, environment: Option<&str>) -> String {
    /// So much of a commit's hash tells it from others.
    const SHORT: usize = 7;
    let mut title = "deploy".to_owned();
    if let Some(sha) = sha {
        title.push(' ');
        title.extend(sha.chars().take(SHORT));
    }
    if let Some(environment) = environment {
        title.push_str(" to ");
        title.extend(environment.chars().take(MAX_TITLE / 2));
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_the_environments_that_make_marks() {
        let to = |environment: Option<&str>| ToldMark {
            environment: environment.map(str::to_owned),
            ..ToldMark::default()
        };
        assert!(goes_to(&to(Some("staging")), None));
        assert!(goes_to(&to(Some("Production")), Some("live, production")));
        assert!(!goes_to(&to(Some("staging")), Some("live,production")));
        assert!(goes_to(&to(None), Some("production")), "a release goes everywhere");
    }

    #[test]
    fn titles_are_short_and_plain() {
        assert_eq!(deploy_title(Some("4f2c1ab7d9".into()), Some("live")), "deploy 4f2c1ab to live");
        assert_eq!(deploy_title(None, None), "deploy");
        assert_eq!(text_at(&json!({"a": "x\ny"}), "/a").as_deref(), Some("xy"));
        assert_eq!(text_at(&json!({"a": " "}), "/a"), None);
        assert!(object(b"[]").is_err() && object(b"{").is_err() && object(b"{}").is_ok());
    }
}
