//! What a panic leads to. It is a bug of ours, so none is hidden: each is logged and counted
//! ([`install_hook`]). Then one of two things happens:
//!
//! - Work that may be done twice is begun again ([`again`], or when its time comes round,
//!   [`caught`]): writing a batch, counting one, asking for the active visitors. Guards make
//!   the second time harmless.
//! - What holds state that can't be trusted after a panic raises an [`Alarm`], and the process
//!   ends in order, for a service manager to start it again: the ingest actor, the committer,
//!   the broadcaster. The spool is the truth; the next start takes up from there.
//!
//! A panic in an HTTP handler or a viewer's session ends its connection and nothing else.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Once},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::{retry::Backoff, telemetry::health::Health};

/// Every panic of the process, wherever it was.
const PANICS: &str = "floodmark_panics_total";

/// Logs and counts every panic of this process from now on; later calls change nothing.
pub fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        metrics::describe_counter!(PANICS, "Panics: bugs; the log says where");
        metrics::counter!(PANICS).absolute(0);
        std::panic::set_hook(Box::new(|panic| {
            metrics::counter!(PANICS).increment(1);
            let thread = std::thread::current();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let what = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(thread = thread.name(), place, what, "panic");
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                tracing::error!(%trace, "panic: backtrace");
            }
        }));
    });
}

/// Raised by the first part of the process that panicked and can't go on. A clone is the
/// same alarm.
#[derive(Clone, Debug)]
pub struct Alarm(Arc<watch::Sender<Option<&'static str>>>);

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm(Arc::new(watch::Sender::new(None)))
    }
}

impl Alarm {
    /// Raises the alarm if whatever owns the watch is dropped by a panic.
    pub fn watch(&self, part: &'static str) -> Watch {
        Watch { part, alarm: self.clone() }
    }

    /// Which part has raised it.
    pub fn raised_by(&self) -> Option<&'static str> {
        *self.0.borrow()
    }

    /// Waits until it is raised; says by whom.
    pub async fn raised(&self) -> &'static str {
        let mut raised = self.0.subscribe();
        let part = raised.wait_for(Option::is_some).await;
        part.ok().and_then(|part| *part).expect("self keeps the sender, and it is some")
    }
}

/// Owned by an actor or a thread that the process can't do without.
#[derive(Debug)]
pub struct Watch {
    part: &'static str,
    alarm: Alarm,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(part = self.part, "panicked and can't go on: the process ends");
            self.alarm.0.send_if_modified(|raised| {
                let first = raised.is_none();
                raised.get_or_insert(self.part);
                first
            });
        }
    }
}

/// What the work gives; `None` where it panicked, which is logged and counted.
pub async fn caught<W: Future>(work: W) -> Option<W::Output> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// Does the work, and after a panic in it does it again, after a pause that doubles. Only for
/// work that may be done twice. `/readyz` tells of `part` until the work says it is well.
pub async fn again<W: Future>(
    part: &'static str,
    health: &Health,
    mut backoff: Backoff,
    mut work: impl FnMut() -> W,
) -> W::Output {
    loop {
        if let Some(done) = caught(work()).await {
            return done;
        }
        health.trouble(part, "panic", "a bug, see the log; the work is begun again");
        tokio::time::sleep(backoff.pause().max(Duration::from_millis(1))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config;

    #[tokio::test]
    async fn work_that_panics_is_begun_again() {
        let health = Health::default();
        let backoff = Backoff::new(&config::RetryConfig { initial_ms: 1, max_ms: 2 });
        let tries = Cell::new(0);
        let work = || async {
            tries.set(tries.get() + 1);
            assert!(tries.get() > 2, "twice");
            tries.get()
        };
        assert_eq!(again("store", &health, backoff, work).await, 3);
        let troubles = health.troubles();
        assert!(troubles[0].1.starts_with("panic: "), "{troubles:?}");
    }

    #[tokio::test]
    async fn a_watch_raises_the_alarm_only_when_its_owner_panics() {
        let alarm = Alarm::default();
        drop(alarm.watch("one that ends"));
        assert_eq!(alarm.raised_by(), None);
        for part in ["the first", "the second"] {
            let watch = alarm.watch(part);
            let thread = std::thread::spawn(move || {
                let _watch = watch;
                panic!("for the test");
            });
            assert!(thread.join().is_err());
        }
        assert_eq!(alarm.raised().await, "the first");
    }
}
