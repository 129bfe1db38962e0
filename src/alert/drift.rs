//! The alert `schema_drift`: watches the properties of events, and makes firings of those that drift. What
//! counts as drift is in [`crate::domain::shape`], and how the store is looked through in [`super::survey`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    survey::{Drifted, PropertyOf, Survey, survey},
    trouble::Trouble,
};
use crate::{
    config::SchemasConfig,
    domain::{
        alert::{Explains, Firing, SCHEMA_DRIFT, Severity},
        mark::Mark,
        metric::Unit,
        shape::{Drift, DriftRule, JsonType, Lost, Standing},
        time::{BusinessZone, DAY, HOUR, MINUTE, Millis, SECOND},
    },
    numbers::Mirror,
    sink::SinkError,
    store::schemas::Schemas,
};

/// How often the store is looked through. It reads some eighty sums of each property.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// What has been so for this long is the new normal, and the alert ends.
const NEW_NORMAL: Millis = DAY;
/// The most alerts of drift that fire at a time. So many properties change at once where a whole shop is
/// rebuilt, and one more message then says nothing.
const MAX_FIRING: usize = 50;
/// The most of them that fire for one source, so that one sender can't take all their places.
const MAX_OF_SOURCE: usize = 10;
/// The properties that one alert names. It counts the others.
const MAX_NAMED: usize = 5;

/// Watches for drift while this node leads.
pub struct DriftWatch {
    schemas: Arc<dyn Schemas>,
    rule: DriftRule,
    severity: Severity,
    /// What fires.
    incidents: Vec<Incident>,
    /// A look that is under way, in a task of its own: the store may take seconds, and the other alerts
    /// must not wait for that.
    under_way: Option<JoinHandle<Result<Survey, SinkError>>>,
    /// When the last look began.
    looked_at: Option<Instant>,
    trouble: Trouble,
}

/// Properties of a type and source that have drifted together.
struct Incident {
    firing: Firing,
    properties: Vec<Drifted>,
}

impl DriftWatch {
    /// Watches by these settings; `None` where `schemas.drift` is off.
    pub fn new(config: &SchemasConfig, schemas: Arc<dyn Schemas>) -> Option<DriftWatch> {
        config.drift.then(|| DriftWatch {
            schemas,
            rule: config.drift_rule(),
            severity: config.drift_severity,
            incidents: Vec::new(),
            under_way: None,
            looked_at: None,
            trouble: Trouble::default(),
        })
    }

    /// Forgets what fires, since another node leads.
    pub fn forget(&mut self) {
        self.incidents.clear();
        self.stop_look();
    }

    fn stop_look(&mut self) {
        if let Some(look) = self.under_way.take() {
            look.abort();
        }
    }

    /// Goes on with a firing that the leader before has recorded. `false` where it is of another rule.
    pub fn take_over(&mut self, firing: &Firing) -> bool {
        let Some(properties) = told(firing) else { return false };
        // What it finds is told by places in the list of incidents, which changes now.
        self.stop_look();
        self.incidents.retain(|known| known.firing.name != firing.name);
        self.incidents.push(Incident { firing: firing.clone(), properties });
        true
    }

    /// Takes up what the look that is under way has found, and begins the next one when it is time.
    /// Returns what has changed: firings that are new, and those that are over.
    pub async fn look(&mut self, mirror: &Mirror) -> Vec<Firing> {
        let (now, zone, marks) = (mirror.now(), mirror.zone(), mirror.marks().snapshot());
        let mut changes = Vec::new();
        if self.under_way.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(look) = self.under_way.take()
        {
            match look.await {
                Ok(Ok(found)) => {
                    self.trouble.is_over("the drift of schemas is looked for again");
                    changes = self.changes(&found, (now, zone), &marks.recent);
                }
                Ok(Err(e)) => {
                    self.trouble.is("the drift of schemas can't be looked for", &e.to_string());
                }
                Err(e) => {
                    self.trouble.is("the drift of schemas can't be looked for", &e.to_string());
                }
            }
        }
        if self.under_way.is_none() && self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.looked_at = Some(Instant::now());
            let look = survey(self.schemas.clone(), self.rule, self.told(), now);
            self.under_way = Some(tokio::spawn(look));
        }
        changes
    }

    /// The properties that were told.
    fn told(&self) -> Vec<Drifted> {
        self.incidents.iter().flat_map(|it| it.properties.iter().cloned()).collect()
    }

    fn has_room(&self, source: &str) -> bool {
        let is_of_it = |it: &&Incident| it.properties.iter().any(|it| it.of.source == source);
        self.incidents.len() < MAX_FIRING
            && self.incidents.iter().filter(is_of_it).count() < MAX_OF_SOURCE
    }

    fn changes(
        &mut self,
        found: &Survey,
        (now, zone): (Millis, &BusinessZone),
        marks: &[Mark],
    ) -> Vec<Firing> {
        let mut changes = Vec::new();
        let mut standings = found.standings.iter();
        self.incidents.retain(|it| {
            let stand: Vec<_> = standings.by_ref().take(it.properties.len()).collect();
            let is_over = now - it.firing.since >= NEW_NORMAL
                || stand.iter().all(|standing| **standing != Standing::Away);
            if is_over {
                changes.push(Firing { cleared_at: Some(now), ..it.firing.clone() });
            }
            !is_over
        });
        let is_of_one = |a: &(PropertyOf, Drift), b: &(PropertyOf, Drift)| {
            (&a.0.kind, &a.0.source) == (&b.0.kind, &b.0.source)
        };
        let mut parts: Vec<_> = found.drifts.chunk_by(is_of_one).collect();
        // Where there are too many, those of the most events are told.
        let events = |part: &[(PropertyOf, Drift)]| part.iter().map(|(_, it)| it.events).max();
        parts.sort_by_key(|part| std::cmp::Reverse(events(part)));
        for drifts in parts {
            if self.has_room(&drifts[0].0.source) {
                let firing = firing(drifts, self.severity, self.rule.to, now, zone).after(marks);
                let drifted = |(of, drift): &(PropertyOf, Drift)| Drifted {
                    of: of.clone(),
                    lost: drift.lost,
                    before: drift.before,
                };
                let properties = drifts.iter().map(drifted).collect();
                self.incidents.push(Incident { firing: firing.clone(), properties });
                changes.push(firing);
            } else {
                let PropertyOf { kind, source, .. } = &drifts[0].0;
                tracing::debug!(kind, source, "a drift is not told: too many fire already");
            }
        }
        changes
    }
}

/// Puts together what there is to say of properties of one type and source; there is at least one.
fn firing(
    drifts: &[(PropertyOf, Drift)],
    severity: Severity,
    to: f64,
    now: Millis,
    zone: &BusinessZone,
) -> Firing {
    // The one of which most is missing gives the alert its name and its numbers.
    let worst = drifts.iter().min_by(|a, b| a.1.after.total_cmp(&b.1.after)).unwrap_or(&drifts[0]);
    let (PropertyOf { kind, source, property }, drift) = worst;
    let headline = format!("{} {kind} of source {source}", what(property, drift));
    let others = drifts.iter().filter(|it| *it != worst);
    let mut summary = sentence(&headline, drift, now, zone);
    for (of, drift) in others.clone().take(MAX_NAMED - 1) {
        let what = format!("{} them", what(&of.property, drift));
        summary.push_str(&format!(" Also, {}", sentence(&what, drift, now, zone)));
    }
    match others.count().saturating_sub(MAX_NAMED - 1) {
        0 => {}
        more => summary.push_str(&format!(" The same is so of {more} further properties.")),
    }
    Firing {
        id: Uuid::now_v7().to_string(),
        name: format!("{SCHEMA_DRIFT}:{kind}:{source}:{property}"),
        title: headline,
        severity,
        metric: format!("{kind}.{property}"),
        unit: Unit::Ratio,
        since: now,
        cleared_at: None,
        breached_until: None,
        // Whole minutes, since that is how people say it.
        window_seconds: (now - drift.since) / MINUTE * (MINUTE / SECOND),
        value: drift.after,
        threshold: to * drift.before,
        baseline: Some(drift.before),
        against: None,
        volume: drift.events as f64,
        explains: drifts.iter().map(|(of, drift)| explains(of, drift)).collect(),
        summary,
        causes: Vec::new(),
        mark: None,
        hidden: &[],
    }
}

/// "amount has vanished from", with the name of the events to follow.
fn what(property: &str, drift: &Drift) -> String {
    match drift.lost {
        Lost::Property if drift.after < 0.01 => format!("{property} has vanished from"),
        Lost::Property => format!("{property} is mostly missing from"),
        Lost::Type(was) => {
            let is = drift.now.map_or("nothing", JsonType::name);
            format!("{property} is {is} instead of {} in", was.name())
        }
    }
}

/// "amount has vanished from purchase of source web, since 14:02. 100 % of the events before had it, 0 % of
/// 57 since."
fn sentence(what: &str, drift: &Drift, now: Millis, zone: &BusinessZone) -> String {
    let percent = |share: f64| (share * 1_000.0).round() / 10.0;
    let at = clock(drift.since, now, zone);
    let (after, before, events) = (percent(drift.after), percent(drift.before), drift.events);
    let it = match drift.lost {
        Lost::Property => "it".to_owned(),
        Lost::Type(was) => format!("a value of type {}", was.name()),
    };
    format!(
        "{what}, since {at}. {before} % of the events before had {it}, {after} % of {events} since."
    )
}

/// The time by the clock of the business zone, with the date where it is another day's.
fn clock(at: Millis, now: Millis, zone: &BusinessZone) -> String {
    let time = zone.time_of_day(at);
    let time = format!("{:02}:{:02}", time / HOUR, time % HOUR / MINUTE);
    let day = zone.day_of(at).date;
    if day == zone.day_of(now).date { time } else { format!("{day} {time}") }
}

/// What a firing keeps of a property, by which the next leader goes on: [`told`] reads it.
fn explains(of: &PropertyOf, drift: &Drift) -> Explains {
    let value = match drift.lost {
        Lost::Property => MISSING.to_owned(),
        Lost::Type(was) => format!("{NO}{}", was.name()),
    };
    let share = 1.0 - drift.after;
    Explains { property: of.property.clone(), value, share, event: of.kind.clone() }
}

const MISSING: &str = "missing";
const NO: &str = "no ";

/// Whether a firing is one of drift.
pub fn is_of_drift(firing: &Firing) -> bool {
    firing.name.strip_prefix(SCHEMA_DRIFT).is_some_and(|rest| rest.starts_with(':'))
}

/// The properties of a firing; `None` where it is of another rule.
fn told(firing: &Firing) -> Option<Vec<Drifted>> {
    let kind = &firing.explains.first()?.event;
    let name = firing.name.strip_prefix(SCHEMA_DRIFT)?.strip_prefix(':')?;
    let name = name.strip_prefix(kind.as_str())?.strip_prefix(':')?;
    // The metric is the type and the property that gave the name.
    let property = firing.metric.strip_prefix(kind.as_str())?.strip_prefix('.')?;
    let source = name.strip_suffix(property)?.strip_suffix(':')?;
    let drifted = |it: &Explains| {
        let of = PropertyOf {
            kind: it.event.clone(),
            source: source.to_owned(),
            property: it.property.clone(),
        };
        let types = || JsonType::ALL.into_iter();
        let lost = match it.value.strip_prefix(NO) {
            Some(name) => Lost::Type(types().find(|of| of.name() == name)?),
            None => Lost::Property,
        };
        Some(Drifted { of, lost, before: firing.baseline? })
    };
    firing.explains.iter().map(drifted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_795_521_600_000; // 2026-11-24T12:00:00Z

    fn drift(property: &str, after: f64, lost: Lost) -> (PropertyOf, Drift) {
        let of = PropertyOf {
            kind: "purchase".to_owned(),
            source: "web:eu".to_owned(),
            property: property.to_owned(),
        };
        let now = Some(JsonType::String);
        let drift = Drift { lost, since: NOW - 10 * MINUTE, before: 0.998, after, events: 57, now };
        (of, drift)
    }

    #[test]
    fn a_firing_says_what_since_when_and_the_next_leader_goes_on_with_it() {
        let zone = BusinessZone::named("Europe/Berlin").unwrap();
        let mut drifts = vec![
            drift("currency", 0.02, Lost::Type(JsonType::Number)),
            drift("amount", 0.0, Lost::Property),
        ];
        let said = firing(&drifts, Severity::Warning, 0.5, NOW, &zone);
        assert_eq!(said.name, "schema_drift:purchase:web:eu:amount");
        assert_eq!(said.title, "amount has vanished from purchase of source web:eu");
        assert_eq!(
            said.summary,
            "amount has vanished from purchase of source web:eu, since 12:50. 99.8 % of the events before \
             had it, 0 % of 57 since. Also, currency is string instead of number in them, since 12:50. \
             99.8 % of the events before had a value of type number, 2 % of 57 since."
        );
        assert_eq!((said.value, said.threshold, said.window_seconds), (0.0, 0.499, 600));
        let json = serde_json::to_string(&said).unwrap();
        let again: Firing = serde_json::from_str(&json).unwrap();
        let told = told(&again).unwrap();
        assert!(told.iter().zip(&drifts).all(|(told, (of, drift))| {
            (&told.of, told.lost, told.before) == (of, drift.lost, drift.before)
        }));
        assert_eq!(super::told(&Firing { name: "traffic_surge".to_owned(), ..again }), None);
        drifts.extend((0..7).map(|n| drift(&format!("p{n}"), 0.3, Lost::Property)));
        let said = firing(&drifts, Severity::Warning, 0.5, NOW + DAY, &zone);
        assert!(
            said.summary.ends_with("The same is so of 4 further properties."),
            "{}",
            said.summary
        );
        assert!(said.summary.contains("p0 is mostly missing from them, since 2026-11-24 12:50"));
    }
}
