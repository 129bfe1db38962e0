//! `floodmark serve`: start, say where, run until SIGTERM or SIGINT, stop in order.

use std::{io::Write, process::ExitCode};

use crate::{
    config::Config,
    panics,
    server::{self, Running, StartError},
    telemetry::log,
};

/// Starts a server, inside a running actix system, and says on standard output where it
/// listens.
pub async fn start(config: Config) -> Result<Running, StartError> {
    log::start(&config.log).map_err(StartError::new)?;
    panics::install_hook();
    let running = server::start(config).await?;
    // At once, even into a pipe; that nobody reads it is no error.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "Floodmark listens on http://{}", running.addr);
    let _ = out.flush();
    Ok(running)
}

/// Runs the command until SIGTERM or SIGINT.
pub fn run(config: Config) -> ExitCode {
    let result = actix::System::new().block_on(async {
        match start(config).await {
            Ok(running) => {
                let result = until_stopped(&running).await;
                running.stop().await;
                result
            }
            Err(e) => Err(e),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("floodmark: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// A part has panicked that the server can't do without.
pub async fn until_stopped(running: &Running) -> Result<(), StartError> {
    tokio::select! {
        () = super::shutdown() => Ok(()),
        broken = running.broken() => Err(broken),
    }
}
