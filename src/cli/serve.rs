//! `floodmark serve`: start, say where, run until SIGTERM or SIGINT, stop in order.

use std::{io::Write, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app::{self, Running},
    config::Config,
    telemetry::log,
};

/// Runs the server until it is told to stop.
pub fn run(config: Config) -> ExitCode {
    with_server(config, |_| async { stop_signal().await })
}

/// Starts a server, runs `meanwhile` beside it, and stops the server when that ends.
pub fn with_server<F, W>(config: Config, meanwhile: F) -> ExitCode
where
    F: FnOnce(&Running) -> W,
    W: Future<Output = ()>,
{
    if let Err(e) = log::start(&config.log) {
        eprintln!("floodmark: {e}");
        return ExitCode::FAILURE;
    }
    actix::System::new().block_on(async move {
        let running = match app::start(config).await {
            Ok(running) => running,
            Err(e) => {
                eprintln!("floodmark: {e}");
                return ExitCode::FAILURE;
            }
        };
        say(&format!("Floodmark is listening on http://{}", running.addr));
        meanwhile(&running).await;
        running.stop().await;
        ExitCode::SUCCESS
    })
}

/// Returns at the first SIGTERM or SIGINT.
pub async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A line on standard output, at once even into a pipe. Nobody reading it is no error.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
