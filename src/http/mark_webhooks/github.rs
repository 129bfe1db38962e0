//! Webhooks of GitHub: `POST /v1/webhooks/github`, signed with the secret of the webhook.
//!
//! Sources: docs.github.com, "Validating webhook deliveries" (`X-Hub-Signature-256`), "Webhook events and
//! payloads" (`deployment_status`, `release`, `ping`).

use actix_web::{HttpRequest, http::header, web};
use serde_json::Value;

use super::{MarkVendor, ToldMark, deploy_title, link_at, object, text_at};
use crate::{
    domain::{source::WebhookVendor, time::parse_rfc3339},
    http::{collect::signed::HookProof, dialect::webhook, error::ApiError, signature::Signature},
};

/// GitHub.
pub struct GitHub;

impl MarkVendor for GitHub {
    fn proof(request: &HttpRequest) -> Result<HookProof, ApiError> {
        let tag = webhook::header(request, "x-hub-signature-256");
        let tag = tag.strip_prefix("sha256=").and_then(webhook::from_hex);
        let signature = Signature { before: Vec::new(), tags: tag.into_iter().collect() };
        Ok(HookProof::Signature(WebhookVendor::GitHub, signature))
    }

    fn told(request: &HttpRequest, body: &[u8]) -> Result<Option<ToldMark>, ApiError> {
        let event = webhook::header(request, "x-github-event");
        if event.is_empty() {
            return Err(ApiError::bad_request("malformed", "X-GitHub-Event is missing"));
        }
        let kind = webhook::header(request, header::CONTENT_TYPE.as_str());
        // What GitHub sends unless somebody chooses JSON.
        let is_form = kind.starts_with("application/x-www-form-urlencoded");
        let object = if is_form { object(&of_form(body)?)? } else { object(body)? };
        Ok(match event.as_str() {
            "deployment_status" => deployment(&object),
            "release" => release(&object),
            _ => None,
        })
    }
}

/// The member `payload` of a form.
fn of_form(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let refused = || ApiError::bad_request("malformed", "the form has no payload");
    let text = std::str::from_utf8(body).map_err(|_| refused())?;
    let form = web::Query::<Vec<(String, String)>>::from_query(text).map_err(|_| refused())?;
    let payload = form.into_inner().into_iter().find(|(name, _)| name == "payload");
    payload.map(|(_, payload)| payload.into_bytes()).ok_or_else(refused)
}

/// A deployment that went well. One to an environment that goes away again, as of a pull request, is none.
fn deployment(object: &Value) -> Option<ToldMark> {
    let text = |at: &str| text_at(object, at);
    let is_transient =
        object.pointer("/deployment/transient_environment") == Some(&Value::Bool(true));
    if text("/deployment_status/state")? != "success" || is_transient {
        return None;
    }
    let (repository, id) = (text("/repository/full_name")?, text("/deployment/id")?);
    let environment = text("/deployment_status/environment").or(text("/deployment/environment"));
    let links = ["/deployment_status/log_url", "/deployment_status/target_url"];
    Some(ToldMark {
        time: text("/deployment_status/created_at").and_then(|at| parse_rfc3339(&at)),
        title: deploy_title(text("/deployment/sha"), environment.as_deref()),
        link: link_at(object, &links),
        // A deployment may go well several times, and is one.
        key: format!("github deployment {repository} {id}"),
        source: format!("github {repository}"),
        environment,
    })
}

/// A release that was published and is meant for everybody.
fn release(object: &Value) -> Option<ToldMark> {
    let text = |at: &str| text_at(object, at);
    let is_trial = object.pointer("/release/prerelease") == Some(&Value::Bool(true));
    if text("/action")? != "published" || is_trial {
        return None;
    }
    let (repository, id) = (text("/repository/full_name")?, text("/release/id")?);
    Some(ToldMark {
        time: text("/release/published_at").and_then(|at| parse_rfc3339(&at)),
        title: format!("release {}", text("/release/tag_name").or(text("/release/name"))?),
        link: link_at(object, &["/release/html_url"]),
        key: format!("github release {repository} {id}"),
        source: format!("github {repository}"),
        environment: None,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;
    use crate::domain::time::SECOND;

    fn told(event: &str, body: &Value) -> Option<ToldMark> {
        let request = TestRequest::default().insert_header(("X-GitHub-Event", event));
        GitHub::told(&request.to_http_request(), body.to_string().as_bytes()).unwrap()
    }

    fn deployed(state: &str) -> Value {
        json!({"action": "created", "repository": {"full_name": "shop/web"},
            "deployment": {"id": 145988746, "sha": "4f2c1ab7d9", "environment": "production"},
            "deployment_status": {"id": 209916254, "state": state, "environment": "production",
                "target_url": "", "log_url": "https://ci.example/7", "created_at": "2026-11-27T14:00:00Z"}})
    }

    #[test]
    fn a_deployment_that_went_well_is_one_mark_however_often_it_does() {
        let mark = told("deployment_status", &deployed("success")).unwrap();
        assert_eq!(mark.title, "deploy 4f2c1ab to production");
        assert_eq!(
            (mark.source.as_str(), mark.link.as_deref()),
            ("github shop/web", Some("https://ci.example/7"))
        );
        assert_eq!(mark.time.map(|at| at % (60 * SECOND)), Some(0));
        let mut again = deployed("success");
        again["deployment_status"]["id"] = json!(2);
        assert_eq!(told("deployment_status", &again).unwrap().key, mark.key);
        for state in ["pending", "in_progress", "failure", "inactive"] {
            assert_eq!(told("deployment_status", &deployed(state)), None, "{state}");
        }
        let mut preview = deployed("success");
        preview["deployment"]["transient_environment"] = json!(true);
        assert_eq!(told("deployment_status", &preview), None);
    }

    #[test]
    fn a_release_is_a_mark_once_it_is_published() {
        let release = |action: &str, prerelease: bool| {
            json!({"action": action, "repository": {"full_name": "shop/web"}, "release": {"id": 1,
                "tag_name": "v2.1", "prerelease": prerelease, "html_url": "https://github.example/r/1",
                "published_at": "2026-11-27T14:00:00Z"}})
        };
        let mark = told("release", &release("published", false)).unwrap();
        assert_eq!((mark.title.as_str(), mark.environment), ("release v2.1", None));
        assert_eq!(told("release", &release("created", false)), None);
        assert_eq!(told("release", &release("published", true)), None);
        for event in ["ping", "push", "workflow_run"] {
            assert_eq!(told(event, &json!({"zen": "x"})), None, "{event}");
        }
    }

    #[test]
    fn a_body_may_be_a_form_and_must_be_of_github() {
        let form = |body: &str| {
            let request = TestRequest::default()
                .insert_header(("X-GitHub-Event", "ping"))
                .insert_header(("Content-Type", "application/x-www-form-urlencoded"));
            GitHub::told(&request.to_http_request(), body.as_bytes())
        };
        assert_eq!(form("payload=%7B%22zen%22%3A%22x%22%7D").unwrap(), None);
        assert!(form("other=1").is_err());
        let bare = TestRequest::default().to_http_request();
        assert!(GitHub::told(&bare, b"{}").is_err(), "no event is named");
    }
}
