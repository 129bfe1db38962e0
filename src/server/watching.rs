//! Starts the readers of the numbers other than viewers: the actor that folds the rollups, the one
//! that reads baselines, and the alerts.

use actix::{Actor, Addr, Arbiter};

use super::storage::Storage;
use crate::{
    alert::{self, AlertActor, LeaseHolder, Notifier, RulesInForce},
    archive::mover::Mover,
    causes::Explainer,
    config::{ArchiveConfig, Config},
    domain::time::now_ms,
    numbers::{BaselineReader, Baselines, MarkDesk, MarkEffects, Past, PastMoments, TimeSeries},
    store::{Stores, retention::Remover, rollup_actor::RollupActor},
    telemetry::health::Health,
};

/// The readers that other parts of the server talk to.
pub struct Watching {
    /// Answers queries for time series.
    pub series: TimeSeries,
    /// Asks the store for what was before.
    pub past: Past,
    /// Answers what was true at moments of the past.
    pub moments: PastMoments,
    /// Makes and reads marks.
    pub marks: MarkDesk,
    /// Says what marks have done.
    pub effects: MarkEffects,
    /// Finds out why a metric has changed.
    pub explainer: Explainer,
    /// The actor that evaluates the alerts.
    pub alerts: Addr<AlertActor>,
    /// Its rules, which can be replaced.
    pub rules: RulesInForce,
}

/// Starts the actors that follow the store and the mirror.
pub fn start(config: &Config, storage: &Storage) -> Watching {
    let baselines = Baselines::new(storage.zone.clone(), now_ms());
    let thread = Arbiter::new();
    let rollups = &storage.stores.rollups;
    let zone = storage.zone.clone();
    let folding = RollupActor::new(&storage.stores, storage.health.clone(), config, zone);
    RollupActor::start_in_arbiter(&thread.handle(), |_| folding);
    super::hold("retention", {
        let (stores, health) = (storage.stores.clone(), storage.health.clone());
        let retention = config.retention.clone();
        move || Remover::new(&stores, &retention).follow(health.clone())
    });
    super::hold("archive", {
        let (stores, health) = (storage.stores.clone(), storage.health.clone());
        let archive = config.archive.clone();
        move || move_days(stores.clone(), archive.clone(), health.clone())
    });
    let marks = MarkDesk::new(storage.stores.marks.clone(), storage.mirror.clone());
    super::hold("marks", {
        let marks = marks.clone();
        move || marks.clone().follow()
    });
    let reader = BaselineReader::new(baselines.clone(), rollups.clone(), &config.retry);
    BaselineReader::start_in_arbiter(&thread.handle(), |_| reader);
    let rules = RulesInForce::new(config.rules.alerts.clone());
    let alerts = alerts(config, storage, baselines.clone(), rules.clone());
    let past = Past::new(&storage.stores);
    let effects = MarkEffects::new(storage.mirror.clone(), past.clone(), config.currency.clone());
    let series = TimeSeries::new(storage.mirror.clone(), past.clone(), baselines);
    let (mirror, events) = (storage.mirror.clone(), storage.stores.events.clone());
    let moments = PastMoments::new(mirror, past.clone(), config.rules.metric_set.clone(), events);
    let explainer = explainer(config, storage);
    Watching { series, past, moments, marks, effects, explainer, alerts, rules }
}

/// Moves days to the archive, where there is one.
async fn move_days(stores: Stores, config: ArchiveConfig, health: Health) {
    match Mover::new(&stores, &config) {
        Ok(Some(mover)) => mover.follow(health).await,
        // It was opened when the server started, so this is a folder that has gone meanwhile.
        Err(words) => health.trouble("archive", "other", &words),
        Ok(None) => {}
    }
    std::future::pending().await
}

fn explainer(config: &Config, storage: &Storage) -> Explainer {
    let stores = &storage.stores;
    Explainer::new(
        stores.events.clone(),
        stores.rollups.clone(),
        stores.retention.clone(),
        config.rules.metric_set.clone(),
    )
}

/// Starts the alert actor and the notifier. One node of all evaluates the alerts; all show them.
fn alerts(
    config: &Config,
    storage: &Storage,
    baselines: Baselines,
    rules: RulesInForce,
) -> Addr<AlertActor> {
    let thread = Arbiter::new();
    let lease = LeaseHolder::new(storage.lease(config));
    let (log, leading) = (storage.stores.alerts.clone(), lease.leading().clone());
    let (watched, notify) = (rules.clone(), config.notify.clone());
    // The notifier is made on its own thread, since its HTTP client can't move to another.
    let notifier = Notifier::start_in_arbiter(&thread.handle(), move |_| {
        Notifier::new(log, watched, leading, notify)
    });
    let actor = AlertActor::new(alert::AlertSetup {
        in_force: rules,
        mirror: storage.mirror.clone(),
        baselines,
        explainer: explainer(config, storage),
        log: storage.stores.alerts.clone(),
        lease,
        notifier,
        currency: config.currency.clone(),
        drift: config.schemas.clone(),
        schemas: storage.stores.schemas.clone(),
    });
    AlertActor::start_in_arbiter(&thread.handle(), |_| actor)
}
