//! Breakdowns: events of one type, counted by the values of one of their properties.

use super::spec::{BreakdownSpec, property_name};
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

    /// Checks a breakdown as the configuration writes it, after those that stand before it.
    ///
    /// # Errors
    /// In words.
    pub(super) fn compile(
        spec: &BreakdownSpec,
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
        let (event, property) = (spec.event.clone(), spec.property.clone());
        Ok(Breakdown { name, event, property, top: spec.top })
    }
}
