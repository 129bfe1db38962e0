//! How a server that runs ends: on its own accord, or because a part of it has panicked.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Running, StartError};
use crate::{
    alert::Resign,
    ingest::messages::{Close, Drain},
};

/// The share of `http.shutdown_timeout_ms` after which viewers that are still there are cut,
/// so that requests under way have the rest.
const VIEWERS_SHARE: f64 = 0.7;

/// How long connections are still accepted once it is time to stop: those that clients opened
/// before that wait in the kernel's queue.
const ACCEPTS_FOR: Duration = Duration::from_millis(100);

impl Running {
    /// Waits until a part has panicked that the process can't do without; says which. It is
    /// time to [`Running::stop`] then.
    pub async fn broken(&self) -> StartError {
        let part = self.alarm.raised().await;
        StartError(format!(
            "{part} panicked, and what it held in memory can't be trusted; all that was \
             answered 202 is on disk, and the next start takes up from there"
        ))
    }

    /// Stops in the order in which nothing is lost: no new connection and no new viewer is
    /// accepted, viewers are told (1001) and let go, requests that were begun get their
    /// answer, what is open is sealed, and both sinks get what they can take before the
    /// deadline. What they could not take stays in the spool for the next start. Viewers and
    /// requests have `http.shutdown_timeout_ms` together, the sinks as much again.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let timeout = self.shutdown_timeout;
        let serving_until = tokio::time::Instant::now() + timeout;
        // A connection that the kernel has taken but actix has not would be reset.
        tokio::time::sleep(ACCEPTS_FOR).await;
        self.server.pause().await;
        // Another node may lead from now on.
        let _ = tokio::time::timeout(timeout, self.alerts.send(Resign)).await;
        let cut = self.viewers.shutdown(timeout.mul_f64(VIEWERS_SHARE)).await;
        if cut > 0 {
            tracing::warn!(viewers = cut, "cut: they did not take their Close in time");
        }
        // What viewers that have ended still have to read is written out meanwhile.
        if tokio::time::timeout_at(serving_until, self.server.stop(true)).await.is_err() {
            tracing::warn!("connections that stayed were cut");
        }
        let _ = tokio::time::timeout_at(serving_until, self.serving).await;
        let (done, drained) = oneshot::channel();
        // After a panic there may be nobody left to answer, or to take anything.
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
        tracing::info!("stopped");
    }
}
