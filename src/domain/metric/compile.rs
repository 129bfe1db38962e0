//! From rules as the configuration writes them to rules as they are used. Whatever is wrong
//! with one is found here, at start.

use hashbrown::{HashMap, HashSet};

use super::{
    breakdown::Breakdown,
    filter::{Filter, Takes},
    hidden::MoneyProperties,
    kind::{Definition, fields},
    metric_set::{Metric, MetricSet},
    plan::Plan,
    spec::{ANY, BreakdownSpec, MetricSpec, Names, property_name},
};
use crate::domain::{
    currency::Rates,
    event::is_type,
    rule::{Fault, List, MAX_RULES, check_name},
};

impl MetricSet {
    /// Compiles the rules.
    ///
    /// # Errors
    /// Every rule that can't be used, with its place in its list.
    pub fn compile(
        metrics: &[MetricSpec],
        breakdowns: &[BreakdownSpec],
        rates: Rates,
    ) -> Result<MetricSet, Vec<Fault>> {
        let mut faults = Vec::new();
        let money = MoneyProperties::of(metrics);
        let metric = |spec: &MetricSpec, earlier: &[Metric]| metric(spec, earlier, &money);
        let compiled = compile_list(List::Metrics, metrics, metric, &mut faults);
        let breakdown = |spec: &BreakdownSpec, earlier: &[Breakdown]| {
            Breakdown::compile(spec, metrics, earlier)
        };
        let shown = compile_list(List::Breakdowns, breakdowns, breakdown, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let named: HashSet<&str> = metrics
            .iter()
            .flat_map(|spec| &spec.event.0)
            .chain(breakdowns.iter().map(|spec| &spec.event))
            .map(String::as_str)
            .filter(|kind| *kind != ANY)
            .collect();
        let plan = |kind| plan(kind, metrics, &compiled, &shown);
        let plans: HashMap<String, Plan> =
            named.into_iter().map(|kind| (kind.to_owned(), plan(kind))).collect();
        let any = plan(ANY);
        Ok(MetricSet { metrics: compiled, breakdowns: shown, plans, any, rates, money })
    }
}

/// Compiles the rules of one list, each with those that stand before it.
fn compile_list<S, R>(
    list: List,
    specs: &[S],
    compile: impl Fn(&S, &[R]) -> Result<R, String>,
    faults: &mut Vec<Fault>,
) -> Vec<R> {
    let mut compiled = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        match compile(spec, &compiled) {
            Ok(rule) if index < MAX_RULES => compiled.push(rule),
            Ok(_) => {
                let message = format!("there are more than {MAX_RULES} {list}s");
                faults.push(Fault { list, index, message });
                // One fault says it; the others beyond would say the same.
                break;
            }
            Err(message) => faults.push(Fault { list, index, message }),
        }
    }
    compiled
}

fn metric(
    spec: &MetricSpec,
    earlier: &[Metric],
    money: &MoneyProperties,
) -> Result<Metric, String> {
    let name = &spec.name;
    check_name(name)?;
    if earlier.iter().any(|known| known.name == *name) {
        return Err(format!("there is a metric {name:?} already"));
    }
    check_fields(spec)?;
    check_types(&spec.event)?;
    // The places of the properties are another thing in each plan; here they don't matter.
    Filter::read_all(spec, |_| 0)?;
    Takes::read(spec)?;
    if let Some(property) = &spec.property {
        property_name(property)?;
    }
    let (definition, unit) = Definition::compile(spec, earlier)?;
    let shows_money = money.shown_by(spec, unit, earlier);
    let (events, properties) = made_of(spec, earlier);
    Ok(Metric { name: name.clone(), unit, shows_money, events, properties, definition })
}

/// The types of the events that a metric is made of, and the properties.
fn made_of(spec: &MetricSpec, earlier: &[Metric]) -> (Vec<String>, Vec<String>) {
    let mut events = spec.event.0.clone();
    let mut properties: Vec<String> = spec.filter.keys().cloned().collect();
    properties.extend(spec.property.clone());
    let others = [&spec.of, &spec.per, &spec.minus].into_iter().flat_map(|names| &names.0);
    for other in others.filter_map(|name| earlier.iter().find(|known| known.name == *name)) {
        events.extend_from_slice(&other.events);
        properties.extend_from_slice(&other.properties);
    }
    for names in [&mut events, &mut properties] {
        names.sort_unstable();
        names.dedup();
    }
    (events, properties)
}

/// Checks that a metric has the keys that its kind uses, and no others.
fn check_fields(spec: &MetricSpec) -> Result<(), String> {
    let given = [
        ("event", !spec.event.0.is_empty()),
        ("where", !spec.filter.is_empty()),
        ("property", spec.property.is_some()),
        ("money", spec.money),
        ("absolute", spec.absolute),
        ("of", !spec.of.0.is_empty()),
        ("per", !spec.per.0.is_empty()),
        ("minus", !spec.minus.0.is_empty()),
    ];
    let (needs, may) = fields(spec.kind);
    for (field, is_given) in given {
        if needs.contains(&field) && !is_given {
            return Err(format!("{:?} needs {field}", spec.name));
        }
        if is_given && !needs.contains(&field) && !may.contains(&field) {
            let kind = format!("{:?}", spec.kind).to_lowercase();
            return Err(format!("{field} makes no sense in a metric of kind {kind}"));
        }
    }
    Ok(())
}

fn check_types(names: &Names) -> Result<(), String> {
    match names.0.iter().find(|kind| *kind != ANY && !is_type(kind)) {
        Some(kind) => Err(format!("{kind:?} is no event type, nor \"*\" for any")),
        None if names.0.len() > 1 && names.0.iter().any(|kind| kind == ANY) => {
            Err("\"*\" is every type; name it alone".to_owned())
        }
        None => Ok(()),
    }
}

/// All steps for one event type. Each spec has its metric at the same place.
fn plan(kind: &str, specs: &[MetricSpec], metrics: &[Metric], breakdowns: &[Breakdown]) -> Plan {
    let mut plan = Plan::default();
    for (spec, metric) in specs.iter().zip(metrics) {
        if spec.event.0.iter().any(|of| of == kind || of == ANY) {
            plan.add_metric(spec, metric);
        }
    }
    for metric in metrics {
        let Definition::Ratio(ratio) = &metric.definition else { continue };
        let Some(left_out) = ratio.leaves_out() else { continue };
        let mut places: Vec<usize> = ratio.operands().collect();
        // A list that grows while it is walked: a difference stands for the metrics that it is made of.
        let mut at = 0;
        while at < places.len() {
            if let Definition::Difference(difference) = &metrics[places[at]].definition {
                places.extend(difference.operands());
            }
            at += 1;
        }
        places.sort_unstable();
        places.dedup();
        let operands: Vec<_> = places
            .into_iter()
            .map(|place| (&specs[place], &metrics[place]))
            .filter(|(spec, _)| spec.event.0.iter().any(|of| of == kind || of == ANY))
            .collect();
        plan.add_ratio(left_out, &operands, kind);
    }
    for breakdown in breakdowns.iter().filter(|breakdown| breakdown.event == kind) {
        plan.add_breakdown(breakdown, specs, metrics);
    }
    plan
}
