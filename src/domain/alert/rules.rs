//! Alerts as they are used; [`super::compile`] makes them.

use std::fmt;

use crate::domain::{
    alert::{
        condition::{Conditions, Direction},
        guard::Guard,
        silence::Silence,
        spec::{Against, Severity, Span},
        webhook::Webhook,
    },
    metric::{Breakdown, Metric},
    time::Millis,
};

/// All alerts and webhooks, ready for use.
#[derive(Clone, Debug, Default)]
pub struct AlertRules {
    /// In the order of the configuration.
    pub alerts: Vec<Alert>,
    /// In the order of the configuration.
    pub webhooks: Vec<Webhook>,
}

/// One alert, checked.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What it is called: `checkout_errors`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// The metric that is watched.
    pub metric: Metric,
    /// Whether that metric divides.
    pub is_ratio: bool,
    /// How bad it is.
    pub severity: Severity,
    /// Lengths of the windows that the metric is taken over, ms, ascending; never empty. The
    /// shortest comes first, the others help where there are few events.
    pub windows: Vec<Millis>,
    /// What makes a value bad.
    pub conditions: Conditions,
    /// `min_volume`: with less than this nothing is judged. Of a ratio it is what it divides
    /// by, of another metric its value.
    pub min_volume: f64,
    /// `while`: what must be so for the alert to be judged.
    pub guard: Option<Guard>,
    /// `unless`: while this is so, it is not judged, and is over where it fires.
    pub unless: Option<Guard>,
    /// `for`: how long a value must be bad before the alert fires, ms.
    pub lasting: Millis,
    /// By which factor a value must be back within the threshold for the alert to be over,
    /// 0.01 to 1.
    pub clear: f64,
    /// How long it must be back for that, ms.
    pub clear_for: Millis,
    /// Breakdowns whose values may explain the alert.
    pub explain: Vec<Breakdown>,
    /// When it does not begin to fire.
    pub silence: Option<Silence>,
}

impl AlertRules {
    /// An alert by its name.
    pub fn alert(&self, name: &str) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.name == name)
    }
}

impl Alert {
    /// Whether large values are bad, or small ones.
    pub fn direction(&self) -> Direction {
        self.conditions.direction()
    }

    /// The baseline that its conditions or its guards compare with.
    pub fn against(&self) -> Option<Against> {
        // All come from one key, so they can't differ.
        let of = |guard: &Option<Guard>| guard.as_ref().and_then(Guard::against);
        self.conditions.against().or(of(&self.guard)).or(of(&self.unless))
    }
}

impl fmt::Display for Alert {
    /// The rule in words, for `floodmark check`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.windows[0], self.windows[self.windows.len() - 1]);
        write!(f, "{} ({}): {} over {}", self.name, self.severity, self.metric.name, Span(first))?;
        if last > first {
            write!(f, " to {}", Span(last))?;
        }
        write!(f, " is {}", self.conditions)?;
        if let Some(guard) = &self.guard {
            write!(f, ", while {guard}")?;
        }
        if let Some(unless) = &self.unless {
            write!(f, ", unless {unless}")?;
        }
        write!(f, ", for {}", Span(self.lasting))
    }
}

#[cfg(test)]
mod tests {
    use crate::{config::Config, domain::time::MINUTE};

    #[test]
    fn the_shipped_rules_in_words() {
        let rules = Config::default().rules.alerts;
        let words: Vec<String> = rules.alerts.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "checkout_errors (critical): checkout_error_rate over 30 s to 30 min is at least \
                 0.02 and at least 2 x that in the hour before and off by 6 standard errors, for 5 s",
                "revenue_stall (critical): purchases over 1 min to 30 min is at most 0.3 x that in \
                 the hour before and off by 6 standard errors, while page_views is at least 0.5 x \
                 that in the hour before, unless orders_booked is at least 1 and 0.5 x that in the hour \
                 before, for 20 s",
                "tracking_stopped (critical): orders_tracked over 1 min to 30 min is at most 0.3 x \
                 that in the hour before and off by 6 standard errors, while orders_booked is at \
                 least 1 and 0.5 x that in the hour before, for 20 s",
                "traffic_surge (info): page_views over 1 min to 8 min is at least 3 x that in the \
                 hour before and off by 6 standard errors, for 30 s",
            ]
        );
    }

    #[test]
    fn windows_double_up_to_the_widest() {
        let rules = Config::default().rules.alerts;
        let minutes = |name: &str| {
            let alert = rules.alert(name).expect("it is shipped");
            alert.windows.iter().map(|ms| ms / MINUTE).collect::<Vec<_>>()
        };
        assert_eq!(minutes("traffic_surge"), [1, 2, 4, 8]);
        assert_eq!(minutes("revenue_stall"), [1, 2, 4, 8, 16, 30]);
    }
}
