//! Why an alert fires: what accounts for the change is looked for at once, so that whoever is told of the
//! alert is told of the cause with it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    alert::AlertSetup,
    causes::{CauseQuery, Explanation, spans},
    domain::{
        access::Sight,
        alert::{Against, Firing},
        metric::Unit,
        time::{BusinessZone, Millis, SECOND},
    },
};

/// How long an alert may wait for its cause. It is told without one then.
const WITHIN: Duration = Duration::from_secs(5);

/// Adds to each alert that begins to fire what accounts for it. `lag` is how far before now the numbers end.
pub async fn explain(setup: &AlertSetup, changes: &mut [Firing], lag: Millis) {
    let new = changes.iter_mut().filter(|firing| firing.cleared_at.is_none());
    join_all(new.map(|firing| one(setup, firing, lag))).await;
}

async fn one(setup: &AlertSetup, firing: &mut Firing, lag: Millis) {
    // The window in which it fires ended where late events had arrived.
    let parts = setup.mirror.metric_set().parts(&firing.metric);
    let lag = lag + setup.mirror.lateness().of(&parts.series, setup.mirror.now());
    let query = query(firing, lag, setup.mirror.zone());
    match tokio::time::timeout(WITHIN, setup.explainer.explain(&query)).await {
        Ok(Ok(Explanation { causes, general, .. })) => {
            firing.caused_by(causes, general, &setup.currency);
        }
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
fn query(firing: &Firing, lag: Millis, zone: &BusinessZone) -> CauseQuery {
    let to = firing.since - lag;
    let now = (to - firing.window_seconds * SECOND, to);
    let was = spans::before(now, firing.against.unwrap_or(Against::LastHour), zone);
    // What is not about money is shown to those who may not see money, so no amount may be its cause.
    let sight = if firing.unit == Unit::Money { Sight::Everything } else { Sight::NoMoney };
    CauseQuery { metric: firing.metric.clone(), now, was, sight }
}
