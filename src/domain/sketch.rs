//! How many different values there were, as sketches: a few kB say it of any number of values, and the
//! sketch of two spans of time together is made of the sketches of both.
//!
//! They are HyperLogLogs of Apache DataSketches, in the form that its libraries for other languages read and
//! write as well (family 7, version 1). A sketch of few values is a list of them; it becomes registers of
//! four bits when the list would take more room. What it estimates depends on the values only, and not on
//! the order in which they came.

use datasketches::hll::{Coupon, HllSketch, HllType, HllUnion};

/// How fine a sketch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fineness {
    /// 2^12 registers, for a minute: some 2.1 kB at most, standard error 1.6 %.
    Coarse,
    /// 2^14 registers, for what is longer: some 8.3 kB at most, standard error 0.8 %.
    Fine,
}

impl Fineness {
    /// The binary logarithm of the number of registers.
    fn log2(self) -> u8 {
        match self {
            Fineness::Coarse => 12,
            Fineness::Fine => 14,
        }
    }
}

/// The different values of one span of time.
#[derive(Clone, Debug)]
pub struct Sketch(HllSketch);

/// A value, hashed for sketches of any fineness.
#[derive(Clone, Copy, Debug)]
pub struct Sighted(Coupon);

impl Sighted {
    /// Of the hash by which a value is told apart.
    pub fn of(hash: u64) -> Sighted {
        Sighted(Coupon::from_value(hash))
    }
}

/// A stored sketch that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a sketch of different values: {0}")]
pub struct SketchError(String);

impl Sketch {
    /// No value yet.
    pub fn new(fineness: Fineness) -> Sketch {
        let sketch = HllSketch::new(fineness.log2(), HllType::Hll4);
        Sketch(sketch.expect("the library has both of these numbers of registers"))
    }

    /// Adds a value; one that is there already changes nothing.
    pub fn note(&mut self, value: Sighted) {
        self.0.update_with_coupon(value.0);
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// Reads what [`Sketch::encode`] gave.
    ///
    /// # Errors
    /// It is none, or one with more registers than are ever written.
    pub fn decode(bytes: &[u8]) -> Result<Sketch, SketchError> {
        let sketch = HllSketch::deserialize(bytes).map_err(|e| SketchError(e.to_string()))?;
        match sketch.lg_config_k() <= Fineness::Fine.log2() {
            true => Ok(Sketch(sketch)),
            false => Err(SketchError("it has too many registers".to_owned())),
        }
    }

    /// How many different values it has.
    pub fn estimate(&self) -> Estimate {
        Estimate::of(self.0.composite_estimate(), self.0.lg_config_k())
    }
}

/// The different values of several sketches together.
#[derive(Clone, Debug)]
pub struct SketchSum(HllUnion);

impl SketchSum {
    /// No value yet. It is as fine as the coarsest sketch that is added to it.
    pub fn new(fineness: Fineness) -> SketchSum {
        let union = HllUnion::new(fineness.log2());
        SketchSum(union.expect("the library has both of these numbers of registers"))
    }

    /// Adds the values of a sketch.
    pub fn add(&mut self, sketch: &Sketch) {
        self.0.update(&sketch.0);
    }

    /// Adds the values of another sum.
    pub fn add_sum(&mut self, other: &SketchSum) {
        self.0.update(&other.0.to_sketch(HllType::Hll8));
    }

    /// All values as one sketch.
    pub fn finish(&self) -> Sketch {
        Sketch(self.0.to_sketch(HllType::Hll4))
    }

    /// How many different values there are.
    pub fn estimate(&self) -> Estimate {
        Estimate::of(self.0.composite_estimate(), self.0.lg_config_k())
    }
}

/// A number of different values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// How many there are.
    pub count: f64,
    /// The standard error of that, in values; 0 where they were counted one by one.
    pub error: f64,
}

impl Estimate {
    /// What a HyperLogLog of 2^`log2` registers says.
    fn of(count: f64, log2: u8) -> Estimate {
        // Up to so many the library keeps the values one by one.
        let listed = (3_u32 << (log2 - 3)) / 4;
        let relative = if count.round() <= f64::from(listed) {
            0.0
        } else {
            1.04 / f64::from(1_u32 << log2).sqrt()
        };
        Estimate { count: count.round(), error: count * relative }
    }

    /// The sum of this and of another estimate, whose errors have nothing to do with each other.
    pub fn plus(self, other: Estimate) -> Estimate {
        Estimate { count: self.count + other.count, error: self.error.hypot(other.error) }
    }

    /// How many of these values are not among those of `part`, which are all among them.
    pub fn less(self, part: Estimate) -> Estimate {
        let count = (self.count - part.count).max(0.0);
        Estimate { count, error: self.error.hypot(part.error) }
    }

    /// The standard error as a share of the number; 0 where that is exact.
    pub fn relative(self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.count.max(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(fineness: Fineness, values: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::new(fineness);
        values.for_each(|value| sketch.note(Sighted::of(value)));
        sketch
    }

    #[test]
    fn few_are_exact_and_many_within_three_standard_errors() {
        for (fineness, bytes) in [(Fineness::Coarse, 2_200), (Fineness::Fine, 8_400)] {
            for n in [0, 1, 100, 384, 1_000, 10_000, 300_000] {
                let sketch = of(fineness, (0..n).chain(0..n / 2));
                let Estimate { count, error } = sketch.estimate();
                let off = (count - n as f64).abs();
                assert!(off <= 3.0 * error, "{n}: {count} ± {error}");
                assert_eq!(error == 0.0, n <= if bytes < 8_000 { 384 } else { 1_000 }, "{n}");
                assert!(sketch.encode().len() <= bytes, "{n}: {}", sketch.encode().len());
            }
        }
        assert_eq!(of(Fineness::Fine, 0..1_000).estimate().count, 1_000.0);
        let share = of(Fineness::Fine, 0..300_000).estimate().relative();
        assert!((0.0080..0.0083).contains(&share), "{share}");
    }

    #[test]
    fn what_is_added_up_has_the_error_of_its_parts() {
        let a = Estimate { count: 100.0, error: 3.0 };
        let b = Estimate { count: 40.0, error: 4.0 };
        assert_eq!(a.plus(b), Estimate { count: 140.0, error: 5.0 });
        assert_eq!(a.less(b), Estimate { count: 60.0, error: 5.0 });
        assert_eq!(b.less(a).count, 0.0);
        assert_eq!((b.relative(), Estimate::default().relative()), (0.1, 0.0));
    }

    #[test]
    fn bytes_that_are_no_sketch_are_refused() {
        assert!(Sketch::decode(&[]).is_err() && Sketch::decode(&[1; 40]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However values are spread over sketches and in whatever order these are added: the same number.
        #[test]
        fn a_sum_is_that_of_all_values(
            parts in proptest::collection::vec(proptest::collection::vec(0..60_000_u64, 0..3_000), 1..6),
        ) {
            let whole = of(Fineness::Fine, parts.iter().flatten().copied());
            let backwards = of(Fineness::Fine, parts.iter().flatten().rev().copied());
            prop_assert_eq!(whole.estimate(), backwards.estimate());
            let (mut there, mut back) = (SketchSum::new(Fineness::Fine), SketchSum::new(Fineness::Fine));
            for part in &parts {
                there.add(&Sketch::decode(&of(Fineness::Fine, part.iter().copied()).encode()).unwrap());
            }
            for part in parts.iter().rev() {
                let mut one = SketchSum::new(Fineness::Fine);
                one.add(&of(Fineness::Fine, part.iter().copied()));
                back.add_sum(&one);
            }
            prop_assert_eq!(there.estimate(), whole.estimate());
            prop_assert_eq!(back.finish().estimate(), whole.estimate());
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sketch::decode(&bytes).map(|sketch| sketch.estimate());
        }
    }
}
