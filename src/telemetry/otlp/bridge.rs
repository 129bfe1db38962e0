//! Makes OTLP's metrics of the text of `/metrics`: each under its name, with its labels as attributes.
//!
//! The text is read, and not the recorder, because the crate `metrics` has no way to ask a recorder, and the
//! recorder of Prometheus tells what it knows by this text only. It is our own, so what can't be read is a bug.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
};
use prost::Message;

use crate::telemetry::exposition::{ExposedSample, sample};

/// Whose metrics they are, and since when they count.
pub(super) struct Origin {
    resource: Vec<KeyValue>,
    began: u64,
}

impl Origin {
    /// Metrics of what these attributes describe, which count from now on.
    pub(super) fn begin(attributes: &[(&'static str, String)]) -> Origin {
        let resource = attributes.iter().map(|(key, value)| text(key, value)).collect();
        Origin { resource, began: now_ns() }
    }
}

/// The metrics of one name, with the kind that the text says.
struct MetricFamily<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    samples: Vec<ExposedSample<'a>>,
}

/// The body of a request with all metrics of the text.
pub(super) fn request(exposed: &str, origin: &Origin) -> Vec<u8> {
    let now = now_ns();
    let metrics = families(exposed).into_iter().filter_map(|family| metric(family, origin, now));
    let scope = InstrumentationScope {
        name: "floodmark".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics =
        ScopeMetrics { scope: Some(scope), metrics: metrics.collect(), ..ScopeMetrics::default() };
    let resource = Resource { attributes: origin.resource.clone(), ..Resource::default() };
    let of_process = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![metrics],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![of_process] }.encode_to_vec()
}

/// The text by names. A `# TYPE` begins the lines of a name, and its `# HELP` may stand before.
fn families(exposed: &str) -> Vec<MetricFamily<'_>> {
    let mut families: Vec<MetricFamily<'_>> = Vec::new();
    let mut help = ("", "");
    for line in exposed.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ').unwrap_or((said, ""));
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' '))
        {
            let help = if help.0 == name { help.1 } else { "" };
            families.push(MetricFamily { name, kind, help, samples: Vec::new() });
        } else if let (Some(family), Some(sample)) = (families.last_mut(), sample(line)) {
            family.samples.push(sample);
        }
    }
    families
}

fn metric(family: MetricFamily<'_>, origin: &Origin, now: u64) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative as i32;
    let points = |samples: &[ExposedSample<'_>], since| -> Vec<NumberDataPoint> {
        samples.iter().filter_map(|sample| number(sample, since, now)).collect()
    };
    let data = match family.kind {
        "counter" => Data::Sum(Sum {
            data_points: points(&family.samples, origin.began),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        "histogram" => Data::Histogram(Histogram {
            data_points: histograms(&family, origin.began, now),
            aggregation_temporality: cumulative,
        }),
        // What has no type is a gauge by an older name. Each histogram has buckets, so there is no summary.
        "gauge" | "untyped" => Data::Gauge(Gauge { data_points: points(&family.samples, 0) }),
        _ => return None,
    };
    Some(Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        // The names have their units. A receiver that is told them, too, would add them a second time.
        unit: String::new(),
        data: Some(data),
        ..Metric::default()
    })
}

fn number(sample: &ExposedSample<'_>, since: u64, now: u64) -> Option<NumberDataPoint> {
    let whole = sample.value.parse().map(Value::AsInt);
    Some(NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: since,
        time_unix_nano: now,
        value: Some(whole.or_else(|_| sample.value.parse().map(Value::AsDouble)).ok()?),
        ..NumberDataPoint::default()
    })
}

/// Puts the lines of each histogram together: `_bucket` by bound, adding up, then `_sum` and `_count`.
fn histograms(family: &MetricFamily<'_>, began: u64, now: u64) -> Vec<HistogramDataPoint> {
    let mut points: Vec<HistogramDataPoint> = Vec::new();
    for sample in &family.samples {
        let (bounds, labels): (Vec<_>, Vec<_>) =
            sample.labels.iter().cloned().partition(|(name, _)| *name == "le");
        let attributes = attributes(&labels);
        let at = points.iter().position(|point| point.attributes == attributes);
        let at = at.unwrap_or_else(|| {
            points.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: began,
                time_unix_nano: now,
                ..HistogramDataPoint::default()
            });
            points.len() - 1
        });
        let point = &mut points[at];
        match &sample.name[family.name.len()..] {
            "_bucket" => {
                let below: u64 = sample.value.parse().unwrap_or_default();
                let before: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push(below.saturating_sub(before));
                // The last bucket has no bound in OTLP.
                let bound = bounds.first().and_then(|(_, text)| text.parse::<f64>().ok());
                point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
            }
            "_sum" => point.sum = sample.value.parse().ok(),
            "_count" => point.count = sample.value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    points
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| text(name, value)).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSED: &str = "\
# HELP a_total How many\n# TYPE a_total counter\na_total{source=\"a \\\"b\\\", {c}\\n\",x=\"\"} 7\na_total 0\n\
\n# TYPE g gauge\ng 0.5\n\
\n# TYPE h_seconds histogram\nh_seconds_bucket{route=\"/a\",le=\"0.1\"} 2\nh_seconds_bucket{route=\"/a\",le=\"1\"} 2\n\
h_seconds_bucket{route=\"/a\",le=\"+Inf\"} 5\nh_seconds_sum{route=\"/a\"} 9.5\nh_seconds_count{route=\"/a\"} 5\n\
h_seconds_bucket{route=\"/b\",le=\"0.1\"} 0\nh_seconds_bucket{route=\"/b\",le=\"+Inf\"} 0\n\
h_seconds_sum{route=\"/b\"} 0\nh_seconds_count{route=\"/b\"} 0\n";

    fn sent() -> Vec<Metric> {
        let origin = Origin::begin(&[("service.name", "shop".to_owned())]);
        let body = request(EXPOSED, &origin);
        let mut request = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
        let of_process = request.resource_metrics.pop().unwrap();
        assert_eq!(of_process.resource.unwrap().attributes, [text("service.name", "shop")]);
        of_process.scope_metrics.into_iter().next().unwrap().metrics
    }

    #[test]
    fn counters_are_sums_and_keep_their_labels() {
        let sent = sent();
        assert_eq!((sent[0].name.as_str(), sent[0].description.as_str()), ("a_total", "How many"));
        let Some(Data::Sum(sum)) = &sent[0].data else { panic!("{:?}", sent[0]) };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, AggregationTemporality::Cumulative as i32);
        let [first, second] = &sum.data_points[..] else { panic!("{sum:?}") };
        assert_eq!(first.value, Some(Value::AsInt(7)));
        assert_eq!(first.attributes, [text("source", "a \"b\", {c}\n"), text("x", "")]);
        assert!(first.start_time_unix_nano > 0);
        assert!(first.time_unix_nano >= first.start_time_unix_nano);
        assert_eq!((second.value, second.attributes.len()), (Some(Value::AsInt(0)), 0));
        let Some(Data::Gauge(gauge)) = &sent[1].data else { panic!("{:?}", sent[1]) };
        assert_eq!(gauge.data_points[0].value, Some(Value::AsDouble(0.5)));
    }

    #[test]
    fn histograms_have_each_bucket_by_itself() {
        let sent = sent();
        let Some(Data::Histogram(histogram)) = &sent[2].data else { panic!("{:?}", sent[2]) };
        let [a, b] = &histogram.data_points[..] else { panic!("{histogram:?}") };
        assert_eq!(a.explicit_bounds, [0.1, 1.0]);
        assert_eq!(a.bucket_counts, [2, 0, 3]);
        assert_eq!((a.sum, a.count), (Some(9.5), 5));
        assert_eq!(a.attributes, [text("route", "/a")]);
        assert_eq!((b.bucket_counts.as_slice(), b.count), ([0, 0].as_slice(), 0));
    }
}
