//! What each panel says, as lines of text.

use indicatif::HumanCount;
use ratatui::{
    style::{Color, Style},
    text::{Line, Span},
};

use super::{glance::Glance, samples::Samples};
use crate::domain::sink::Sink;

/// Counts the events that were taken in.
pub const ACCEPTED: &str = "floodmark_events_accepted_total";

/// Two looks at the same server: rates are the difference.
pub struct Pair {
    /// The one before.
    pub before: Glance,
    /// The newest.
    pub now: Glance,
}

impl Pair {
    fn rate(&self, counter: &str) -> String {
        per_second(self.now.rate(&self.before, counter))
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        self.now.samples.sum(name)
    }

    /// The 99th percentile of what a histogram of seconds counted between the looks.
    fn p99(&self, histogram: &str) -> String {
        let found = self.now.samples.quantile(&self.before.samples, histogram, 0.99);
        found.map_or("-".to_owned(), milliseconds)
    }
}

/// One line of a panel: a name at the left and a value at the right, or only words.
#[derive(Clone, Debug)]
pub struct PanelRow {
    name: String,
    value: String,
    style: Style,
}

impl PanelRow {
    /// Words from the left edge on.
    pub fn words(words: impl Into<String>, style: Style) -> PanelRow {
        PanelRow { name: words.into(), value: String::new(), style }
    }

    /// Draws it in so many columns. The value is never cut; the name is, where both don't fit.
    pub fn line(&self, columns: usize) -> Line<'static> {
        if self.value.is_empty() {
            return Line::styled(self.name.clone(), self.style);
        }
        let room = columns.saturating_sub(self.value.chars().count() + 1);
        let mut name: String = self.name.chars().take(room).collect();
        if name.len() < self.name.len() {
            name.pop();
            name.push('…');
        }
        Line::styled(format!("{name:<room$} {}", self.value), self.style)
    }
}

/// Which version this is, and whether it is ready.
pub fn version(pair: &Pair) -> Vec<Span<'static>> {
    let Glance { readiness, samples, .. } = &pair.now;
    let color = match readiness.status.as_str() {
        "ready" => Color::Green,
        "degraded" => Color::Yellow,
        _ => Color::Red,
    };
    let version = samples.by("floodmark_build_info", "version").into_keys().next().unwrap_or("");
    vec![
        Span::styled(readiness.status.clone(), Style::new().fg(color)),
        Span::raw(format!("  version {version}")),
    ]
}

/// How long the process has been running, and what it takes.
pub fn process(pair: &Pair) -> String {
    let up = pair
        .gauge("process_start_time_seconds")
        .map_or(0.0, |started| crate::domain::time::now_ms() as f64 / 1000.0 - started);
    let cpu = pair.now.rate(&pair.before, "process_cpu_seconds_total").unwrap_or(0.0) * 100.0;
    format!(
        "up {}  CPU {cpu:.0} %  memory {}  viewers {}",
        duration(up),
        bytes(pair.gauge("process_resident_memory_bytes").unwrap_or(0.0)),
        whole(pair.gauge("floodmark_viewers"))
    )
}

/// What comes in, and what is refused.
pub fn door(pair: &Pair) -> Vec<PanelRow> {
    let refused =
        pair.now.rate_of(&pair.before, |samples| samples.sum("floodmark_http_refused_total"));
    vec![
        row("accepted", pair.rate(ACCEPTED)),
        row("duplicates", pair.rate("floodmark_events_duplicate_total")),
        marked("rejected", pair.rate("floodmark_events_rejected_total")),
        row("requests", pair.rate("floodmark_http_requests_total")),
        // The first refusal of a code makes its series.
        marked("refused", refused.map_or("0.0/s".to_owned(), |rate| per_second(Some(rate)))),
        row("request p99", pair.p99("floodmark_http_request_seconds")),
        row("viewer p99", pair.p99("floodmark_ingest_to_viewer_seconds")),
        row("in all", whole(pair.gauge(ACCEPTED))),
        row("ids known", whole(pair.gauge("floodmark_dedupe_ids"))),
    ]
}

/// What waits on the disk, and how both sinks write.
pub fn sinks(pair: &Pair) -> Vec<PanelRow> {
    let mut lines = vec![
        row("spool", {
            let of = pair.gauge("floodmark_spool_max_bytes").unwrap_or(0.0);
            format!(
                "{} of {}",
                bytes(pair.gauge("floodmark_spool_bytes").unwrap_or(0.0)),
                bytes(of)
            )
        }),
        row("disk free", bytes(pair.gauge("floodmark_disk_free_bytes").unwrap_or(0.0))),
        row("fsync p99", pair.p99("floodmark_spool_sync_seconds")),
    ];
    for sink in Sink::ALL {
        let name = sink.as_str();
        let of_sink =
            |metric: &'static str| move |samples: &Samples| samples.sum_where(metric, "sink", name);
        let taken = match sink {
            Sink::Store => "floodmark_events_stored_total",
            Sink::Live => "floodmark_events_counted_total",
        };
        lines.push(row(&format!("{name} writes"), pair.rate(taken)));
        let waiting = format!(
            "{} for {:.1} s",
            number(pair.now.lag(name, "events")),
            pair.now.lag(name, "seconds")
        );
        lines.push(row(&format!("{name} waits"), waiting));
        let errors = pair.now.rate_of(&pair.before, of_sink("floodmark_sink_errors_total"));
        lines.push(marked(&format!("{name} errors"), per_second(errors)));
    }
    lines
}

/// Today's totals.
pub fn today(pair: &Pair) -> Vec<PanelRow> {
    let mut lines = vec![row("active users", whole(pair.gauge("floodmark_active_users")))];
    for (metric, value) in pair.now.samples.by("floodmark_business_today", "metric") {
        lines.push(row(metric, number(value)));
    }
    lines
}

/// Why it is not ready, or degraded.
pub fn reasons(pair: &Pair) -> Vec<PanelRow> {
    let warning = Style::new().fg(Color::Yellow);
    let reasons = pair.now.readiness.reasons.iter();
    let mut rows: Vec<PanelRow> =
        reasons.map(|why| PanelRow::words(why.clone(), warning)).collect();
    let panics = pair.gauge("floodmark_panics_total").unwrap_or(0.0);
    if panics > 0.0 {
        let words = format!("{} panics since the start; the log says where", number(panics));
        rows.push(PanelRow::words(words, Style::new().fg(Color::Red)));
    }
    if rows.is_empty() {
        rows.push(PanelRow::words("all parts are well", Style::new()));
    }
    rows
}

/// The names of the alerts that fire.
pub fn alerts(pair: &Pair) -> Vec<PanelRow> {
    let all = pair.now.samples.by("floodmark_alerts_firing", "name");
    let firing = all.iter().filter(|(_, fires)| **fires > 0.0);
    let red = Style::new().fg(Color::Red);
    let mut rows: Vec<PanelRow> = firing.map(|(name, _)| PanelRow::words(*name, red)).collect();
    if rows.is_empty() {
        rows.push(PanelRow::words(format!("none of {}", all.len()), Style::new()));
    }
    rows
}

fn row(name: &str, value: String) -> PanelRow {
    PanelRow { name: name.to_owned(), value, style: Style::new() }
}

/// A row that stands out where it is not nothing.
fn marked(name: &str, value: String) -> PanelRow {
    let is_nothing = matches!(value.as_str(), "-" | "0.0/s");
    let style = if is_nothing { Style::new() } else { Style::new().fg(Color::Yellow) };
    PanelRow { name: name.to_owned(), value, style }
}

fn per_second(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.1}/s"),
        Some(rate) => format!("{}/s", number(rate.round())),
    }
}

fn milliseconds(seconds: f64) -> String {
    match seconds.is_finite() {
        true => format!("<= {} ms", seconds * 1000.0),
        false => "> 60 s".to_owned(),
    }
}

fn whole(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), number)
}

/// With commas between thousands, and cents where there are some.
fn number(value: f64) -> String {
    let digits = if value.fract() == 0.0 || value.abs() >= 1e6 { 0 } else { 2 };
    // HumanFloatCount leaves zeros at the end out, and an amount has its cents.
    let text = format!("{value:.digits$}");
    let (whole, cents) = text.split_at(text.find('.').unwrap_or(text.len()));
    match whole.trim_start_matches('-').parse() {
        Ok(count) => {
            let sign = if whole.starts_with('-') { "-" } else { "" };
            format!("{sign}{}{cents}", HumanCount(count))
        }
        Err(_) => text,
    }
}

fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = value;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit == 0 || value >= 100.0 {
        true => format!("{value:.0} {}", units[unit]),
        false => format!("{value:.1} {}", units[unit]),
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_value_where_it_is_narrow() {
        let text = |columns| row("average_order", "1,234.50".to_owned()).line(columns).to_string();
        assert_eq!(text(26), "average_order     1,234.50");
        assert_eq!(text(16), "averag… 1,234.50");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(1_234.5), "1,234.50");
        assert_eq!(number(-12.0), "-12");
        assert_eq!(bytes(1_536.0), "1.5 KiB");
        assert_eq!(bytes(8_589_934_592.0), "8.0 GiB");
        assert_eq!(duration(59.0), "59 s");
        assert_eq!(duration(3_900.0), "1 h 5 min");
        assert_eq!(per_second(Some(0.5)), "0.5/s");
        assert_eq!(per_second(Some(12_345.4)), "12,345/s");
    }
}
