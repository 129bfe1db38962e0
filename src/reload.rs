//! Takes what has changed in the configuration without a restart: by SIGHUP, or by the API.
//!
//! `log.level`, `[[alert]]` and `[[webhook]]` are taken at once. All else is read when the server starts:
//! what was changed of it is named, and stays as it was.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{alert::RulesInForce, config::Config, telemetry::log};

/// What is taken at once.
const AT_ONCE: [&str; 3] = ["[[alert]]", "[[webhook]]", "log.level"];
/// What alerts are compiled against. Where it has changed as well, they wait for it.
const BELOW_ALERTS: [&str; 4] = ["[[breakdown]]", "[[metric]]", "[rates]", "currency"];

/// Reads the configuration again. A clone does the same for the same server.
#[derive(Clone)]
pub struct Reloader {
    /// What the server runs with.
    running: Arc<Mutex<Config>>,
    rules: RulesInForce,
}

/// What came of it: names of keys and lists, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// What is in force from now on.
    pub taken: Vec<String>,
    /// What has changed, too, and waits for a restart.
    pub waiting: Vec<String>,
}

impl Reloader {
    /// For a server that was started with this configuration.
    pub fn new(running: Config, rules: RulesInForce) -> Reloader {
        results();
        Reloader { running: Arc::new(Mutex::new(running)), rules }
    }

    /// Reads the configuration again and takes what can be taken, all of it or nothing. `by` says who
    /// asked.
    ///
    /// # Errors
    /// The configuration can't be read or has mistakes, in words. Then nothing has changed.
    pub fn reload(&self, by: &str) -> Result<Reloaded, String> {
        let mut running = self.running.lock();
        let done = take(&mut running, &self.rules);
        match &done {
            Ok(Reloaded { taken, waiting }) => {
                counter("taken").increment(1);
                tracing::info!(by, ?taken, needs_restart = ?waiting, "the configuration was read again");
            }
            Err(why) => {
                counter("refused").increment(1);
                tracing::error!(by, why, "the configuration has mistakes: all stays as it is");
            }
        }
        done
    }

    /// Logs from now on what this `log.level` says, until the server starts again or finds another one in
    /// its configuration. `by` says who asked.
    ///
    /// # Errors
    /// It is no filter.
    pub fn set_log_level(&self, level: &str, by: &str) -> Result<(), String> {
        log::set_level(level)?;
        tracing::info!(by, level, "the log level was changed");
        Ok(())
    }
}

fn take(running: &mut Config, rules: &RulesInForce) -> Result<Reloaded, String> {
    let new = running.read_again().map_err(|e| e.to_string())?;
    let changed = running.differences(&new);
    let has = |name: &str| changed.iter().any(|changed| changed == name);
    let alerts_wait = BELOW_ALERTS.iter().any(|name| has(name));
    let is_taken = |name: &String| {
        AT_ONCE.contains(&name.as_str()) && !(alerts_wait && name.starts_with("[["))
    };
    let (taken, waiting): (Vec<String>, Vec<String>) = changed.iter().cloned().partition(is_taken);
    let takes = |name: &str| taken.iter().any(|taken| taken == name);
    if takes("log.level") {
        log::set_level(&new.log.level)?;
        running.log.level.clone_from(&new.log.level);
    }
    if takes("[[alert]]") || takes("[[webhook]]") {
        rules.replace(new.rules.alerts.clone());
        running.rules.take_alerts(&new.rules);
    }
    Ok(Reloaded { taken, waiting })
}

/// Both results stand in `/metrics` from the start.
fn results() {
    ["taken", "refused"].into_iter().for_each(|result| counter(result).increment(0));
}

fn counter(result: &'static str) -> metrics::Counter {
    metrics::counter!("floodmark_config_reloads_total", "result" => result)
}
