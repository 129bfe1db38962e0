//! Batches of events for tests of the stores and the counters, made and sealed as the ingest actor
//! does it.

use std::sync::{Arc, LazyLock};

use floodmark::{
    config::Config,
    domain::{
        aggregate::Aggregator,
        batch::{Batch, BatchId, DeadLetter, NodeId},
        delta::DeltaSum,
        metric::MetricSet,
        row::Row,
        time::Millis,
    },
};

/// 2026-11-27T08:00:00Z, a Black Friday.
pub const START: Millis = 1_795_766_400_000;

/// An event that owns its parts, so that a test can change it before the batch is sealed.
#[derive(Clone, Debug)]
pub struct Event {
    pub time: Millis,
    pub id: String,
    pub kind: String,
    pub user: Option<String>,
    pub session: Option<String>,
    pub properties: String,
}

impl Event {
    pub fn at(time: Millis, id: impl Into<String>) -> Event {
        Event {
            time,
            id: id.into(),
            kind: "page_view".to_owned(),
            user: None,
            session: Some("s".to_owned()),
            properties: "{}".to_owned(),
        }
    }

    pub fn row(&self) -> Row<'_> {
        Row {
            time: self.time,
            received_at: self.time + 20,
            id: &self.id,
            kind: &self.kind,
            user_id: self.user.as_deref(),
            session_id: self.session.as_deref(),
            properties: &self.properties,
            ..Row::default()
        }
    }
}

/// The `n`th event of a shop that has ten events a second: page views and errors, and every eighth
/// event is a purchase.
pub fn event(n: u64) -> Event {
    let mut event = Event::at(START + n as Millis * 97, format!("event-{n}"));
    event.user = n.is_multiple_of(3).then(|| format!("user-{}", n % 40));
    event.session = (!n.is_multiple_of(5)).then(|| format!("session-{}", n % 70));
    event.kind = match n % 8 {
        0 => "purchase",
        1 | 2 => "error",
        _ => "page_view",
    }
    .to_owned();
    event.properties = match n % 8 {
        0 => format!(r#"{{"amount": {}.{:02}, "currency":"USD"}}"#, n % 500, n % 100),
        1 | 2 => r#"{"code":"E42","path":"/über"}"#.to_owned(),
        // There are so few paths that a breakdown by path is exact.
        _ => format!(r#"{{"path":"/product/{}","quote":"\"\u00e9\n"}}"#, n % 40),
    };
    event
}

/// Adds one row to a delta, by the metrics and breakdowns that are shipped.
pub fn add_row(sum: &mut DeltaSum, row: &Row<'_>) {
    static METRIC_SET: LazyLock<Arc<MetricSet>> =
        LazyLock::new(|| Config::default().rules.metric_set);
    Aggregator::new(METRIC_SET.clone(), 200).add(sum, row);
}

/// Seals events as batch `seq` of `node`. The rows come in chunks of a few, as the spool hands them
/// over.
pub fn seal(node: NodeId, seq: u64, events: &[Event]) -> Batch {
    let mut sum = DeltaSum::default();
    let mut rows = Vec::new();
    for chunk in events.chunks(7) {
        let mut bytes = Vec::new();
        for event in chunk {
            add_row(&mut sum, &event.row());
            event.row().encode(&mut bytes);
        }
        rows.push(bytes.into());
    }
    Batch {
        node,
        sealed_at: events.last().map_or(START, |event| event.time),
        events: events.len() as u64,
        rows,
        delta: sum.finish().into(),
        ..Batch::void(BatchId { run: node, seq })
    }
}

/// Batch `seq` of `size` events; the events of batch 1 are `0..size`, and so on.
pub fn batch(node: NodeId, seq: u64, size: u64) -> Batch {
    let events: Vec<Event> = ((seq - 1) * size..seq * size).map(event).collect();
    seal(node, seq, &events)
}

/// An event that was refused when it came in, with bytes in its text that databases refuse.
pub fn dead_letter(n: u64) -> DeadLetter {
    DeadLetter {
        received_at: START + n as Millis,
        code: "invalid_type".to_owned(),
        message: format!("event {n} has no type"),
        raw: format!("{{\"n\":{n}, \"nul\":\"\0\", ü"),
        ..DeadLetter::default()
    }
}
