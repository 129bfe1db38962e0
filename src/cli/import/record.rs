//! What one record of an export becomes: an event in the native form, or the reason why it is none.

use std::sync::Arc;

use jiff::tz::TimeZone;
use xxhash_rust::xxh3::xxh3_128;

use super::{format::ExportFormat, moments};
use crate::{
    config::Config,
    domain::{
        event::{EventLimits, EventTime, Field, Incoming, Received},
        event_names::EventNames,
        ids::{IdSpace, MONEY_TYPES},
        imported,
        metric::MetricSet,
        money::Amount,
        properties::pick,
        row::rows,
        source::Provenance,
        time::{Millis, now_ms},
    },
};

/// What became of a record, or of a part of it.
#[derive(Debug)]
pub enum ImportRecord {
    /// It is an event.
    Event(PastEvent),
    /// It is not imported, as it should be.
    LeftOut {
        /// The reason.
        why: String,
    },
    /// It can't be read.
    Broken {
        /// The line at which it begins, from 1.
        line: u64,
        /// The reason.
        why: String,
    },
}

/// An event that is ready to be sent.
#[derive(Debug)]
pub struct PastEvent {
    /// The line at which its record begins, from 1.
    pub line: u64,
    /// The event in the native form, one line of JSON.
    pub json: String,
    /// Its type.
    pub kind: String,
    /// When it happened, Unix ms.
    pub time: Millis,
    /// Of an order or refund its currency and amount.
    pub money: Option<(String, Amount)>,
}

/// By what records are read and judged: the same rules by which the server does.
#[derive(Clone)]
pub struct ImportRules {
    metric_set: Arc<MetricSet>,
    names: Arc<EventNames>,
    max_bytes: usize,
    max_depth: usize,
    /// The currency of an amount that says none.
    pub currency: String,
    /// The zone of a moment that says none.
    pub zone: TimeZone,
    /// The first moment that is imported, Unix ms.
    pub from: Millis,
    /// The first moment that is not imported any more, Unix ms.
    pub until: Millis,
}

impl ImportRules {
    /// The rules of a configuration, for all times.
    pub fn new(config: &Config, zone: TimeZone) -> ImportRules {
        ImportRules {
            metric_set: config.rules.metric_set.clone(),
            names: config.rules.event_names.clone(),
            max_bytes: config.event.max_bytes,
            max_depth: config.event.max_depth,
            currency: config.currency.clone(),
            zone,
            from: Millis::MIN,
            until: Millis::MAX,
        }
    }

    /// What becomes of an event of this format: with the line at which its record begins, and the record as it stands
    /// in the file. One without an id gets one that its record says, so it is the same whenever the file is read.
    pub fn judge(
        &self,
        format: ExportFormat,
        (line, raw): (u64, &[u8]),
        incoming: &Incoming<'_>,
    ) -> ImportRecord {
        let broken = |why: String| ImportRecord::Broken { line, why };
        let mut event = match format.translates() {
            true => self.names.translate(incoming),
            false => incoming.clone(),
        };
        let at = match self.moment(&event.timestamp) {
            Ok(at) => at,
            Err(why) => return broken(why),
        };
        if at < self.from {
            return ImportRecord::LeftOut { why: "older than --from".to_owned() };
        }
        if at >= self.until {
            return ImportRecord::LeftOut { why: "not older than --until".to_owned() };
        }
        event.timestamp = Field::Integer(at);
        if !event.is_identified() {
            let id = format!("{}:{:032x}", format.name(), xxh3_128(raw));
            event.id = Field::Text(id.into());
        }
        let json = event.in_native_form();
        event.size = json.len();
        match self.checked(&event) {
            Ok((kind, money)) => {
                ImportRecord::Event(PastEvent { line, json, kind, time: at, money })
            }
            Err(why) => broken(why),
        }
    }

    /// When an event happened, Unix ms.
    fn moment(&self, field: &Field<'_>) -> Result<Millis, String> {
        let read = match EventTime::read(field) {
            Ok(EventTime::At(at)) => Some(at),
            Ok(EventTime::Absent) => return Err("it says no time".to_owned()),
            _ => match field {
                Field::Text(text) => moments::read(text, &self.zone),
                _ => None,
            },
        };
        read.ok_or_else(|| match field {
            Field::Text(text) => format!("{text:?} is no moment"),
            _ => "its time is no moment".to_owned(),
        })
    }

    /// Checks an event as the server will. Gives its type, and of an order or refund its money.
    fn checked(&self, event: &Incoming<'_>) -> Result<(String, Option<(String, Amount)>), String> {
        let received = Received { at: now_ms(), sent_at: None };
        let from = Provenance {
            source: "import",
            dialect: imported::DIALECT,
            ids: IdSpace::Shop,
            has_revenue: true,
            is_bot: false,
        };
        let limits =
            EventLimits { max_bytes: self.max_bytes, max_depth: self.max_depth, privacy: None };
        let mut encoded = Vec::new();
        let checked = event.encode(received, from, limits, &self.metric_set, &mut encoded);
        checked.map_err(|rejection| rejection.to_string())?;
        let row = rows(&encoded).next().and_then(Result::ok).ok_or("it can't be encoded")?;
        let money = MONEY_TYPES.contains(&row.kind).then(|| {
            let wanted = ["amount".to_owned(), "currency".to_owned()];
            let [amount, currency] = <[_; 2]>::try_from(pick(row.properties, &wanted)).ok()?;
            let currency =
                currency.map_or_else(|| self.currency.clone(), |it| it.to_ascii_uppercase());
            Some((currency, Amount::parse(&amount?).ok()?))
        });
        Ok((row.kind.to_owned(), money.flatten()))
    }
}
