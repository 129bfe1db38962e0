//! From rules as written to rules as used; all that is wrong is found here.

use hashbrown::{HashMap, HashSet};

use super::{
    Breakdown, Measures, Metric, Read, Unit,
    condition::{Condition, Test},
    plan::{Distinct, Matching, Plan, Summing, Who},
    spec::{BreakdownSpec, Kind, MetricSpec, Names},
};
use crate::domain::{
    currency::Rates,
    delta::Series,
    event::is_type,
    rule::{Fault, List, MAX_NAME, MAX_RULES, check_name},
    top,
};

/// Any event type.
const ANY: &str = "*";
/// Where a money metric's currency is.
const CURRENCY: &str = "currency";

impl Measures {
    /// Compiles the rules.
    ///
    /// # Errors
    /// Every rule that can't be used, with its place.
    pub fn compile(
        metrics: &[MetricSpec],
        breakdowns: &[BreakdownSpec],
        rates: Rates,
    ) -> Result<Measures, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |list, index, message| faults.push(Fault { list, index, message });
        let mut compiled: Vec<Metric> = Vec::new();
        for (index, spec) in metrics.iter().enumerate() {
            match metric(spec, &compiled) {
                Ok(metric) if index < MAX_RULES => compiled.push(metric),
                Ok(_) => {
                    fault(List::Metrics, index, format!("there are more than {MAX_RULES} metrics"));
                    break;
                }
                Err(message) => fault(List::Metrics, index, message),
            }
        }
        let mut shown: Vec<Breakdown> = Vec::new();
        for (index, spec) in breakdowns.iter().enumerate() {
            match breakdown(spec, &shown) {
                Ok(breakdown) if index < MAX_RULES => shown.push(breakdown),
                Ok(_) => {
                    let message = format!("there are more than {MAX_RULES} breakdowns");
                    fault(List::Breakdowns, index, message);
                    break;
                }
                Err(message) => fault(List::Breakdowns, index, message),
            }
        }
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
        let plan = |kind| plan(kind, metrics, &shown);
        let plans: HashMap<String, Plan> =
            named.into_iter().map(|kind| (kind.to_owned(), plan(kind))).collect();
        let any = plan(ANY);
        Ok(Measures { metrics: compiled, breakdowns: shown, plans, any, rates })
    }
}

fn metric(spec: &MetricSpec, earlier: &[Metric]) -> Result<Metric, String> {
    let name = &spec.name;
    check_name(name)?;
    if earlier.iter().any(|known| known.name == *name) {
        return Err(format!("there is a metric {name:?} already"));
    }
    fields_of(spec)?;
    types(&spec.event)?;
    conditions(spec, &mut Vec::new())?;
    if let Some(property) = &spec.property {
        property_name(property)?;
    }
    let unit = match (spec.kind, spec.money) {
        (Kind::Count | Kind::Distinct, _) => Unit::Count,
        (Kind::Sum, true) => Unit::Money,
        (Kind::Sum, false) => Unit::Number,
        (Kind::Ratio | Kind::Difference, _) => Unit::Ratio,
    };
    let indices = |names: &Names| -> Result<Vec<usize>, String> {
        let find = |other: &String| {
            let found = earlier.iter().position(|known| known.name == *other);
            match found {
                Some(index) if matches!(earlier[index].read, Read::Ratio { .. }) => {
                    Err(format!("{other:?} is a ratio, which can't be added up"))
                }
                Some(index) => Ok(index),
                None => Err(format!("no metric {other:?} stands before {name:?}")),
            }
        };
        names.0.iter().map(find).collect()
    };
    let unit_of = |indices: &[usize]| -> Result<Unit, String> {
        let first = earlier[indices[0]].unit;
        match indices.iter().all(|index| earlier[*index].unit == first) {
            true => Ok(first),
            false => Err(format!("{name:?} adds up money and numbers")),
        }
    };
    let (read, unit) = match spec.kind {
        Kind::Count if !spec.filter.is_empty() => {
            (Read::Series(Series::Matching(name.clone())), unit)
        }
        Kind::Count if spec.event.0 == [ANY] => (Read::AllEvents, unit),
        Kind::Count => {
            (Read::Types(spec.event.0.iter().cloned().map(Series::Count).collect()), unit)
        }
        Kind::Sum => (Read::Series(Series::Sum(name.clone())), unit),
        Kind::Distinct => (Read::Distinct, unit),
        Kind::Ratio => {
            let (of, per) = (indices(&spec.of)?, indices(&spec.per)?);
            let (above, below) = (unit_of(&of)?, unit_of(&per)?);
            let unit = match (above, below) {
                (Unit::Money, Unit::Count | Unit::Number) => Unit::Money,
                _ => Unit::Ratio,
            };
            (Read::Ratio { of, per }, unit)
        }
        Kind::Difference => {
            let (of, minus) = (indices(&spec.of)?, indices(&spec.minus)?);
            let unit = unit_of(&of)?;
            if unit != unit_of(&minus)? {
                return Err(format!("{name:?} takes money from numbers or the reverse"));
            }
            (Read::Difference { of, minus }, unit)
        }
    };
    Ok(Metric { name: name.clone(), unit, read })
}

/// Each kind has the fields that it uses, and no others.
fn fields_of(spec: &MetricSpec) -> Result<(), String> {
    let given = [
        ("event", !spec.event.0.is_empty()),
        ("where", !spec.filter.is_empty()),
        ("property", spec.property.is_some()),
        ("money", spec.money),
        ("of", !spec.of.0.is_empty()),
        ("per", !spec.per.0.is_empty()),
        ("minus", !spec.minus.0.is_empty()),
    ];
    let (needs, may): (&[&str], &[&str]) = match spec.kind {
        Kind::Count => (&["event"], &["where"]),
        Kind::Sum => (&["event", "property"], &["where", "money"]),
        Kind::Distinct => (&["event", "property"], &["where"]),
        Kind::Ratio => (&["of", "per"], &[]),
        Kind::Difference => (&["of", "minus"], &[]),
    };
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

fn types(names: &Names) -> Result<(), String> {
    match names.0.iter().find(|kind| *kind != ANY && !is_type(kind)) {
        Some(kind) => Err(format!("{kind:?} is no event type, nor \"*\" for any")),
        None if names.0.len() > 1 && names.0.iter().any(|kind| kind == ANY) => {
            Err("\"*\" is every type; name it alone".to_owned())
        }
        None => Ok(()),
    }
}

fn property_name(name: &str) -> Result<(), String> {
    match name.is_empty() || name.len() > MAX_NAME || name.contains(['/', '\0']) {
        true => Err(format!("property {name:?}: 1 to {MAX_NAME} bytes without a slash")),
        false => Ok(()),
    }
}

fn conditions(spec: &MetricSpec, wanted: &mut Vec<String>) -> Result<Vec<Condition>, String> {
    spec.filter
        .iter()
        .map(|(property, tests)| {
            property_name(property)?;
            let any_of: Vec<Test> =
                tests.0.iter().map(|test| Test::parse(test)).collect::<Result<_, _>>()?;
            if any_of.is_empty() {
                return Err(format!("where: {property} has no test"));
            }
            Ok(Condition { property: want(wanted, property), any_of })
        })
        .collect()
}

fn breakdown(spec: &BreakdownSpec, earlier: &[Breakdown]) -> Result<Breakdown, String> {
    if !is_type(&spec.event) {
        return Err(format!("event {:?} is no event type", spec.event));
    }
    property_name(&spec.property)?;
    if spec.top == 0 || spec.top > top::CAPACITY {
        return Err(format!("top: must be 1 to {}", top::CAPACITY));
    }
    let name = format!("{}/{}", spec.event, spec.property);
    if earlier.iter().any(|known| known.name == name) {
        return Err(format!("there is a breakdown of {} by {} already", spec.event, spec.property));
    }
    let (event, property) = (spec.event.clone(), spec.property.clone());
    Ok(Breakdown { name, event, property, top: spec.top })
}

/// The index of a property among the wanted ones.
fn want(wanted: &mut Vec<String>, property: &str) -> usize {
    wanted.iter().position(|known| known == property).unwrap_or_else(|| {
        wanted.push(property.to_owned());
        wanted.len() - 1
    })
}

/// All steps for one event type; the specs are valid.
fn plan(kind: &str, metrics: &[MetricSpec], breakdowns: &[Breakdown]) -> Plan {
    let mut plan = Plan::default();
    let applies = |spec: &&MetricSpec| spec.event.0.iter().any(|of| of == kind || of == ANY);
    for spec in metrics.iter().filter(applies) {
        let metric = spec.name.clone();
        let conditions = conditions(spec, &mut plan.wanted).unwrap_or_default();
        let property = spec.property.as_deref().unwrap_or_default();
        match spec.kind {
            Kind::Count if conditions.is_empty() => {}
            Kind::Count => {
                plan.matching.push(Matching { series: Series::Matching(metric), conditions });
            }
            Kind::Sum => {
                let series = Series::Sum(metric.clone());
                let property = want(&mut plan.wanted, property);
                let currency = spec.money.then(|| want(&mut plan.wanted, CURRENCY));
                plan.sums.push(Summing { metric, series, property, currency, conditions });
            }
            Kind::Distinct => {
                let who = match property {
                    "sessionId" => Who::Visitor,
                    "userId" => Who::User,
                    property => Who::Property(want(&mut plan.wanted, property)),
                };
                plan.distinct.push(Distinct { metric, who, conditions });
            }
            Kind::Ratio | Kind::Difference => {}
        }
    }
    for breakdown in breakdowns.iter().filter(|breakdown| breakdown.event == kind) {
        let property = want(&mut plan.wanted, &breakdown.property);
        plan.tops.push((breakdown.name.clone(), property));
    }
    plan
}
