//! The exit codes of all commands.

use std::process::ExitCode;

/// How a command ended, as the process that started it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it says.
    Done,
    /// It could not do it, or what it looked at is not as it should be. The reason is on standard
    /// error, or for `check` on standard output.
    Failed,
    /// Wrong arguments or a wrong configuration; clap exits with the same.
    Usage,
    /// The server stopped in order, but a sink was away: events wait in the spool for the next start
    /// on this data dir, so the data dir must stay.
    SpoolWaits,
    /// A second signal came while the server was stopping, and it ended at once. All that was
    /// answered with 202 is on disk.
    CutShort,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::SpoolWaits => 3,
            Exit::CutShort => 4,
        })
    }
}
