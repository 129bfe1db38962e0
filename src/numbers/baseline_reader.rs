//! The actor that keeps the baselines in memory up to date.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use crate::{
    config, domain::time::now_ms, numbers::Baselines, panics, retry::Backoff, store::Rollups,
};

/// How operators know this actor.
const PART: &str = "baselines";
/// How long the reader rests after a read that worked.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Reads the baselines from the store once a minute.
///
/// - Gets no messages and sends none. Everybody who holds a clone of the [`Baselines`] sees what
///   was read.
/// - Owns nothing else.
/// - Bounded by: one read at a time, of a few hours of each of two days.
pub struct BaselineReader {
    /// The baselines that it fills.
    pub baselines: Baselines,
    /// The rollups that it reads.
    pub rollups: Arc<dyn Rollups>,
    backoff: Backoff,
}

impl BaselineReader {
    /// A reader that fills these baselines. After a failure it tries again as `[retry]` says.
    pub fn new(
        baselines: Baselines,
        rollups: Arc<dyn Rollups>,
        retry: &config::RetryConfig,
    ) -> BaselineReader {
        BaselineReader { baselines, rollups, backoff: Backoff::new(retry) }
    }

    fn read(&mut self, ctx: &mut Context<Self>) {
        let (baselines, rollups) = (self.baselines.clone(), self.rollups.clone());
        let read = async move { baselines.refresh(&*rollups, now_ms()).await };
        ctx.spawn(panics::caught(PART, read).into_actor(self).map(|read, reader, ctx| {
            let pause = match read {
                Some(Ok(())) => {
                    reader.backoff.reset();
                    READ_EVERY
                }
                // This is no warning: the writers of the store report its outage already, and
                // `Baselines::stale` tells readers that the baselines are old.
                Some(Err(e)) => {
                    tracing::debug!(error = %e, "can't read the baselines");
                    reader.backoff.pause()
                }
                None => reader.backoff.pause(),
            };
            ctx.run_later(pause, Self::read);
        }));
    }
}

impl Actor for BaselineReader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.read(ctx);
    }
}
