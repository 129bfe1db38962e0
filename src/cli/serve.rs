//! `floodmark serve`: start, say where, run until SIGTERM or SIGINT, stop in order.

use std::{io::Write, process::ExitCode};

use crate::{
    app::{self, Running, StartError},
    config::Config,
    telemetry::log,
};

/// Starts a server, inside a running actix system, and says on standard output where it
/// listens.
pub async fn start(config: Config) -> Result<Running, StartError> {
    log::start(&config.log).map_err(StartError::new)?;
    let running = app::start(config).await?;
    // At once, even into a pipe; that nobody reads it is no error.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "Floodmark listens on http://{}", running.addr);
    let _ = out.flush();
    Ok(running)
}

/// Runs the command until SIGTERM or SIGINT.
pub fn run(config: Config) -> ExitCode {
    actix::System::new().block_on(async {
        match start(config).await {
            Ok(running) => {
                super::shutdown().await;
                running.stop().await;
                ExitCode::SUCCESS
            }
            Err(e) => {
                eprintln!("floodmark: {e}");
                ExitCode::FAILURE
            }
        }
    })
}
