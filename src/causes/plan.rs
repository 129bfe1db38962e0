//! Which moments of the two spans are read.

use super::{CauseFault, CauseQuery};
use crate::{
    domain::{
        cause::{SLICES, Slice},
        delta::Series,
        metric::Metric,
        time::{MINUTE, Millis, bucket},
    },
    store::{
        Rollups,
        events::{EventsAsked, StoredEvent},
        rollup::Summed,
    },
};

/// The most events of a span that are read through, of whatever type.
const READ_THROUGH: f64 = 400_000.0;
/// The most events of the metric that are read of a span.
const READ: f64 = 40_000.0;
/// Into how many windows a slice is cut where it is not read whole.
const WINDOWS: Millis = 8;
/// Stands for any type in a metric's list.
const ANY: &str = "*";

/// One of the two spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The one before.
    Was,
    /// The one that is asked about.
    Now,
}

/// The moments of both spans.
#[derive(Clone, Debug)]
pub struct ReadingPlan {
    /// The types of the events that the metric is made of; `None` for all.
    kinds: Option<Vec<String>>,
    was: Windows,
    now: Windows,
}

/// The windows of a span.
#[derive(Clone, Debug)]
pub struct Windows {
    /// `[from, to)`, Unix ms.
    pub span: (Millis, Millis),
    /// The windows, each with the slice that it lies in.
    pub windows: Vec<(Slice, (Millis, Millis))>,
}

impl ReadingPlan {
    /// Asks how many events there are, and chooses.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn make(
        rollups: &dyn Rollups,
        metric: &Metric,
        query: &CauseQuery,
    ) -> Result<ReadingPlan, CauseFault> {
        let is_any = metric.events.iter().any(|kind| kind == ANY);
        let kinds = (!is_any).then(|| metric.events.clone());
        // Rollups are of whole minutes.
        let whole = |(from, to)| (bucket(from, MINUTE), bucket(to + MINUTE - 1, MINUTE));
        let spans = [whole(query.was), whole(query.now)];
        let all = rollups.sums(&spans, &Summed::AllCounts).await?;
        let mut of_metric = if is_any { all.clone() } else { vec![Some(0); spans.len()] };
        for kind in kinds.iter().flatten() {
            let series = Summed::One(Series::Count(kind.clone()));
            for (sum, more) in of_metric.iter_mut().zip(rollups.sums(&spans, &series).await?) {
                *sum = Some(sum.unwrap_or(0) + more.unwrap_or(0));
            }
        }
        let fraction = |at: usize| {
            let all = all[at].unwrap_or(0).max(1) as f64;
            let of_metric = of_metric[at].unwrap_or(0).max(1) as f64;
            (READ_THROUGH / all).min(READ / of_metric).min(1.0)
        };
        Ok(ReadingPlan {
            kinds,
            was: Windows::of(query.was, SLICES, Slice::Was, fraction(0)),
            now: Windows::of(query.now, 1, |_| Slice::Now, fraction(1)),
        })
    }

    /// The windows of a span.
    pub fn windows(&self, span: Half) -> &Windows {
        match span {
            Half::Was => &self.was,
            Half::Now => &self.now,
        }
    }

    /// What to ask the store for.
    pub fn asked(&self, span: Half) -> EventsAsked {
        let windows = &self.windows(span).windows;
        EventsAsked {
            windows: windows.iter().map(|(_, window)| *window).collect(),
            kinds: self.kinds.clone(),
            limit: self.limit(span),
        }
    }

    /// The most events that are read of a window: twice what is expected, since events do not come evenly.
    pub fn limit(&self, span: Half) -> usize {
        2 * READ as usize / self.windows(span).windows.len().max(1) + 1_000
    }
}

impl Windows {
    /// The span in so many slices of equal length, of each this part.
    fn of(
        (from, to): (Millis, Millis),
        slices: usize,
        slice: impl Fn(usize) -> Slice,
        fraction: f64,
    ) -> Windows {
        let parts = if fraction < 1.0 { WINDOWS * slices as Millis } else { slices as Millis };
        let at = |part: Millis| from + (to - from) * part / parts;
        let windows: Vec<_> = (0..parts)
            .map(|part| {
                let (begin, end) = (at(part), at(part + 1));
                let length = ((end - begin) as f64 * fraction).ceil() as Millis;
                (slice((part * slices as Millis / parts) as usize), (begin, begin + length.max(1)))
            })
            .collect();
        Windows { span: (from, to), windows }
    }

    /// The part of the span that was read, 0 to 1: a window that had more events than `limit` was read up to
    /// the last one.
    pub fn fraction(&self, read: &[Vec<StoredEvent>], limit: usize) -> f64 {
        let whole = self.windows.iter().map(|(_, (from, to))| to - from);
        let read: Millis = whole
            .enumerate()
            .map(|(at, length)| match read.get(at) {
                Some(events) if events.len() >= limit => {
                    let from = self.windows[at].1.0;
                    let last = events.iter().map(|event| event.time).max().unwrap_or(from);
                    (last + 1 - from).min(length)
                }
                _ => length,
            })
            .sum();
        (read as f64 / (self.span.1 - self.span.0).max(1) as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_spread_evenly_and_cover_their_part() {
        let span = (1_000_000, 1_000_000 + 60 * MINUTE);
        let whole = Windows::of(span, SLICES, Slice::Was, 1.0);
        assert_eq!((whole.windows.len(), whole.fraction(&[], 10)), (SLICES, 1.0));
        assert_eq!((whole.windows[0].1.0, whole.windows[3].1.1), span);
        let part = Windows::of(span, SLICES, Slice::Was, 0.01);
        assert_eq!(part.windows.len(), 32);
        let fraction = part.fraction(&[], 10);
        assert!((fraction - 0.01).abs() < 0.001, "{fraction}");
        assert_eq!(part.windows.iter().filter(|(slice, _)| *slice == Slice::Was(3)).count(), 8);
        assert!(part.windows.windows(2).all(|two| two[0].1.1 <= two[1].1.0));
        assert_eq!(Windows::of((5, 6), 1, |_| Slice::Now, 1.0).windows, [(Slice::Now, (5, 6))]);
    }

    #[test]
    fn a_window_that_was_cut_short_counts_up_to_its_last_event() {
        let windows = Windows::of((0, 100), 2, |_| Slice::Now, 1.0);
        let events = |times: &[Millis]| -> Vec<StoredEvent> {
            let event = |time: &Millis| StoredEvent { time: *time, ..StoredEvent::default() };
            times.iter().map(event).collect()
        };
        let read = [events(&[3, 24, 7]), events(&[60, 99])];
        assert_eq!(windows.fraction(&read, 3), 0.75);
        assert_eq!(windows.fraction(&read, 4), 1.0);
    }
}
