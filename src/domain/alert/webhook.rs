//! A webhook: where alerts are posted to.

use crate::domain::alert::spec::{Secret, Severity, WebhookFormat, WebhookSpec};

/// Reads the scheme and host of an `http://` or `https://` URL, as `https://example.com`;
/// `None` for any other text. What reads URLs for sending is the one to judge them, so it is
/// handed in by whoever may import it: `domain/` knows no web library.
pub type PlaceOf = fn(&str) -> Option<String>;

/// One webhook, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// What it is called, in logs and in the outbox.
    pub name: String,
    /// Where alerts are posted to. It may hold a token, so it is never printed whole.
    pub url: Secret,
    /// What the body is.
    pub format: WebhookFormat,
    /// What the body is signed with; empty: it is not signed.
    pub secret: Secret,
    /// Only alerts so bad or worse are posted.
    pub severity: Severity,
    place: String,
}

impl Webhook {
    /// Checks a webhook as the configuration writes it.
    ///
    /// # Errors
    /// In words: the URL is none. The message leaves it out, since it may hold a token.
    pub(super) fn compile(spec: &WebhookSpec, place_of: PlaceOf) -> Result<Webhook, String> {
        let place =
            place_of(&spec.url.0).ok_or_else(|| "url: must be http://… or https://…".to_owned())?;
        Ok(Webhook {
            name: spec.name.clone(),
            url: spec.url.clone(),
            format: spec.format,
            secret: spec.secret.clone(),
            severity: spec.severity,
            place,
        })
    }

    /// Where it goes, as it may be printed: scheme and host. User, password, path and query
    /// may hold a token.
    pub fn place(&self) -> &str {
        &self.place
    }
}
