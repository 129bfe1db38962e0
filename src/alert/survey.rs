//! Looks through all that was learnt of the properties of events for one that is not what it used to be.
//! Everything is read in coarse stretches first, type by type. Only where something is suspicious, the time
//! around the change is read by the minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;

use crate::{
    domain::{
        shape::{
            Drift, DriftRule, Lost, ShapeCell, Standing, Stretch, TypeCounts, drift_of, standing,
        },
        time::{DAY, HOUR, MINUTE, Millis, bucket},
    },
    sink::{SinkError, SinkErrorKind},
    store::schemas::{KEEP_MINUTES, MAX_CELLS, Schemas, ShapesAsked},
};

/// How far back it looks.
const PAST: Millis = 8 * DAY;

/// A property of the events of a type and source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyOf {
    /// The type of the events.
    pub kind: String,
    /// The name of their source.
    pub source: String,
    /// The property.
    pub property: String,
}

/// A property that has drifted and was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Drifted {
    /// Which.
    pub of: PropertyOf,
    /// What of it is no more.
    pub lost: Lost,
    /// The share of events that were as usual before.
    pub before: f64,
}

/// What one look has found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The properties that drift and are not told yet, in the order of their names.
    pub drifts: Vec<(PropertyOf, Drift)>,
    /// Where those stand that were told, in their order.
    pub standings: Vec<Standing>,
}

/// The stretches of every property.
type Properties = HashMap<PropertyOf, Vec<Stretch>>;

/// Takes a look at `now` (Unix ms).
///
/// # Errors
/// The store can't be read.
pub async fn survey(
    schemas: Arc<dyn Schemas>,
    rule: DriftRule,
    told: Vec<Drifted>,
    now: Millis,
) -> Result<Survey, SinkError> {
    let known = schemas.known_properties(None, None).await?;
    // Without an event within a day there is nothing to judge.
    let recent = known.iter().filter(|it| it.last >= now - DAY);
    let pairs: BTreeSet<(String, String)> =
        recent.map(|it| (it.kind.clone(), it.source.clone())).collect();
    let first = known.into_iter().map(|it| {
        (PropertyOf { kind: it.kind, source: it.source, property: it.property }, it.first)
    });
    let found = Survey { drifts: Vec::new(), standings: vec![Standing::Unknown; told.len()] };
    let mut surveyor = Surveyor { schemas, rule, told, now, first: first.collect(), found };
    // Type by type, so that memory holds only what is known of one.
    let pairs: Vec<_> = pairs.into_iter().collect();
    for of_kind in pairs.chunk_by(|a, b| a.0 == b.0) {
        let kind = &of_kind[0].0;
        match surveyor.read(&coarse(now), kind, None).await? {
            Some(properties) => surveyor.judge(properties).await?,
            None => {
                for (_, source) in of_kind {
                    let properties = surveyor.of_source(&coarse(now), kind, source).await?;
                    surveyor.judge(properties).await?;
                }
            }
        }
    }
    let mut found = surveyor.found;
    found.drifts.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// A look that is under way.
struct Surveyor {
    schemas: Arc<dyn Schemas>,
    rule: DriftRule,
    told: Vec<Drifted>,
    now: Millis,
    /// When each property was there first.
    first: HashMap<PropertyOf, Millis>,
    found: Survey,
}

impl Surveyor {
    /// Judges properties by their coarse stretches, and looks closer at those that seem to drift.
    async fn judge(&mut self, properties: Properties) -> Result<(), SinkError> {
        let mut suspicious: BTreeMap<(String, String, Millis), Vec<PropertyOf>> = BTreeMap::new();
        for (of, stretches) in &properties {
            match self.told.iter().position(|it| it.of == *of) {
                Some(at) => {
                    let Drifted { lost, before, .. } = self.told[at];
                    self.found.standings[at] =
                        standing(stretches, lost, before, self.now, &self.rule);
                }
                None => {
                    if let Some(drift) = self.drift(of, stretches) {
                        let part = (of.kind.clone(), of.source.clone(), drift.since);
                        suspicious.entry(part).or_default().push(of.clone());
                    }
                }
            }
        }
        drop(properties);
        for ((kind, source, since), names) in suspicious {
            let fine = self.of_source(&fine(self.now, since), &kind, &source).await?;
            for of in names {
                let drift = fine.get(&of).and_then(|stretches| self.drift(&of, stretches));
                self.found.drifts.extend(drift.map(|drift| (of, drift)));
            }
        }
        Ok(())
    }

    fn drift(&self, of: &PropertyOf, stretches: &[Stretch]) -> Option<Drift> {
        drift_of(stretches, self.first.get(of).copied(), self.now, &self.rule)
    }

    /// The stretches of all properties of a type and source.
    async fn of_source(
        &self,
        parts: &[Part],
        kind: &str,
        source: &str,
    ) -> Result<Properties, SinkError> {
        self.read(parts, kind, Some(source)).await?.ok_or_else(|| {
            let message = format!("{kind} of source {source} has too many properties to look at");
            SinkError::new(SinkErrorKind::Other, message)
        })
    }

    /// The stretches of all properties of a type, and of a source where it is given. `None` where they are
    /// too many for one read.
    async fn read(
        &self,
        parts: &[Part],
        kind: &str,
        source: Option<&str>,
    ) -> Result<Option<Properties>, SinkError> {
        let mut cells = Vec::new();
        for (from, to, step) in parts.iter().copied() {
            let (kind, source) = (Some(kind.to_owned()), source.map(str::to_owned));
            let asked = ShapesAsked { from, to, step, kind, source };
            match self.schemas.shapes(&asked).await? {
                Some(more) if cells.len() + more.len() <= MAX_CELLS => cells.extend(more),
                _ => return Ok(None),
            }
        }
        Ok(Some(stretches(cells)))
    }
}

/// A span and the length of its stretches.
type Part = (Millis, Millis, Millis);

/// Wide stretches of long ago, and the shorter the later: some eighty in all.
fn coarse(now: Millis) -> Vec<Part> {
    let hour = bucket(now, HOUR);
    let minutes = bucket(now, 15 * MINUTE) - 15 * MINUTE;
    let (day, quarters) = (hour - DAY, bucket(minutes, HOUR) - HOUR);
    vec![
        (hour - PAST, day, 6 * HOUR),
        (day, quarters, HOUR),
        (quarters, minutes, 15 * MINUTE),
        (minutes, now + MINUTE, MINUTE),
    ]
}

/// The same, with minutes around the moment at which something seems to have changed.
fn fine(now: Millis, since: Millis) -> Vec<Part> {
    // Minutes of before are gone, or will be while they are read.
    let kept = bucket(now - KEEP_MINUTES, HOUR) + HOUR;
    let from = (bucket(since, HOUR) - HOUR).max(kept);
    let to = from + 4 * HOUR;
    let mut parts = Vec::new();
    for (begin, end, step) in coarse(now) {
        parts.push((begin, end.min(from), step));
        parts.push((begin.max(from), end.min(to), MINUTE));
        parts.push((begin.max(to), end, step));
    }
    parts.retain(|(begin, end, _)| begin < end);
    parts
}

fn stretches(cells: Vec<ShapeCell>) -> Properties {
    let mut events: HashMap<(String, String), Vec<(Millis, u64)>> = HashMap::new();
    let mut values: HashMap<PropertyOf, HashMap<Millis, TypeCounts>> = HashMap::new();
    for ShapeCell { kind, source, property, at, seen, types, .. } in cells {
        match property.is_empty() {
            true => events.entry((kind, source)).or_default().push((at, seen)),
            false => {
                let of = PropertyOf { kind, source, property };
                values.entry(of).or_default().insert(at, types);
            }
        }
    }
    let stretches = values.into_iter().filter_map(|(of, types)| {
        let events = events.get(&(of.kind.clone(), of.source.clone()))?.iter();
        let stretch = |&(at, events): &(Millis, u64)| {
            let types = types.get(&at).copied().unwrap_or_default();
            Stretch { at, events, types }
        };
        let stretches = events.map(stretch).collect();
        Some((of, stretches))
    });
    stretches.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::{
        config::Config,
        demo::shop::Shop,
        domain::{
            batch::{Batch, BatchId, RunId},
            row::Row,
            shape::JsonType,
        },
        store::{BatchStore, Rollups, rollup::FoldLimits, sqlite::SqliteStore},
    };

    /// Midnight of a Tuesday, UTC.
    const START: Millis = 1_795_478_400_000;

    /// A store with all that a simulated shop sends until `end`, with `rate` events a second. `change` may
    /// spoil the properties of an event.
    async fn shop(
        dir: &std::path::Path,
        rate: f64,
        end: Millis,
        change: impl Fn(&str, Millis, &mut Map<String, Value>),
    ) -> Arc<SqliteStore> {
        let store = Arc::new(SqliteStore::open(dir).unwrap());
        let (mut seq, mut rows, mut events, mut line) = (0, Vec::new(), 0, Vec::new());
        let mut shop = Shop::new(7, START, rate, "EUR").peekable();
        while let Some(event) = shop.next() {
            let is_last = shop.peek().is_none_or(|next| next.timestamp >= end);
            line.clear();
            event.write_line(&mut line);
            let mut event: Map<String, Value> = serde_json::from_slice(&line).unwrap();
            let (kind, at) =
                (event["type"].as_str().unwrap().to_owned(), event["timestamp"].as_i64());
            let at = at.unwrap();
            let mut properties =
                event["properties"].as_object_mut().map(std::mem::take).unwrap_or_default();
            change(&kind, at, &mut properties);
            let properties = Value::from(properties).to_string();
            let row =
                Row { time: at, id: "1", kind: &kind, properties: &properties, ..Row::default() };
            row.encode(&mut rows);
            events += 1;
            // As a server does, which has no more minutes in a batch than it takes in.
            let is_hour = shop.peek().is_some_and(|next| next.timestamp / HOUR > at / HOUR);
            if events == 5_000 || is_hour || is_last {
                seq += 1;
                let mut batch = Batch::void(BatchId { run: RunId::from_u128(1), seq });
                (batch.events, batch.rows) = (events, vec![std::mem::take(&mut rows).into()]);
                store.write(&batch).await.unwrap();
                events = 0;
            }
            if is_last {
                break;
            }
        }
        loop {
            let folded = store.fold(FoldLimits::default()).await.unwrap();
            assert_eq!(folded.unlearnt, 0);
            if folded.done {
                break;
            }
        }
        store
    }

    #[tokio::test]
    async fn ordinary_days_of_shops_show_no_drift() {
        let rule = Config::default().schemas.drift_rule();
        for (rate, days) in [(0.02, 9), (0.2, 3), (2.0, 1)] {
            let dir = tempfile::tempdir().unwrap();
            let end = START + days * DAY;
            let store = shop(dir.path(), rate, end, |_, _, _| {}).await;
            let known = store.known_properties(None, None).await.unwrap();
            assert!(known.len() > 20, "{}", known.len());
            let from = (end - DAY).max(START + 2 * HOUR);
            for now in (from..=end).step_by(11 * MINUTE as usize) {
                let found = survey(store.clone(), rule, Vec::new(), now).await.unwrap();
                assert_eq!(found.drifts, [], "{rate} events a second");
            }
        }
    }

    #[tokio::test]
    async fn a_deployment_that_spoils_orders_is_found_with_its_minute_and_so_is_its_end() {
        let rule = Config::default().schemas.drift_rule();
        let deployed = START + 20 * HOUR + 17 * MINUTE;
        let rolled_back = deployed + 90 * MINUTE;
        let dir = tempfile::tempdir().unwrap();
        let store = shop(dir.path(), 2.0, START + DAY, |kind, at, properties| {
            if kind == "purchase" && (deployed..rolled_back).contains(&at) {
                properties.remove("currency");
                properties.insert("amount".to_owned(), "19.90".into());
            }
        });
        let store = store.await;
        // The orders of this shop are too few for two minutes, so it takes some more.
        let mut now = deployed;
        let drifts = loop {
            let found = survey(store.clone(), rule, Vec::new(), now).await.unwrap();
            if !found.drifts.is_empty() {
                break found.drifts;
            }
            now += MINUTE;
        };
        let said: Vec<_> =
            drifts.iter().map(|(of, drift)| (of.property.as_str(), drift.lost)).collect();
        let number = Lost::Type(JsonType::Number);
        assert_eq!(said, [("amount", number), ("currency", Lost::Property)]);
        assert!(now < deployed + 30 * MINUTE, "after {} min", (now - deployed) / MINUTE);
        for (of, drift) in &drifts {
            assert_eq!(of.kind, "purchase");
            // The first minute may have no order.
            assert!((deployed..deployed + 2 * MINUTE).contains(&drift.since), "{drift:?}");
        }
        let told: Vec<_> = drifts
            .into_iter()
            .map(|(of, drift)| Drifted { of, lost: drift.lost, before: drift.before })
            .collect();
        let stand = async |now| {
            let found = survey(store.clone(), rule, told.clone(), now).await.unwrap();
            assert_eq!(found.drifts, []);
            found.standings
        };
        assert_eq!(stand(rolled_back).await, [Standing::Away; 2]);
        assert_eq!(stand(rolled_back + 30 * MINUTE).await, [Standing::Back; 2]);
        assert_eq!(stand(rolled_back + 10 * DAY).await, [Standing::Unknown; 2]);
    }

    #[test]
    fn the_parts_follow_each_other_and_begin_where_their_stretches_do() {
        let now = 1_795_521_600_000;
        for minute in 0..180 {
            let now = now + minute * MINUTE + 7;
            let since = (0..24).map(|hours| now - hours * HOUR);
            for parts in since.map(|since| fine(now, since)).chain([coarse(now)]) {
                let hour = bucket(now, HOUR);
                assert_eq!((parts[0].0, parts[parts.len() - 1].1), (hour - PAST, now + MINUTE));
                assert!(parts.windows(2).all(|two| two[0].1 == two[1].0), "{parts:?}");
                for (from, to, step) in &parts {
                    let of_hours = step % HOUR == 0;
                    assert!(from % if of_hours { HOUR } else { MINUTE } == 0, "{parts:?}");
                    assert!(of_hours || *from >= now - KEEP_MINUTES, "{parts:?}");
                    assert!((to - from) / step <= 240, "{parts:?}");
                }
            }
        }
    }
}
