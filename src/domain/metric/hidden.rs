//! Which metrics, breakdowns and properties show money, and so are hidden from whoever may not see it.
//! In doubt a thing counts as money: what is hidden by mistake is asked for, and what is shown by mistake
//! can't be taken back.

use hashbrown::HashSet;
use iso_currency::Currency;

use super::{
    metric_set::{Metric, MetricSet},
    spec::MetricSpec,
    value::Unit,
};
use crate::domain::access::Sight;

/// The metric that frames and `/current` have a field for.
pub const REVENUE: &str = "revenue";

/// A property whose name ends in one of these words is an amount of money, also where no metric adds it up
/// as one: `unit_price`, `cartTotal`, `tax`.
const AMOUNTS: &[&str] = &[
    "amount", "cost", "discount", "fee", "ltv", "margin", "price", "profit", "revenue", "subtotal",
    "tax", "total", "turnover",
];

/// Words that may follow such a word, as currencies may: `amount_cents`, `price_eur`.
const UNITS: &[&str] = &["cent", "cents", "gross", "in", "minor", "net", "units", "value"];

/// The properties that metrics add up as money.
#[derive(Clone, Debug, Default)]
pub(super) struct MoneyProperties(HashSet<String>);

impl MoneyProperties {
    /// Those of all metrics of the configuration, since one may look at a property that only a later one
    /// declares as money.
    pub fn of(specs: &[MetricSpec]) -> MoneyProperties {
        let money = specs.iter().filter(|spec| spec.money);
        MoneyProperties(money.filter_map(|spec| spec.property.clone()).collect())
    }

    fn has(&self, property: &str) -> bool {
        self.0.contains(property) || names_amount(property)
    }

    /// Whether a metric shows money: it adds up amounts, it looks at a property that holds one (to count
    /// the orders of 99.95 tells of 99.95), or it is computed from a metric that does.
    pub fn shown_by(&self, spec: &MetricSpec, unit: Unit, earlier: &[Metric]) -> bool {
        let parts = spec.of.0.iter().chain(&spec.per.0).chain(&spec.minus.0);
        let is_of_money =
            |part: &String| earlier.iter().any(|metric| metric.name == *part && metric.shows_money);
        unit == Unit::Money
            || spec.name == REVENUE
            || spec.property.iter().chain(spec.filter.keys()).any(|property| self.has(property))
            || parts.into_iter().any(is_of_money)
    }
}

/// Whether a name is one of an amount: its last word is, apart from words for the unit. So `price_eur` and
/// `totalInCents` are amounts, and `tax_id`, `price_tier` and `total_items` are none.
fn names_amount(name: &str) -> bool {
    let words = words(name);
    let is_unit = |word: &String| {
        UNITS.contains(&word.as_str()) || Currency::from_code(&word.to_uppercase()).is_some()
    };
    let last = words.iter().rev().find(|word| !is_unit(word));
    last.is_some_and(|word| AMOUNTS.contains(&word.as_str()))
}

/// The words of a name in small letters: `unit`, `price` of `unit_price`, `unit-price`, `unitPrice`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        // A capital letter begins a word, but not among capitals: `TOTAL` is one word.
        let begins = !c.is_alphabetic() || (c.is_uppercase() && was_small);
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

impl MetricSet {
    /// Whether a metric may be seen. One that the configuration does not know (of an alert that was kept
    /// from earlier) is shown only to who sees everything.
    pub fn shows(&self, sight: Sight, metric: &str) -> bool {
        sight.sees_money() || self.metric(metric).is_some_and(|metric| !metric.shows_money)
    }

    /// Whether the values of a property may be seen.
    pub fn shows_values(&self, sight: Sight, property: &str) -> bool {
        sight.sees_money() || !self.money.has(property)
    }

    /// What is hidden of the metrics: `revenue`, whether it is configured or not, and the others in the
    /// order of the configuration.
    pub fn hidden(&self, sight: Sight) -> Vec<String> {
        if sight.sees_money() {
            return Vec::new();
        }
        let others = self.metrics().iter().filter(|metric| metric.shows_money);
        let others = others.map(|metric| metric.name.clone()).filter(|name| name != REVENUE);
        std::iter::once(REVENUE.to_owned()).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metric::MetricSpec;

    #[derive(serde::Deserialize)]
    struct Rules {
        metric: Vec<MetricSpec>,
    }

    fn set(text: &str) -> MetricSet {
        let rules: Rules = toml::from_str(text).unwrap();
        MetricSet::compile(&rules.metric, &[], Default::default()).unwrap()
    }

    #[test]
    fn the_shipped_metrics_of_money() {
        let set = crate::config::Config::default().rules.metric_set;
        assert_eq!(
            set.hidden(Sight::NoMoney),
            ["revenue", "refunds", "net_revenue", "average_order_value"]
        );
        assert_eq!(set.hidden(Sight::Everything), [""; 0]);
        assert!(set.shows(Sight::NoMoney, "conversion") && set.shows(Sight::NoMoney, "purchases"));
        assert!(!set.shows(Sight::NoMoney, "nobody_knows_it"));
        assert!(set.shows(Sight::Everything, "nobody_knows_it"));
    }

    #[test]
    fn what_is_made_of_money_is_money_however_many_steps_away() {
        let set = set(r#"
            metric = [
                { name = "orders", kind = "count", event = "order" },
                { name = "dear", kind = "count", event = "order", where = { worth = "99.95" } },
                { name = "taken", kind = "sum", event = "order", property = "worth", money = true },
                { name = "given", kind = "sum", event = "back", property = "worth", money = true },
                { name = "kept", kind = "difference", of = "taken", minus = "given" },
                { name = "share", kind = "ratio", of = "given", per = "taken" },
                { name = "per_euro", kind = "ratio", of = "orders", per = "kept" },
                { name = "plain", kind = "sum", event = "order", property = "worth" },
                { name = "prices", kind = "distinct", event = "order", property = "unitPrice" },
                { name = "items", kind = "sum", event = "order", property = "quantity" },
                { name = "per_order", kind = "ratio", of = "items", per = "orders" },
            ]
        "#);
        let hidden = set.hidden(Sight::NoMoney);
        let expected =
            ["revenue", "dear", "taken", "given", "kept", "share", "per_euro", "plain", "prices"];
        assert_eq!(hidden, expected);
        assert!(!set.shows_values(Sight::NoMoney, "worth"));
        assert!(set.shows_values(Sight::NoMoney, "quantity"));
    }

    #[test]
    fn names_of_amounts() {
        for name in [
            "price",
            "unit_price",
            "unit-price",
            "unitPrice",
            "PRICE",
            "a.b.Price",
            "price2",
            "price_eur",
            "priceUSD",
            "amountInCents",
            "amount_minor_units",
            "total.net",
        ] {
            assert!(names_amount(name), "{name}");
        }
        for name in [
            "total_items",
            "price_tier",
            "tax_id",
            "discount_code",
            "priced",
            "plan",
            "currency",
            "",
            "_",
            "9",
            "eur",
            "日本",
        ] {
            assert!(!names_amount(name), "{name}");
        }
    }
}
