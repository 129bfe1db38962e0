//! How many visitors come when: a slow swell, a quicker one on top of it, sudden bursts
//! (a newsletter goes out, a post is shared), and now and then a payment gateway that
//! fails for half a minute. A function of seed and moment alone. Or as a day went that is
//! given minute by minute.

use std::{f64::consts::TAU, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use crate::demo::catalogue::GATEWAYS;
use crate::domain::time::{MINUTE, Millis, SECOND};

/// How lively the shop is from moment to moment.
#[derive(Clone, Debug, Default)]
pub enum Rhythm {
    /// [`wave`]
    #[default]
    Wave,
    /// A day by minute.
    Day {
        /// When its first minute begins, Unix ms. The first and the last one last for ever.
        midnight: Millis,
        /// By minute, as times the shop's rate; never empty.
        minutes: Arc<[f64]>,
    },
}

impl Rhythm {
    /// Traffic at a moment, relative to the shop's rate.
    pub fn at(&self, seed: u64, at: Millis) -> f64 {
        match self {
            Rhythm::Wave => wave(seed, at),
            Rhythm::Day { midnight, minutes } => {
                let minute = (at - midnight).div_euclid(MINUTE).max(0) as usize;
                minutes[minute.min(minutes.len() - 1)]
            }
        }
    }

    /// No moment has more.
    pub fn max(&self) -> f64 {
        match self {
            Rhythm::Wave => WAVE_MAX,
            Rhythm::Day { minutes, .. } => minutes.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// No moment has more than this many times the average traffic.
pub const WAVE_MAX: f64 = 5.5;

const SWELL_S: f64 = 420.0;
const RIPPLE_S: f64 = 53.0;

/// Time is cut into slots; a slot has one burst or none.
const BURST_SLOT: Millis = 60 * SECOND;
const BURST_CHANCE: f64 = 0.4;
const BURST_DECAY_S: f64 = 5.0;
/// Chance × mean height × (decay + half the rise) / slot: what bursts add on average.
const BURST_MEAN: f64 = BURST_CHANCE * 2.5 * (BURST_DECAY_S + 0.5) / 60.0;

const INCIDENT_SLOT: Millis = 240 * SECOND;
const INCIDENT_CHANCE: f64 = 0.6;
const INCIDENT: Millis = 35 * SECOND;
/// Of the payments by a gateway that fails now and then.
const INCIDENT_FAILING: f64 = 0.75;

/// Traffic at a moment, relative to the average of 1.
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
    /// This one, from one moment (Unix ms) until another.
    Gateway {
        /// `adyen`
        gateway: &'static str,
        /// So many of its payments, 0 to 1.
        failing: f64,
        /// It begins.
        from: Millis,
        /// It is over.
        until: Millis,
    },
}

impl Incidents {
    /// The gateway that is failing at a moment, if one is, and of how many of its payments.
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

/// A number in 0..1 that belongs to a slot and a purpose.
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
