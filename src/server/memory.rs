//! Says at the start what each part of the process may take of `memory.max_bytes`.

use crate::{
    config::Config,
    spool::{IdWindow, IdWindows},
};

/// What an id of an order takes with its place in the index, at least: it is no UUID, as a rule.
const LONG_ID: u64 = 30;

/// How long and how many ids of each class are remembered.
///
/// # Errors
/// The budget is too small, in words.
pub fn id_windows(config: &Config) -> Result<IdWindows, String> {
    let (dedupe, shares) = (&config.dedupe, config.memory_shares()?);
    let window = |seconds: u64, max_ids, bytes| IdWindow {
        window_ms: i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX),
        max_ids,
        max_bytes: bytes as usize,
    };
    let long = |bytes| window(dedupe.longest_window_s(), (bytes / LONG_ID) as usize, bytes);
    Ok(IdWindows {
        short: window(dedupe.window_s, dedupe.max_ids, shares.ids),
        long: long(shares.long_ids),
        long_public: long(shares.long_public_ids),
    })
}

/// Logs the shares, and sets the gauge that shows them.
///
/// # Errors
/// The budget is too small, in words.
pub fn announce(config: &Config) -> Result<(), String> {
    let shares = config.memory_shares()?;
    let parts = [
        ("total", shares.total),
        ("fixed", shares.fixed),
        ("ids", shares.ids),
        ("long_ids", shares.long_ids),
        ("long_public_ids", shares.long_public_ids),
        ("breakdowns", shares.breakdowns),
        ("visitors", shares.visitors),
        ("seconds", shares.seconds),
        ("samples", shares.samples),
    ];
    let mut words = Vec::new();
    for (part, bytes) in parts {
        metrics::gauge!("floodmark_memory_share_bytes", "part" => part).set(bytes as f64);
        words.push(format!("{part} {} MiB", bytes >> 20));
    }
    tracing::info!("memory: {}", words.join(", "));
    Ok(())
}
