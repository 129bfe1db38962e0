//! The search: which conjunctions explain the change best.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::{
    expected::{FEW, PSEUDO_OF_VALUE, RATES, expected, spread},
    leaves::{Leaf, Leaves, Part},
};

/// The most properties in a conjunction.
const MAX_CONDITIONS: usize = 3;
/// The most causes of one change.
const MAX_CAUSES: usize = 3;
/// By how many units of log-likelihood a cause has to beat chance, beyond the number of conjunctions that
/// were tried.
const SURE: f64 = 3.0;

/// How the parts of a metric change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    /// A share: each hit is one of the attempts in `of`. Where it rises, a part of those that did not hit
    /// before now does; where it falls, the other way round.
    Share {
        /// Whether the share has risen.
        rises: bool,
    },
    /// A count or a sum: the hits of the span before, times `scale`, are expected.
    Volume {
        /// Whether more came than expected.
        rises: bool,
        /// By what the hits of before are multiplied.
        scale: f64,
    },
}

/// The constants of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// What a leaf has before is mixed with so many attempts at the rate that its values suggest.
    pub pseudo: f64,
    /// The least share of variance that the events of a leaf have in common, so that one large leaf does
    /// not outweigh many. What was measured in the span before counts if it is more.
    pub least_spread: f64,
    /// A further cause explains at least this part of what the first one does.
    pub further: f64,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning { pseudo: 10.0, least_spread: 0.003, further: 0.4 }
    }
}

/// A cause of the change.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The conditions: properties with their values.
    pub conditions: Vec<(String, String)>,
    /// What its events had before: a share, or a volume as expected.
    pub was: f64,
    /// What they have now.
    pub value: f64,
    /// The attempts, or the volume, that it has now.
    pub events: f64,
    /// The part of the whole change that lies in its events, 0 to 1.
    pub share: f64,
    /// How likely it is the right one among all conjunctions that were tried, 0 to 1.
    pub confidence: f64,
}

/// What a search has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The causes, the one that explains most first.
    pub causes: Vec<Cause>,
    /// Whether the change is alike everywhere, so that no part of it is its cause.
    pub general: bool,
}

/// What a leaf has now and is expected to have.
#[derive(Clone, Copy)]
struct Site {
    now: Part,
    /// A rate of attempts, or a volume.
    expected: f64,
    /// How much it counts.
    weight: f64,
}

/// Conjunctions, and which of them take each leaf.
struct Conjunctions {
    /// The conditions of each: places of properties and of their values.
    conditions: Vec<Vec<(usize, u32)>>,
    /// For each leaf the conjunctions that take it.
    of_leaf: Vec<Vec<u32>>,
}

impl Model {
    /// What the hits of a part are to the model: where a share falls, the misses.
    pub(super) fn hits(self, part: Part) -> f64 {
        match self {
            Model::Share { rises: false } => part.of - part.hits,
            _ => part.hits,
        }
    }

    /// How far a site is off, and how far it could be: the sums over a conjunction give its one number.
    fn off(self, site: &Site) -> (f64, f64) {
        let hits = self.hits(site.now);
        match self {
            Model::Share { .. } => {
                (hits - site.expected * site.now.of, site.now.of * (1.0 - site.expected))
            }
            Model::Volume { .. } => (hits - site.expected, site.expected),
        }
    }

    /// The one number of a conjunction; 0 where it has not changed in the direction of the whole.
    fn fit(self, off: f64, room: f64) -> f64 {
        let by = if room > 0.0 { off / room } else { 0.0 };
        match self {
            Model::Share { .. } => by.clamp(0.0, 0.999),
            Model::Volume { rises: true, .. } => by.max(0.0),
            Model::Volume { rises: false, .. } => by.clamp(-0.999, 0.0),
        }
    }

    /// What a site is expected to have where a conjunction takes it.
    fn moved(self, expected: f64, by: f64) -> f64 {
        match self {
            Model::Share { .. } => expected + by * (1.0 - expected),
            Model::Volume { .. } => expected * (1.0 + by),
        }
    }

    /// How much likelier some part of the events is with a number of its own than as it was before:
    /// `(all, was)` are all events of the span before and those of the part.
    pub(super) fn gain_of_part(self, (all, was): (Part, Part), now: Part) -> f64 {
        let expected = match self {
            Model::Share { .. } => {
                let whole = self.hits(all) / all.of.max(1.0);
                let rate = self.hits(was) + PSEUDO_OF_VALUE * whole;
                (rate / (was.of + PSEUDO_OF_VALUE)).clamp(RATES.0, RATES.1)
            }
            Model::Volume { scale, .. } => (was.hits + FEW) * scale,
        };
        let site = Site { now, expected, weight: 1.0 };
        let (off, room) = self.off(&site);
        let by = self.fit(off, room);
        if by == 0.0 { 0.0 } else { self.gain(&site, by) }
    }

    /// How much likelier a site is with a number than without.
    fn gain(self, site: &Site, by: f64) -> f64 {
        let (hits, moved) = (self.hits(site.now), self.moved(site.expected, by));
        site.weight
            * match self {
                Model::Share { .. } => {
                    let misses = site.now.of - hits;
                    hits * (moved / site.expected).ln()
                        + misses * ((1.0 - moved) / (1.0 - site.expected)).ln()
                }
                Model::Volume { .. } => hits * by.ln_1p() - (moved - site.expected),
            }
    }
}

/// Looks for the causes of a change. The same leaves give the same answer, in whatever order they stand.
pub fn causes_of(leaves: &Leaves, model: Model, tuning: &Tuning) -> Found {
    let expected = expected(leaves, model, tuning);
    let spread = spread(leaves, model).max(tuning.least_spread);
    // What is expected was itself drawn by chance, from so much as there was before.
    let (was, now) = leaves.totals();
    let certainty = match model {
        Model::Share { .. } => was.of / (was.of + now.of),
        Model::Volume { scale, .. } => 1.0 / (1.0 + scale),
    };
    let site = |(leaf, expected): (&Leaf, &f64)| {
        let size = match model {
            Model::Share { .. } => leaf.now.of,
            Model::Volume { .. } => *expected,
        };
        Site {
            now: leaf.now,
            expected: *expected,
            weight: certainty * leaf.evenness() / (1.0 + (size - 1.0).max(0.0) * spread),
        }
    };
    let usual: Vec<Site> = leaves.leaves.iter().zip(&expected).map(site).collect();
    let tried = Conjunctions::of(leaves);
    let mut sites = usual.clone();
    // The best of so many conjunctions gains so much by chance.
    let chance = (tried.conditions.len().max(1) as f64).ln();
    let mut found: Vec<(usize, f64, f64)> = Vec::new();
    while found.len() < MAX_CAUSES {
        let fitted = tried.fitted(&sites, model);
        let Some(best) = tried.best(&fitted) else { break };
        let (by, gain) = fitted[best];
        let least = found
            .first()
            .map_or(chance + SURE, |(_, _, first)| f64::max(chance + SURE, tuning.further * first));
        if gain < least || found.iter().any(|(known, ..)| *known == best) {
            break;
        }
        let confidence = confidence(&fitted, gain);
        found.push((best, confidence, gain));
        for (site, taken) in sites.iter_mut().zip(&tried.of_leaf) {
            if taken.contains(&(best as u32)) {
                site.expected = model.moved(site.expected, by);
            }
        }
    }
    let explained: f64 = found.iter().map(|(.., gain)| gain).sum();
    if !found.is_empty() && gain_of_all(&usual, model) + chance >= explained {
        return Found { causes: Vec::new(), general: true };
    }
    let cause = |(at, confidence, _)| tried.cause(at, confidence, leaves, &usual, model);
    Found { causes: found.into_iter().map(cause).collect(), general: false }
}

/// How much likelier all is if everything has changed alike.
fn gain_of_all(sites: &[Site], model: Model) -> f64 {
    let (mut off, mut room) = (0.0, 0.0);
    for site in sites {
        let (a, b) = model.off(site);
        (off, room) = (off + site.weight * a, room + site.weight * b);
    }
    let by = model.fit(off, room);
    sites.iter().map(|site| model.gain(site, by)).sum()
}

/// How likely the best conjunction is the right one, where each was as likely before.
fn confidence(fitted: &[(f64, f64)], best: f64) -> f64 {
    1.0 / fitted.iter().map(|(_, gain)| (gain - best).exp()).sum::<f64>()
}

impl Conjunctions {
    /// All conjunctions of the leaves' values.
    fn of(leaves: &Leaves) -> Conjunctions {
        let n = leaves.properties.len();
        let masks: Vec<u32> =
            (1..1 << n).filter(|mask: &u32| mask.count_ones() as usize <= MAX_CONDITIONS).collect();
        let mut places: HashMap<Vec<(usize, u32)>, u32> = HashMap::new();
        let mut of_leaf = Vec::with_capacity(leaves.leaves.len());
        for leaf in &leaves.leaves {
            let mut taken = Vec::with_capacity(masks.len());
            for mask in &masks {
                let chosen = (0..n).filter(|at| mask >> at & 1 == 1);
                let conditions: Option<Vec<_>> =
                    chosen.map(|at| leaf.values[at].map(|value| (at, value))).collect();
                let Some(conditions) = conditions else { continue };
                let next = places.len() as u32;
                taken.push(*places.entry(conditions).or_insert(next));
            }
            of_leaf.push(taken);
        }
        let mut conditions = vec![Vec::new(); places.len()];
        places.into_iter().for_each(|(names, at)| conditions[at as usize] = names);
        Conjunctions { conditions, of_leaf }
    }

    /// The number of each conjunction, and how much likelier the sites are with it.
    fn fitted(&self, sites: &[Site], model: Model) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0); self.conditions.len()];
        for (site, taken) in sites.iter().zip(&self.of_leaf) {
            let (off, room) = model.off(site);
            for at in taken {
                let sum = &mut sums[*at as usize];
                *sum = (sum.0 + site.weight * off, sum.1 + site.weight * room);
            }
        }
        let mut fitted: Vec<(f64, f64)> =
            sums.into_iter().map(|(off, room)| (model.fit(off, room), 0.0)).collect();
        for (site, taken) in sites.iter().zip(&self.of_leaf) {
            for at in taken {
                let (by, gain) = &mut fitted[*at as usize];
                if *by != 0.0 {
                    *gain += model.gain(site, *by);
                }
            }
        }
        fitted
    }

    /// The conjunction of the greatest gain; of equal ones the one with the fewest conditions, and of those
    /// the first by the places of its properties.
    fn best(&self, fitted: &[(f64, f64)]) -> Option<usize> {
        (0..fitted.len()).max_by(|a, b| {
            let (gain_a, gain_b) = (fitted[*a].1, fitted[*b].1);
            let close = (gain_a - gain_b).abs() <= 1e-9 * gain_a.abs().max(gain_b.abs());
            let by_gain = if close { Ordering::Equal } else { gain_a.total_cmp(&gain_b) };
            let (conditions_a, conditions_b) = (&self.conditions[*a], &self.conditions[*b]);
            by_gain
                .then(conditions_b.len().cmp(&conditions_a.len()))
                .then_with(|| conditions_b.cmp(conditions_a))
        })
    }

    fn cause(
        &self,
        at: usize,
        confidence: f64,
        leaves: &Leaves,
        usual: &[Site],
        model: Model,
    ) -> Cause {
        let (mut was, mut now, mut expected) = (Part::default(), Part::default(), 0.0);
        let (mut off, mut all) = (0.0, 0.0);
        for ((leaf, site), taken) in leaves.leaves.iter().zip(usual).zip(&self.of_leaf) {
            let by = model.off(site).0;
            all += by;
            if taken.contains(&(at as u32)) {
                off += by;
                was.add(leaf.before());
                now.add(leaf.now);
                expected += site.expected;
            }
        }
        let ratio = |part: Part| if part.of > 0.0 { part.hits / part.of } else { 0.0 };
        let (was, value, events) = match model {
            Model::Share { .. } => (ratio(was), ratio(now), now.of),
            Model::Volume { .. } => (expected, now.hits, now.of),
        };
        let name = |&(property, value): &(usize, u32)| {
            (leaves.properties[property].clone(), leaves.values[property][value as usize].clone())
        };
        Cause {
            conditions: self.conditions[at].iter().map(name).collect(),
            was,
            value,
            events,
            share: if all == 0.0 { 0.0 } else { (off / all).clamp(0.0, 1.0) },
            confidence,
        }
    }
}
