//! Samples of `/metrics`, read out of Prometheus' text format, and what follows from two readings.

use std::collections::BTreeMap;

use crate::telemetry::exposition::{self, ExposedSample};

/// One line of `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// The metric.
    pub name: String,
    /// Its labels with their values.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// All lines of `/metrics` at one moment.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<MetricSample>);

impl Samples {
    /// Reads the text. Comments, and lines that are none of the format, are left out.
    pub fn parse(text: &str) -> Samples {
        Samples(text.lines().filter_map(read).collect())
    }

    /// The sum over all series of a metric; `None` where there is no such metric.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.of(name).map(|it| it.value).reduce(|a, b| a + b)
    }

    /// The sum over those series of a metric whose label has this value.
    pub fn sum_where(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let wanted = |it: &&MetricSample| it.labels.get(label).is_some_and(|it| it == value);
        self.of(name).filter(wanted).map(|it| it.value).reduce(|a, b| a + b)
    }

    /// The sums of a metric by the values of a label.
    pub fn by<'a>(&'a self, name: &'a str, label: &str) -> BTreeMap<&'a str, f64> {
        let mut sums = BTreeMap::new();
        for it in self.of(name) {
            let value = it.labels.get(label).map_or("", String::as_str);
            *sums.entry(value).or_default() += it.value;
        }
        sums
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a MetricSample> {
        self.0.iter().filter(move |it| it.name == name)
    }

    /// Below which value (seconds) this share of what a histogram counted since `before` lies: the upper
    /// bound of the bucket. `None` where it counted nothing.
    pub fn quantile(&self, before: &Samples, histogram: &str, share: f64) -> Option<f64> {
        let name = format!("{histogram}_bucket");
        let (now, old) = (self.by(&name, "le"), before.by(&name, "le"));
        let mut buckets: Vec<(f64, f64)> = now
            .iter()
            .filter_map(|(le, count)| {
                let bound = if *le == "+Inf" { f64::INFINITY } else { le.parse().ok()? };
                Some((bound, (count - old.get(le).copied().unwrap_or(0.0)).max(0.0)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last()?.1;
        let found = buckets.iter().find(|(_, count)| *count >= all * share)?;
        (all > 0.0).then_some(found.0)
    }
}

fn read(line: &str) -> Option<MetricSample> {
    let ExposedSample { name, labels, value } = exposition::sample(line)?;
    let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
    Some(MetricSample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP e Events\n# TYPE e counter\ne{source=\"http\"} 7\n\
        e{source=\"a \\\"b\\\", c\\\\}\",of=\"x\"} 3\nup 1\n\
        s_bucket{le=\"0.1\"} 5\ns_bucket{le=\"0.5\"} 5\ns_bucket{le=\"+Inf\"} 5\nbroken{\n";

    #[test]
    fn lines_are_read_with_their_labels() {
        let samples = Samples::parse(BEFORE);
        assert_eq!(samples.sum("e"), Some(10.0));
        assert_eq!(samples.sum("up"), Some(1.0));
        assert_eq!(samples.sum("nothing"), None);
        assert_eq!(samples.sum_where("e", "source", "http"), Some(7.0));
        assert_eq!(samples.by("e", "source"), [("http", 7.0), ("a \"b\", c\\}", 3.0)].into());
    }

    #[test]
    fn a_quantile_is_that_of_what_was_counted_since() {
        let before = Samples::parse(BEFORE);
        let now = "s_bucket{le=\"0.1\"} 95\ns_bucket{le=\"0.5\"} 105\ns_bucket{le=\"+Inf\"} 105\n";
        let now = Samples::parse(now);
        assert_eq!(now.quantile(&before, "s", 0.5), Some(0.1));
        assert_eq!(now.quantile(&before, "s", 0.99), Some(0.5));
        assert_eq!(now.quantile(&now, "s", 0.99), None, "nothing since");
        assert_eq!(now.quantile(&before, "other", 0.99), None);
    }
}
