//! What follows from a panic. A panic is a bug of ours, so none is hidden: each is logged and
//! counted ([`install_hook`]). Then one of two things happens:
//!
//! - Work that may be done twice is begun again: at once ([`again`]), when its time comes the next
//!   time ([`caught`]), or after a pause where it lasts as long as the server ([`lasting`]). This is
//!   writing a batch, counting one, and whatever looks or tells from time to time. Guards make the
//!   second time harmless.
//! - The ingest actor, the committer and the broadcaster hold state that can't be trusted after a
//!   panic. Each of them raises an [`Alarm`], and the process ends in order, so that a service
//!   manager starts it again. The next start goes on from the spool, which is on the disk.
//!
//! A panic in an HTTP handler or a viewer's session ends its connection and nothing else.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Once, OnceLock},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::{failpoint::panic_point, retry::Backoff};

/// Counts every panic of the process, on whichever thread.
const PANICS: &str = "floodmark_panics_total";
/// Counts how often a part began its work again after a panic.
const RESTARTS: &str = "floodmark_restarts_total";

/// Logs and counts every panic of this process from now on. Later calls change nothing.
pub fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
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

/// Tells the process that a part of it can't go on: it has panicked, or it must not. Only the first
/// part is remembered. A clone is the same alarm.
#[derive(Clone, Debug)]
pub struct Alarm {
    part: Arc<watch::Sender<Option<&'static str>>>,
    /// Why that part must not go on; empty after a panic.
    reason: Arc<OnceLock<String>>,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { part: Arc::new(watch::Sender::new(None)), reason: Arc::default() }
    }
}

impl Alarm {
    /// Makes a watch for a part. The alarm is raised if a panic drops the watch's owner.
    pub fn watch(&self, part: &'static str) -> Watch {
        Watch { part, alarm: self.clone() }
    }

    /// The part that has raised the alarm, if any.
    pub fn raised_by(&self) -> Option<&'static str> {
        *self.part.borrow()
    }

    /// Why the part that raised the alarm must not go on, in words; `None` if it has panicked.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Raises the alarm, unless another part has.
    fn raise(&self, part: &'static str, reason: Option<String>) {
        self.part.send_if_modified(|raised| {
            let first = raised.is_none();
            raised.get_or_insert(part);
            if let Some(reason) = reason.filter(|_| first) {
                // It is empty: only the first part gets here.
                let _ = self.reason.set(reason);
            }
            first
        });
    }

    /// Waits until the alarm is raised, and returns the part that raised it.
    pub async fn raised(&self) -> &'static str {
        let mut raised = self.part.subscribe();
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

impl Watch {
    /// Ends the process in order, for this reason: the part must not go on.
    pub fn give_up(&self, reason: String) {
        self.alarm.raise(self.part, Some(reason));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(part = self.part, "panicked and can't go on: the process ends");
            self.alarm.raise(self.part, None);
        }
    }
}

/// What `/readyz` says of a part that has panicked.
pub const IN_WORDS: &str = "a bug, see the log; the work is begun again";
/// How long [`lasting`] pauses after a first panic.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long it pauses at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Does the work of `part` and returns its result. `None` if it panicked, which is logged and counted: as a
/// panic, and as a restart of the part, whose next work comes in its time.
pub async fn caught<W: Future>(part: &'static str, work: W) -> Option<W::Output> {
    let work = async move {
        panic_point!(&format!("held-{part}"));
        work.await
    };
    let done = AssertUnwindSafe(work).catch_unwind().await.ok();
    if done.is_none() {
        metrics::counter!(RESTARTS, "part" => part).increment(1);
    }
    done
}

/// Does work that lasts as long as the server, on a task for which nobody waits. If it panics, it is begun
/// again after a pause, which is longer each time while it does not even last that long.
pub async fn lasting<W: Future>(part: &'static str, mut work: impl FnMut() -> W) -> W::Output {
    let mut pause = None;
    loop {
        let began = Instant::now();
        if let Some(done) = caught(part, work()).await {
            return done;
        }
        let next = pause_after(pause, began.elapsed());
        tokio::time::sleep(next).await;
        pause = Some(next);
    }
}

/// The pause after a panic of what has lasted for so long, where the one before it was `before`.
fn pause_after(before: Option<Duration>, lasted: Duration) -> Duration {
    match before {
        Some(before) if lasted <= LONGEST_PAUSE => (2 * before).min(LONGEST_PAUSE),
        _ => FIRST_PAUSE,
    }
}

/// Does the work. If it panics, it is done again after a pause that doubles each time. This is
/// only for work that may be done twice. `tell` is told of each panic in words, for `/readyz`.
pub async fn again<W: Future>(
    part: &'static str,
    mut backoff: Backoff,
    tell: impl Fn(&str),
    mut work: impl FnMut() -> W,
) -> W::Output {
    loop {
        if let Some(done) = caught(part, work()).await {
            return done;
        }
        tell(IN_WORDS);
        // At least 1 ms, since jitter can draw a pause of 0, which would make this a busy loop.
        tokio::time::sleep(backoff.pause().max(Duration::from_millis(1))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::config;

    #[tokio::test]
    async fn work_that_panics_is_begun_again() {
        let told = RefCell::new(Vec::new());
        let tell = |words: &str| told.borrow_mut().push(words.to_owned());
        let backoff = Backoff::new(&config::RetryConfig { initial_ms: 1, max_ms: 2 });
        let tries = Cell::new(0);
        let work = || async {
            tries.set(tries.get() + 1);
            assert!(tries.get() > 2, "twice");
            tries.get()
        };
        assert_eq!(again("store", backoff, tell, work).await, 3);
        assert_eq!(told.borrow().len(), 2);
        assert!(told.borrow().iter().all(|it| it == IN_WORDS), "{told:?}");
    }

    #[tokio::test]
    async fn work_that_lasts_goes_on_after_panics() {
        let begun = Cell::new(0);
        let work = || async {
            begun.set(begun.get() + 1);
            assert!(begun.get() > 2, "for the test");
            begun.get()
        };
        assert_eq!(lasting("clock", work).await, 3);
    }

    #[test]
    fn a_bug_that_shows_at_once_is_met_ever_more_seldom() {
        let soon = Duration::from_secs(1);
        let mut pause = pause_after(None, soon);
        assert_eq!(pause, FIRST_PAUSE);
        pause = pause_after(Some(pause), soon);
        assert_eq!(pause, 2 * FIRST_PAUSE);
        for _ in 0..20 {
            pause = pause_after(Some(pause), soon);
        }
        assert_eq!(pause, LONGEST_PAUSE);
        assert_eq!(pause_after(Some(pause), Duration::from_secs(60)), FIRST_PAUSE);
    }

    #[tokio::test]
    async fn a_part_that_gives_up_says_why() {
        let alarm = Alarm::default();
        alarm.watch("the first").give_up("a reason".to_owned());
        alarm.watch("the second").give_up("another".to_owned());
        assert_eq!((alarm.raised().await, alarm.reason()), ("the first", Some("a reason")));
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
