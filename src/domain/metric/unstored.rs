//! Rules that look at a property which is never stored: they would count nothing, and a purchase without
//! its amount would be refused.

use super::{
    kind::CURRENCY,
    spec::{BreakdownSpec, MetricSpec},
};
use crate::domain::{
    privacy::Privacy,
    rule::{Fault, List},
};

/// What `distinct` takes from the event itself, where nothing is left out.
const OWN: [&str; 2] = ["sessionId", "userId"];

/// A fault for each metric and breakdown that looks at a property which `privacy` leaves out.
pub fn unstored(
    metrics: &[MetricSpec],
    breakdowns: &[BreakdownSpec],
    privacy: &Privacy,
) -> Vec<Fault> {
    let fault = |list, index, name: &str, property: &str| {
        let key = privacy.leaves_out(property)?;
        Some(Fault {
            list,
            index,
            message: format!(
                "{name}: by {key} the property {property:?} is never stored, so this would count \
                 nothing; store it, or take this {list} away (off = true)"
            ),
        })
    };
    let of_metrics = metrics.iter().enumerate().filter_map(|(index, spec)| {
        let own = spec.property.iter().map(String::as_str).filter(|name| !OWN.contains(name));
        let currency = spec.money.then_some(CURRENCY);
        let mut looked_at = own.chain(currency).chain(spec.filter.keys().map(String::as_str));
        looked_at.find_map(|property| fault(List::Metrics, index, &spec.name, property))
    });
    let of_breakdowns = breakdowns
        .iter()
        .enumerate()
        .filter_map(|(index, spec)| fault(List::Breakdowns, index, &spec.event, &spec.property));
    of_metrics.chain(of_breakdowns).collect()
}
