//! How a running server ends: because it is told to stop, or because a part of it has panicked.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Running, StartError};
use crate::{
    alert::Resign,
    ingest::messages::{Close, Drain},
    reload::Reloaded,
    sink::Sink,
};

/// The share of `http.shutdown_timeout_ms` after which the connections of the remaining viewers
/// are cut. The rest of the time is for requests under way.
const VIEWERS_SHARE: f64 = 0.7;

/// For how long connections are still accepted once the server is told to stop. Connections that
/// clients opened before that may wait in the kernel's queue.
const ACCEPTS_FOR: Duration = Duration::from_millis(100);

/// How a server was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Both sinks have everything.
    Settled,
    /// Events wait in the spool for the next start on this data dir.
    SpoolWaits,
}

impl Running {
    /// Reads the configuration again and takes what needs no restart. `by` says who asked.
    ///
    /// # Errors
    /// It can't be read or has mistakes; nothing has changed then.
    pub fn reload(&self, by: &str) -> Result<Reloaded, String> {
        self.reloader.reload(by)
    }

    /// Has `/readyz` say 503 from now on, while requests are still taken.
    pub fn announce_stop(&self) {
        self.health.stop();
    }

    /// `http.drain_ms`: for how long load balancers should see that before [`Running::stop`].
    pub fn drain_time(&self) -> Duration {
        self.drain_time
    }

    /// Waits until a part that the process can't do without has panicked or must not go on. The
    /// result says which part it was and why, and the caller should [`Running::stop`] the server.
    pub async fn broken(&self) -> StartError {
        let part = self.alarm.raised().await;
        if let Some(reason) = self.alarm.reason() {
            return StartError(format!("{part} stops: {reason}"));
        }
        StartError(format!(
            "{part} panicked, and what it held in memory can't be trusted; all that was \
             answered 202 is on disk, and the next start takes up from there"
        ))
    }

    /// Stops the parts in an order in which nothing is lost:
    ///
    /// 1. `/readyz` says 503. (A caller that wants load balancers to notice waits then, see
    ///    [`Running::announce_stop`].) No new connection is accepted, and another node may lead.
    /// 2. No new viewer is accepted. Viewers get a Close with 1001, and are given time to go.
    /// 3. Requests that were begun get their answer.
    /// 4. The open batch is sealed, and both sinks get as many batches as they can take before the
    ///    deadline. The others stay in the spool for the next start.
    ///
    /// 5. The store's files are made whole, so that a copy of them is. Where nodes share the store, it is
    ///    told how this one ended.
    ///
    /// Viewers and requests have `http.shutdown_timeout_ms` together, the sinks as much again.
    pub async fn stop(self) -> Stopped {
        tracing::info!("stopping");
        self.announce_stop();
        let timeout = self.shutdown_timeout;
        let serving_until = tokio::time::Instant::now() + timeout;
        // A connection that the kernel has accepted and actix has not would be reset by `pause`.
        tokio::time::sleep(ACCEPTS_FOR).await;
        self.server.pause().await;
        // Another node may lead from now on.
        let _ = tokio::time::timeout(timeout, self.alerts.send(Resign)).await;
        let cut = self.viewers.shutdown(timeout.mul_f64(VIEWERS_SHARE)).await;
        if cut > 0 {
            tracing::warn!(viewers = cut, "cut: they did not take their Close in time");
        }
        // While requests get their answers, the last bytes for viewers are written out, too.
        if tokio::time::timeout_at(serving_until, self.server.stop(true)).await.is_err() {
            tracing::warn!("connections that stayed were cut");
        }
        let _ = tokio::time::timeout_at(serving_until, self.serving).await;
        let (done, drained) = oneshot::channel();
        // After a panic the ingest actor or the writers may be gone, so that nobody would answer.
        if self.alarm.raised_by().is_none() {
            self.ingest.do_send(Drain(done));
            if tokio::time::timeout(timeout, drained).await.is_err() {
                tracing::warn!(
                    "the sinks are behind: the rest stays in the spool until the next start"
                );
            }
        }
        let (done, closed) = oneshot::channel();
        self.ingest.do_send(Close(done));
        let _ = tokio::time::timeout(timeout, closed).await;
        if let Ok(Err(error)) = tokio::time::timeout(timeout, self.store.settle()).await {
            tracing::warn!(%error, "the store's files are not settled; the next start does that");
        }
        let waits = Sink::ALL.iter().any(|sink| self.spool.lag(*sink).batches > 0);
        if let Some(presence) = self.presence {
            presence.end().await;
        }
        if let Some(otlp) = self.otlp {
            otlp.stop().await;
        }
        tracing::info!("stopped");
        if waits { Stopped::SpoolWaits } else { Stopped::Settled }
    }
}
