//! Waiting for a condition, with a limit that leaves a message.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a condition may take to come true. It is less than a minute, so that a test that hangs
/// says what it waits for before anybody gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until the condition holds. Panics with what it was told last if it never does.
pub fn until(what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begin = Instant::now();
    while let Err(seen) = look() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; {seen}");
        thread::sleep(Duration::from_millis(20));
    }
}
