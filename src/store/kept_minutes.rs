//! Of which stretches of time breakdowns and visitors are kept by minute: of the last `history.minutes_days`, and
//! for good of the days of an occasion, since next year's are held against them minute by minute.

use crate::domain::time::Millis;

/// Stretches `[from, to)` of time, Unix ms, in order and apart from each other.
pub type Stretches = Vec<(Millis, Millis)>;

/// Of which stretches of time there are minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptMinutes {
    /// Before this moment (Unix ms) minutes are forgotten, but for those that are spared; `None` where none was
    /// forgotten yet.
    pub since: Option<Millis>,
    /// Stretches before that moment whose minutes are still there.
    pub spared: Stretches,
}

/// SQL for both stores: the moment before which minutes are forgotten.
pub(crate) const FORGOTTEN: &str =
    "SELECT max(before) FROM history_forgotten WHERE what = 'breakdown minutes'";
/// SQL for both stores: the stretches that are spared.
pub(crate) const SPARED: &str = "SELECT starts, ends FROM spared_minutes ORDER BY starts";
/// SQL for both stores: notes that none is.
pub(crate) const SPARE_NONE: &str = "DELETE FROM spared_minutes";
/// SQL for both stores: notes one.
pub(crate) const SPARE: &str = "INSERT INTO spared_minutes (starts, ends) VALUES ($1, $2)";

impl KeptMinutes {
    /// Whether the minutes from `from` up to `to` (Unix ms) are there.
    pub fn has(&self, from: Millis, to: Millis) -> bool {
        self.since.is_none_or(|since| {
            let first = from.min(since)..to.min(since);
            first.is_empty()
                || self.spared.iter().any(|it| it.0 <= first.start && first.end <= it.1)
        })
    }

    /// What is there once minutes before `before` are forgotten and those of `occasions` are not. What was forgotten
    /// or spared earlier stays so with other settings.
    pub(crate) fn once_forgotten(
        &self,
        before: Millis,
        occasions: &[(Millis, Millis)],
    ) -> KeptMinutes {
        let since = self.since.map_or(before, |since| since.max(before));
        let newly = (self.since.unwrap_or(Millis::MIN), since);
        let of_occasions = occasions.iter().map(|of| (newly.0.max(of.0), newly.1.min(of.1)));
        // What was spared once stays: a node with another configuration must not take it from all others.
        let mut parts: Stretches = self.spared.iter().copied().chain(of_occasions).collect();
        parts.retain(|(from, to)| from < to);
        parts.sort_unstable();
        let mut spared = Stretches::new();
        for (from, to) in parts {
            match spared.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => spared.push((from, to)),
            }
        }
        KeptMinutes { since: Some(since), spared }
    }

    /// The stretches whose minutes are forgotten.
    pub(crate) fn gone(&self) -> Stretches {
        let Some(since) = self.since else { return Stretches::new() };
        let starts = std::iter::once(Millis::MIN).chain(self.spared.iter().map(|it| it.1));
        let ends = self.spared.iter().map(|it| it.0).chain([since]);
        starts.zip(ends).filter(|(from, to)| from < to).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(since: Millis, spared: &[(Millis, Millis)]) -> KeptMinutes {
        KeptMinutes { since: Some(since), spared: spared.to_vec() }
    }

    #[test]
    fn days_of_an_occasion_stay_once_others_are_forgotten() {
        let all = KeptMinutes::default();
        assert!(all.has(0, 100) && all.gone().is_empty());
        let black_friday = [(20, 30)];
        let first = all.once_forgotten(25, &black_friday);
        assert_eq!(first, kept(25, &[(20, 25)]));
        let whole = first.once_forgotten(50, &black_friday);
        assert_eq!(whole, kept(50, &[(20, 30)]));
        assert_eq!(whole.gone(), [(Millis::MIN, 20), (30, 50)]);
        assert!(whole.has(20, 30) && whole.has(50, 90) && whole.has(22, 22));
        assert!(!whole.has(19, 21) && !whole.has(29, 60) && !whole.has(30, 31));
        // One that is named too late has nothing left; what was spared stays whatever a configuration says later.
        assert_eq!(whole.once_forgotten(50, &[(10, 22)]), kept(50, &[(20, 30)]));
        assert_eq!(whole.once_forgotten(60, &[]), kept(60, &[(20, 30)]));
    }

    proptest! {
        #[test]
        fn a_minute_is_there_while_it_was_never_forgotten(
            rounds in prop::collection::vec(
                (0i64..40, prop::collection::vec((0i64..40, 1i64..15), 0..4)), 1..6),
        ) {
            let mut kept = KeptMinutes::default();
            let mut there = [true; 60];
            for (before, occasions) in rounds {
                let occasions: Stretches =
                    occasions.into_iter().map(|(from, length)| (from, from + length)).collect();
                let earlier = kept.since.unwrap_or(Millis::MIN);
                kept = kept.once_forgotten(before, &occasions);
                for (at, is_there) in there.iter_mut().enumerate() {
                    let at = at as Millis;
                    // Each minute is judged once: when it grows old.
                    let grows_old = earlier <= at && kept.since.is_some_and(|since| at < since);
                    *is_there &= !grows_old || occasions.iter().any(|it| it.0 <= at && at < it.1);
                }
                for (at, is_there) in there.iter().enumerate() {
                    let at = at as Millis;
                    prop_assert_eq!(kept.has(at, at + 1), *is_there);
                    prop_assert_eq!(kept.gone().iter().any(|it| it.0 <= at && at < it.1), !is_there);
                }
            }
        }
    }
}
