//! What charts read beside the mirror: minutes older than it keeps, and baselines.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::time::{BusinessZone, DAY, Millis},
    http::error::ApiError,
    live::baseline::{Baselines, Shift},
    sink::SinkError,
    store::{Rollups, rollup::Summed},
};

/// How long a chart waits for the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// When a chart may ask again, in seconds.
const ASK_AGAIN: u32 = 5;

/// The past, for charts. The store answers on connections that only charts use.
pub struct History {
    /// Where the rollups are.
    pub rollups: Arc<dyn Rollups>,
    /// The hours around now, in memory.
    pub baselines: Baselines,
}

impl History {
    /// The part before `end` of each bucket between two `starts`, from the rollups. Asks the
    /// store only where there is such a part.
    ///
    /// # Errors
    /// 503 where the store does not answer in time.
    pub async fn before(
        &self,
        end: Millis,
        summed: &Summed,
        starts: &[Millis],
    ) -> Result<Vec<i64>, ApiError> {
        let buckets = starts.windows(2).map(|pair| (pair[0], pair[1].min(end)));
        let old: Vec<_> = buckets.take_while(|(from, to)| from < to).collect();
        let mut sums = vec![0; starts.len().saturating_sub(1)];
        if !old.is_empty() {
            let found = self.sums(&old, summed).await?;
            sums.iter_mut().zip(found).for_each(|(sum, found)| *sum = found.unwrap_or(0));
        }
        Ok(sums)
    }

    /// The baseline of each bucket between two `starts`; `None` where it is not known. From
    /// memory where it lies near now, else from the rollups.
    ///
    /// # Errors
    /// 503 where the store does not answer in time.
    pub async fn baseline(
        &self,
        zone: &BusinessZone,
        shift: Shift,
        summed: &Summed,
        starts: &[Millis],
    ) -> Result<Vec<Option<i64>>, ApiError> {
        let near = starts.windows(2).map(|pair| match summed {
            Summed::One(series) => self.baselines.sum(series, shift, pair[0], pair[1]).map(Some),
            Summed::AllCounts => self.baselines.events(shift, pair[0], pair[1]).map(Some),
        });
        if let Some(sums) = near.collect() {
            return Ok(sums);
        }
        let stretches: Vec<_> = starts
            .windows(2)
            .map(|pair| {
                let from = zone.same_moment(pair[0], shift.days());
                // A day is a day, however long; an hour stays an hour where the clock is set.
                match pair[1] - pair[0] {
                    width if width < DAY / 2 => (from, from + width),
                    _ => (from, zone.same_moment(pair[1], shift.days())),
                }
            })
            .collect();
        let known = answer(self.rollups.known()).await?;
        let sums = self.sums(&stretches, summed).await?;
        let told = |(&(from, to), sum): (&(Millis, Millis), Option<i64>)| {
            let began_within = known.since.is_some_and(|since| from < since && since < to);
            let folded = known.until.is_none_or(|until| to <= until);
            match sum {
                _ if began_within || !folded => None,
                // What was imported from before the first batch is shown as it is.
                Some(sum) => Some(sum),
                None => known.covers(from, to).then_some(0),
            }
        };
        Ok(stretches.iter().zip(sums).map(told).collect())
    }

    async fn sums(
        &self,
        stretches: &[(Millis, Millis)],
        summed: &Summed,
    ) -> Result<Vec<Option<i64>>, ApiError> {
        // No series has such a name, and Postgres takes none.
        if summed.key().contains('\0') {
            return Ok(vec![None; stretches.len()]);
        }
        answer(self.rollups.sums(stretches, summed)).await
    }
}

async fn answer<T>(answer: impl Future<Output = Result<T, SinkError>>) -> Result<T, ApiError> {
    let why = match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("no answer within {} ms", ANSWER_WITHIN.as_millis()),
    };
    tracing::warn!(why, "the rollups can't be read");
    Err(ApiError::unavailable(
        "history_unavailable",
        "the store does not answer, and what is older than 24 hours is only there",
        ASK_AGAIN,
    ))
}
