//! Alerts and webhooks as they are used; [`super::compile`] makes them.

use std::fmt;

use crate::domain::{
    alert::{
        silence::Silence,
        spec::{Against, Format, Secret, Severity, Span},
    },
    metric::{Breakdown, Metric},
    time::Millis,
};

/// All alerts and webhooks, ready for use.
#[derive(Clone, Debug, Default)]
pub struct AlertRules {
    /// In the order of the configuration.
    pub alerts: Vec<Alert>,
    /// In the order of the configuration.
    pub webhooks: Vec<Webhook>,
}

/// One alert.
#[derive(Clone, Debug)]
pub struct Alert {
    /// `checkout_errors`
    pub name: String,
    /// For people.
    pub title: String,
    /// What is watched.
    pub metric: Metric,
    /// Whether that divides.
    pub is_ratio: bool,
    /// How bad it is.
    pub severity: Severity,
    /// Windows that are tried, ms, ascending.
    pub windows: Vec<Millis>,
    /// See [`AlertSpec`]; so are the following.
    pub above: Option<f64>,
    #[allow(missing_docs)]
    pub below: Option<f64>,
    #[allow(missing_docs)]
    pub rises: Option<f64>,
    #[allow(missing_docs)]
    pub falls: Option<f64>,
    /// Given where a baseline is needed.
    pub against: Option<Against>,
    #[allow(missing_docs)]
    pub sigma: Option<f64>,
    #[allow(missing_docs)]
    pub min_volume: f64,
    /// `while`
    pub guard: Option<Guard>,
    /// `for`, ms.
    pub lasting: Millis,
    #[allow(missing_docs)]
    pub clear: f64,
    /// ms
    pub clear_for: Millis,
    #[allow(missing_docs)]
    pub explain: Vec<Breakdown>,
    #[allow(missing_docs)]
    pub silence: Option<Silence>,
}

/// `while`, `while_above`, `while_holds`
#[derive(Clone, Debug)]
pub struct Guard {
    /// Of this metric …
    pub metric: Metric,
    /// … so much over the window …
    pub above: Option<f64>,
    /// … or so many times its baseline.
    pub holds: Option<f64>,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where to; never printed whole.
    pub url: Secret,
    /// What the body is.
    pub format: Format,
    /// What it is signed with; empty: not signed.
    pub secret: Secret,
    /// Only alerts so bad or worse.
    pub severity: Severity,
}

impl AlertRules {
    /// An alert by its name.
    pub fn alert(&self, name: &str) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.name == name)
    }
}

impl Webhook {
    /// Where it goes, as it may be printed: without path and query, which may hold a token.
    pub fn place(&self) -> String {
        let uri = self.url.0.parse::<actix_web::http::Uri>().unwrap_or_default();
        format!("{}://{}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default())
    }
}

impl Alert {
    /// Whether it looks for too much, or else for too little.
    pub fn is_rising(&self) -> bool {
        self.above.is_some() || self.rises.is_some()
    }
}

impl fmt::Display for Alert {
    /// The rule in words, for `floodmark check`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.windows[0], self.windows[self.windows.len() - 1]);
        write!(f, "{} ({}): {} over {}", self.name, self.severity, self.metric.name, Span(first))?;
        if last > first {
            write!(f, " to {}", Span(last))?;
        }
        let against = self.against.map(|against| against.to_string()).unwrap_or_default();
        let mut and = " is";
        let mut say = |words: String| {
            let result = write!(f, "{and} {words}");
            and = " and";
            result
        };
        if let Some(above) = self.above {
            say(format!("at least {above}"))?;
        }
        if let Some(below) = self.below {
            say(format!("at most {below}"))?;
        }
        if let Some(rises) = self.rises {
            say(format!("at least {rises} x that {against}"))?;
        }
        if let Some(falls) = self.falls {
            say(format!("at most {falls} x that {against}"))?;
        }
        if let Some(sigma) = self.sigma {
            say(format!("off by {sigma} standard errors"))?;
        }
        if let Some(guard) = &self.guard {
            write!(f, ", while {} is at least", guard.metric.name)?;
            let (above, holds) = (guard.above, guard.holds);
            match (above, holds) {
                (Some(above), Some(holds)) => write!(f, " {above} and {holds} x that {against}")?,
                (Some(above), None) => write!(f, " {above}")?,
                (_, holds) => write!(f, " {} x that {against}", holds.unwrap_or_default())?,
            }
        }
        write!(f, ", for {}", Span(self.lasting))
    }
}
