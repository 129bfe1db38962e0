//! Rules: the lists `[[metric]]`, `[[breakdown]]`, `[[alert]]`, `[[webhook]]`, `[[map]]`, `[[source]]`,
//! `[[schema]]`, `[[occasion]]` and `[[target]]`, and the table `[rates]`. The entries of a file are laid over the built-in ones by
//! their name. Whatever is wrong with one is reported with the line that it stands at.

use std::{fmt::Display, sync::Arc};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    Place, Problem,
    environment::Environment,
    event_schemas::{EventSchemas, SchemaSpec},
    webhook_url::place_of,
    written::WrittenRules,
};
use crate::domain::{
    alert::{AlertRules, AlertSpec, WebhookSpec},
    currency::Rates,
    event_names::{EventNames, MapSpec},
    metric::{BreakdownSpec, MetricSet, MetricSpec, unstored},
    occasion::{OccasionSpec, Occasions},
    pace::{TargetSpec, Targets},
    privacy::Privacy,
    rule::{Fault, List},
    source::{self, SourceSpec},
    time::BusinessZone,
};

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Metrics, breakdowns and rates, compiled.
    pub metric_set: Arc<MetricSet>,
    /// Alerts and webhooks, compiled.
    pub alerts: Arc<AlertRules>,
    /// What events of other systems are called here.
    pub event_names: Arc<EventNames>,
    /// Who may send, beside the keys of `auth.write_keys`.
    pub sources: Arc<[SourceSpec]>,
    /// What the properties of events have to be.
    pub schemas: Arc<EventSchemas>,
    /// Days that others are compared with.
    pub occasions: Occasions,
    /// What metrics are to come to.
    pub targets: Targets,
    /// The same as they are written.
    pub(super) written: Arc<WrittenRules>,
}

/// A rule that can be laid over another.
trait Rule: DeserializeOwned {
    /// What it is called. A later rule of the same name takes its place.
    fn key(&self) -> String;
    /// Whether it only takes the rule of its name away.
    fn is_off(&self) -> bool;
}

/// Rules that are known by their name alone.
macro_rules! named_rules {
    ($($rule:ty),*) => {$(
        impl Rule for $rule {
            fn key(&self) -> String {
                self.name.clone()
            }

            fn is_off(&self) -> bool {
                self.off
            }
        }
    )*};
}

named_rules!(MetricSpec, AlertSpec, WebhookSpec, SourceSpec, OccasionSpec, TargetSpec);

impl Rule for BreakdownSpec {
    fn key(&self) -> String {
        format!("{}/{}", self.event, self.property)
    }

    fn is_off(&self) -> bool {
        self.off
    }
}

impl Rule for MapSpec {
    fn key(&self) -> String {
        self.event.0.join(",").to_lowercase()
    }

    fn is_off(&self) -> bool {
        self.off
    }
}

impl Rule for SchemaSpec {
    fn key(&self) -> String {
        format!("{}/{}", self.kind, self.source.as_deref().unwrap_or_default())
    }

    fn is_off(&self) -> bool {
        self.off
    }
}

/// A list of rules, each with its place.
#[derive(Debug)]
struct Entries<R>(Vec<(Place, R)>);

impl<R> Default for Entries<R> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

/// The rules of the layers so far, as they are written.
#[derive(Debug, Default)]
pub(super) struct RuleLayers {
    metrics: Entries<MetricSpec>,
    breakdowns: Entries<BreakdownSpec>,
    rates: Vec<(Place, String, String)>,
    alerts: Entries<AlertSpec>,
    webhooks: Entries<WebhookSpec>,
    maps: Entries<MapSpec>,
    sources: Entries<SourceSpec>,
    schemas: Entries<SchemaSpec>,
    occasions: Entries<OccasionSpec>,
    targets: Entries<TargetSpec>,
}

/// The lists and tables of rules.
const NAMES: [&str; 10] = [
    "metric",
    "breakdown",
    "rates",
    "alert",
    "webhook",
    "map",
    "source",
    "schema",
    "occasion",
    "target",
];

impl RuleLayers {
    /// Whether a name at the top level of a file is that of rules.
    pub fn has(name: &str) -> bool {
        NAMES.contains(&name)
    }

    /// Lays the rules of a file over those so far.
    pub fn add(
        &mut self,
        document: &DeTable<'_>,
        place: impl Fn(usize) -> Place,
        problems: &mut Vec<Problem>,
    ) {
        for (name, value) in document {
            match name.get_ref().as_ref() {
                "metric" => self.metrics.add("metric", value, &place, problems),
                "breakdown" => self.breakdowns.add("breakdown", value, &place, problems),
                "alert" => self.alerts.add("alert", value, &place, problems),
                "webhook" => self.webhooks.add("webhook", value, &place, problems),
                "map" => self.maps.add("map", value, &place, problems),
                "source" => self.sources.add("source", value, &place, problems),
                "schema" => self.schemas.add("schema", value, &place, problems),
                "occasion" => self.occasions.add("occasion", value, &place, problems),
                "target" => self.targets.add("target", value, &place, problems),
                "rates" => self.add_rates(value, &place, problems),
                _ => {}
            }
        }
    }

    fn add_rates(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        place: &impl Fn(usize) -> Place,
        problems: &mut Vec<Problem>,
    ) {
        let DeValue::Table(table) = value.get_ref() else {
            return problems
                .push(wrong(place(value.span().start), "rates: must be a section, [rates]"));
        };
        for (code, rate) in table {
            let at = place(code.span().start);
            let text = match rate.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                _ => {
                    problems.push(wrong(at, format!("rates.{}: must be a number", code.get_ref())));
                    continue;
                }
            };
            self.rates.retain(|(_, known, _)| known != code.get_ref());
            self.rates.push((at, code.get_ref().to_string(), text.replace('_', "")));
        }
    }

    /// Replaces `${NAME}` in the URLs and secrets of webhooks and in the keys of sources by what it
    /// stands for.
    pub fn fill_in(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        let mut fill = |place: &Place, what: String, secret: &mut String| match with_variables(
            secret,
            |name| environment.text_of(name),
        ) {
            Ok(text) => *secret = text,
            Err(message) => problems.push(wrong(place.clone(), format!("{what}: {message}"))),
        };
        for (place, spec) in self.webhooks.0.iter_mut().filter(|(_, spec)| !spec.off) {
            for (key, secret) in [("url", &mut spec.url), ("secret", &mut spec.secret)] {
                fill(place, format!("[[webhook]]: {}: {key}", spec.name), &mut secret.0);
            }
        }
        for (place, spec) in self.sources.0.iter_mut().filter(|(_, spec)| !spec.off) {
            for (key, texts) in [("key", &mut spec.key), ("secret", &mut spec.secret)] {
                for text in &mut texts.0 {
                    fill(place, format!("[[source]]: {}: {key}", spec.name), text);
                }
            }
        }
    }

    /// Compiles the rules, for a base currency and a time zone. What `privacy` leaves out no metric may look at.
    pub fn finish(
        self,
        (base, zone): (&str, &BusinessZone),
        privacy: &Privacy,
        problems: &mut Vec<Problem>,
    ) -> Rules {
        let mut rates = Rates::new(base);
        for (place, code, rate) in &self.rates {
            if let Err(message) = rates.add(code, rate) {
                problems.push(wrong(place.clone(), format!("rates.{code}: {message}")));
            }
        }
        let written_rates = self.rates.into_iter().map(|(_, code, rate)| (code, rate)).collect();
        let (metric_places, metrics) = self.metrics.in_force();
        let (breakdown_places, breakdowns) = self.breakdowns.in_force();
        let (alert_places, alerts) = self.alerts.in_force();
        let (webhook_places, webhooks) = self.webhooks.in_force();
        let (map_places, maps) = self.maps.in_force();
        let (source_places, sources) = self.sources.in_force();
        let (schema_places, schemas) = self.schemas.in_force();
        let (occasion_places, occasions) = self.occasions.in_force();
        let (target_places, targets) = self.targets.in_force();
        let faults = unstored(&metrics, &breakdowns, privacy);
        let compiled = MetricSet::compile(&metrics, &breakdowns, rates).and_then(|metric_set| {
            if !faults.is_empty() {
                return Err(faults);
            }
            let alert_rules = AlertRules::compile(&alerts, &webhooks, &metric_set, place_of)?;
            source::check(&sources)?;
            let compiled_occasions = Occasions::compile(&occasions, zone)?;
            Ok(Rules {
                targets: Targets::compile(&targets, &metric_set, &compiled_occasions)?,
                metric_set: Arc::new(metric_set),
                alerts: Arc::new(alert_rules),
                event_names: Arc::new(EventNames::compile(&maps)?),
                schemas: Arc::new(EventSchemas::compile(&schemas)?),
                sources: sources.as_slice().into(),
                occasions: compiled_occasions,
                written: Arc::new(WrittenRules {
                    metrics,
                    breakdowns,
                    rates: written_rates,
                    alerts,
                    webhooks,
                    maps,
                    sources,
                    schemas,
                    occasions,
                    targets,
                }),
            })
        });
        compiled.unwrap_or_else(|faults| {
            problems.extend(faults.into_iter().map(|Fault { list, index, message }| {
                let places = match list {
                    List::Metrics => &metric_places,
                    List::Breakdowns => &breakdown_places,
                    List::Alerts => &alert_places,
                    List::Webhooks => &webhook_places,
                    List::Maps => &map_places,
                    List::Sources => &source_places,
                    List::Schemas => &schema_places,
                    List::Occasions => &occasion_places,
                    List::Targets => &target_places,
                };
                wrong(places[index].clone(), format!("[[{list}]]: {message}"))
            }));
            Rules::default()
        })
    }
}

impl<R: Rule> Entries<R> {
    /// Lays the list of one file over the rules so far.
    fn add(
        &mut self,
        list: &str,
        value: &Spanned<DeValue<'_>>,
        place: &impl Fn(usize) -> Place,
        problems: &mut Vec<Problem>,
    ) {
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("{list}: must be a list of sections, [[{list}]]");
            return problems.push(wrong(place(value.span().start), message));
        };
        let below = self.0.len();
        for item in items {
            let at = item.span().start;
            match R::deserialize(ValueDeserializer::from(item.clone())) {
                Ok(rule) => {
                    let rule = (place(at), rule);
                    let same = |known: &(Place, R)| known.1.key() == rule.1.key();
                    match self.0[..below].iter().position(same) {
                        Some(index) => self.0[index] = rule,
                        // A name that comes twice in one file is a mistake, which the compiler
                        // of the rules reports.
                        None => self.0.push(rule),
                    }
                }
                Err(e) => {
                    let at = e.span().map_or(at, |span| span.start);
                    problems.push(wrong(place(at), format!("[[{list}]]: {}", e.message())));
                }
            }
        }
    }

    /// The rules that are not switched off, and their places in the same order.
    fn in_force(self) -> (Vec<Place>, Vec<R>) {
        self.0.into_iter().filter(|(_, rule)| !rule.is_off()).unzip()
    }
}

/// `text` with `${NAME}` replaced by that variable's text, and `$${` by `${`. The message names
/// the variable, never its text.
fn with_variables(
    text: &str,
    find: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let (name, after) = rest[at + 2..]
            .split_once('}')
            .ok_or("a ${ without its } (write $${ for a plain ${)")?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            // What stands there may be part of a secret, so the message leaves it out.
            return Err("between ${ and } stands no variable's name".to_owned());
        }
        out.push_str(&find(name)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn wrong(place: Place, message: impl Display) -> Problem {
    Problem::Rule { place, message: message.to_string() }
}
