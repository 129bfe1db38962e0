//! Logs: for people on a terminal, JSON otherwise. To standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config;

/// What libraries say at every start is not for operators; `log.level` may ask for it.
const QUIET: &str = "refinery_core=warn,actix_server=warn";

/// Starts logging; later calls in the same process change nothing.
///
/// # Errors
/// `log.level` is no filter.
pub fn start(config: &config::LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.level))
        .map_err(|e| format!("log.level {:?} is no filter: {e}", config.level))?;
    let json = match config.format.as_str() {
        "json" => true,
        "text" => false,
        _ => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    let _ = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    } else {
        registry.with(fmt::layer().with_target(false).with_writer(writer)).try_init()
    };
    Ok(())
}
