//! The committer: a thread of its own, because writing and syncing block. While it brings
//! one group to the disk, the ingest actor gathers the next.
//!
//! It owns the [`SpoolWriter`], answers each request of a group once the group is on disk,
//! and between groups persists cursors and deletes segments. A panic in it ends the process:
//! what the group in hand has on disk is for the next start to find out.

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

/// One group on its way to the disk.
#[derive(Debug, Default)]
pub struct Work {
    /// The records.
    pub group: Group,
    /// Who waits for it, with what each is told once it is on disk.
    pub waiting: Vec<Waiting>,
}

/// The committer to the ingest actor: the group is on disk, or it is not. At most one is
/// under way, since the actor sends the next group only after it.
#[derive(Debug)]
pub struct Committed {
    /// What the requests were told.
    pub result: Result<(), NotTaken>,
    /// The group, emptied, to be filled again.
    pub group: Group,
}

/// Handle of the thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Committer {
    work: Option<Sender<Work>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread. `ingest` is told of each group; cursors are persisted and segments
    /// deleted every `cursor_interval`. The thread owns `watch`.
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
            // Fails only when the thread has panicked; then the replies are dropped with
            // the work, and each request is answered with an error.
            let _ = sender.send(work);
        }
    }
}

impl Drop for Committer {
    /// Waits until what was handed over is on disk and the cursors are persisted.
    fn drop(&mut self) {
        self.work.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells the ingest actor when the thread ends by a panic: else every request from then on
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
    retire(&mut writer);
}

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
    // An ingest actor that has ended needs no word of it.
    let _ = ingest.send(Committed { result, group: work.group });
}

fn retire(writer: &mut SpoolWriter) {
    if let Err(e) = writer.retire() {
        tracing::warn!(error = %e, "cursors not written or segments not deleted; trying again");
    }
}
