//! Breakdowns that are kept: the most frequent values of each, by minute and by quarter of an hour. They are
//! folded from the ledger with the rollups ([`super::rollup`]). Quarters of an hour are kept for good, since
//! the hours of every time zone begin with one; minutes are there for as long as somebody looks closely.
//!
//! A summary is a Misra-Gries one ([`Top`]), so each says by how much its counts may be too low.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{
    domain::{
        delta::{Delta, QUARTER_HOUR},
        time::{MINUTE, Millis, SECOND, bucket},
        top::{CAPACITY, Top, TopAnswer},
    },
    sink::{SinkError, SinkErrorKind},
    store::kept_minutes::KeptMinutes,
};

/// How many values of a breakdown are kept of a minute.
pub const MINUTE_VALUES: usize = 20;
/// How many are kept of a quarter of an hour.
pub const QUARTER_VALUES: usize = CAPACITY;
/// The version of a stored summary, its first byte.
const VERSION: u8 = 1;

/// What is asked for: a breakdown in some stretches of time.
#[derive(Clone, Debug, Default)]
pub struct TopsAsked {
    /// The name of the breakdown.
    pub breakdown: String,
    /// Stretches `[from, to)` of whole minutes, Unix ms.
    pub minutes: Vec<(Millis, Millis)>,
    /// Stretches `[from, to)` of whole quarters of an hour.
    pub quarters: Vec<(Millis, Millis)>,
}

impl TopsAsked {
    /// A breakdown from one minute to another: by quarters of an hour where they are whole, since there are
    /// fewer of them, and by minutes at both ends.
    pub fn between(breakdown: String, from: Millis, to: Millis) -> TopsAsked {
        let (first, end) =
            (bucket(from + QUARTER_HOUR - 1, QUARTER_HOUR), bucket(to, QUARTER_HOUR));
        if first >= end {
            return TopsAsked { breakdown, minutes: vec![(from, to)], quarters: Vec::new() };
        }
        let ends = [(from, first), (end, to)].into_iter().filter(|(from, to)| from < to);
        TopsAsked { breakdown, minutes: ends.collect(), quarters: vec![(first, end)] }
    }

    /// Every stretch with the length of its spans, ms.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (Millis, (Millis, Millis))> {
        let of = |span| move |stretch: &(Millis, Millis)| (span, *stretch);
        self.minutes.iter().map(of(MINUTE)).chain(self.quarters.iter().map(of(QUARTER_HOUR)))
    }
}

/// How far back breakdowns are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptSince {
    /// From which moment on they are complete, Unix ms; `None` where from the first event on. An
    /// installation that is older than this table lacks what had left its ledger by then.
    pub complete: Option<Millis>,
    /// Of which stretches of time there are minutes.
    pub minutes: KeptMinutes,
}

/// Reads the breakdowns that are kept.
#[async_trait]
pub trait Breakdowns: Send + Sync + 'static {
    /// The sum of all summaries that are asked for. It is added up while they are read, so it takes no more
    /// memory for years than for an hour.
    ///
    /// # Errors
    /// It takes longer than a chart may, a summary can't be read, or the store does not answer.
    async fn sum(&self, asked: &TopsAsked) -> Result<TopAnswer, SinkError>;

    /// How far back they are known.
    async fn since(&self) -> Result<KeptSince, SinkError>;

    /// Forgets minutes before a moment (Unix ms), but for those of days of occasions, and notes that; those of
    /// sketches, too. Quarters of an hour stay.
    async fn forget_minutes(
        &self,
        before: Millis,
        occasions: &[(Millis, Millis)],
    ) -> Result<(), SinkError>;
}

/// SQL for both stores: the last second (Unix ms) that breakdowns lack.
pub(crate) const SINCE: &str = "SELECT
    (SELECT max(second) FROM (
        SELECT CASE WHEN breakdowns = 0 THEN dropped_to ELSE breakdowns_lack END AS second
        FROM fold_heads
        UNION ALL SELECT before - 1000 FROM history_forgotten WHERE what = 'rollups') AS lacking)";

/// SQL for both stores: notes that minutes before `$1` are forgotten. Those that went earlier stay forgotten
/// where they are kept for longer later.
pub(crate) const FORGET: &str = "INSERT INTO history_forgotten (what, before)
    VALUES ('breakdown minutes', $1) ON CONFLICT (what) DO UPDATE SET before = excluded.before
    WHERE history_forgotten.before < excluded.before";

impl KeptSince {
    /// Of what [`SINCE`] gives, and the minutes.
    pub(crate) fn of(lack: Option<Millis>, minutes: KeptMinutes) -> KeptSince {
        KeptSince { complete: lack.map(|second| second + SECOND), minutes }
    }
}

/// A summary of one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptTop {
    /// The name of the breakdown.
    pub breakdown: String,
    /// The length of the span, ms.
    pub span: Millis,
    /// Its first moment, Unix ms.
    pub at: Millis,
    /// The values.
    pub top: Top,
}

impl KeptTop {
    /// The bytes to store, once what is stored of the same span is added.
    ///
    /// # Errors
    /// What is stored can't be read.
    pub fn onto(&self, stored: Option<&[u8]>) -> Result<Vec<u8>, SinkError> {
        let mut sum = match stored {
            Some(bytes) => read_top(bytes)?,
            None => Top::default(),
        };
        sum.merge(&self.top);
        sum.shorten(if self.span == MINUTE { MINUTE_VALUES } else { QUARTER_VALUES }, &mut ());
        Ok(postcard::to_extend(&sum, vec![VERSION]).expect("plain data always encodes"))
    }
}

/// Reads a stored summary.
///
/// # Errors
/// It was written by another version, or is none.
pub(crate) fn read_top(bytes: &[u8]) -> Result<Top, SinkError> {
    let wrong = |why: String| {
        SinkError::new(SinkErrorKind::Schema, format!("a summary of breakdown_rollups: {why}"))
    };
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|e| wrong(e.to_string())),
        Some((other, _)) => Err(wrong(format!("it is of version {other}"))),
        None => Err(wrong("it is empty".to_owned())),
    }
}

/// Summaries that a fold adds up, by breakdown and minute.
#[derive(Debug, Default)]
pub(crate) struct TopSums {
    sums: BTreeMap<(String, Millis), Top>,
    bytes: usize,
}

impl TopSums {
    /// Adds the breakdowns of a ledger row.
    pub fn add(&mut self, delta: &Delta) {
        for (minute, breakdown, top) in delta.tops() {
            self.bytes += top.bytes_with_values();
            self.sums.entry((breakdown.to_owned(), minute)).or_default().merge(top);
        }
    }

    /// The bytes of all that was added, which bounds what it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The summaries of the minutes and of their quarters of an hour, by breakdown and time.
    pub fn finish(&mut self) -> Vec<KeptTop> {
        let mut quarters: BTreeMap<(String, Millis), Top> = BTreeMap::new();
        let mut kept = Vec::new();
        for ((breakdown, at), top) in std::mem::take(&mut self.sums) {
            let quarter = (breakdown.clone(), bucket(at, QUARTER_HOUR));
            quarters.entry(quarter).or_default().merge(&top);
            kept.push(KeptTop { breakdown, span: MINUTE, at, top });
        }
        let quarter = |((breakdown, at), top)| KeptTop { breakdown, span: QUARTER_HOUR, at, top };
        kept.extend(quarters.into_iter().map(quarter));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_quarters_are_read_as_such() {
        let at = |minutes: Millis| minutes * MINUTE;
        let between = |from, to| {
            let asked = TopsAsked::between("a/b".to_owned(), at(from), at(to));
            let minutes = |stretches: &[(Millis, Millis)]| -> Vec<(Millis, Millis)> {
                stretches.iter().map(|(from, to)| (from / MINUTE, to / MINUTE)).collect()
            };
            (minutes(&asked.minutes), minutes(&asked.quarters))
        };
        assert_eq!(between(0, 15), (vec![], vec![(0, 15)]));
        assert_eq!(between(3, 14), (vec![(3, 14)], vec![]));
        assert_eq!(between(3, 20), (vec![(3, 20)], vec![]));
        assert_eq!(between(3, 62), (vec![(3, 15), (60, 62)], vec![(15, 60)]));
        assert_eq!(between(15, 61), (vec![(60, 61)], vec![(15, 60)]));
    }

    #[test]
    fn a_summary_is_added_to_what_is_stored() {
        let mut top = Top::default();
        (0..30).for_each(|n| top.add(&format!("/p/{n}"), 100 + n));
        let of = |span| KeptTop { breakdown: "a/b".to_owned(), span, at: 0, top: top.clone() };
        let once = of(QUARTER_HOUR).onto(None).unwrap();
        let twice = read_top(&of(QUARTER_HOUR).onto(Some(&once)).unwrap()).unwrap();
        assert_eq!((twice.len(), twice.count("/p/29"), twice.error()), (30, 258, 0));
        let minute = read_top(&of(MINUTE).onto(None).unwrap()).unwrap();
        assert_eq!((minute.len(), minute.error()), (MINUTE_VALUES, 109));
        assert!(of(MINUTE).onto(Some(&[])).is_err());
        assert!(of(MINUTE).onto(Some(&[9, 1])).is_err());
    }
}
