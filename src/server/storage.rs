//! Opens the places that hold events and numbers: the data dir with the spool, the store, and the
//! live side.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{StartError, failed};
use crate::{
    access::Access,
    archive,
    broadcast::{self, Viewers},
    config::Config,
    domain::{
        batch::NodeId,
        time::{BusinessZone, now_ms, rfc3339},
    },
    live::{self, LiveStore},
    numbers::{Mirror, real_clock},
    panics::Alarm,
    sink::{BatchReader, Lease, Sink, SinkError, SinkErrorKind},
    spool::{DataDir, Opened, RESTORED_FILE, Restored, Spool, SpoolOptions},
    store::{self, Stores},
    telemetry::{health::Health, queue},
};

/// How many messages of the live side's feed may wait for the broadcaster. A full feed makes the
/// live side wait, so a slow broadcaster costs no memory. A delta of full batches whose values are all
/// made up takes half a megabyte.
const FEED_CAPACITY: usize = 32;

/// How long a start waits for the store, and then for Redis, to say whose they are.
const CLAIM_WITHIN: Duration = Duration::from_secs(3);

/// The places that hold events and numbers, open.
pub struct Storage {
    /// The data dir, locked by this process.
    pub data_dir: DataDir,
    /// The identity of this node.
    pub node: NodeId,
    /// The log on disk between intake and the two sinks, for reading.
    pub spool: Spool,
    /// The store, which keeps each event for good: one handle for each thing that callers need of
    /// it.
    pub stores: Stores,
    /// The live side, which counts events.
    pub live: Arc<dyn LiveStore>,
    /// This node's copy of the counters, for reading.
    pub mirror: Mirror,
    /// Who has access.
    pub access: Access,
    /// The list of parts that are in trouble.
    pub health: Health,
    /// The business time zone.
    pub zone: BusinessZone,
}

impl Storage {
    /// Opens all of them. Also returns the spool as it was found, with its one writer and what a
    /// crash left unsealed, and the running fan-out, which has to be there before the live side
    /// sends its first message.
    pub async fn open(
        config: &Config,
        alarm: &Alarm,
    ) -> Result<(Storage, Opened, Viewers), StartError> {
        let zone = BusinessZone::named(&config.timezone).map_err(failed("timezone"))?;
        let data_dir = DataDir::open(&config.data_dir).map_err(failed("data dir"))?;
        let opened = open_spool(config, &data_dir)?;
        let spool = opened.spool.clone();

        let (feed, follow) = mpsc::channel(FEED_CAPACITY);
        let waits = feed.downgrade();
        let waiting = move || waits.upgrade().map(|feed| feed.max_capacity() - feed.capacity());
        queue::watch("broadcaster", waiting);
        let metric_set = config.rules.metric_set.clone();
        let active_window_s = config.live.active_window_s;
        let (mirror, writer) = Mirror::new(zone.clone(), metric_set, active_window_s, real_clock());
        let viewers = broadcast::start(&config.stream, writer, follow, alarm);
        let counted = spool.clone();
        let least_lag = config.stream.behind_after_ms as i64;
        mirror.freshness().watch_lag(least_lag, move || counted.lag(Sink::Live).oldest_ms);

        let stores = store::open(config).await.map_err(failed("store"))?;
        let stores = archive::attach(stores, &config.archive).map_err(failed("archive"))?;
        refuse_foreign("store", stores.info.claim()).await?;
        let access = Access::open(config, stores.access.clone()).await;
        let live = live::open(config, &stores, zone.clone(), feed, now_ms())
            .await
            .map_err(failed("live"))?;
        refuse_foreign("live", live.claim()).await?;
        let node = data_dir.node();
        let health = Health::default();
        say_restored(&health, data_dir.path());
        let storage = Storage { data_dir, node, spool, stores, live, mirror, access, health, zone };
        Ok((storage, opened, viewers))
    }
}

impl Storage {
    /// The lease that lets one node of all evaluate the alerts: in Redis where there is one,
    /// since the numbers that they look at come from there; else in the store.
    pub fn lease(&self, config: &Config) -> Arc<dyn Lease> {
        match config.redis.urls.is_empty() {
            false => self.live.clone(),
            true => self.stores.lease.clone(),
        }
    }

    /// Reads batches back from the spool, for the writers of the sinks.
    pub fn reader(&self, config: &Config) -> BatchReader {
        BatchReader {
            spool: self.spool.clone(),
            health: self.health.clone(),
            retry: config.retry.clone(),
        }
    }
}

/// Says what a data dir lacks that was put back from a backup, for as long as its note is there.
fn say_restored(health: &Health, data_dir: &std::path::Path) {
    let Some(Restored { complete_until, restored_at }) = Restored::of(data_dir) else { return };
    let reason = format!(
        "restored: this data dir was put back from a backup at {}: what was answered here from {} until then \
         is missing; remove {} once everybody knows",
        rfc3339(restored_at),
        rfc3339(complete_until),
        data_dir.join(RESTORED_FILE).display()
    );
    tracing::warn!("{reason}");
    health.standing("restored", reason);
}

/// Fails where a part belongs to another installation, or has numbers that were made by other settings.
/// A part that can't be reached now is asked again before anything is written to it.
async fn refuse_foreign(
    part: &str,
    claim: impl Future<Output = Result<(), SinkError>>,
) -> Result<(), StartError> {
    match tokio::time::timeout(CLAIM_WITHIN, claim).await {
        Ok(Err(e)) if matches!(e.kind, SinkErrorKind::Foreign | SinkErrorKind::Settings) => {
            Err(failed(part)(e))
        }
        _ => Ok(()),
    }
}

/// Opens the spool and logs what its recovery found.
fn open_spool(config: &Config, data_dir: &DataDir) -> Result<Opened, StartError> {
    let options = SpoolOptions {
        dir: data_dir.spool_dir(),
        node: data_dir.node(),
        segment_bytes: config.spool.segment_bytes,
        max_bytes: config.spool.max_bytes,
        keep_ms: i64::try_from(config.spool.keep_s.saturating_mul(1000)).unwrap_or(i64::MAX),
        keep_bytes: config.spool.keep_bytes,
    };
    let ids = super::memory::id_windows(config).map_err(StartError::new)?;
    let mut opened = Spool::open(options, ids, now_ms()).map_err(failed("spool"))?;
    opened.writer.watch_lock(data_dir.held());
    for finding in data_dir.report().iter().chain(&opened.recovery.report) {
        tracing::warn!(finding, "spool recovery");
    }
    Ok(opened)
}
