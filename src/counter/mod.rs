//! The counter actor, which counts who is active now and how many different values there were.

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

/// Notes visitors and distinct values in the live store, and counts them each second.
///
/// - Gets [`Touch`] from the live target; tells the broadcaster [`Counted`] each second.
/// - Owns nothing that outlives it: the sets are in the live store, and with Redis all nodes share
///   them.
/// - Bounded by: one touch for each lane of the live side, and one count under way.
/// - After a panic in a count, the last number stands until the next count a second later. A panic
///   in a touch is answered as a failure, and the lane writer tries again.
pub struct CounterActor {
    /// The live store, which has the sets.
    pub live: Arc<dyn LiveStore>,
    /// The broadcaster, which shows the numbers to viewers.
    pub broadcaster: Recipient<Counted>,
    /// `live.active_window_s`, in ms.
    pub window: Millis,
    /// The business time zone, which says which day is today.
    pub zone: BusinessZone,
}

/// How operators know this actor.
const PART: &str = "counter";
/// How often the visitors are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

impl CounterActor {
    /// Counts, tells the broadcaster, and counts again a second after the answer, so that a slow
    /// live store never has more than one count to answer.
    fn count(&mut self, ctx: &mut Context<Self>) {
        let (live, now) = (self.live.clone(), now_ms());
        // The window begins at a full second, so a live store may keep times to the second.
        let since = bucket(now - self.window, SECOND);
        let day = self.zone.day_of(now).date;
        let count = async move { live.population(since, day).await };
        ctx.spawn(panics::caught(PART, count).into_actor(self).map(
            move |population, actor, ctx| {
                // A failure is not reported here, since the lane writers run into it too and report
                // it. The last number stays.
                if let Some(Ok(population)) = population {
                    actor.broadcaster.do_send(Counted { population, day });
                }
                ctx.run_later(COUNT_EVERY, Self::count);
            },
        ));
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
            let touched = panics::caught(PART, live.touch(&touch.delta)).await;
            // It waited until the live store had it.
            drop(touch.place);
            touched.unwrap_or_else(|| {
                let message = "a panic while visitors were noted; see the log";
                Err(SinkError::new(SinkErrorKind::Other, message))
            })
        })
    }
}
