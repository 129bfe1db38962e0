//! `[history]`: what is kept of days that are over.

use serde::{Deserialize, Serialize};

use crate::domain::{
    delta::QUARTER_HOUR,
    time::{DAY, Millis, bucket},
};

/// `[history]`: what is kept of days that are over.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryConfig {
    /// For how many days breakdowns and visitors are kept by minute.
    pub minutes_days: u64,
}

impl HistoryConfig {
    /// The first moment (Unix ms) of which minutes are kept, at `now`.
    pub fn minutes_since(&self, now: Millis) -> Millis {
        let days = self.minutes_days.min(i64::MAX as u64) as Millis;
        bucket(now.saturating_sub(days.saturating_mul(DAY)), QUARTER_HOUR)
    }
}
