//! Reads the live counters of a running server by its own API: what is compared is what its pages show, and
//! it is the same with counters in Redis and in the process.

use awc::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    cli::ask,
    domain::{delta::Series, metric::MetricSet, money::Amount, time::Millis},
    store::rollup::verify::MinuteSums,
};

/// A server that is asked.
pub struct LiveReader {
    url: String,
    token: Option<String>,
}

impl LiveReader {
    /// The server at this URL, which has to answer.
    ///
    /// # Errors
    /// It does not, or refuses.
    pub async fn open(url: &str, token: Option<String>) -> Result<LiveReader, String> {
        let reader = LiveReader { url: url.trim_end_matches('/').to_owned(), token };
        reader.get("/api/analytics/metrics").await?;
        Ok(reader)
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let url = format!("{}{path}", self.url);
        let (status, body) = ask::get(&url, self.token.as_deref()).await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|e| format!("{url}: {e}")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(format!("{} asks for a token: --token-file", self.url))
            }
            status => Err(format!("{url} answers {status}")),
        }
    }

    /// The live sums of `[from, to)` of every series that the API answers: those of event types, counts and
    /// sums. The parts of money by currency it does not.
    pub async fn sums(
        &self,
        metric_set: &MetricSet,
        stored: &MinuteSums,
        (from, to): (Millis, Millis),
    ) -> Result<MinuteSums, String> {
        let mut series: Vec<&String> = stored.keys().map(|(_, series)| series).collect();
        series.sort();
        series.dedup();
        let mut live = MinuteSums::new();
        for key in series {
            let encoded = |name: &str| utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
            let (what, is_money) = match Series::parse(key) {
                Some(Series::Count(kind)) => (format!("type={}", encoded(&kind)), false),
                Some(Series::Matching(name)) if metric_set.metric(&name).is_some() => {
                    (format!("metric={}", encoded(&name)), false)
                }
                Some(Series::Sum(name)) if metric_set.metric(&name).is_some() => {
                    (format!("metric={}", encoded(&name)), true)
                }
                _ => continue,
            };
            let path = format!("/api/analytics/timeseries?{what}&from={from}&to={to}&interval=1m");
            let answer = self.get(&path).await?;
            for point in answer.as_array().into_iter().flatten() {
                let at = point["timestamp"].as_i64().filter(|at| (from..to).contains(at));
                let count = &point["count"];
                let value = match is_money {
                    false => count.as_i64(),
                    true => Amount::parse(&count.to_string()).ok().map(|amount| amount.0),
                };
                // A type without a counter of its own has null.
                if let (Some(at), Some(value)) = (at, value) {
                    live.insert((at, key.clone()), value);
                }
            }
        }
        Ok(live)
    }
}
