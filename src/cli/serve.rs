//! `floodmark serve`: starts the server, prints its address, runs until SIGTERM or SIGINT, and
//! stops in order.

use std::{io::Write, process::ExitCode};

use crate::{
    config::Config,
    panics,
    server::{self, Running, StartError},
    telemetry::log,
};

/// Starts a server inside a running actix system, and prints on standard output where it
/// listens. Scripts wait for that line.
pub async fn start(config: Config) -> Result<Running, StartError> {
    log::start(&config.log).map_err(StartError::new)?;
    panics::install_hook();
    super::keep_files_private();
    let running = server::start(config).await?;
    // Flushed, since a pipe would hold the line back. Errors are ignored: a server whose output
    // nobody reads works all the same.
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
/// An actor or a thread that the server can't do without has panicked or must not go on.
pub async fn until_stopped(running: &Running) -> Result<(), StartError> {
    tokio::select! {
        () = super::shutdown() => Ok(()),
        broken = running.broken() => Err(broken),
    }
}
