//! Leaves: events grouped by the values of a few properties.

/// The span before is cut into so many slices of time, which tell how much a leaf varies by itself.
pub const SLICES: usize = 4;

/// What some events add to a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// The dividend of a ratio, or the metric itself.
    pub hits: f64,
    /// The divisor of a ratio, or the number of events.
    pub of: f64,
}

impl Part {
    /// Adds another one.
    pub fn add(&mut self, other: Part) {
        self.hits += other.hits;
        self.of += other.of;
    }
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The place of each property's value in [`Leaves::values`]; `None` for a rare value, which is no cause.
    pub values: Vec<Option<u32>>,
    /// The span before, in slices of equal length, oldest first.
    pub was: [Part; SLICES],
    /// The span that is asked about.
    pub now: Part,
    /// The sum of the squares of the hits of single events, of both spans; of hits that are counted it is
    /// their sum.
    pub squares: f64,
}

impl Leaf {
    /// How evenly the hits come, 0 to 1. A sum of a few large amounts is a matter of chance, though it is
    /// large: it counts as so many typical amounts as vary as much.
    pub fn evenness(&self) -> f64 {
        let hits = self.before().hits + self.now.hits;
        if self.squares > hits { hits.max(0.0) / self.squares } else { 1.0 }
    }

    /// The whole span before.
    pub fn before(&self) -> Part {
        let mut sum = Part::default();
        self.was.iter().for_each(|part| sum.add(*part));
        sum
    }
}

/// All leaves, with the names of what they are grouped by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaves {
    /// The names of the properties.
    pub properties: Vec<String>,
    /// The values of each property.
    pub values: Vec<Vec<String>>,
    /// The combinations.
    pub leaves: Vec<Leaf>,
    /// How many properties were looked at to choose these.
    pub searched: usize,
}

impl Leaves {
    /// The span before and the one that is asked about, over all leaves.
    pub fn totals(&self) -> (Part, Part) {
        let (mut was, mut now) = (Part::default(), Part::default());
        for leaf in &self.leaves {
            was.add(leaf.before());
            now.add(leaf.now);
        }
        (was, now)
    }
}
