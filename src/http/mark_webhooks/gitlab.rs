//! Webhooks of GitLab: `POST /v1/webhooks/gitlab`, with the secret token of the webhook.
//!
//! Source: docs.gitlab.com, "Webhooks" (`X-Gitlab-Token`), "Webhook events" (deployment events, release
//! events).

use actix_web::HttpRequest;
use serde_json::Value;

use super::{MarkVendor, ToldMark, deploy_title, link_at, object, text_at};
use crate::{
    domain::{
        source::WebhookVendor,
        time::{Millis, parse_rfc3339},
    },
    http::{collect::signed::HookProof, dialect::webhook, error::ApiError},
};

/// GitLab.
pub struct GitLab;

impl MarkVendor for GitLab {
    fn proof(request: &HttpRequest) -> Result<HookProof, ApiError> {
        let token = webhook::header(request, "x-gitlab-token");
        Ok(HookProof::Token(WebhookVendor::GitLab, token))
    }

    fn told(_: &HttpRequest, body: &[u8]) -> Result<Option<ToldMark>, ApiError> {
        let object = object(body)?;
        // The header X-Gitlab-Event says the same, but "System Hook" where the whole instance has one webhook.
        Ok(match text_at(&object, "/object_kind").as_deref() {
            Some("deployment") => deployment(&object),
            Some("release") => release(&object),
            _ => None,
        })
    }
}

/// A deployment that went well.
fn deployment(object: &Value) -> Option<ToldMark> {
    let text = |at: &str| text_at(object, at);
    if text("/status")? != "success" {
        return None;
    }
    let (project, id) = (text("/project/path_with_namespace")?, text("/deployment_id")?);
    let environment = text("/environment");
    Some(ToldMark {
        time: text("/status_changed_at").and_then(|at| moment_of(&at)),
        title: deploy_title(text("/short_sha"), environment.as_deref()),
        link: link_at(object, &["/deployable_url"]),
        key: format!("gitlab deployment {project} {id}"),
        source: format!("gitlab {project}"),
        environment,
    })
}

/// A release that was made.
fn release(object: &Value) -> Option<ToldMark> {
    let text = |at: &str| text_at(object, at);
    if text("/action")? != "create" {
        return None;
    }
    let (project, id) = (text("/project/path_with_namespace")?, text("/id")?);
    let time = text("/released_at").or(text("/created_at"));
    Some(ToldMark {
        time: time.and_then(|at| moment_of(&at)),
        title: format!("release {}", text("/tag").or(text("/name"))?),
        link: link_at(object, &["/url"]),
        key: format!("gitlab release {project} {id}"),
        source: format!("gitlab {project}"),
        environment: None,
    })
}

/// A moment as GitLab writes it: `2026-11-27 14:00:00 +0100`, `2026-11-27 14:00:00 UTC`, or RFC 3339.
fn moment_of(text: &str) -> Option<Millis> {
    let parsed = || {
        let text = text.replace(" UTC", " +0000");
        jiff::Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text).ok()
    };
    parse_rfc3339(text).or_else(|| parsed().map(jiff::Timestamp::as_millisecond))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn told(body: &Value) -> Option<ToldMark> {
        let request = TestRequest::default().to_http_request();
        GitLab::told(&request, body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn deployments_that_went_well_and_releases_are_marks() {
        let deployed = |status: &str| {
            json!({"object_kind": "deployment", "status": status, "deployment_id": 15,
                "status_changed_at": "2026-11-27 15:00:00 +0100", "environment": "production",
                "deployable_url": "https://gitlab.example/shop/web/-/jobs/796", "short_sha": "279484c0",
                "project": {"path_with_namespace": "shop/web"}})
        };
        let mark = told(&deployed("success")).unwrap();
        assert_eq!(mark.title, "deploy 279484c to production");
        assert_eq!(mark.source, "gitlab shop/web");
        assert_eq!(mark.time, parse_rfc3339("2026-11-27T14:00:00Z"));
        for status in ["running", "failed", "canceled"] {
            assert_eq!(told(&deployed(status)), None, "{status}");
        }
        let release = |action: &str| {
            json!({"object_kind": "release", "action": action, "id": 1, "tag": "v1.1", "name": "New",
                "released_at": "2026-11-27 14:00:00 UTC", "url": "https://gitlab.example/r/v1.1",
                "project": {"path_with_namespace": "shop/web"}})
        };
        let mark = told(&release("create")).unwrap();
        assert_eq!(
            (mark.title.as_str(), mark.time),
            ("release v1.1", parse_rfc3339("2026-11-27T14:00:00Z"))
        );
        assert_eq!(told(&release("update")), None);
        assert_eq!(told(&json!({"object_kind": "push"})), None);
    }
}
