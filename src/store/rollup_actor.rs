//! The rollup actor, which folds ledger rows into the rollups and drops those that are folded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use crate::{
    config::{self, HistoryConfig},
    domain::time::{BusinessZone, HOUR, Millis, Steady, now_ms},
    panics,
    retry::Backoff,
    sink::SinkError,
    store::{
        Rollups, Stores,
        breakdowns::Breakdowns,
        rollup::FoldLimits,
        schemas::{KEEP_MINUTES, KEEP_UNSEEN, Schemas},
        sketches::Sketches,
    },
    telemetry::health::Health,
};

/// Folds the ledger into the rollups, and drops the ledger rows that nobody needs any more.
///
/// - Gets no messages and sends none: the ledger says what there is to do. Every node runs one
///   rollup actor, and the store lets one of them fold at a time.
/// - Owns nothing that outlives it: the store knows how far the ledger is folded.
/// - Bounded by: one fold or drop at a time, each within its limits.
pub struct RollupActor {
    rollups: Arc<dyn Rollups>,
    schemas: Arc<dyn Schemas>,
    breakdowns: Arc<dyn Breakdowns>,
    sketches: Arc<dyn Sketches>,
    /// The days of occasions, whose minutes are kept for good.
    occasions: Vec<(Millis, Millis)>,
    zone: BusinessZone,
    history: HistoryConfig,
    limits: FoldLimits,
    health: Health,
    /// The pause between two rounds.
    interval: Duration,
    /// How long a ledger row stays, in ms.
    keep: Millis,
    /// The pause after a round that failed.
    backoff: Backoff,
    /// When it last dropped rows.
    dropped_at: Option<Instant>,
    /// The clock by which rows are old.
    clock: Steady,
    /// The last row that could not be read, kept so that the log names each such row once.
    unreadable: Option<String>,
}

/// How operators know this actor.
const PART: &str = "rollups";
/// How many days back it looks for one whose sketches are not added up.
const DAYS_ADDED_UP: usize = 800;
/// How often it looks for ledger rows to drop.
const DROP_EVERY: Duration = Duration::from_secs(60);
/// Ledger rows that are dropped in one transaction. There are few, since SQLite writes with one
/// connection and batches wait for that transaction.
const DROP_ROWS: u64 = 200;
/// How many such transactions follow each other before the next fold gets its turn.
const DROPS_IN_A_ROW: usize = 250;

impl RollupActor {
    /// Folds every `ledger.fold_interval_ms`, keeps ledger rows for `ledger.keep_hours`. Days are those of
    /// `zone`.
    pub fn new(
        stores: &Stores,
        health: Health,
        config: &config::Config,
        zone: BusinessZone,
    ) -> RollupActor {
        RollupActor {
            rollups: stores.rollups.clone(),
            schemas: stores.schemas.clone(),
            breakdowns: stores.breakdowns.clone(),
            sketches: stores.sketches.clone(),
            occasions: config.rules.occasions.days(&zone),
            zone,
            history: config.history.clone(),
            limits: FoldLimits { schemas: config.schemas.limits(), ..FoldLimits::default() },
            health,
            interval: Duration::from_millis(config.ledger.fold_interval_ms),
            keep: config.ledger.keep_hours as Millis * HOUR,
            backoff: Backoff::new(&config.retry),
            dropped_at: None,
            clock: Steady::begin(now_ms()),
            unreadable: None,
        }
    }

    /// Starts a round, and the next one some time after its end.
    fn work(&mut self, ctx: &mut Context<Self>) {
        let drops = self.dropped_at.is_none_or(|at| at.elapsed() >= DROP_EVERY);
        // By a steady clock: one that jumps ahead while the server runs must not make rows old.
        let now = self.clock.now();
        let before = drops.then(|| (now - self.keep, self.keep));
        let (rollups, schemas, limits) = (self.rollups.clone(), self.schemas.clone(), self.limits);
        let (breakdowns, minutes_since) =
            (self.breakdowns.clone(), self.history.minutes_since(now));
        let sketches = self.sketches.clone();
        let occasions = self.occasions.clone();
        let days = if drops { self.days_over(now) } else { Vec::new() };
        let work = async move {
            if drops {
                breakdowns.forget_minutes(minutes_since, &occasions).await?;
            }
            let unreadable = round(rollups, limits, before).await?;
            if drops {
                schemas.forget(now - KEEP_MINUTES, now - KEEP_UNSEEN).await?;
                sketches.add_up_days(&days).await?;
            }
            Ok::<_, SinkError>(unreadable)
        };
        // The store takes back what a panic has left undone, so the next round begins it anew.
        ctx.spawn(panics::caught(PART, work).into_actor(self).map(move |worked, actor, ctx| {
            let pause = match worked {
                Some(Ok(unreadable)) => {
                    actor.health.well(PART);
                    actor.tell(unreadable);
                    actor.backoff.reset();
                    if drops {
                        actor.dropped_at = Some(Instant::now());
                    }
                    actor.interval
                }
                Some(Err(e)) => {
                    actor.health.trouble(PART, &e.kind.to_string(), &e.message);
                    actor.backoff.pause()
                }
                None => {
                    actor.health.trouble(PART, "panic", panics::IN_WORDS);
                    actor.backoff.pause()
                }
            };
            ctx.run_later(pause, Self::work);
        }));
    }

    /// The days that are over, the newest first: as many as a chart of one value a day may have. Of the last
    /// one, events may come for an hour before it is added up.
    fn days_over(&self, now: Millis) -> Vec<(Millis, Millis)> {
        let mut end = self.zone.day_of(now - HOUR).start;
        let day = |_| {
            let day = self.zone.day_of(end - 1);
            end = day.start;
            (day.start, day.end)
        };
        (0..DAYS_ADDED_UP).map(day).collect()
    }

    /// Logs a row that can't be read. It is no trouble for `/readyz`: events are taken in all the
    /// same, and in an upgrade the old nodes must not all go out of service before the new ones
    /// are there.
    fn tell(&mut self, unreadable: Option<String>) {
        if unreadable.is_some() && unreadable != self.unreadable {
            tracing::warn!(
                row = unreadable,
                "a ledger row can't be read: its lane is not folded any further"
            );
            self.unreadable = unreadable;
        }
    }
}

impl Actor for RollupActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.work(ctx);
    }
}

/// Folds all that is there. Then, where `before` (Unix ms, and for how long rows are kept, in ms) is
/// given, drops ledger rows that were sealed before it and count nothing after it. Returns the name of a row that could not be read.
async fn round(
    rollups: Arc<dyn Rollups>,
    limits: FoldLimits,
    before: Option<(Millis, Millis)>,
) -> Result<Option<String>, SinkError> {
    let unreadable = loop {
        let folded = rollups.fold(limits).await?;
        metrics::counter!("floodmark_ledger_folded_total").increment(folded.rows);
        metrics::counter!("floodmark_schema_unlearnt_total").increment(folded.unlearnt);
        if folded.done {
            break folded.unreadable;
        }
    };
    let Some((before, keep)) = before else {
        return Ok(unreadable);
    };
    for _ in 0..DROPS_IN_A_ROW {
        let dropped = rollups.drop_folded(before, keep, DROP_ROWS).await?;
        metrics::counter!("floodmark_ledger_dropped_total").increment(dropped);
        if dropped < DROP_ROWS {
            break;
        }
    }
    Ok(unreadable)
}
