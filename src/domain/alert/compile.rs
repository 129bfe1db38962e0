//! From alerts as written to alerts as used; all that is wrong is found here.

use crate::domain::{
    alert::{
        rules::{Alert, AlertRules, Guard, Webhook},
        silence::Silence,
        spec::{AlertSpec, WebhookSpec},
    },
    metric::{Measures, Metric},
    rule::{Fault, List, MAX_RULES, check_name},
    time::{DAY, HOUR, Millis, SECOND},
};

/// Breakdowns that may explain an alert.
const MAX_EXPLAIN: usize = 10;
/// The shortest and the longest window.
const WINDOW: (Millis, Millis) = (10 * SECOND, HOUR);

impl AlertRules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// Every rule that can't be used, with its place.
    pub fn compile(
        alerts: &[AlertSpec],
        webhooks: &[WebhookSpec],
        measures: &Measures,
    ) -> Result<AlertRules, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rules = AlertRules::default();
        let mut fault = |list, index, message| faults.push(Fault { list, index, message });
        for (index, spec) in alerts.iter().enumerate() {
            let known = rules.alerts.iter().any(|known| known.name == spec.name);
            match named(&spec.name, known, index, List::Alerts).and_then(|()| alert(spec, measures))
            {
                Ok(alert) => rules.alerts.push(alert),
                Err(message) => fault(List::Alerts, index, message),
            }
        }
        for (index, spec) in webhooks.iter().enumerate() {
            let known = rules.webhooks.iter().any(|known| known.name == spec.name);
            match named(&spec.name, known, index, List::Webhooks).and_then(|()| webhook(spec)) {
                Ok(webhook) => rules.webhooks.push(webhook),
                Err(message) => fault(List::Webhooks, index, message),
            }
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }
}

fn named(name: &str, known: bool, index: usize, list: List) -> Result<(), String> {
    check_name(name)?;
    if known {
        return Err(format!("there is one named {name:?} already"));
    }
    match index < MAX_RULES {
        true => Ok(()),
        false => Err(format!("there are more than {MAX_RULES} {list}s")),
    }
}

fn alert(spec: &AlertSpec, measures: &Measures) -> Result<Alert, String> {
    let metric = watched(measures, &spec.metric, "metric")?;
    let is_ratio = measures.is_ratio(&metric);
    conditions(spec)?;
    let (shortest, longest) = (spec.window, spec.widest.unwrap_or(spec.window));
    for (key, span) in [("window", shortest), ("widest", longest)] {
        if !(WINDOW.0..=WINDOW.1).contains(&span.0) {
            return Err(format!("{key}: must be 10s to 1h"));
        }
    }
    if longest < shortest {
        return Err("widest: must be at least window".to_owned());
    }
    for (key, span) in [("for", spec.lasting), ("clear_for", spec.clear_for)] {
        if span.0 > DAY {
            return Err(format!("{key}: must be at most 24h"));
        }
    }
    if spec.sigma.is_some() && !measures.is_counted(&metric) {
        return Err(format!(
            "sigma: {:?} is no count of events, so its standard error is not known",
            spec.metric
        ));
    }
    if spec.min_volume > 0.0 && !is_ratio && spec.below.is_some() && spec.falls.is_none() {
        return Err("min_volume: would never let a small count be below anything; use while".into());
    }
    let mut windows = vec![shortest.0];
    while let Some(last) = windows.last()
        && last * 2 <= longest.0
    {
        windows.push(last * 2);
    }
    if windows.last() != Some(&longest.0) {
        windows.push(longest.0);
    }
    let explain = spec
        .explain
        .iter()
        .map(|name| {
            let found = measures.breakdowns().iter().find(|known| known.name == *name);
            found.cloned().ok_or_else(|| {
                format!("explain: there is no [[breakdown]] {name:?} (EVENT/PROPERTY)")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if explain.len() > MAX_EXPLAIN {
        return Err(format!("explain: at most {MAX_EXPLAIN} breakdowns"));
    }
    let silence = match &spec.silence {
        Some(text) => Some(Silence::parse(text).ok_or_else(|| {
            format!("silence: {text:?} is no stretch of the day such as 22:00-06:00")
        })?),
        None => None,
    };
    Ok(Alert {
        name: spec.name.clone(),
        title: spec.title.clone().unwrap_or_else(|| spec.name.clone()),
        metric,
        is_ratio,
        severity: spec.severity,
        windows,
        above: spec.above,
        below: spec.below,
        rises: spec.rises,
        falls: spec.falls,
        against: spec.against,
        sigma: spec.sigma,
        min_volume: spec.min_volume,
        guard: guard(spec, measures)?,
        lasting: spec.lasting.0,
        clear: spec.clear,
        clear_for: spec.clear_for.0,
        explain,
        silence,
    })
}

/// A metric that can be read for any span of time.
fn watched(measures: &Measures, name: &str, key: &str) -> Result<Metric, String> {
    let Some(metric) = measures.metric(name) else {
        return Err(format!("{key}: there is no metric {name:?}"));
    };
    match measures.is_by_day_only(metric) {
        true => Err(format!("{key}: {name:?} counts different values, known by day only")),
        false => Ok(metric.clone()),
    }
}

fn conditions(spec: &AlertSpec) -> Result<(), String> {
    let rising = spec.above.is_some() || spec.rises.is_some();
    let falling = spec.below.is_some() || spec.falls.is_some();
    match (rising, falling) {
        (false, false) => return Err("needs one of above, below, rises, falls".to_owned()),
        (true, true) => {
            return Err("above and rises look up, below and falls down: \
                                    make two alerts"
                .to_owned());
        }
        _ => {}
    }
    let relative = spec.rises.is_some() || spec.falls.is_some();
    let compares = relative || spec.while_holds.is_some();
    match (compares, spec.against) {
        (true, None) => {
            return Err("against: rises, falls and while_holds need last_hour, yesterday or \
                        last_week"
                .to_owned());
        }
        (false, Some(_)) => return Err("against: needs rises or falls".to_owned()),
        _ => {}
    }
    if spec.sigma.is_some() && !relative {
        return Err("sigma: needs rises or falls".to_owned());
    }
    let within = |key: &str, value: Option<f64>, low: f64, high: f64| match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(format!("{key}: must be {low} to {high}"))
        }
        _ => Ok(()),
    };
    within("rises", spec.rises, 1.01, 1_000.0)?;
    within("falls", spec.falls, 0.0, 0.99)?;
    within("sigma", spec.sigma, 0.5, 100.0)?;
    within("clear", Some(spec.clear), 0.01, 1.0)?;
    within("min_volume", Some(spec.min_volume), 0.0, 1e15)?;
    within("above", spec.above, -1e15, 1e15)?;
    within("below", spec.below, -1e15, 1e15)?;
    within("while_above", spec.while_above, -1e15, 1e15)?;
    within("while_holds", spec.while_holds, 0.0, 1_000.0)
}

fn guard(spec: &AlertSpec, measures: &Measures) -> Result<Option<Guard>, String> {
    let (above, holds) = (spec.while_above, spec.while_holds);
    match (&spec.while_metric, above.is_some() || holds.is_some()) {
        (None, false) => Ok(None),
        (Some(name), true) => {
            Ok(Some(Guard { metric: watched(measures, name, "while")?, above, holds }))
        }
        _ => Err("while: goes with while_above or while_holds".to_owned()),
    }
}

fn webhook(spec: &WebhookSpec) -> Result<Webhook, String> {
    // The URL itself is not shown: it may hold a token.
    let is_url = spec.url.0.parse::<actix_web::http::Uri>().is_ok_and(|uri| {
        uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    if !is_url {
        return Err("url: must be http://… or https://…".to_owned());
    }
    Ok(Webhook {
        name: spec.name.clone(),
        url: spec.url.clone(),
        format: spec.format,
        secret: spec.secret.clone(),
        severity: spec.severity,
    })
}
