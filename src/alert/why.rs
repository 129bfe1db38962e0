//! Why an alert fires: what accounts for the change is looked for at once, so that whoever is told of the
//! alert is told of the cause with it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    causes::{CauseQuery, Explainer, Explanation},
    domain::{
        access::Sight,
        alert::{Against, Firing},
        metric::Unit,
        time::{DAY, HOUR, Millis, SECOND},
    },
};

/// How long an alert may wait for its cause. It is told without one then.
const WITHIN: Duration = Duration::from_secs(5);

/// Adds to each alert that begins to fire what accounts for it. `lag` is how far before now the numbers end.
pub async fn explain(explainer: &Explainer, changes: &mut [Firing], lag: Millis, currency: &str) {
    let new = changes.iter_mut().filter(|firing| firing.cleared_at.is_none());
    join_all(new.map(|firing| one(explainer, firing, lag, currency))).await;
}

async fn one(explainer: &Explainer, firing: &mut Firing, lag: Millis, currency: &str) {
    let query = query(firing, lag);
    match tokio::time::timeout(WITHIN, explainer.explain(&query)).await {
        Ok(Ok(Explanation { causes, general, .. })) => firing.caused_by(causes, general, currency),
        Ok(Err(e)) => {
            tracing::debug!(alert = firing.name, error = %e, "no cause of an alert is known");
        }
        Err(_) => tracing::info!(
            alert = firing.name,
            "the cause of an alert was not found within {} s: it is told without",
            WITHIN.as_secs()
        ),
    }
}

/// The window in which it fires is compared with what the rule compares it with, or the hour before.
fn query(firing: &Firing, lag: Millis) -> CauseQuery {
    let to = firing.since - lag;
    let from = to - firing.window_seconds * SECOND;
    let was = match firing.against {
        Some(Against::Yesterday) => (from - DAY, to - DAY),
        Some(Against::LastWeek) => (from - 7 * DAY, to - 7 * DAY),
        _ => (from - HOUR, from),
    };
    // What is not about money is shown to those who may not see money, so no amount may be its cause.
    let sight = if firing.unit == Unit::Money { Sight::Everything } else { Sight::NoMoney };
    CauseQuery { metric: firing.metric.clone(), now: (from, to), was, sight }
}
