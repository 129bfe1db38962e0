//! `floodmark serve`: starts the server, prints its address, runs until it is told to stop, and
//! stops in order.

use std::{io::Write, process::ExitCode};

use super::{
    exit::Exit,
    signals::{SignalAsks, Signals, StopRequest},
};
use crate::{
    config::Config,
    panics,
    server::{self, Running, StartError, Stopped},
    telemetry::log,
};

/// Starts a server inside a running actix system, and prints on standard output where it
/// listens. Scripts wait for that line.
pub async fn start(config: Config) -> Result<Running, StartError> {
    log::start(&config.log).map_err(StartError::new)?;
    panics::install_hook();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        build = super::version::BUILD,
        data_dir = %config.data_dir.display(),
        "Floodmark starts"
    );
    super::keep_files_private();
    let running = server::start(config).await?;
    // Flushed, since a pipe would hold the line back. Errors are ignored: a server whose output
    // nobody reads works all the same.
    let mut out = std::io::stdout().lock();
    let scheme = if running.speaks_tls { "https" } else { "http" };
    let _ = writeln!(out, "Floodmark listens on {scheme}://{}", running.addr);
    if let Some(ops) = running.ops_addr {
        let _ = writeln!(out, "Operators are answered on {ops}");
    }
    let _ = out.flush();
    Ok(running)
}

/// Says what `floodmark` without a command is about to do, for those who only wanted to see what it
/// is.
pub fn announce(config: &Config) {
    eprintln!(
        "floodmark: no command, so this is `floodmark serve`: it writes into {} and listens on {}. \
         `floodmark --help` lists the commands; Ctrl-C stops.",
        config.data_dir.display(),
        config.listen
    );
}

/// Runs the command until it is told to stop.
pub fn run(config: Config) -> ExitCode {
    let exit = actix::System::new().block_on(async {
        let mut signals = Signals::listen();
        match start(config).await {
            Ok(running) => match told_to_stop(&running, &mut signals).await {
                Some(Exit::CutShort) => Exit::CutShort,
                Some(broken) => {
                    stop(running, &mut signals).await;
                    broken
                }
                None => stop(running, &mut signals).await,
            },
            Err(e) => {
                eprintln!("floodmark: {e}");
                Exit::Failed
            }
        }
    });
    exit.into()
}

/// Waits until the process is told to stop, and has load balancers notice. `Some` where that is not
/// how it went: a part of the server has broken, which is named on standard error, or a second signal
/// came.
pub async fn told_to_stop(running: &Running, signals: &mut Signals) -> Option<Exit> {
    let how = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                SignalAsks::ToStop(how) => break how,
                // How it went is in the log, where whoever sent the signal looks.
                SignalAsks::ToReload => drop(running.reload("SIGHUP")),
            },
            broken = running.broken() => {
                eprintln!("floodmark: {broken}");
                return Some(Exit::Failed);
            }
        }
    };
    running.announce_stop();
    let drain = running.drain_time();
    // Whoever sits at the terminal does not wait for load balancers.
    if how == StopRequest::ByManager && !drain.is_zero() {
        tracing::info!(ms = drain.as_millis() as u64, "draining: /readyz says 503");
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            _ = signals.stop() => return Some(cut_short()),
        }
    }
    None
}

/// Stops the server in order, unless a signal comes meanwhile.
pub async fn stop(running: Running, signals: &mut Signals) -> Exit {
    tokio::select! {
        stopped = running.stop() => match stopped {
            Stopped::Settled => Exit::Done,
            Stopped::SpoolWaits => Exit::SpoolWaits,
        },
        _ = signals.stop() => cut_short(),
    }
}

fn cut_short() -> Exit {
    tracing::warn!("told to stop again: ending at once");
    Exit::CutShort
}
