//! Logs go to standard error: as text for people on a terminal, as JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config;

/// Libraries whose messages at every start are not for operators, those that log whole requests at
/// `trace`, with the tokens in their query strings, and one that logs each malformed request as an error
/// (which [`crate::http::observed`] counts). `log.level` comes later in the filter, so it may ask for them
/// by name.
const QUIET: &str = "refinery_core=warn,actix_server=warn,actix_http=off,actix_web=debug";

/// Starts logging. Later calls in the same process change nothing.
///
/// # Errors
/// `log.level` is no valid filter.
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
    // `try_init` fails if logging was started before, as in tests with several servers.
    let _ = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    } else {
        registry.with(fmt::layer().with_target(false).with_writer(writer)).try_init()
    };
    Ok(())
}
