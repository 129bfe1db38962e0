//! Student's distribution, by the normal one: an error that is an estimate itself has longer tails.
//! Source: D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions".

/// What a value of Student's distribution with so many degrees of freedom would be of the normal one.
pub fn as_normal(t: f64, free: f64) -> f64 {
    (factor(free) * (free * (t * t / free).ln_1p()).sqrt()).copysign(t)
}

/// What a value of the normal distribution would be of Student's: the inverse of [`as_normal`].
pub fn of_normal(normal: f64, free: f64) -> f64 {
    let size = normal / factor(free);
    (free * (size * size / free).exp_m1()).sqrt().copysign(normal)
}

fn factor(free: f64) -> f64 {
    (8.0 * free + 1.0) / (8.0 * free + 3.0)
}

/// How probable it is that a normal value is above this one, 0 to 1.
pub fn above(normal: f64) -> f64 {
    libm::erfc(normal * std::f64::consts::FRAC_1_SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_distribution_is_wider_than_the_normal_one() {
        // Two-sided 1 in 1,000: 5.959 with 6 degrees of freedom, 3.291 of the normal distribution.
        assert!((as_normal(5.959, 6.0) - 3.291).abs() < 0.02, "{}", as_normal(5.959, 6.0));
        assert!((as_normal(-3.3, 1e6) + 3.3).abs() < 1e-3);
    }

    #[test]
    fn there_and_back_is_the_same() {
        for free in [3.0, 10.0, 400.0] {
            for normal in [-3.0, -1.2816, 0.0, 0.5, 4.0] {
                let back = as_normal(of_normal(normal, free), free);
                assert!((back - normal).abs() < 1e-9, "{normal} of {free}: {back}");
            }
        }
    }

    #[test]
    fn one_tenth_is_above_its_place() {
        for (normal, part) in [(1.2816, 0.1), (0.0, 0.5), (-1.2816, 0.9), (3.0902, 0.001)] {
            assert!((above(normal) - part).abs() < 1e-5, "{normal}: {}", above(normal));
        }
    }
}
