//! How many visitors come when. The default is a slow swell with a quicker one on top of it,
//! sudden bursts (a newsletter goes out, a post is shared), and now and then a payment gateway
//! that fails for half a minute. All of that is a function of the seed and the moment alone. The
//! other choice is a day that is given minute by minute.

use std::{f64::consts::TAU, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use crate::demo::catalogue::GATEWAYS;
use crate::domain::time::{MINUTE, Millis, SECOND};

/// How lively the shop is from moment to moment.
#[derive(Clone, Debug, Default)]
pub enum Rhythm {
    /// Swells and bursts, as [`wave`] computes them.
    #[default]
    Wave,
    /// A day that is given minute by minute.
    Day {
        /// When its first minute begins, Unix ms. Before the day its first minute goes on, and
        /// after it its last.
        midnight: Millis,
        /// The traffic of each minute, as a multiple of the shop's rate; never empty.
        minutes: Arc<[f64]>,
    },
}

impl Rhythm {
    /// The traffic at a moment, as a multiple of the shop's rate.
    pub fn at(&self, seed: u64, at: Millis) -> f64 {
        match self {
            Rhythm::Wave => wave(seed, at),
            Rhythm::Day { midnight, minutes } => {
                let minute = (at - midnight).div_euclid(MINUTE).max(0) as usize;
                minutes[minute.min(minutes.len() - 1)]
            }
        }
    }

    /// The highest traffic of any moment.
    pub fn max(&self) -> f64 {
        match self {
            Rhythm::Wave => WAVE_MAX,
            Rhythm::Day { minutes, .. } => minutes.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The highest value of [`wave`]. [`Shop`](super::shop::Shop) draws arrivals at this rate and
/// drops some, so a higher value costs time.
pub const WAVE_MAX: f64 = 5.5;

/// The period of the slow swell, in seconds.
const SWELL_S: f64 = 420.0;
/// The period of the quicker swell. It doesn't divide the slow one's, so the sum hardly repeats.
const RIPPLE_S: f64 = 53.0;

/// Time is cut into slots; a slot has one burst or none.
const BURST_SLOT: Millis = 60 * SECOND;
/// How many of the slots have a burst.
const BURST_CHANCE: f64 = 0.4;
/// After this time a burst is down to 1/e of its height.
const BURST_DECAY_S: f64 = 5.0;
/// What bursts add to the traffic on average: their chance, times their mean height, times
/// their area (decay plus half of the rise of one second), divided by the length of a slot.
const BURST_MEAN: f64 = BURST_CHANCE * 2.5 * (BURST_DECAY_S + 0.5) / 60.0;

/// Time is cut into slots; in a slot a gateway fails once or not at all.
const INCIDENT_SLOT: Millis = 240 * SECOND;
/// In how many of the slots a gateway fails.
const INCIDENT_CHANCE: f64 = 0.6;
/// How long it fails.
const INCIDENT: Millis = 35 * SECOND;
/// How many of the payments fail meanwhile.
const INCIDENT_FAILING: f64 = 0.75;

/// The traffic at a moment. The average over time is 1.
pub fn wave(seed: u64, at: Millis) -> f64 {
    let seconds = at as f64 / SECOND as f64;
    let phase = unit(seed, 0, 0) * TAU;
    let swell = 0.30 * (seconds * TAU / SWELL_S + phase).sin();
    let ripple = 0.22 * (seconds * TAU / RIPPLE_S + phase).sin();
    let slot = at.div_euclid(BURST_SLOT);
    // A burst's tail reaches into the next slot.
    let bursts = burst(seed, slot - 1, at) + burst(seed, slot, at);
    ((1.0 + swell + ripple + bursts) / (1.0 + BURST_MEAN)).clamp(0.0, WAVE_MAX)
}

/// What the burst of a slot adds at a moment: it rises within a second and then decays.
fn burst(seed: u64, slot: i64, at: Millis) -> f64 {
    if unit(seed, 1, slot) >= BURST_CHANCE {
        return 0.0;
    }
    let begin = slot * BURST_SLOT + (unit(seed, 2, slot) * 45.0 * SECOND as f64) as Millis;
    let height = 1.0 + 3.0 * unit(seed, 3, slot);
    let since = (at - begin) as f64 / SECOND as f64;
    if since < 0.0 {
        0.0
    } else if since < 1.0 {
        height * since
    } else {
        height * (-(since - 1.0) / BURST_DECAY_S).exp()
    }
}

/// When a payment gateway fails.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Incidents {
    /// Now and then, for half a minute.
    #[default]
    NowAndThen,
    /// Never.
    None,
    /// A given gateway fails once.
    Gateway {
        /// The gateway, such as `adyen`.
        gateway: &'static str,
        /// The share of its payments that fail, 0 to 1.
        failing: f64,
        /// When it begins to fail, Unix ms.
        from: Millis,
        /// When it works again, Unix ms.
        until: Millis,
    },
}

impl Incidents {
    /// The gateway that is failing at a moment, if one is, and the share of its payments that
    /// fail.
    pub fn failing(self, seed: u64, at: Millis) -> Option<(&'static str, f64)> {
        match self {
            Incidents::NowAndThen => {
                failing_gateway(seed, at).map(|gateway| (gateway, INCIDENT_FAILING))
            }
            Incidents::None => None,
            Incidents::Gateway { gateway, failing, from, until } => {
                (from..until).contains(&at).then_some((gateway, failing))
            }
        }
    }
}

/// The gateway that is failing at a moment, if one is.
pub fn failing_gateway(seed: u64, at: Millis) -> Option<&'static str> {
    let slot = at.div_euclid(INCIDENT_SLOT);
    if unit(seed, 4, slot) >= INCIDENT_CHANCE {
        return None;
    }
    let room = (INCIDENT_SLOT - INCIDENT) as f64;
    let begin = slot * INCIDENT_SLOT + (unit(seed, 5, slot) * room) as Millis;
    if !(begin..begin + INCIDENT).contains(&at) {
        return None;
    }
    let which = (unit(seed, 6, slot) * GATEWAYS.len() as f64) as usize;
    Some(GATEWAYS[which].0)
}

/// A number in 0..1 that looks random and is always the same for a seed, a purpose and a slot.
fn unit(seed: u64, purpose: u64, slot: i64) -> f64 {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&purpose.to_le_bytes());
    key[16..].copy_from_slice(&slot.to_le_bytes());
    // The upper 53 bits are as many as a float holds exactly.
    (xxh3_64(&key) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::HOUR;

    #[test]
    fn the_average_is_one_and_it_moves() {
        for seed in 0..5 {
            let samples: Vec<f64> = (0..24 * HOUR).step_by(500).map(|at| wave(seed, at)).collect();
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            assert!((mean - 1.0).abs() < 0.03, "mean {mean} of seed {seed}");
            let highest = samples.iter().copied().fold(0.0, f64::max);
            let lowest = samples.iter().copied().fold(9.0, f64::min);
            assert!(highest > 3.0 && highest < WAVE_MAX, "highest {highest}");
            assert!(lowest < 0.6 && lowest > 0.1, "lowest {lowest}");
        }
    }

    #[test]
    fn a_gateway_fails_now_and_then_and_recovers() {
        let failing =
            (0..HOUR).step_by(1000).filter(|at| failing_gateway(7, *at).is_some()).count();
        assert!((100..1000).contains(&failing), "{failing} s of an hour");
    }
}
