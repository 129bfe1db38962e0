//! The signals by which this process is asked to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or for SIGINT (Ctrl-C).
pub async fn shutdown() {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be caught");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be caught");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
