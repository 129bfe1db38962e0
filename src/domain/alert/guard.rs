//! `while`, `while_above`, `while_holds`: an alert is judged only while another metric shows
//! that there is anything to judge. "No orders" means little when nobody visits the shop.
//! `unless`, `unless_above`, `unless_holds` are the reverse: it is not judged while a metric shows that all
//! is well. "No orders" means nothing when the payment provider has them.

use std::fmt;

use crate::domain::{
    alert::{
        condition::{baseline, within},
        spec::{Against, AlertSpec},
    },
    metric::Metric,
};

/// What must be so for an alert to be judged, or for it not to be.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The metric that is looked at, over the alert's own window.
    pub metric: Metric,
    least: Least,
}

/// The least that the metric must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Least {
    /// `while_above`, `unless_above`: this value.
    Value(f64),
    /// `while_holds`, `unless_holds`: so many times what is usual.
    Times(f64, Against),
    /// Both of them.
    Both(f64, f64, Against),
}

impl Guard {
    /// Reads the guard of an alert as the configuration writes it; `None` where it has none.
    /// `watched` finds a metric by its name.
    ///
    /// # Errors
    /// In words: a key lacks its companion, or is out of its range.
    pub fn read(
        spec: &AlertSpec,
        watched: impl FnOnce(&str) -> Result<Metric, String>,
    ) -> Result<Option<Guard>, String> {
        let keys = (&spec.while_metric, spec.while_above, spec.while_holds);
        Guard::of(spec, "while", keys, watched)
    }

    /// Reads `unless` of an alert in the same way.
    ///
    /// # Errors
    /// As [`Guard::read`].
    pub fn read_unless(
        spec: &AlertSpec,
        watched: impl FnOnce(&str) -> Result<Metric, String>,
    ) -> Result<Option<Guard>, String> {
        let keys = (&spec.unless, spec.unless_above, spec.unless_holds);
        Guard::of(spec, "unless", keys, watched)
    }

    fn of(
        spec: &AlertSpec,
        word: &str,
        (name, above, holds): (&Option<String>, Option<f64>, Option<f64>),
        watched: impl FnOnce(&str) -> Result<Metric, String>,
    ) -> Result<Option<Guard>, String> {
        within(&format!("{word}_above"), above, -1e15, 1e15)?;
        within(&format!("{word}_holds"), holds, 0.0, 1_000.0)?;
        let least = match (above, holds) {
            (None, None) => None,
            (Some(value), None) => Some(Least::Value(value)),
            (None, Some(times)) => Some(Least::Times(times, baseline(spec)?)),
            (Some(value), Some(times)) => Some(Least::Both(value, times, baseline(spec)?)),
        };
        match (name, least) {
            (None, None) => Ok(None),
            (Some(name), Some(least)) => Ok(Some(Guard { metric: watched(name)?, least })),
            _ => Err(format!("{word}: goes with {word}_above or {word}_holds")),
        }
    }

    /// Which baseline has to be known; `None` where none is compared with.
    pub fn against(&self) -> Option<Against> {
        match self.least {
            Least::Value(_) => None,
            Least::Times(_, against) | Least::Both(_, _, against) => Some(against),
        }
    }

    /// Whether the metric is as it must be. `usual` is its usual value, where
    /// [`Guard::against`] asks for one; `None` is returned where it is asked for and missing.
    pub fn holds(&self, value: f64, usual: Option<f64>) -> Option<bool> {
        Some(match self.least {
            Least::Value(least) => value >= least,
            Least::Times(times, _) => value >= times * usual?,
            Least::Both(least, times, _) => value >= times * usual? && value >= least,
        })
    }
}

impl fmt::Display for Guard {
    /// In words: "page_views is at least 0.5 x that in the hour before".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is at least ", self.metric.name)?;
        match self.least {
            Least::Value(value) => write!(f, "{value}"),
            Least::Times(times, against) => write!(f, "{times} x that {against}"),
            Least::Both(value, times, against) => {
                write!(f, "{value} and {times} x that {against}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(keys: &str) -> Result<Option<Guard>, String> {
        let text = format!("name = 'a'\nmetric = 'errors'\nabove = 1\n{keys}");
        let spec: AlertSpec = toml::from_str(&text).expect("the keys are known");
        let metric_set = Config::default().rules.metric_set;
        let metric = |name: &str| Ok(metric_set.metric(name).expect("it is shipped").clone());
        Guard::read(&spec, metric)
    }

    #[test]
    fn a_guard_says_what_it_is_and_holds_accordingly() {
        for (keys, words, against, fits, fails) in [
            ("while_above = 50", "50", None, (50.0, None), (49.0, None)),
            (
                "while_holds = 0.5\nagainst = 'last_hour'",
                "0.5 x that in the hour before",
                Some(Against::LastHour),
                (5.0, Some(10.0)),
                (4.9, Some(10.0)),
            ),
            (
                "while_above = 7\nwhile_holds = 0.5\nagainst = 'yesterday'",
                "7 and 0.5 x that at the same moment yesterday",
                Some(Against::Yesterday),
                (7.0, Some(10.0)),
                (6.0, Some(10.0)),
            ),
        ] {
            let guard = read(&format!("while = 'page_views'\n{keys}")).unwrap().unwrap();
            assert_eq!(guard.to_string(), format!("page_views is at least {words}"));
            assert_eq!(guard.against(), against);
            assert_eq!(guard.holds(fits.0, fits.1), Some(true), "{keys}");
            assert_eq!(guard.holds(fails.0, fails.1), Some(false), "{keys}");
            let without = guard.holds(fits.0, None);
            assert_eq!(without.is_none(), against.is_some(), "{keys}");
        }
    }

    #[test]
    fn half_a_guard_is_refused() {
        assert!(read("").unwrap().is_none());
        let half = "while: goes with while_above or while_holds";
        for keys in ["while = 'page_views'", "while_above = 1"] {
            assert_eq!(read(keys).unwrap_err(), half);
        }
        let no_baseline = read("while = 'page_views'\nwhile_holds = 0.5").unwrap_err();
        assert!(no_baseline.starts_with("against: rises, falls and while_holds need"));
        let beyond = read("while = 'page_views'\nwhile_holds = 1001\nagainst = 'yesterday'");
        assert_eq!(beyond.unwrap_err(), "while_holds: must be 0 to 1000");
    }
}
