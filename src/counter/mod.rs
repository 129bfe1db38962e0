//! The counter actor.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture,
    WrapFuture,
};

use crate::{
    broadcast::ActiveUsers,
    domain::{
        delta::Delta,
        time::{Millis, SECOND, bucket, now_ms},
    },
    live::{LiveError, LiveStore},
};

/// Maintains the active-session sets.
///
/// - Gets [`Touch`] from the live writers; tells the broadcaster [`ActiveUsers`] each second.
/// - The sets themselves are the live store's, shared by all nodes.
/// - Bounded by: one touch for each live writer, one count under way.
pub struct CounterActor {
    /// Where the sets are.
    pub live: Arc<dyn LiveStore>,
    /// The broadcaster.
    pub broadcaster: Recipient<ActiveUsers>,
    /// `live.active_window_s`, in ms.
    pub window: Millis,
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
        // The window begins at a full second, so a live store may keep times to the second.
        let (live, since) = (self.live.clone(), bucket(now_ms() - self.window, SECOND));
        let count = async move { live.active(since).await };
        ctx.spawn(count.into_actor(self).map(|active, actor, ctx| {
            // A failure is the live writers' to report; the last number stays.
            if let Ok(active) = active {
                actor.broadcaster.do_send(ActiveUsers(active));
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
        Box::pin(async move { live.touch(touch.0.visitors()).await })
    }
}
