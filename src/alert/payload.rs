//! What webhooks are sent, and how it is signed.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::{
    alert::{Firing, Severity, Span, WebhookFormat},
    time::{MINUTE, Millis, SECOND, bucket},
};

/// What a webhook is told, in Floodmark's own format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// `fired` or `cleared`.
    pub change: String,
    /// The alert that fires or fired. In JSON its fields stand beside `change`.
    #[serde(flatten)]
    pub firing: Firing,
}

impl Payload {
    /// The payload that says that an alert fires or, with `cleared_at`, that it is over.
    pub fn new(firing: &Firing) -> Payload {
        let change = if firing.cleared_at.is_some() { "cleared" } else { "fired" };
        Payload { change: change.to_owned(), firing: firing.clone() }
    }

    /// The payload as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain data always encodes")
    }
}

/// The body in the format of a webhook, made from [`Payload::json`].
pub(super) fn body(json: &str, format: WebhookFormat) -> String {
    match (format, serde_json::from_str::<Payload>(json)) {
        (WebhookFormat::Slack, Ok(payload)) => slack(&payload),
        _ => json.to_owned(),
    }
}

/// The body for an incoming webhook of Slack: one text.
fn slack(payload: &Payload) -> String {
    let Payload { firing, .. } = payload;
    let text = match firing.cleared_at {
        None => format!("*[{}] {}*\n{}", firing.severity, firing.title, firing.summary),
        Some(at) => {
            format!("*[cleared] {}*\nOver after {}.", firing.title, lasted(at - firing.since))
        }
    };
    // Source: docs.slack.dev, "Formatting message text", "Escaping text".
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mark = match firing.severity {
        _ if firing.cleared_at.is_some() => ":white_check_mark:",
        Severity::Critical => ":rotating_light:",
        Severity::Warning => ":warning:",
        Severity::Info => ":information_source:",
    };
    serde_json::json!({ "text": format!("{mark} {text}") }).to_string()
}

/// How long an alert fired, rounded down to whole minutes, or to seconds below two minutes.
fn lasted(ms: Millis) -> Span {
    let unit = if ms >= 2 * MINUTE { MINUTE } else { SECOND };
    Span(bucket(ms, unit))
}

/// `sha256=HEX` of the HMAC over `TIMESTAMP.BODY`. The timestamp is signed too, so that a receiver
/// can refuse an old request that somebody else sends again.
pub fn signature(secret: &str, timestamp: Millis, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metric::Unit;

    fn firing() -> Firing {
        Firing {
            id: "1".into(),
            name: "checkout_errors".into(),
            title: "Checkout <errors>".into(),
            severity: Severity::Critical,
            metric: "checkout_error_rate".into(),
            unit: Unit::Ratio,
            since: 1_000_000,
            cleared_at: None,
            breached_until: None,
            window_seconds: 30,
            value: 0.2,
            threshold: 0.1,
            baseline: Some(0.05),
            against: None,
            volume: 100.0,
            explains: Vec::new(),
            summary: "20 %.".into(),
            causes: Vec::new(),
            mark: None,
            hidden: &[],
        }
    }

    #[test]
    fn the_signature_is_the_standards() {
        // echo -n '1700000000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 1_700_000_000_000, r#"{"a":1}"#),
            "sha256=4ef2732b0d632a6897af3a6d02a6de287f60d6c5f15dabdb0ceb045a34e3c5a7"
        );
    }

    #[test]
    fn a_body_is_what_the_format_says() {
        let json = Payload::new(&firing()).json();
        assert_eq!(body(&json, WebhookFormat::Json), json);
        assert!(json.starts_with(r#"{"change":"fired","id":"1","name":"checkout_errors""#));
        let slack: serde_json::Value =
            serde_json::from_str(&body(&json, WebhookFormat::Slack)).unwrap();
        assert_eq!(slack["text"], ":rotating_light: *[critical] Checkout &lt;errors&gt;*\n20 %.");
        let over = Firing { cleared_at: Some(1_000_000 + 725 * SECOND), ..firing() };
        let slack = body(&Payload::new(&over).json(), WebhookFormat::Slack);
        assert!(slack.contains("Over after 12 min."), "{slack}");
    }
}
