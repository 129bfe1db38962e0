//! From alerts as the configuration writes them to alerts as they are used. Whatever is wrong
//! with one is found here, at start.

use crate::domain::{
    alert::{
        condition::{Conditions, Direction, within},
        guard::Guard,
        rules::{Alert, AlertRules},
        silence::Silence,
        spec::{AlertSpec, WebhookSpec},
        webhook::{PlaceOf, Webhook},
    },
    metric::{Breakdown, Metric, MetricSet},
    rule::{Fault, List, MAX_RULES, check_name},
    time::{DAY, HOUR, Millis, SECOND},
};

/// What the names of alerts on the drift of schemas begin with. They need no rule.
pub const SCHEMA_DRIFT: &str = "schema_drift";
/// The most breakdowns that an alert may name to be explained by.
const MAX_EXPLAIN: usize = 10;
/// The shortest and the longest window.
const WINDOW: (Millis, Millis) = (10 * SECOND, HOUR);

impl AlertRules {
    /// Compiles the rules. `place_of` judges the URLs of webhooks.
    ///
    /// # Errors
    /// Every rule that can't be used, with its place in its list.
    pub fn compile(
        alerts: &[AlertSpec],
        webhooks: &[WebhookSpec],
        metric_set: &MetricSet,
        place_of: PlaceOf,
    ) -> Result<AlertRules, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rules = AlertRules::default();
        let mut fault = |list, index, message| faults.push(Fault { list, index, message });
        for (index, spec) in alerts.iter().enumerate() {
            let known = rules.alerts.iter().any(|known| known.name == spec.name);
            match named(&spec.name, known, index, List::Alerts)
                .and_then(|()| match spec.name == SCHEMA_DRIFT {
                    true => Err(format!("{SCHEMA_DRIFT} is an alert of its own: see [schemas]")),
                    false => Ok(()),
                })
                .and_then(|()| alert(spec, metric_set))
            {
                Ok(alert) => rules.alerts.push(alert),
                Err(message) => fault(List::Alerts, index, message),
            }
        }
        for (index, spec) in webhooks.iter().enumerate() {
            let known = rules.webhooks.iter().any(|known| known.name == spec.name);
            match named(&spec.name, known, index, List::Webhooks)
                .and_then(|()| Webhook::compile(spec, place_of))
            {
                Ok(webhook) => rules.webhooks.push(webhook),
                Err(message) => fault(List::Webhooks, index, message),
            }
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }
}

/// Refuses a name that is none, that is taken already, or that is one too many.
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

fn alert(spec: &AlertSpec, metric_set: &MetricSet) -> Result<Alert, String> {
    let metric = watched(metric_set, &spec.metric, "metric")?;
    let is_ratio = metric_set.is_ratio(&metric);
    let conditions = Conditions::read(spec)?;
    let guard = Guard::read(spec, |name| watched(metric_set, name, "while"))?;
    let unless = Guard::read_unless(spec, |name| watched(metric_set, name, "unless"))?;
    within("clear", Some(spec.clear), 0.01, 1.0)?;
    within("min_volume", Some(spec.min_volume), 0.0, 1e15)?;
    let windows = windows(spec)?;
    for (key, span) in [("for", spec.lasting), ("clear_for", spec.clear_for)] {
        if span.0 > DAY {
            return Err(format!("{key}: must be at most 24h"));
        }
    }
    if conditions.asks_for_significance() && !metric_set.is_counted(&metric) {
        return Err(format!(
            "sigma: {:?} is no count of events, so its standard error is not known",
            spec.metric
        ));
    }
    // Of a count that is compared with nothing, the value itself is the volume: it would have
    // to be large enough to be judged and small enough to be bad.
    let is_plain_fall = conditions.direction() == Direction::Down && conditions.against().is_none();
    if spec.min_volume > 0.0 && !is_ratio && is_plain_fall {
        return Err("min_volume: would never let a small count be below anything; use while".into());
    }
    Ok(Alert {
        name: spec.name.clone(),
        title: spec.title.clone().unwrap_or_else(|| spec.name.clone()),
        metric,
        is_ratio,
        severity: spec.severity,
        windows,
        conditions,
        min_volume: spec.min_volume,
        guard,
        unless,
        lasting: spec.lasting.0,
        clear: spec.clear,
        clear_for: spec.clear_for.0,
        explain: explaining(spec, metric_set)?,
        silence: silence(spec)?,
    })
}

/// A metric that can be read for any span of time. `key` is what names it in the rule.
fn watched(metric_set: &MetricSet, name: &str, key: &str) -> Result<Metric, String> {
    let Some(metric) = metric_set.metric(name) else {
        return Err(format!("{key}: there is no metric {name:?}"));
    };
    match metric_set.is_by_day_only(metric) {
        true => Err(format!("{key}: {name:?} counts different values, known by day only")),
        false => Ok(metric.clone()),
    }
}

/// The windows to try: `window`, twice as long and so on, and last `widest` itself.
fn windows(spec: &AlertSpec) -> Result<Vec<Millis>, String> {
    let (shortest, longest) = (spec.window, spec.widest.unwrap_or(spec.window));
    for (key, span) in [("window", shortest), ("widest", longest)] {
        if !(WINDOW.0..=WINDOW.1).contains(&span.0) {
            return Err(format!("{key}: must be 10s to 1h"));
        }
    }
    if longest < shortest {
        return Err("widest: must be at least window".to_owned());
    }
    let doubled = std::iter::successors(Some(shortest.0), |window| Some(window * 2));
    let mut windows: Vec<Millis> = doubled.take_while(|window| *window < longest.0).collect();
    windows.push(longest.0);
    Ok(windows)
}

/// The breakdowns that `explain` names.
fn explaining(spec: &AlertSpec, metric_set: &MetricSet) -> Result<Vec<Breakdown>, String> {
    let find = |name: &String| {
        let found = metric_set.breakdowns().iter().find(|known| known.name == *name);
        found
            .cloned()
            .ok_or_else(|| format!("explain: there is no [[breakdown]] {name:?} (EVENT/PROPERTY)"))
    };
    let found = spec.explain.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    match found.len() > MAX_EXPLAIN {
        true => Err(format!("explain: at most {MAX_EXPLAIN} breakdowns")),
        false => Ok(found),
    }
}

fn silence(spec: &AlertSpec) -> Result<Option<Silence>, String> {
    let Some(text) = &spec.silence else { return Ok(None) };
    match Silence::parse(text) {
        Some(silence) => Ok(Some(silence)),
        None => Err(format!("silence: {text:?} is no stretch of the day such as 22:00-06:00")),
    }
}
