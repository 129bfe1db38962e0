//! One round after another of removing what is too old: for a server in the background, and for the command
//! at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{RemovalReason, Retention, TRIM_ROWS, TooOld, Trimmed, UtcDay, full_in_days};
use crate::{
    config::RetentionConfig,
    domain::time::{DAY, HOUR, Millis, Steady, bucket, now_ms},
    sink::{SinkError, SinkErrorKind},
    store::{StoreInfo, Stores, chain::ChainStore},
    telemetry::health::Health,
};

/// How long the right to remove lasts without being renewed.
pub const REMOVAL_TTL: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// The pause between two steps of a server, which has better things to do.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is tried after a failure.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A store whose size was last noted so long ago was away, or this clock is ahead: nothing is removed before
/// the process has run for [`HELD_FOR`] by a steady clock, so that somebody can set it right.
const LONG_AWAY: Millis = 3 * DAY;
/// See [`LONG_AWAY`].
const HELD_FOR: Duration = Duration::from_secs(24 * 3600);
/// For how long sizes are remembered: the days by whose pace the forecast is made.
const SIZES_FOR: Millis = 7 * DAY;

/// How operators know it.
const PART: &str = "retention";
/// The key of the reason in `/readyz` that the store is nearly full.
const FULL: &str = "disk";

/// Removes what is too old.
pub struct Remover {
    retention: Arc<dyn Retention>,
    chain: Arc<dyn ChainStore>,
    info: Arc<dyn StoreInfo>,
    config: RetentionConfig,
    /// The name of this process in the lease.
    holder: String,
    clock: Steady,
    started: Instant,
    /// Whether nothing is removed yet ([`LONG_AWAY`]); `None` before the first look.
    held: Option<bool>,
}

/// What a round has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removing {
    /// Rows of events, by day, type and reason.
    pub events: Vec<(UtcDay, String, RemovalReason, u64)>,
    /// Rows of rollups, breakdowns and hours of properties.
    pub rollups: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Alerts and notices.
    pub alerts: u64,
}

impl Removing {
    fn add(&mut self, step: Vec<(UtcDay, String, RemovalReason, u64)>) {
        for (day, kind, reason, rows) in step {
            metrics::counter!("floodmark_retention_removed_rows_total", "reason" => reason.name())
                .increment(rows);
            let same =
                self.events.iter_mut().find(|it| (it.0, &it.1, it.2) == (day, &kind, reason));
            match same {
                Some(known) => known.3 += rows,
                None => self.events.push((day, kind, reason, rows)),
            }
        }
    }
}

/// Does work that one process does at a time ([`Retention::lead_removal`]). `None` where another is at it.
///
/// # Errors
/// The work fails, or the store does not answer.
pub async fn holding<T>(
    retention: &dyn Retention,
    holder: &str,
    work: impl Future<Output = Result<T, SinkError>>,
) -> Result<Option<T>, SinkError> {
    if !retention.lead_removal(holder, REMOVAL_TTL).await? {
        return Ok(None);
    }
    // The work of one step may take longer than the lease, so that is renewed beside it. A process that is
    // halted loses the lease; its step then finds that its table is another, and is taken back.
    let renewing = async {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let _ = retention.lead_removal(holder, REMOVAL_TTL).await;
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = renewing => unreachable!("it goes on for ever"),
    };
    retention.resign_removal(holder).await?;
    outcome.map(Some)
}

impl Remover {
    /// By the settings of `[retention]`.
    pub fn new(stores: &Stores, config: &RetentionConfig) -> Remover {
        Remover {
            retention: stores.retention.clone(),
            chain: stores.chain.clone(),
            info: stores.info.clone(),
            config: config.clone(),
            holder: Uuid::new_v4().to_string(),
            clock: Steady::begin(now_ms()),
            started: Instant::now(),
            held: None,
        }
    }

    /// Goes on for as long as the process runs.
    pub async fn follow(mut self, health: Health) {
        loop {
            let pause = match self.turn(&health).await {
                Ok(()) => {
                    health.well(PART);
                    Duration::from_secs(self.config.interval_s)
                }
                Err(e) => {
                    // A store that is away is a trouble of its writers, who know first when it is back.
                    match e.kind {
                        SinkErrorKind::Unavailable | SinkErrorKind::ReadOnly => health.well(PART),
                        _ => health.trouble(PART, &e.kind.to_string(), &e.message),
                    }
                    TRY_AGAIN.min(Duration::from_secs(self.config.interval_s))
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn turn(&mut self, health: &Health) -> Result<(), SinkError> {
        let now = self.now().await?;
        if !self.look_at_room(now, health).await? {
            return Ok(());
        }
        match self.round(now, PAUSE, &mut |_| {}).await? {
            Some(removed) if removed != Removing::default() => {
                let rows: u64 = removed.events.iter().map(|it| it.3).sum();
                tracing::info!(
                    events = rows,
                    rollups = removed.rollups,
                    dead_letters = removed.dead_letters,
                    alerts = removed.alerts,
                    "removed what [retention] says is too old"
                );
            }
            _ => {}
        }
        Ok(())
    }

    /// The time by which things are old: that of the clock that is behind, of this machine's and the store's.
    pub async fn now(&self) -> Result<Millis, SinkError> {
        let own = self.clock.now();
        Ok(self.info.clock().await?.map_or(own, |theirs| own.min(theirs)))
    }

    /// One round: all that is too old at `now` (Unix ms), with a pause between two steps. `None` where
    /// another process is at it.
    ///
    /// # Errors
    /// The store can't be read or written to. What was removed by then stays removed, and is noted.
    pub async fn round(
        &self,
        now: Millis,
        pause: Duration,
        told: &mut dyn FnMut(&Removing),
    ) -> Result<Option<Removing>, SinkError> {
        let old = TooOld::at(&self.config, now);
        let trims: Vec<(Trimmed, u64)> = [
            (Trimmed::Rollups, self.config.rollups_days),
            (Trimmed::DeadLetters, self.config.dead_letters_days),
            (Trimmed::Alerts, self.config.alerts_days),
        ]
        .into_iter()
        .filter(|(_, days)| *days > 0)
        .collect();
        if old.is_nothing() && trims.is_empty() {
            return Ok(Some(Removing::default()));
        }
        let work = self.work(&old, &trims, now, pause, told);
        holding(&*self.retention, &self.holder, work).await
    }

    async fn work(
        &self,
        old: &TooOld,
        trims: &[(Trimmed, u64)],
        now: Millis,
        pause: Duration,
        told: &mut dyn FnMut(&Removing),
    ) -> Result<Removing, SinkError> {
        let mut removing = Removing::default();
        while !old.is_nothing() {
            let step = self.retention.remove_some(old).await?;
            removing.add(step.removed);
            told(&removing);
            if step.done {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        if let Some(first) = old.all {
            // What the chain of hashes says of rows that went, beside their hashes.
            while self.chain.thin_chain(first.saturating_mul(DAY)).await? > 0 {
                tokio::time::sleep(pause).await;
            }
        }
        for (what, days) in trims {
            let days = i64::try_from(*days).unwrap_or(i64::MAX);
            let before = bucket(now, DAY).saturating_sub(days.saturating_mul(DAY));
            loop {
                let rows = self.retention.trim(*what, before).await?;
                match what {
                    Trimmed::Rollups => removing.rollups += rows,
                    Trimmed::DeadLetters => removing.dead_letters += rows,
                    Trimmed::Alerts => removing.alerts += rows,
                }
                if rows < TRIM_ROWS {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        }
        while !self.retention.give_back().await? {
            tokio::time::sleep(pause).await;
        }
        Ok(removing)
    }

    /// Measures the store, and says in how many days it is full. Answers whether things may be removed.
    async fn look_at_room(&mut self, now: Millis, health: &Health) -> Result<bool, SinkError> {
        let size = self.retention.size().await?;
        let bytes = size.bytes;
        let free = match self.config.store_max_bytes {
            0 => size.free,
            most => Some(most.saturating_sub(bytes)),
        };
        metrics::gauge!("floodmark_store_bytes").set(bytes as f64);
        let noted = self.retention.sizes().await?;
        // What is free within the store is used before it grows.
        let used = bytes.saturating_sub(size.reusable);
        let days = free
            .and_then(|free| full_in_days(&noted, (now, used), free.saturating_add(size.reusable)));
        if let Some(free) = free {
            metrics::gauge!("floodmark_store_free_bytes").set(free as f64);
        }
        metrics::gauge!("floodmark_store_full_in_days").set(days.unwrap_or(f64::INFINITY));
        match days.filter(|days| *days < self.config.warn_days as f64) {
            Some(days) => health.standing(FULL, format!(
                "disk: at the pace of the last days the store is full in {days:.1} days ({bytes} bytes \
                 are taken); make room, or keep less ([retention])"
            )),
            None => health.settle(FULL),
        }
        let away = noted.last().is_some_and(|(at, _)| now - at > LONG_AWAY);
        let held = *self.held.get_or_insert(away);
        if held && self.started.elapsed() < HELD_FOR {
            tracing::warn!(
                "this store was last in use more than three days ago, by this machine's clock: nothing \
                 is removed for a day, in case the clock is wrong"
            );
            return Ok(false);
        }
        self.held = Some(false);
        self.retention.note_size(bucket(now, HOUR), used, now - SIZES_FOR).await?;
        Ok(true)
    }
}
