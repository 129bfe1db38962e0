//! Writes the shop's traffic to an NDJSON file, for tests and load runs that need an exact number
//! of events.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

use crate::demo::shop::Shop;
use crate::domain::time::Millis;

/// Which traffic to write.
#[derive(Clone, Debug)]
pub struct TrafficPlan {
    /// Decides everything random: two equal plans give the same file, byte for byte.
    pub seed: u64,
    /// The exact number of events.
    pub events: u64,
    /// The first event is at this moment (Unix ms) or just after.
    pub from: Millis,
    /// The last event is this long (ms) after `from`.
    pub span: Millis,
    /// The currency of the amounts.
    pub currency: String,
}

/// Writes the file, gzipped if its name ends in `.gz`. Returns the bytes of the events.
pub fn write(plan: &TrafficPlan, path: &Path) -> io::Result<u64> {
    let file = BufWriter::new(File::create(path)?);
    if path.extension().is_some_and(|suffix| suffix == "gz") {
        let mut gz = GzEncoder::new(file, Compression::fast());
        let bytes = write_to(plan, &mut gz)?;
        gz.finish()?.flush()?;
        return Ok(bytes);
    }
    let mut file = file;
    let bytes = write_to(plan, &mut file)?;
    file.flush()?;
    Ok(bytes)
}

/// Writes the events, one a line.
pub fn write_to(plan: &TrafficPlan, out: &mut impl Write) -> io::Result<u64> {
    let span = plan.span.max(1);
    let rate = plan.events as f64 * 1000.0 / span as f64;
    let shop = || Shop::new(plan.seed, plan.from, rate, &plan.currency);
    let count = usize::try_from(plan.events).unwrap_or(usize::MAX);
    // The shop's rate is an average, so the last event would not fall on the end of the span.
    // The shop is played once to see where it falls, and once more with all moments stretched.
    let Some(last) = shop().take(count).last() else {
        return Ok(0);
    };
    let played = (last.timestamp - plan.from).max(1);
    let mut bytes = 0;
    let mut line = Vec::new();
    for mut event in shop().take(count) {
        let since = i128::from(event.timestamp - plan.from);
        event.timestamp = plan.from + (since * i128::from(span) / i128::from(played)) as Millis;
        line.clear();
        event.write_line(&mut line);
        out.write_all(&line)?;
        bytes += line.len() as u64;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::domain::time::HOUR;

    fn plan(events: u64) -> TrafficPlan {
        TrafficPlan {
            seed: 9,
            events,
            from: 1_795_420_800_000,
            span: 2 * HOUR,
            currency: "EUR".to_owned(),
        }
    }

    fn timestamp(line: &str) -> i64 {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["timestamp"].as_i64().unwrap()
    }

    #[test]
    fn it_holds_exactly_the_events_over_exactly_the_span() {
        let plan = plan(5000);
        let mut out = Vec::new();
        let bytes = write_to(&plan, &mut out).unwrap();
        assert_eq!(bytes, out.len() as u64);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5000);
        assert!(timestamp(lines[0]) < plan.from + plan.span / 100);
        assert_eq!(timestamp(lines[4999]), plan.from + plan.span);
        assert!(lines.is_sorted_by_key(|line| timestamp(line)));
    }

    #[test]
    fn a_gz_file_holds_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, gz) = (dir.path().join("a.ndjson"), dir.path().join("a.ndjson.gz"));
        write(&plan(200), &plain).unwrap();
        write(&plan(200), &gz).unwrap();
        let mut unpacked = Vec::new();
        GzDecoder::new(File::open(gz).unwrap()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, std::fs::read(plain).unwrap());
    }

    #[test]
    fn no_events_are_an_empty_file() {
        let mut out = Vec::new();
        assert_eq!(write_to(&plan(0), &mut out).unwrap(), 0);
    }
}
