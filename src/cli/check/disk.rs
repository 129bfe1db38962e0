//! The disk of the data dir: whether it keeps what is written, how fast, and for how long it lasts.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use indicatif::{HumanBytes, HumanDuration};
use nix::sys::statfs::{NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};

use super::{Doubtful, Finding, Fine, Wrong, machine::existing};
use crate::config::Config;

/// How many writes are timed.
const TRIALS: usize = 20;
/// Bytes of one such write: about what a small request makes.
const TRIAL_BYTES: usize = 4096;
/// A disk that takes longer to make a write durable is told of. Each answer to a sender waits for one.
const SLOW: Duration = Duration::from_millis(20);
/// The spool should hold what comes in while Postgres is away for so long.
const OUTAGE: Duration = Duration::from_secs(2 * 3600);
/// A SQLite file for which the disk lasts less than this is told of.
const LASTS: Duration = Duration::from_secs(7 * 24 * 3600);
/// Segments over a shorter time say nothing about a rate.
const LEAST_SPAN: Duration = Duration::from_secs(60);

/// Whether the disk has room for the spool, and for how long, at the rate at which events came lately.
pub(super) fn free_space(config: &Config) -> Finding {
    let free = match existing(&config.data_dir).and_then(fs4::available_space) {
        Ok(free) => free,
        Err(e) => return Wrong(format!("unknown: {e}")),
    };
    let rate = rate_of(&config.data_dir.join("spool")).ok().flatten();
    judge_space(free, rate, config)
}

/// `rate` is in bytes a second.
fn judge_space(free: u64, rate: Option<f64>, config: &Config) -> Finding {
    let words = format!("{} free", HumanBytes(free));
    let limit = HumanBytes(config.spool.max_bytes);
    if free < 2 * config.spool.segment_bytes {
        return Wrong(format!(
            "{words}: less than two segments of the spool; make room, or lower spool.segment_bytes"
        ));
    }
    let words = format!("{words}, the spool may grow to {limit}");
    if free < config.spool.max_bytes {
        return Doubtful(format!("{words}: make room, or lower spool.max_bytes"));
    }
    let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return Fine(words) };
    let lasts = |bytes: u64| Duration::from_secs_f64((bytes as f64 / rate).min(1e9));
    let outage = lasts(config.spool.max_bytes);
    let words = format!(
        "{words}; at {} an hour as lately, that holds an outage of {}",
        HumanBytes((rate * 3600.0) as u64),
        HumanDuration(outage)
    );
    if outage < OUTAGE {
        return Doubtful(format!("{words}: raise spool.max_bytes, and the disk with it"));
    }
    // The rows of a SQLite file take about as much as they took in the spool, and stay.
    if config.postgres.url.is_empty() && lasts(free) < LASTS {
        return Doubtful(format!(
            "{words}, and floodmark.db fills the disk within {}: enlarge it, or move to Postgres",
            HumanDuration(lasts(free))
        ));
    }
    Fine(words)
}

/// How many bytes a second have come into the spool while the segments were written that are there, the
/// kept ones too. `None` where they say nothing.
fn rate_of(spool: &Path) -> io::Result<Option<f64>> {
    let mut written: Vec<(SystemTime, u64)> = Vec::new();
    for folder in [spool.to_owned(), spool.join("kept")] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.path().extension().is_some_and(|end| end == "seg") {
                let meta = entry.metadata()?;
                written.push((meta.modified()?, meta.len()));
            }
        }
    }
    written.sort();
    let (Some((first, before)), Some((last, _))) = (written.first(), written.last()) else {
        return Ok(None);
    };
    // The first was full at its time; the others came in after that.
    let span = last.duration_since(*first).unwrap_or_default();
    let bytes: u64 = written.iter().map(|(_, bytes)| bytes).sum::<u64>() - before;
    Ok((span >= LEAST_SPAN).then(|| bytes as f64 / span.as_secs_f64()))
}

/// How long the disk takes to make a write durable, and whether it is one that keeps anything.
pub(super) fn speed(folder: &Path) -> Finding {
    if let Some(doubt) = volatile(folder) {
        return Doubtful(doubt);
    }
    match timed(folder) {
        Ok(times) => judge_speed(&times),
        Err(e) => Wrong(format!("a write can't be made durable (fdatasync): {e}")),
    }
}

/// What is wrong with the kind of file system, if anything.
fn volatile(folder: &Path) -> Option<String> {
    let kind = statfs(folder).ok()?.filesystem_type();
    let (what, why) = match kind {
        TMPFS_MAGIC => {
            ("tmpfs", "its files are gone when the machine restarts: name a folder on a disk")
        }
        OVERLAYFS_SUPER_MAGIC => {
            ("an overlay", "its files are gone with the container: mount a volume for data_dir")
        }
        NFS_SUPER_MAGIC => (
            "NFS",
            "its locks may let two servers in after an outage: name a folder on a local disk",
        ),
        _ => return None,
    };
    Some(format!("{} is on {what}, and {why}", folder.display()))
}

/// The times of some small writes, each with its fdatasync, sorted.
fn timed(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".floodmark-check-disk-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    let mut trial = || {
        let began = Instant::now();
        file.write_all(&[b'x'; TRIAL_BYTES])?;
        file.sync_data()?;
        Ok(began.elapsed())
    };
    let times: io::Result<Vec<Duration>> = (0..TRIALS).map(|_| trial()).collect();
    fs::remove_file(&path)?;
    let mut times = times?;
    times.sort();
    Ok(times)
}

fn judge_speed(times: &[Duration]) -> Finding {
    let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let words = format!("a write is durable after {} (at most {})", ms(half), ms(most));
    match half > SLOW {
        true => Doubtful(format!(
            "{words}, and every answer to a sender waits for one: give the data dir a faster disk"
        )),
        false => Fine(words),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    #[test]
    fn space_is_judged_by_the_spool() {
        let config = Config::default();
        let spool = config.spool.clone();
        assert!(matches!(judge_space(spool.segment_bytes, None, &config), Wrong(_)));
        assert!(matches!(judge_space(spool.max_bytes - 1, None, &config), Doubtful(_)));
        assert!(matches!(judge_space(spool.max_bytes, None, &config), Fine(_)));
    }

    #[test]
    fn space_is_judged_by_how_long_it_lasts() {
        let mut config = Config::default();
        let (max, free) = (config.spool.max_bytes, 1 << 40);
        let of_hours = |hours: f64| Some(max as f64 / (hours * 3600.0));
        assert!(matches!(judge_space(free, of_hours(24.0), &config), Fine(words)
            if words.ends_with("that holds an outage of 24 hours")));
        assert!(matches!(judge_space(free, of_hours(1.0), &config), Doubtful(words)
            if words.contains("raise spool.max_bytes")));
        // Ten times the spool is ten days here, and ten times as much is three.
        assert!(matches!(judge_space(10 * max, of_hours(24.0), &config), Fine(_)));
        assert!(matches!(judge_space(10 * max, of_hours(7.2), &config), Doubtful(words)
            if words.contains("fills the disk within 3 days")));
        config.postgres.url = "postgres://localhost".to_owned();
        assert!(matches!(judge_space(10 * max, of_hours(7.2), &config), Fine(_)));
    }

    #[test]
    fn the_rate_is_read_from_the_segments_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("kept")).unwrap();
        assert_eq!(rate_of(dir.path()).unwrap(), None);
        let now = SystemTime::now();
        for (name, age, bytes) in [("kept/1.seg", 200, 5), ("2.seg", 100, 600), ("3.seg", 0, 400)] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
            let at = now - Duration::from_secs(age);
            file.set_times(FileTimes::new().set_modified(at)).unwrap();
        }
        fs::write(dir.path().join("cursors"), [0; 99]).unwrap();
        let rate = rate_of(dir.path()).unwrap().unwrap();
        assert!((rate - 5.0).abs() < 0.01, "{rate}");
    }

    #[test]
    fn a_slow_disk_is_told_of_and_nothing_is_left_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let times = timed(dir.path()).unwrap();
        assert_eq!(times.len(), TRIALS);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let fast = [Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(90)];
        assert_eq!(
            judge_speed(&fast),
            Fine("a write is durable after 2.0 ms (at most 90.0 ms)".to_owned())
        );
        assert!(matches!(judge_speed(&[Duration::from_millis(21)]), Doubtful(_)));
    }
}
