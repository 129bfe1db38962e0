//! How sure it is that two counts differ, in standard errors.
//!
//! It is computed by the likelihood ratio, with half an event taken off the difference. That is
//! right for a shop with one order a minute, where the usual normal approximation is far too
//! sure, and it agrees with that approximation for a shop with 500 orders a second.
//! Source: A. Agresti, "Categorical Data Analysis", sections 1.4 (Poisson) and 3.2
//! (two binomials).

/// A count, and what it is a count of: a length of time, or a number of tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// What was counted.
    pub hits: f64,
    /// The number of tries, or the length of time in any unit (the same in both samples).
    pub of: f64,
}

/// By how many standard errors the rate of `a` is above that of `b`: below 0 where it is lower,
/// 0 where nothing can be said. This is for events that come by themselves in some time, as
/// orders do.
pub fn of_rates(a: Sample, b: Sample) -> f64 {
    let (all, time) = (a.hits + b.hits, a.of + b.of);
    if all <= 0.0 || a.of <= 0.0 || b.of <= 0.0 {
        return 0.0;
    }
    let expected = all * a.of / time;
    let hits = nearer(a.hits, expected);
    signed(hits - expected, term(hits, expected) + term(all - hits, all - expected))
}

/// The same for hits among tries, as failures among payments. Where there are more hits than
/// tries they were no part of the tries, and are compared as rates.
pub fn of_shares(a: Sample, b: Sample) -> f64 {
    let (all, tries) = (a.hits + b.hits, a.of + b.of);
    if a.hits > a.of || b.hits > b.of {
        return of_rates(a, b);
    }
    if all <= 0.0 || a.of <= 0.0 || b.of <= 0.0 || all >= tries {
        return 0.0;
    }
    let expected = all * a.of / tries;
    let hits = nearer(a.hits, expected);
    let cells = [
        (hits, expected),
        (a.of - hits, a.of - expected),
        (all - hits, all - expected),
        (b.of - all + hits, b.of - all + expected),
    ];
    signed(hits - expected, cells.into_iter().map(|(seen, expected)| term(seen, expected)).sum())
}

/// The count, moved half an event nearer to what was expected: a count is a whole number, and the
/// distribution that it is compared with is continuous.
fn nearer(hits: f64, expected: f64) -> f64 {
    let off = hits - expected;
    if off.abs() <= 0.5 { expected } else { hits - 0.5 * off.signum() }
}

fn term(seen: f64, expected: f64) -> f64 {
    if seen > 0.0 && expected > 0.0 { seen * (seen / expected).ln() } else { 0.0 }
}

fn signed(off: f64, half_deviance: f64) -> f64 {
    (2.0 * half_deviance).max(0.0).sqrt() * if off < 0.0 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(hits: f64, of: f64) -> Sample {
        Sample { hits, of }
    }

    #[test]
    fn large_samples_agree_with_the_textbook() {
        // 10 % of 10,000 against 9 % of 100,000: the usual test of two proportions gives 3.32.
        let shares = of_shares(sample(1_000.0, 10_000.0), sample(9_000.0, 100_000.0));
        assert!((shares - 3.3).abs() < 0.1, "{shares}");
        // 10,400 in an hour against 10,000 in the hour before: 400 / sqrt(20,400) = 2.8.
        let rates = of_rates(sample(10_400.0, 1.0), sample(10_000.0, 1.0));
        assert!((rates - 2.8).abs() < 0.05, "{rates}");
    }

    #[test]
    fn few_events_do_not_make_sure() {
        // No order for 9 minutes after 60 in an hour: by chance in 1 of 4,300, 3.5 sigma.
        let none = of_rates(sample(0.0, 9.0), sample(60.0, 60.0));
        assert!((-3.8..-3.3).contains(&none), "{none}");
        // 2 errors in 3 tries after 2 in 60 (Fisher's exact test: 1 in 170).
        let two = of_shares(sample(2.0, 3.0), sample(2.0, 60.0));
        assert!((1.8..3.0).contains(&two), "{two}");
        assert_eq!(of_rates(sample(0.0, 1.0), sample(0.0, 60.0)), 0.0);
    }

    proptest! {
        #[test]
        fn more_hits_are_never_less_significant(
            hits in 0u32..200, tries in 1u32..400, before in 0u32..500, base in 1u32..5_000,
        ) {
            let hits = hits.min(tries - 1);
            let b = sample(f64::from(before.min(base)), f64::from(base));
            let tries = f64::from(tries);
            let less = of_shares(sample(f64::from(hits), tries), b);
            let more = of_shares(sample(f64::from(hits + 1), tries), b);
            prop_assert!(less.is_finite());
            // Where all is a hit there is nothing to tell apart.
            if b.hits < b.of {
                prop_assert!(more >= less - 1e-9, "{less} {more}");
            }
            let less = of_rates(sample(f64::from(hits), tries), b);
            let more = of_rates(sample(f64::from(hits + 1), tries), b);
            prop_assert!(more >= less - 1e-9, "{less} {more}");
        }
    }
}
