//! Says at the start what each part of the process may take of `memory.max_bytes`.

use crate::config::Config;

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
