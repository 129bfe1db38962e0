//! The counter actor: who is active now, and how many different values there were.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseFuture, WrapFuture,
};

use crate::{
    domain::time::{BusinessZone, Millis, SECOND, bucket, now_ms},
    live::{Counted, LiveStore, Touch},
    panics,
    sink::{SinkError, SinkErrorKind},
};

/// Maintains the active-session sets, and what distinct metrics count.
///
/// - Gets [`Touch`] from the live target; tells the broadcaster [`Counted`] each second.
/// - The sets themselves are the live store's, shared by all nodes.
/// - Bounded by: one touch for each lane of the live side, one count under way.
/// - A panic in a count leaves the last number for the next count, a second later; one in a
///   touch is answered as a failure, which the lane writer tries again.
pub struct CounterActor {
    /// Where the sets are.
    pub live: Arc<dyn LiveStore>,
    /// The broadcaster.
    pub broadcaster: Recipient<Counted>,
    /// `live.active_window_s`, in ms.
    pub window: Millis,
    /// Says which day is today.
    pub zone: BusinessZone,
}

/// How often the visitors are counted.
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
            // A failure is the lane writers' to report; the last number stays.
            if let Some(Ok(population)) = population {
                actor.broadcaster.do_send(Counted { population, day });
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
    type Result = ResponseFuture<Result<(), SinkError>>;

    fn handle(&mut self, touch: Touch, _: &mut Context<Self>) -> Self::Result {
        let live = self.live.clone();
        Box::pin(async move {
            let touched = panics::caught(live.touch(&touch.0)).await;
            touched.unwrap_or_else(|| {
                let message = "a panic while visitors were noted; see the log";
                Err(SinkError::new(SinkErrorKind::Other, message))
            })
        })
    }
}
