//! The numbers of the mirror and the baselines, as alerts read them.

use crate::{
    domain::{
        alert::{Against, Numbers, Parts},
        delta::Series,
        metric::{Measures, Metric, Source},
        time::{MINUTE, Millis, SECOND, bucket},
        top::Top,
    },
    live::{
        baseline::{Baselines, Shift},
        state::{LiveState, SECONDS_KEPT},
    },
};

/// Seconds this much younger than the mirror keeps them are read; older ones by the minute.
const SLACK: Millis = MINUTE;

/// The numbers of all nodes, now.
pub struct LiveNumbers<'a> {
    /// What is counted.
    pub measures: &'a Measures,
    /// The mirror.
    pub state: &'a LiveState,
    /// Yesterday and last week.
    pub baselines: &'a Baselines,
    /// Unix ms.
    pub now: Millis,
}

struct Stretch<'a> {
    state: &'a LiveState,
    from: Millis,
    to: Millis,
}

impl Source for Stretch<'_> {
    fn series(&self, series: &Series) -> i64 {
        self.state.stretch(self.from, self.to).map(|totals| totals.series(series)).sum()
    }

    fn all_events(&self) -> i64 {
        self.state.stretch(self.from, self.to).map(Source::all_events).sum()
    }

    fn distinct(&self, _: &str) -> Option<i64> {
        None
    }
}

/// The past that a baseline is read from; none for the hour before.
pub fn past_shift(against: Against) -> Option<Shift> {
    match against {
        Against::LastHour => None,
        Against::Yesterday => Some(Shift::Yesterday),
        Against::LastWeek => Some(Shift::LastWeek),
    }
}

impl Numbers for LiveNumbers<'_> {
    fn floor(&self, at: Millis) -> Millis {
        let by_second = at >= self.now - SECONDS_KEPT + SLACK;
        bucket(at, if by_second { SECOND } else { MINUTE })
    }

    fn parts(&self, metric: &Metric, from: Millis, to: Millis) -> Option<Parts> {
        Parts::read(self.measures, metric, &Stretch { state: self.state, from, to })
    }

    fn covered(&self, from: Millis, to: Millis) -> Millis {
        self.state.covered(from, to)
    }

    fn past(&self, metric: &Metric, against: Against, from: Millis, to: Millis) -> Option<Parts> {
        let totals = self.baselines.totals(past_shift(against)?, from, to)?;
        Parts::read(self.measures, metric, &totals)
    }

    fn values(&self, breakdown: &str, from: Millis, to: Millis) -> Top {
        self.state.breakdown(breakdown, from, to)
    }

    fn events(&self, kind: &str, from: Millis, to: Millis) -> i64 {
        Stretch { state: self.state, from, to }.series(&Series::Count(kind.to_owned()))
    }
}
