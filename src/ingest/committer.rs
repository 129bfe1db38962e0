//! The committer, a thread that brings groups of records to the disk. It is a thread of its own,
//! because writing and syncing block. While it writes one group, the ingest actor gathers the next.
//!
//! ```text
//!  ingest actor ──Work──> committer: write, fdatasync ──Committed──> ingest actor
//!                                      └──answers──> the requests of the group
//! ```
//!
//! It owns the [`SpoolWriter`], answers each request of a group once the group is on disk, and
//! between groups persists cursors and retires segments. If the data dir is not this process's any
//! more, it takes nothing more in and ends the process in order. A panic in it ends the process: nobody
//! knows which part of the group has reached the disk, and the next start finds that out.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::{
    domain::batch::BatchId,
    ingest::{NotTaken, Waiting},
    panics,
    spool::{CommitError, Group, SpoolError, SpoolWriter},
    telemetry::queue::{Depth, QueuePlace},
};

/// From the ingest actor to the committer: write this group.
#[derive(Debug, Default)]
pub struct Work {
    /// The records of the group.
    pub group: Group,
    /// Who waits for the group, with what each is told once it is on disk.
    pub waiting: Vec<Waiting>,
}

/// From the committer to the ingest actor: the group is on disk, or it is not. At most one such
/// message is under way, since the actor sends the next group only after it.
#[derive(Debug)]
pub struct Committed {
    /// What the requests of the group were told.
    pub result: Result<(), NotTaken>,
    /// The group, emptied, to be filled again.
    pub group: Group,
}

/// What the thread is asked to do, in this order.
#[derive(Debug)]
enum Order {
    Write(Work, QueuePlace),
    /// Begin a new run, and say with which batch.
    BeginRun(oneshot::Sender<BatchId>),
}

/// The handle of the thread. The thread ends when the handle is dropped.
#[derive(Debug)]
pub struct Committer {
    /// How many groups are handed over and not on disk yet.
    depth: Depth,
    work: Option<Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread. It tells `ingest` what became of each group, and every `cursor_interval`
    /// it persists cursors and deletes segments. It owns `watch`, which raises the alarm when it
    /// panics.
    pub fn start(
        writer: SpoolWriter,
        ingest: UnboundedSender<Committed>,
        cursor_interval: Duration,
        watch: panics::Watch,
    ) -> std::io::Result<Committer> {
        let (work, inbox) = channel();
        let thread = thread::Builder::new().name("committer".into()).spawn(move || {
            run(writer, &inbox, &Told { ingest, watch }, cursor_interval);
        })?;
        Ok(Committer { depth: Depth::of("committer"), work: Some(work), thread: Some(thread) })
    }

    /// Hands a group over.
    pub fn send(&self, work: Work) {
        if let Some(sender) = &self.work {
            // This fails only when the thread has panicked. The work is then dropped with the
            // replies in it, and each request is answered with an error.
            let _ = sender.send(Order::Write(work, self.depth.enter()));
        }
    }

    /// Lets a new run begin behind what was handed over so far. Returns the first batch that is
    /// sealed under it; an error if the thread has ended.
    pub fn begin_run(&self) -> oneshot::Receiver<BatchId> {
        let (begun, first) = oneshot::channel();
        if let Some(sender) = &self.work {
            // If this fails, the answer is dropped, which the receiver notices.
            let _ = sender.send(Order::BeginRun(begun));
        }
        first
    }
}

impl Drop for Committer {
    /// Waits until what was handed over is on disk and the cursors are persisted.
    fn drop(&mut self) {
        // Without a sender, the thread finds its inbox closed and ends.
        self.work.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by then.
            let _ = thread.join();
        }
    }
}

/// Whom the thread tells what.
struct Told {
    /// What became of each group.
    ingest: UnboundedSender<Committed>,
    /// That the process must not go on.
    watch: panics::Watch,
}

impl Told {
    /// Ends the process in order, since its data dir is not its own any more.
    fn displaced(&self, reason: &str) {
        tracing::error!(reason, "the server stops; what was answered 202 is in the data dir");
        self.watch.give_up(reason.to_owned());
    }
}

/// Tells the ingest actor when the thread ends by a panic. Otherwise every request from then on
/// would wait for an answer that never comes.
struct Obituary<'a>(&'a UnboundedSender<Committed>);

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = "the thread that writes the spool has panicked; see the log".to_owned();
            tracing::error!(reason, "intake stops until a restart");
            let result = Err(NotTaken::Failed(reason));
            let _ = self.0.send(Committed { result, group: Group::default() });
        }
    }
}

/// Commits groups until the handle is dropped, and retires what is settled now and then.
fn run(mut writer: SpoolWriter, inbox: &Receiver<Order>, told: &Told, cursor_interval: Duration) {
    let _obituary = Obituary(&told.ingest);
    let mut retired_at = Instant::now();
    loop {
        let pause = cursor_interval.saturating_sub(retired_at.elapsed());
        match inbox.recv_timeout(pause) {
            Ok(Order::Write(work, _place)) => commit(&mut writer, work, told),
            // The error is ignored: whoever has stopped waiting needs no answer.
            Ok(Order::BeginRun(begun)) => drop(begun.send(writer.begin_run())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if retired_at.elapsed() >= cursor_interval {
            retire(&mut writer, told);
            retired_at = Instant::now();
        }
    }
    // A last time, so that the next start does not replay what both sinks have.
    retire(&mut writer, told);
}

/// Writes one group, and answers everybody who waits for it.
fn commit(writer: &mut SpoolWriter, mut work: Work, told: &Told) {
    let result = writer.commit(&mut work.group).map_err(|e| match e {
        CommitError::Full(reason) => {
            tracing::warn!(%reason, "the spool's disk is full: requests get 503");
            NotTaken::Full
        }
        CommitError::Failed(reason) => {
            tracing::error!(%reason, "the spool's disk failed: intake stops until a restart");
            NotTaken::Failed(reason)
        }
        CommitError::Displaced(reason) => {
            told.displaced(&reason);
            NotTaken::Failed(reason)
        }
    });
    for waiting in work.waiting {
        waiting.answer(&result);
    }
    work.group.clear();
    // The error is ignored: an ingest actor that has ended needs no answer.
    let _ = told.ingest.send(Committed { result, group: work.group });
}

/// Persists the cursors, then retires the segments that they have passed.
fn retire(writer: &mut SpoolWriter, told: &Told) {
    match writer.retire() {
        Ok(_) => {}
        Err(SpoolError::Displaced(reason)) => {
            told.displaced(&reason);
            let result = Err(NotTaken::Failed(reason));
            let _ = told.ingest.send(Committed { result, group: Group::default() });
        }
        Err(e) => {
            tracing::warn!(error = %e, "cursors not written or segments not retired; trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{batch::NodeId, delta::Delta},
        panics::Alarm,
        spool::{DataDir, IdWindow, Opened, Spool, SpoolOptions},
    };

    /// A committer on a data dir, and what it tells.
    fn committer(
        dir: &DataDir,
        alarm: &Alarm,
    ) -> (Committer, Spool, tokio::sync::mpsc::UnboundedReceiver<Committed>) {
        let options = SpoolOptions {
            dir: dir.spool_dir(),
            node: NodeId::nil(),
            segment_bytes: 1 << 20,
            max_bytes: 1 << 24,
            keep_ms: 0,
            keep_bytes: 0,
        };
        let window = IdWindow { window_ms: 1000, max_ids: 10, max_bytes: usize::MAX };
        let Opened { spool, mut writer, .. } = Spool::open(options, window, 0).unwrap();
        writer.watch_lock(dir.held());
        let (told, commits) = tokio::sync::mpsc::unbounded_channel();
        let interval = Duration::from_millis(10);
        let committer = Committer::start(writer, told, interval, alarm.watch("the committer"));
        (committer.unwrap(), spool, commits)
    }

    fn sealed(seq: u64) -> Work {
        let mut work = Work::default();
        work.group.seal(seq, 0, 0, &Delta::default());
        work
    }

    #[tokio::test]
    async fn a_run_begins_behind_what_was_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let (committer, spool, mut commits) = committer(&dir, &Alarm::default());
        committer.send(sealed(1));
        let first = committer.begin_run().await.unwrap();
        committer.send(sealed(2));
        for _ in 0..2 {
            assert!(commits.recv().await.unwrap().result.is_ok());
        }
        assert_eq!((first.seq, spool.batch_id(2)), (2, Some(first)));
        assert_ne!(spool.batch_id(1).unwrap().run, first.run);
        assert_eq!(spool.read(2).unwrap().id, first);
    }

    #[tokio::test]
    async fn a_lost_lock_is_noticed_without_any_request() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let alarm = Alarm::default();
        let (committer, spool, mut commits) = committer(&dir, &alarm);
        std::fs::remove_file(folder.path().join("lock")).unwrap();
        assert_eq!(alarm.raised().await, "the committer");
        assert!(alarm.reason().unwrap().contains("another process"));
        committer.send(sealed(1));
        for _ in 0..2 {
            let told = commits.recv().await.unwrap().result;
            assert!(matches!(told, Err(NotTaken::Failed(why)) if why.contains("another process")));
        }
        assert_eq!(spool.newest_sealed(), 0);
    }
}
