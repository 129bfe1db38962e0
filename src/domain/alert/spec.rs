//! Alerts and webhooks as the configuration writes them. They are compiled into
//! [`super::Alert`] and [`super::Webhook`]. `docs/ALERTS.md` explains the keys to users.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::domain::time::{HOUR, MINUTE, Millis, SECOND};

/// `[[alert]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertSpec {
    /// What it is called: `checkout_errors`.
    pub name: String,
    /// What people read; without it, the name.
    #[serde(default)]
    pub title: Option<String>,
    /// The metric that is watched.
    #[serde(default)]
    pub metric: String,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// The length of the window: the metric is taken over the last so long.
    #[serde(default = "a_minute")]
    pub window: Span,
    /// The length of the longest window; without it, `window`. Where events are few, windows
    /// twice, four times as long and so on are tried, up to this.
    #[serde(default)]
    pub widest: Option<Span>,
    /// A value is bad at this or more.
    #[serde(default)]
    pub above: Option<f64>,
    /// A value is bad at this or less.
    #[serde(default)]
    pub below: Option<f64>,
    /// A value is bad at so many times the baseline or more.
    #[serde(default)]
    pub rises: Option<f64>,
    /// A value is bad at so many times the baseline or less.
    #[serde(default)]
    pub falls: Option<f64>,
    /// The baseline of `rises`, `falls`, `while_holds` and `unless_holds`.
    #[serde(default)]
    pub against: Option<Against>,
    /// The difference from the baseline must be so many standard errors at least.
    #[serde(default)]
    pub sigma: Option<f64>,
    /// Nothing is judged by less than this: by what a ratio divides by, or by a count itself.
    #[serde(default)]
    pub min_volume: f64,
    /// A second metric, the guard: the alert is judged only while it is as the next two keys
    /// ask.
    #[serde(default, rename = "while")]
    pub while_metric: Option<String>,
    /// The guard must be at least this, over the window.
    #[serde(default)]
    pub while_above: Option<f64>,
    /// The guard must be at least so many times its own baseline.
    #[serde(default)]
    pub while_holds: Option<f64>,
    /// A third metric: the alert is not judged while it is as the next two keys say.
    #[serde(default)]
    pub unless: Option<String>,
    /// `unless` holds from this value on, over the window.
    #[serde(default)]
    pub unless_above: Option<f64>,
    /// `unless` holds from so many times its own baseline on.
    #[serde(default)]
    pub unless_holds: Option<f64>,
    /// How long the value must be bad before the alert fires.
    #[serde(default = "ten_seconds", rename = "for")]
    pub lasting: Span,
    /// How far back the value must be for the alert to be over: to so many times the threshold,
    /// 0.01 to 1; where small values are bad, to the threshold divided by this.
    #[serde(default = "four_fifths")]
    pub clear: f64,
    /// How long the value must be so far back.
    #[serde(default = "a_minute")]
    pub clear_for: Span,
    /// The breakdowns that may explain it, as `EVENT/PROPERTY`.
    #[serde(default)]
    pub explain: Vec<String>,
    /// The times of the business day between which it does not begin to fire: `22:00-06:00`.
    #[serde(default)]
    pub silence: Option<String>,
    /// `true` takes the alert of this name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// `[[webhook]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// What it is called, in logs and in the outbox.
    pub name: String,
    /// Where alerts are posted to. It may hold a token, so it is as secret as a password.
    #[serde(default)]
    pub url: Secret,
    /// What the body is.
    #[serde(default)]
    pub format: WebhookFormat,
    /// What the body is signed with; empty: it is not signed.
    #[serde(default)]
    pub secret: Secret,
    /// Only alerts of this severity or worse are posted.
    #[serde(default)]
    pub severity: Severity,
    /// `true` takes the webhook of this name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// How bad an alert is; later ones are worse.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        })
    }
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The hour before the window.
    LastHour,
    /// The same moment a day back, by the clock of the business zone.
    Yesterday,
    /// The same moment seven days back.
    LastWeek,
}

impl FromStr for Against {
    type Err = &'static str;

    /// Reads the word of a configuration or a query.
    fn from_str(word: &str) -> Result<Against, &'static str> {
        match word {
            "last_hour" => Ok(Against::LastHour),
            "yesterday" => Ok(Against::Yesterday),
            "last_week" => Ok(Against::LastWeek),
            _ => Err("it is last_hour, yesterday or last_week"),
        }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Against::LastHour => "in the hour before",
            Against::Yesterday => "at the same moment yesterday",
            Against::LastWeek => "at the same moment last week",
        })
    }
}

/// What a webhook's body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookFormat {
    /// Floodmark's own JSON.
    #[default]
    Json,
    /// `{"text": …}`, which Slack takes, and Mattermost, Rocket.Chat and Discord's `/slack`.
    Slack,
}

/// A length of time: `10s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Millis);

impl Span {
    /// Reads a whole number of s, m or h.
    pub fn parse(text: &str) -> Option<Span> {
        let unit = match text.bytes().last()? {
            b's' => SECOND,
            b'm' => MINUTE,
            b'h' => HOUR,
            _ => return None,
        };
        let number = &text[..text.len() - 1];
        if number.is_empty() || number.len() > 6 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Span(number.parse::<Millis>().ok()? * unit))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms != 0 && ms % HOUR == 0 => write!(f, "{} h", ms / HOUR),
            ms if ms != 0 && ms % MINUTE == 0 => write!(f, "{} min", ms / MINUTE),
            ms => write!(f, "{} s", ms / SECOND),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        Span::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no span such as 10s, 5m or 1h")))
    }
}

/// Text that is never printed, neither in logs nor in error messages.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(secret)" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        // The error of `String` would show the value, so any value is taken and looked at here.
        match toml::Value::deserialize(deserializer) {
            Ok(toml::Value::String(text)) => Ok(Secret(text)),
            _ => Err(D::Error::custom("must be text")),
        }
    }
}

fn a_minute() -> Span {
    Span(MINUTE)
}

fn ten_seconds() -> Span {
    Span(10 * SECOND)
}

fn four_fifths() -> f64 {
    0.8
}
