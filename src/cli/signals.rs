//! The signals that this process handles.
//!
//! | signal | what it does |
//! | --- | --- |
//! | SIGTERM | stops in order, after `http.drain_ms` in which `/readyz` says 503 |
//! | SIGINT (Ctrl-C), SIGQUIT | stop in order, at once |
//! | any of these again | ends the process at once; what was answered with 202 is on disk |
//! | SIGHUP | reads the configuration again ([`crate::reload`]) |
//! | SIGUSR1, SIGUSR2 | are logged, and change nothing |

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How the process was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopRequest {
    /// By whatever runs it: load balancers get time to notice.
    ByManager,
    /// By somebody at a terminal, who waits.
    ByHand,
}

/// What a signal asks of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAsks {
    /// To stop.
    ToStop(StopRequest),
    /// To read the configuration again.
    ToReload,
}

/// Listens for signals for as long as it lives.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    ignored: [(Signal, &'static str); 2],
}

impl Signals {
    /// Takes the place of what these signals do by themselves, which is to end the process.
    pub fn listen() -> Signals {
        let listen = |kind| signal(kind).expect("a signal of this list can be caught");
        Signals {
            terminate: listen(SignalKind::terminate()),
            interrupt: listen(SignalKind::interrupt()),
            quit: listen(SignalKind::quit()),
            hangup: listen(SignalKind::hangup()),
            ignored: [
                (listen(SignalKind::user_defined1()), "SIGUSR1"),
                (listen(SignalKind::user_defined2()), "SIGUSR2"),
            ],
        }
    }

    /// Waits for a signal that asks for something.
    pub async fn next(&mut self) -> SignalAsks {
        let [(first, _), (second, _)] = &mut self.ignored;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => return SignalAsks::ToStop(StopRequest::ByManager),
                _ = self.interrupt.recv() => return SignalAsks::ToStop(StopRequest::ByHand),
                _ = self.quit.recv() => return SignalAsks::ToStop(StopRequest::ByHand),
                _ = self.hangup.recv() => return SignalAsks::ToReload,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::info!(signal = name, "this signal changes nothing");
        }
    }

    /// Waits until the process, which does nothing else any more, is asked to stop.
    pub async fn stop(&mut self) -> StopRequest {
        loop {
            if let SignalAsks::ToStop(how) = self.next().await {
                return how;
            }
        }
    }
}
