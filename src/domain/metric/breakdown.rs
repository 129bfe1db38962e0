//! Breakdowns: events of one type, counted by the values of one of their properties, and perhaps the sum of a
//! metric by these values.

use super::{
    kind::Kind,
    spec::{BreakdownSpec, MetricSpec, property_name},
};
use crate::domain::{delta::Series, event::is_type, top};

/// The one value of the breakdown that counts events without a value.
pub const MISSING: &str = "";

/// One breakdown, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// `EVENT/PROPERTY`. Neither holds a slash, so no two breakdowns share a name.
    pub name: String,
    /// The type of the events that are counted.
    pub event: String,
    /// The property whose values they are counted by.
    pub property: String,
    /// How many values are shown, 1 to [`top::CAPACITY`].
    pub top: usize,
    /// The metrics whose sums are kept by value.
    pub sums: Vec<String>,
}

/// What is added up by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// The name under which it is added up for each value.
    pub values: String,
    /// The name under which it is added up for events that have no value.
    pub missing: String,
    /// All of it.
    pub all: Series,
}

impl Breakdown {
    /// The name under which the events are counted that don't have the property, or have no scalar there:
    /// they are a breakdown of their own with the one value [`MISSING`]. So they are counted, bounded and
    /// kept as the values are, and no format had to change.
    pub fn missing(&self) -> String {
        format!("{}/none", self.name)
    }

    /// All events of the type.
    pub fn all(&self) -> Series {
        Series::Count(self.event.clone())
    }

    /// The number of events.
    pub fn counted(&self) -> Tallied {
        Tallied { values: self.name.clone(), missing: self.missing(), all: self.all() }
    }

    /// The sum of a metric, in 1/10,000. It is a breakdown of its own, whose values come as often as they add to
    /// the sum: so it is bounded and kept as others are, and a version that knows nothing of it passes it over.
    pub fn summed(&self, metric: &str) -> Tallied {
        Tallied {
            values: format!("{}/sum/{metric}", self.name),
            missing: format!("{}/sum/{metric}", self.missing()),
            all: Series::Sum(metric.to_owned()),
        }
    }

    /// Checks a breakdown as the configuration writes it, after those that stand before it.
    ///
    /// # Errors
    /// In words.
    pub(super) fn compile(
        spec: &BreakdownSpec,
        metrics: &[MetricSpec],
        earlier: &[Breakdown],
    ) -> Result<Breakdown, String> {
        if !is_type(&spec.event) {
            return Err(format!("event {:?} is no event type", spec.event));
        }
        property_name(&spec.property)?;
        if spec.top == 0 || spec.top > top::CAPACITY {
            return Err(format!("top: must be 1 to {}", top::CAPACITY));
        }
        let name = format!("{}/{}", spec.event, spec.property);
        if earlier.iter().any(|known| known.name == name) {
            return Err(format!(
                "there is a breakdown of {} by {} already",
                spec.event, spec.property
            ));
        }
        for sum in &spec.sum.0 {
            let found = metrics.iter().find(|metric| metric.name == *sum);
            if !found.is_some_and(|it| it.kind == Kind::Sum && it.event.0 == [spec.event.as_str()])
            {
                return Err(format!(
                    "sum: {sum:?} is no metric of kind sum of {} alone",
                    spec.event
                ));
            }
        }
        let (event, property) = (spec.event.clone(), spec.property.clone());
        Ok(Breakdown { name, event, property, top: spec.top, sums: spec.sum.0.clone() })
    }
}
