//! The committer, a thread that brings groups of records to the disk. It is a thread of its own,
//! because writing and syncing block. While it writes one group, the ingest actor gathers the next.
//!
//! ```text
//!  ingest actor ──Work──> committer: write, fdatasync ──Committed──> ingest actor
//!                                      └──answers──> the requests of the group
//! ```
//!
//! It owns the [`SpoolWriter`], answers each request of a group once the group is on disk, and
//! between groups persists cursors and deletes segments. A panic in it ends the process: nobody
//! knows which part of the group has reached the disk, and the next start finds that out.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    ingest::{NotTaken, Waiting},
    panics,
    spool::{CommitError, Group, SpoolWriter},
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

/// The handle of the thread. The thread ends when the handle is dropped.
#[derive(Debug)]
pub struct Committer {
    work: Option<Sender<Work>>,
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
            let _watch = watch;
            run(writer, &inbox, &ingest, cursor_interval);
        })?;
        Ok(Committer { work: Some(work), thread: Some(thread) })
    }

    /// Hands a group over.
    pub fn send(&self, work: Work) {
        if let Some(sender) = &self.work {
            // This fails only when the thread has panicked. The work is then dropped with the
            // replies in it, and each request is answered with an error.
            let _ = sender.send(work);
        }
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
fn run(
    mut writer: SpoolWriter,
    inbox: &Receiver<Work>,
    ingest: &UnboundedSender<Committed>,
    cursor_interval: Duration,
) {
    let _obituary = Obituary(ingest);
    let mut retired_at = Instant::now();
    loop {
        let pause = cursor_interval.saturating_sub(retired_at.elapsed());
        match inbox.recv_timeout(pause) {
            Ok(work) => commit(&mut writer, work, ingest),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if retired_at.elapsed() >= cursor_interval {
            retire(&mut writer);
            retired_at = Instant::now();
        }
    }
    // A last time, so that the next start does not replay what both sinks have.
    retire(&mut writer);
}

/// Writes one group, and answers everybody who waits for it.
fn commit(writer: &mut SpoolWriter, mut work: Work, ingest: &UnboundedSender<Committed>) {
    let result = writer.commit(&mut work.group).map_err(|e| match e {
        CommitError::Full(reason) => {
            tracing::warn!(%reason, "the spool's disk is full: requests get 503");
            NotTaken::Full
        }
        CommitError::Failed(reason) => {
            tracing::error!(%reason, "the spool's disk failed: intake stops until a restart");
            NotTaken::Failed(reason.to_string())
        }
    });
    for waiting in work.waiting {
        waiting.answer(&result);
    }
    work.group.clear();
    // The error is ignored: an ingest actor that has ended needs no answer.
    let _ = ingest.send(Committed { result, group: work.group });
}

/// Persists the cursors, then deletes the segments that they have passed.
fn retire(writer: &mut SpoolWriter) {
    if let Err(e) = writer.retire() {
        tracing::warn!(error = %e, "cursors not written or segments not deleted; trying again");
    }
}
