//! What each leaf is expected to have now, and how much it varies by itself.

use hashbrown::HashMap;

use super::{
    SLICES,
    leaves::{Leaves, Part},
    search::{Model, Tuning},
};

/// A rate is never taken for impossible or certain.
pub(super) const RATES: (f64, f64) = (1e-4, 1.0 - 1e-4);

/// A value that had no hits before may have some by chance.
pub(super) const FEW: f64 = 0.5;

/// A leaf's own volume counts as much as what its values suggest where they suggest so many.
const OWN: f64 = 2.0;

/// What each leaf is expected to have: a rate of attempts, or a volume.
pub(super) fn expected(leaves: &Leaves, model: Model, tuning: &Tuning) -> Vec<f64> {
    let before: Vec<Part> = leaves
        .leaves
        .iter()
        .map(|leaf| {
            let part = leaf.before();
            Part { hits: model.hits(part), of: part.of }
        })
        .collect();
    let mut all = Part::default();
    before.iter().for_each(|part| all.add(*part));
    if let Model::Volume { scale, .. } = model {
        let even = all.hits / before.len().max(1) as f64;
        let volume = |part: &Part, fitted: f64| scale * fitted * (part.hits + OWN) / (fitted + OWN);
        let fitted = by_values(leaves, &before, even, |_| 1.0);
        return before.iter().zip(fitted).map(|(part, fitted)| volume(part, fitted)).collect();
    }
    let whole = if all.of > 0.0 { all.hits / all.of } else { 0.0 }.clamp(RATES.0, RATES.1);
    let prior = by_values(leaves, &before, whole, |part| part.of);
    let rate = |(part, prior): (&Part, f64)| {
        let prior = f64::min(prior, RATES.1);
        let rate = (part.hits + tuning.pseudo * prior) / (part.of + tuning.pseudo);
        rate.clamp(RATES.0, RATES.1)
    };
    before.iter().zip(prior).map(rate).collect()
}

/// The rate that the values of each leaf suggest, or the volume, where the leaf itself had little: a factor
/// for each value, such that the hits of all leaves with a value add up to what that value had (iterative
/// proportional fitting). So a gateway that always fails often is nothing new in a rare combination either.
/// `even` is what a leaf would have if all were alike, for each of its `size`.
fn by_values(leaves: &Leaves, before: &[Part], even: f64, size: impl Fn(&Part) -> f64) -> Vec<f64> {
    let mut fitted = vec![even; before.len()];
    let few = PSEUDO_OF_VALUE * even.min(1.0);
    for _ in 0..FITTINGS {
        for property in 0..leaves.properties.len() {
            let mut of_value: HashMap<Option<u32>, (f64, f64)> = HashMap::new();
            for ((leaf, part), rate) in leaves.leaves.iter().zip(before).zip(&fitted) {
                let (hits, sum) = of_value.entry(leaf.values[property]).or_default();
                (*hits, *sum) = (*hits + part.hits, *sum + rate * size(part));
            }
            for (leaf, rate) in leaves.leaves.iter().zip(&mut fitted) {
                let (hits, sum) = of_value[&leaf.values[property]];
                *rate = (*rate * (hits + few) / (sum + few)).max(RATES.0);
            }
        }
    }
    fitted
}

/// How often the factors of all properties are fitted in turn. They hardly move after that.
const FITTINGS: usize = 5;
/// A value's rate is mixed with so many attempts at the rate of the whole.
pub(super) const PSEUDO_OF_VALUE: f64 = 50.0;

/// How much of the variance the events of a leaf have in common: by the slices of the span before, by the
/// method of moments. 0 where they vary as independent events do.
pub(super) fn spread(leaves: &Leaves, model: Model) -> f64 {
    let mut slices = [0.0; SLICES];
    for leaf in &leaves.leaves {
        for (sum, part) in slices.iter_mut().zip(&leaf.was) {
            *sum += model.hits(*part);
        }
    }
    let total: f64 = slices.iter().sum();
    let (mut beyond, mut scale) = (0.0, 0.0);
    for leaf in &leaves.leaves {
        let before = leaf.before();
        let hits = model.hits(before);
        for (part, of_slice) in leaf.was.iter().zip(slices) {
            match model {
                Model::Share { .. } => {
                    if part.of <= 1.0 || before.of <= part.of {
                        continue;
                    }
                    let rate = hits / before.of;
                    let variance = rate * (1.0 - rate);
                    let residual = model.hits(*part) - part.of * rate;
                    beyond +=
                        residual * residual - part.of * variance * (1.0 - part.of / before.of);
                    scale += part.of * (part.of - 1.0) * variance;
                }
                Model::Volume { .. } if total > 0.0 => {
                    let mean = hits * of_slice / total;
                    let residual = part.hits - mean;
                    beyond += residual * residual - mean;
                    scale += mean * mean;
                }
                Model::Volume { .. } => {}
            }
        }
    }
    if scale > 0.0 { (beyond / scale).max(0.0) } else { 0.0 }
}
