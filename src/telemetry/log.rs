//! Logs go to standard error: as text for people on a terminal, as JSON elsewhere.

use std::{io::IsTerminal, sync::OnceLock};

use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config;

/// Libraries whose messages at every start are not for operators, those that log whole requests at
/// `trace`, with the tokens in their query strings, and one that logs each malformed request as an error
/// (which [`crate::http::observed`] counts). `log.level` comes later in the filter, so it may ask for them
/// by name.
const QUIET: &str = "refinery_core=warn,actix_server=warn,actix_http=off,actix_web=debug";

/// The filter that is in force, which can be replaced.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging. Later calls in the same process change nothing.
///
/// # Errors
/// `log.level` is no valid filter.
pub fn start(config: &config::LogConfig) -> Result<(), String> {
    let (filter, handle) = reload::Layer::new(filter(&config.level)?);
    let json = match config.format.as_str() {
        "json" => true,
        "text" => false,
        _ => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    let started = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    } else {
        registry.with(fmt::layer().with_target(false).with_writer(writer)).try_init()
    };
    // It fails if logging was started before, as in tests with several servers.
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// From now on logs what this `log.level` says.
///
/// # Errors
/// It is no valid filter, or this process logs nothing.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    let handle = FILTER.get().ok_or("this process has no log")?;
    handle.reload(filter).map_err(|e| e.to_string())
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|e| format!("log.level {level:?} is no filter: {e}"))
}
