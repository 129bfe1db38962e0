//! Effects in words: "purchases per page view -15 % since, 40 fewer".

use super::effect::{EffectVerdict, MetricEffect};
use crate::domain::metric::Unit;

/// What is known of the effects of a mark, in English; `currency` is that of amounts.
pub fn in_words(effects: &[MetricEffect], currency: &str) -> String {
    let found =
        |it: &&MetricEffect| matches!(it.verdict, EffectVerdict::Higher | EffectVerdict::Lower);
    let words: Vec<String> = effects.iter().filter(found).map(|it| of_one(it, currency)).collect();
    if !words.is_empty() {
        return words.join("; ");
    }
    match effects.iter().any(|it| it.verdict == EffectVerdict::None) {
        true => "no effect seen".to_owned(),
        false => "not known yet".to_owned(),
    }
}

fn of_one(effect: &MetricEffect, currency: &str) -> String {
    let named = |name: &str| name.replace('_', " ");
    let mut words = named(&effect.metric);
    if let Some(per) = &effect.per {
        // "page_views" are one page view each.
        let per = named(per);
        words.push_str(&format!(" per {}", per.strip_suffix('s').unwrap_or(&per)));
    }
    match effect.change {
        Some(change) => words.push_str(&format!(" {:+.0} % since", change * 100.0)),
        // Only a rise from zero has no share.
        None => words.push_str(" up from 0 since"),
    }
    if let Some(difference) = effect.difference {
        let more = if difference < 0.0 { "fewer" } else { "more" };
        let size = difference.abs();
        words.push_str(&match (effect.unit, more) {
            (Unit::Money, "fewer") => format!(", {size:.2} {currency} less"),
            (Unit::Money, _) => format!(", {size:.2} {currency} more"),
            _ => format!(", {size:.0} {more}"),
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(metric: &str, per: Option<&str>, unit: Unit, verdict: EffectVerdict) -> MetricEffect {
        MetricEffect {
            metric: metric.into(),
            per: per.map(str::to_owned),
            unit,
            value: Some(0.017),
            was: Some(0.02),
            change: Some(-0.15),
            difference: Some(-40.2),
            sigma: Some(-5.0),
            verdict,
        }
    }

    #[test]
    fn what_has_changed_is_said_and_what_is_not_known_is_not_said_to_be_well() {
        let lower = effect("purchases", Some("page_views"), Unit::Ratio, EffectVerdict::Lower);
        let money = effect("revenue", None, Unit::Money, EffectVerdict::Lower);
        let none = effect("purchases", None, Unit::Count, EffectVerdict::None);
        let unknown = effect("purchases", None, Unit::Count, EffectVerdict::Unknown);
        assert_eq!(
            in_words(&[lower, none.clone(), money], "EUR"),
            "purchases per page view -15 % since, 40 fewer; revenue -15 % since, 40.20 EUR less"
        );
        assert_eq!(in_words(&[none, unknown.clone()], "EUR"), "no effect seen");
        let mut risen = effect("errors", None, Unit::Count, EffectVerdict::Higher);
        (risen.was, risen.change, risen.difference) = (Some(0.0), None, Some(40.0));
        assert_eq!(in_words(&[risen], "EUR"), "errors up from 0 since, 40 more");
        assert_eq!(in_words(&[unknown], "EUR"), "not known yet");
        assert_eq!(in_words(&[], "EUR"), "not known yet");
    }
}
