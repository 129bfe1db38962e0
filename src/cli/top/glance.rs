//! One look at a running server: its metrics, and whether it is ready.

use std::time::Instant;

use awc::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::samples::Samples;
use crate::cli::ask;

/// Asks one server.
pub struct Asker {
    base: String,
    token: Option<String>,
}

/// What a server said of itself.
#[derive(Clone, Debug)]
pub struct Glance {
    /// When it answered.
    pub at: Instant,
    /// Its metrics.
    pub samples: Samples,
    /// How well it is.
    pub readiness: Readiness,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Readiness {
    /// `ready`, `degraded` or `not ready`.
    pub status: String,
    /// Why it is not ready, in words.
    pub reasons: Vec<String>,
    /// By sink: `events`, `batches`, `seconds`.
    pub lag: serde_json::Map<String, Value>,
}

impl Asker {
    /// Asks the server at `base` (`http://127.0.0.1:8080`), with a viewer token where it wants one.
    pub fn new(base: &str, token: Option<String>) -> Asker {
        Asker { base: base.trim_end_matches('/').to_owned(), token }
    }

    /// Looks once.
    ///
    /// # Errors
    /// The server can't be reached, or does not tell; in words.
    pub async fn look(&self) -> Result<Glance, String> {
        let (status, body) = self.get("/readyz").await?;
        let readiness = serde_json::from_slice(&body).map_err(|e| {
            format!("{}/readyz answered {status}, and no server of ours: {e}", self.base)
        })?;
        let (status, body) = self.get("/metrics").await?;
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(format!(
                    "{}/metrics answered {status}: name a file that has a viewer token (--token-file)",
                    self.base
                ));
            }
            other => return Err(format!("{}/metrics answered {other}", self.base)),
        }
        let samples = Samples::parse(&String::from_utf8_lossy(&body));
        Ok(Glance { at: Instant::now(), samples, readiness })
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>), String> {
        ask::get(&format!("{}{path}", self.base), self.token.as_deref()).await
    }
}

impl Glance {
    /// How much a counter grew a second since `before`; `None` where the server was started anew
    /// meanwhile, or there is no such counter.
    pub fn rate(&self, before: &Glance, counter: &str) -> Option<f64> {
        self.rate_of(before, |samples| samples.sum(counter))
    }

    /// Likewise of what is read out of the samples.
    pub fn rate_of(&self, before: &Glance, read: impl Fn(&Samples) -> Option<f64>) -> Option<f64> {
        let started = |it: &Glance| it.samples.sum("process_start_time_seconds");
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let grown = read(&self.samples)? - read(&before.samples).unwrap_or(0.0);
        (started(self) == started(before) && grown >= 0.0 && seconds > 0.0).then(|| grown / seconds)
    }

    /// A number of a sink's lag.
    pub fn lag(&self, sink: &str, field: &str) -> f64 {
        self.readiness.lag.get(sink).and_then(|lag| lag[field].as_f64()).unwrap_or(0.0)
    }
}
