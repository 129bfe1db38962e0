//! The counter actor.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture,
    WrapFuture,
};

use crate::{
    broadcast::PopulationUpdate,
    domain::{
        delta::Delta,
        time::{BusinessZone, Millis, SECOND, bucket, now_ms},
    },
    live::{LiveError, LiveErrorKind, LiveStore},
    panics,
};

/// Maintains the active-session sets, and what distinct metrics count.
///
/// - Gets [`Touch`] from the live writers; tells the broadcaster [`PopulationUpdate`] each second.
/// - The sets themselves are the live store's, shared by all nodes.
/// - Bounded by: one touch for each live writer, one count under way.
/// - A panic in a count leaves the last number for the next count, a second later; one in a
///   touch is answered as a failure, which the live writer tries again.
pub struct CounterActor {
    /// Where the sets are.
    pub live: Arc<dyn LiveStore>,
    /// The broadcaster.
    pub broadcaster: Recipient<PopulationUpdate>,
    /// `live.active_window_s`, in ms.
    pub window: Millis,
    /// Says which day is today.
    pub zone: BusinessZone,
}

/// These visitors were there. Answered once their sets have them.
#[derive(Message)]
#[rtype(result = "Result<(), LiveError>")]
pub struct Touch(pub Arc<Delta>);

const COUNT_EVERY: Duration = Duration::from_secs(1);

impl CounterActor {
    /// Counts, tells, and counts again a second after the answer, so that a slow live store
    /// has one count to answer at a time.
    fn count(&mut self, ctx: &mut Context<Self>) {
        let (live, now) = (self.live.clone(), now_ms());
        // The window begins at a full second, so a live store may keep times to the second.
        let since = bucket(now - self.window, SECOND);
        let day = self.zone.day_of(now).date;
        let count = async move { live.population(since, day).await };
        ctx.spawn(panics::caught(count).into_actor(self).map(move |population, actor, ctx| {
            // A failure is the live writers' to report; the last number stays.
            if let Some(Ok(population)) = population {
                actor.broadcaster.do_send(PopulationUpdate { population, day });
            }
            ctx.run_later(COUNT_EVERY, Self::count);
        }));
    }
}

impl Actor for CounterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.count(ctx);
    }
}

impl Handler<Touch> for CounterActor {
    type Result = ResponseFuture<Result<(), LiveError>>;

    fn handle(&mut self, touch: Touch, _: &mut Context<Self>) -> Self::Result {
        let live = self.live.clone();
        Box::pin(async move {
            let touched = panics::caught(live.touch(&touch.0)).await;
            touched.unwrap_or_else(|| {
                Err(LiveError {
                    kind: LiveErrorKind::Other,
                    message: "a panic while visitors were noted; see the log".to_owned(),
                })
            })
        })
    }
}
