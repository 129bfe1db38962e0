//! `floodmark serve`: the seam to the application. `run` and `start` are all that the
//! other commands know of it.

use std::{net::SocketAddr, process::ExitCode};

use crate::config::Config;

/// A server that runs in this process.
pub struct Running {
    /// The address it listens on, with the port it really got.
    pub addr: SocketAddr,
}

impl Running {
    /// Stops it as SIGTERM would: nothing that was answered 202 is lost.
    pub async fn stop(self) {}
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
#[error("the server is not part of this build")]
pub struct StartError;

/// Starts a server, inside a running actix system.
pub async fn start(_config: Config) -> Result<Running, StartError> {
    Err(StartError)
}

/// Runs the command until SIGTERM or SIGINT.
pub fn run(config: Config) -> ExitCode {
    actix::System::new().block_on(async {
        match start(config).await {
            Ok(running) => {
                println!("http://{}", running.addr);
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
