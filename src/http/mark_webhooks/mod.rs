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
use sha2::{Digest, Sha256};

use crate::{
    access::secret::hex,
    domain::{
        mark::{MAX_TITLE, NewMark, is_link, is_plain, shortened},
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
    let (body, source) = intake.signed_body(&request, payload, V::proof(&request)?).await?;
    let told = V::told(&request, &body)?.filter(|told| goes_to(told, environments.as_deref()));
    let now = mirror.now();
    let new = told.and_then(|told| {
        let times = (told.time.unwrap_or(now), None);
        let (title, told_by) = (shortened(&told.title), shortened(&told.source));
        let maker = format!("webhook {source}");
        let key = Some((maker.as_str(), bounded_key(told.key)));
        let made = NewMark::checked(times, (&title, &told_by), (told.link, key), now);
        made.inspect_err(|why| tracing::warn!(why, source, "a webhook makes no mark")).ok()
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

/// The text of a member at this place (`/deployment/sha`), without what no title may have, however long it is;
/// `None` where there is none.
fn text_at(object: &Value, at: &str) -> Option<String> {
    let text = match object.pointer(at)? {
        Value::String(text) => text.chars().filter(|c| is_plain(*c)).collect(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text: &String| !text.trim().is_empty())
}

/// The first of these members that a mark may have as its link. A link that is too long is left out, since half
/// of it would lead elsewhere.
fn link_at(object: &Value, places: &[&str]) -> Option<String> {
    let texts = places.iter().filter_map(|at| object.pointer(at)?.as_str());
    texts.map(str::trim).find(|text| is_link(text)).map(str::to_owned)
}

/// A key that is not too long: beyond, its hash.
fn bounded_key(key: String) -> String {
    if key.chars().count() <= MAX_TITLE {
        return key;
    }
    hex(&Sha256::digest(key.as_bytes()))
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
    fn long_texts_lose_no_mark() {
        let long = format!("https://ci.example/{}", "x".repeat(MAX_TITLE));
        let links = json!({"a": long, "b": "javascript:x", "c": "https://ci.example/7"});
        assert_eq!(link_at(&links, &["/a", "/b", "/c"]).as_deref(), Some("https://ci.example/7"));
        assert_eq!(link_at(&links, &["/a", "/b", "/none"]), None);
        let key = |end: &str| bounded_key("k".repeat(MAX_TITLE) + end);
        assert_ne!(key("1"), key("2"), "they are still told apart");
        assert!(key("1").len() <= MAX_TITLE && key("") == "k".repeat(MAX_TITLE));
        assert_eq!(shortened(&long).chars().count(), MAX_TITLE);
    }

    #[test]
    fn titles_are_short_and_plain() {
        assert_eq!(deploy_title(Some("4f2c1ab7d9".into()), Some("live")), "deploy 4f2c1ab to live");
        assert_eq!(deploy_title(None, None), "deploy");
        assert_eq!(text_at(&json!({"a": "x\ny"}), "/a").as_deref(), Some("xy"));
        assert_eq!(text_at(&json!({"a": " "}), "/a"), None);
        assert_eq!(text_at(&json!({"a": "x\u{202e}y"}), "/a").as_deref(), Some("xy"));
        assert!(object(b"[]").is_err() && object(b"{").is_err() && object(b"{}").is_ok());
    }
}
