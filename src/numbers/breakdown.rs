//! Breakdowns: the most frequent values of a property over a span of time, from the mirror. How
//! much each count may be too low is part of the answer ([`Top::error`]).

use crate::{
    domain::{
        time::{MINUTE, Millis, bucket},
        top::Top,
    },
    live::counters::Counters,
    numbers::Mirror,
};

/// The most frequent values of the breakdown `name` in the minutes that `[from, to)` (Unix ms)
/// touches, all lanes together.
pub fn top_of(counters: &Counters, name: &str, from: Millis, to: Millis) -> Top {
    let (first, end) = (bucket(from, MINUTE), bucket(to.max(from) + MINUTE - 1, MINUTE));
    let mut sum = Top::default();
    counters.tops_of(name, first, end).for_each(|top| sum.merge(top));
    sum
}

/// The most frequent values of the breakdown `name` in the last `minutes` minutes, the one in
/// progress included.
pub fn top_of_last(mirror: &Mirror, name: &str, minutes: i64) -> Top {
    let to = bucket(mirror.now(), MINUTE) + MINUTE;
    top_of(&mirror.counters(), name, to - minutes * MINUTE, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        delta::DeltaSum,
        time::{BusinessZone, DAY, HOUR, parse_rfc3339},
    };

    #[test]
    fn a_breakdown_is_summed_over_its_minutes_and_lanes() {
        let now = parse_rfc3339("2026-11-27T14:00:30Z").unwrap();
        let code = |at: Millis, code: &str| {
            let mut sum = DeltaSum::default();
            sum.top("error/code", at, code, 2);
            sum.top("error/path", at, "/", 1);
            sum.finish()
        };
        let mut counters = Counters::new(BusinessZone::named("UTC").unwrap());
        counters.apply(0, &code(now, "502"), now);
        counters.apply(1, &code(now, "502"), now);
        counters.apply(1, &code(now - MINUTE, "404"), now);
        counters.apply(0, &code(now - 25 * HOUR, "502"), now);
        let of = |from, to| {
            let top = top_of(&counters, "error/code", from, to);
            top.iter().map(|(value, n)| (value.to_owned(), n)).collect::<Vec<_>>()
        };
        assert_eq!(of(now - MINUTE, now), [("404".into(), 2), ("502".into(), 4)]);
        assert_eq!(of(now - MINUTE, bucket(now, MINUTE)), [("404".into(), 2)]);
        assert_eq!(of(now - 30 * HOUR, now - DAY), []);
        assert!(top_of(&counters, "nobody/asked", now - MINUTE, now).is_empty());
        counters.prune(now + DAY + 2 * MINUTE);
        assert_eq!(counters.tops().count(), 0);
    }
}
