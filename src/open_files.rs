//! The limit of open files of this process: it is raised to what the configuration needs, or else
//! the limits of connections become what fits, and an operator is told so.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// File descriptors for everything but connections: segments, the store, Redis and logs.
const RESERVED: u64 = 512;
/// A hard limit that many systems have. That our limits are made to fit it is nothing to worry about.
pub const COMMON_HARD_LIMIT: u64 = 20_000;

/// The limits of connections that fit into a limit of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FittingLimits {
    connections: usize,
    viewers: usize,
}

impl FittingLimits {
    /// What becomes of the limits of this configuration.
    pub fn in_words(self, config: &Config, hard: u64) -> String {
        format!(
            "http.max_connections is {} instead of {} and stream.max_viewers {} instead of {}, which \
             fits the hard limit of {hard} open files (ulimit -Hn; LimitNOFILE= in a systemd unit)",
            self.connections, config.http.max_connections, self.viewers, config.stream.max_viewers
        )
    }
}

/// The most file descriptors that the configuration can lead to: one for each connection, and a
/// second one for each viewer (see [`crate::broadcast::ConnectionSocket`]).
fn needed(config: &Config) -> u64 {
    let viewers = config.stream.max_viewers.min(config.http.max_connections);
    (config.http.max_connections + viewers) as u64 + RESERVED
}

/// The limits that fit into this many open files; `None` where those of the configuration do.
pub fn fitting(config: &Config, files: u64) -> Option<FittingLimits> {
    if files >= needed(config) {
        return None;
    }
    let room = files.saturating_sub(RESERVED) as usize;
    // A viewer takes two of them, so viewers can have a third. Fewer of them stay as they are.
    let viewers = config.stream.max_viewers.min(room / 3).max(1);
    Some(FittingLimits { connections: room.saturating_sub(viewers).max(1), viewers })
}

/// Raises the soft limit (`ulimit -n`) as far as that is needed and allowed. Where the hard limit is too
/// low, `http.max_connections` and `stream.max_viewers` become what fits, and the result says in words
/// what they became.
///
/// # Errors
/// The limit can't be read or raised, in words. The server runs all the same.
pub fn fit(config: &mut Config) -> Result<Option<String>, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|e| format!("the limit of open files can't be read: {e}"))?;
    let raised = needed(config).min(hard).max(soft);
    if raised > soft {
        setrlimit(Resource::RLIMIT_NOFILE, raised, hard)
            .map_err(|e| format!("the limit of open files can't be raised to {raised}: {e}"))?;
    }
    let Some(fitting) = fitting(config, raised) else { return Ok(None) };
    let words = fitting.in_words(config, hard);
    config.stream.max_viewers = fitting.viewers;
    config.http.max_connections = fitting.connections;
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_do_not_fit_become_what_fits_and_that_is_told() {
        let mut config = Config::default();
        config.http.max_connections = 1 << 40;
        config.stream.max_viewers = 1 << 39;
        let told = fit(&mut config).unwrap().expect("they don't fit");
        assert!(told.contains("http.max_connections"), "{told}");
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard, "as far as it goes");
        assert!(needed(&config) <= hard && needed(&config) > hard / 2, "{}", needed(&config));
        config.http.max_connections = 1 << 40;
        config.stream.max_viewers = 3;
        fit(&mut config).unwrap();
        assert_eq!(config.stream.max_viewers, 3, "so few are no reason");
        config.http.max_connections = 10;
        assert_eq!(fit(&mut config), Ok(None));
    }
}
