//! What is left of a firing alert for somebody who may not see money. That it fires, since when and how bad
//! it is can be seen; no number, and no text in which one may stand.

use super::{Direction, Explains, Firing, explain::in_words};
use crate::domain::{
    access::Sight,
    metric::{MetricSet, Unit},
};

/// What is hidden of an alert on a metric of money.
const NUMBERS: &[&str] =
    &["title", "value", "threshold", "baseline", "volume", "explains", "summary"];
/// What is hidden of any other that is explained by amounts, as by the price of what is bought.
const CAUSES: &[&str] = &["explains", "summary"];

impl Firing {
    /// What somebody sees of it. What is hidden is 0, null or empty, and [`Firing::hidden`] names it.
    #[must_use]
    pub fn seen_by(&self, sight: Sight, metric_set: &MetricSet) -> Firing {
        let mut seen = self.clone();
        if sight.sees_money() {
            return seen;
        }
        if self.unit == Unit::Money || !metric_set.shows(sight, &self.metric) {
            // A title is written by people and may name the threshold. Names are shown everywhere.
            seen.title.clone_from(&self.name);
            (seen.value, seen.threshold, seen.baseline, seen.volume) = (0.0, 0.0, None, 0.0);
            seen.explains.clear();
            seen.causes.clear();
            seen.summary.clear();
            seen.hidden = NUMBERS;
            return seen;
        }
        let is_seen = |it: &Explains| metric_set.shows_values(sight, &it.property);
        let (shown, hidden): (Vec<_>, Vec<_>) = seen.explains.into_iter().partition(is_seen);
        seen.explains = shown;
        for cause in &hidden {
            seen.hidden = CAUSES;
            seen.summary = without(&seen.summary, cause);
        }
        seen
    }
}

/// A summary without the sentence of a cause; empty where the sentence is not found in it, as in one that
/// another version of the server wrote.
fn without(summary: &str, cause: &Explains) -> String {
    for direction in [Direction::Up, Direction::Down] {
        let sentence = format!(" {}.", in_words(cause, direction));
        if summary.contains(&sentence) {
            return summary.replacen(&sentence, "", 1);
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{config::Config, domain::cause::NamedCause};

    fn cause(property: &str, value: &str) -> Explains {
        let (property, value) = (property.to_owned(), value.to_owned());
        Explains { property, value, share: 0.5, event: "purchase".to_owned() }
    }

    fn firing(metric: &str, unit: Unit) -> Firing {
        Firing {
            name: "one".into(),
            title: "One".into(),
            metric: metric.into(),
            unit,
            value: 12.5,
            threshold: 11.0,
            baseline: Some(3.5),
            volume: 12.5,
            explains: vec![cause("amount", "99.95"), cause("plan", "pro")],
            summary: format!(
                "{metric} is 12 over 1 min (threshold 11). {}. {}.",
                in_words(&cause("amount", "99.95"), Direction::Up),
                in_words(&cause("plan", "pro"), Direction::Up)
            ),
            causes: vec![NamedCause { value: 12.5, ..NamedCause::default() }],
            ..Firing::default()
        }
    }

    #[test]
    fn a_cause_that_is_an_amount_is_left_out_of_list_and_sentence() {
        let set = Config::default().rules.metric_set;
        let all = firing("purchases", Unit::Count);
        assert_eq!(all.seen_by(Sight::Everything, &set), all);
        let seen = all.seen_by(Sight::NoMoney, &set);
        assert_eq!(seen.explains, [cause("plan", "pro")]);
        assert_eq!(
            seen.summary,
            "purchases is 12 over 1 min (threshold 11). plan=pro: 50 % of the new purchases."
        );
        assert_eq!((seen.value, seen.hidden), (12.5, CAUSES));
        let other = Firing { summary: "amount=99.95 again".into(), ..all };
        assert_eq!(other.seen_by(Sight::NoMoney, &set).summary, "");
    }

    #[test]
    fn a_metric_that_the_configuration_no_longer_has_is_hidden() {
        let set = Config::default().rules.metric_set;
        let seen = firing("margin_share", Unit::Ratio).seen_by(Sight::NoMoney, &set);
        assert_eq!((seen.value, seen.summary.as_str(), seen.hidden), (0.0, "", NUMBERS));
        assert_eq!(seen.since, 0);
    }

    proptest! {
        /// Two alerts on money that differ in nothing but amounts look the same.
        #[test]
        fn an_alert_on_money_shows_none_of_it(
            metric in "revenue|refunds|net_revenue|average_order_value|not_known",
            numbers in any::<(f64, f64, Option<f64>, f64)>(),
            text in ".{0,20}",
        ) {
            let set = Config::default().rules.metric_set;
            let one = firing(&metric, Unit::Money);
            let (value, threshold, baseline, volume) = numbers;
            let (title, summary) = (text.clone(), text);
            let explains = vec![cause("amount", &title)];
            let causes = vec![NamedCause { value, share: 0.7, ..NamedCause::default() }];
            let other = Firing {
                value, threshold, baseline, volume, title, summary, explains, causes, ..one.clone()
            };
            let seen = |it: &Firing| it.seen_by(Sight::NoMoney, &set);
            prop_assert_eq!(seen(&one), seen(&other));
        }
    }
}
