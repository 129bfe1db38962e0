//! The memory of the process, and what each part of it may take: the one place in which the shares
//! of `memory.max_bytes` are computed.
//!
//! ```text
//!  max_bytes  |allocator|program| bodies | batches | sums |  ids | breakdowns | visitors | seconds | samples |
//!                 1/16  '------ what other settings bound -----'  '---- shares of what is left ----'
//! ```
//!
//! What other settings bound is taken off first, at its most. What is left is shared between the
//! parts that grow with what clients send. Each of these has a way to stay within its share: the
//! index of ids forgets the oldest, breakdowns keep fewer values of old minutes, visitors are
//! estimated, and the oldest seconds are known by the minute only.
//!
//! Viewers and idle connections are not in the shares: they are bounded by `stream.max_viewers` and
//! `http.max_connections`, and take some 16 kB each.

use super::Config;
use crate::domain::{
    batch::LANES,
    time::{DAY, MINUTE},
};

/// What a program that has nothing to do takes, with its libraries, threads and connections. The code of a debug build
/// is larger: 48 MiB of it are in memory soon after the start.
const PROGRAM: u64 = if cfg!(debug_assertions) { 60 << 20 } else { 52 << 20 };
/// The part of the budget that the allocator loses to gaps: one of so many.
const GAPS: u64 = 16;
/// The most that batches which were sealed last may take.
const MAX_RECENT: u64 = 32 << 20;
/// What a sum of a series in one bucket of time takes: its place in a tree, with the gaps of that.
const SUM: u64 = 32;
/// What the values of a distinct metric take on one day, at most.
const DISTINCT: u64 = 512 << 10;
/// The least that is left to be shared.
const LEAST: u64 = 32 << 20;

/// The shares of `memory.max_bytes`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShares {
    /// `memory.max_bytes`.
    pub total: u64,
    /// The sealed batches that are kept for sinks which keep up.
    pub recent_batches: u64,
    /// What is taken off before anything is shared, the batches among it.
    pub fixed: u64,
    /// The index of ids that are remembered for `dedupe.window_s`.
    pub ids: u64,
    /// The index of the ids of orders, refunds and webhooks.
    pub long_ids: u64,
    /// The index of the ids of orders and refunds that public keys sent.
    pub long_public_ids: u64,
    /// The values of breakdowns, in each copy of the counters that there may be at once.
    pub breakdowns: u64,
    /// The active visitors.
    pub visitors: u64,
    /// The sums by second, in each copy of the counters.
    pub seconds: u64,
    /// Samples of events.
    pub samples: u64,
}

impl MemoryShares {
    /// How many sums by second fit into their share.
    pub fn second_sums(&self) -> usize {
        (self.seconds / SUM) as usize
    }
}

/// What other settings bound, in bytes.
struct Bounded {
    bodies: u64,
    /// Batches that are written or on their way to the disk, beside those that are kept.
    batches: u64,
    /// Sums by minute and day, and distinct values.
    sums: u64,
    /// How many copies there may be of the sums.
    copies: u64,
}

impl Bounded {
    fn of(config: &Config) -> Bounded {
        // One at each writer of both sinks, one that is open and one that goes to the disk.
        let batches = (config.batch.max_bytes as u64).saturating_mul(2 * LANES + 2);
        let metric_set = &config.rules.metric_set;
        let series = metric_set.most_series(config.live.max_event_types) as u64;
        // Counters from Redis are loaded, or rebuilt, beside those that are shown meanwhile: the sums
        // of one lane, and of all.
        let copies = if config.redis.urls.is_empty() { 1 } else { 3 };
        let minutes = (DAY / MINUTE) as u64 + 3;
        let distinct = metric_set.distinct().count() as u64 * 3 * DISTINCT;
        let sums = series.saturating_mul(minutes * SUM * copies).saturating_add(distinct);
        Bounded { bodies: config.http.max_inflight_bytes as u64, batches, sums, copies }
    }

    /// What is taken off a budget before anything is shared.
    fn fixed(&self, total: u64) -> u64 {
        let parts = [total / GAPS, recent(total), PROGRAM, self.bodies, self.batches, self.sums];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// What is left of a budget; `None` where that is too little.
    fn left(&self, total: u64) -> Option<u64> {
        total.checked_sub(self.fixed(total)).filter(|left| *left >= LEAST)
    }
}

/// The sealed batches that are kept for sinks which keep up.
fn recent(total: u64) -> u64 {
    MAX_RECENT.min(total / 16)
}

impl Config {
    /// Shares `memory.max_bytes` out.
    ///
    /// # Errors
    /// It is too small for what other settings allow. The message says what these come to.
    pub fn memory_shares(&self) -> Result<MemoryShares, String> {
        let total = self.memory.max_bytes;
        let bounded = Bounded::of(self);
        let Some(left) = bounded.left(total) else {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            // The parts of a budget grow by an eighth of it, so twice what is taken off is enough.
            let enough = mib(bounded.fixed(0).saturating_add(LEAST)).saturating_mul(2);
            let least = (total >> 20..enough).find(|mib| bounded.left(mib << 20).is_some());
            return Err(format!(
                "memory.max_bytes ({} MiB) must be at least {} MiB, of which the program takes {} \
                 MiB, bodies (http.max_inflight_bytes) {}, batches (batch.max_bytes) {} and sums \
                 (live.max_event_types) {}; raise it, or lower those",
                total >> 20,
                least.unwrap_or(enough),
                mib(PROGRAM),
                mib(bounded.bodies),
                mib(bounded.batches),
                mib(bounded.sums),
            ));
        };
        // Breakdowns are not read by lane.
        let breakdown_copies = bounded.copies.min(2);
        let percent = |of: u64| left / 100 * of;
        Ok(MemoryShares {
            total,
            recent_batches: recent(total),
            fixed: bounded.fixed(total),
            ids: percent(36),
            long_ids: percent(8),
            long_public_ids: percent(4),
            breakdowns: percent(24) / breakdown_copies,
            visitors: percent(11),
            seconds: percent(14) / bounded.copies,
            samples: percent(3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(change: impl FnOnce(&mut Config)) -> Result<MemoryShares, String> {
        let mut config = Config::default();
        change(&mut config);
        config.memory_shares()
    }

    #[test]
    fn the_shares_are_the_whole() {
        let all = shares(|_| ()).unwrap();
        let ids = |all: &MemoryShares| all.ids + all.long_ids + all.long_public_ids;
        let shared = ids(&all) + all.breakdowns + all.visitors + all.seconds + all.samples;
        assert_eq!(all.total, 512 << 20);
        assert!((all.total - 200..=all.total).contains(&(all.fixed + shared)), "{all:?}");
        let redis = shares(|c| c.redis.urls = vec!["redis://127.0.0.1".to_owned()]).unwrap();
        let shared =
            ids(&redis) + 2 * redis.breakdowns + redis.visitors + 3 * redis.seconds + redis.samples;
        assert!((redis.total - 200..=redis.total).contains(&(redis.fixed + shared)), "{redis:?}");
    }

    #[test]
    fn a_budget_that_is_too_small_says_how_much_is_needed() {
        let error = shares(|c| c.memory.max_bytes = 100 << 20).unwrap_err();
        let least = error.split_once("at least ").and_then(|(_, rest)| rest.split_once(" MiB"));
        let least: u64 = least.expect("a number of MiB").0.parse().unwrap();
        assert!(error.contains("http.max_inflight_bytes) 64"), "{error}");
        assert!(shares(|c| c.memory.max_bytes = least << 20).is_ok(), "{error}");
        assert!(shares(|c| c.memory.max_bytes = (least - 1) << 20).is_err());
        let smaller = shares(|c| {
            c.memory.max_bytes = 192 << 20;
            c.http.max_inflight_bytes = 16 << 20;
            c.batch.max_bytes = 2 << 20;
            c.live.max_event_types = 50;
        });
        assert!(smaller.is_ok_and(|shares| shares.ids > 16 << 20));
    }
}
