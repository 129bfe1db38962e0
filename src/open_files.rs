//! The limit of open files of this process: it is raised to what the configuration needs, or else
//! an operator is told what to change.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// File descriptors for everything but connections: segments, the store, Redis and logs.
const RESERVED: u64 = 512;

/// The most file descriptors that the configuration can lead to: one for each connection, and a
/// second one for each viewer (see [`crate::broadcast::ConnectionSocket`]).
fn needed(config: &Config) -> u64 {
    let viewers = config.stream.max_viewers.min(config.http.max_connections);
    (config.http.max_connections + viewers) as u64 + RESERVED
}

/// Raises the soft limit (`ulimit -n`) as far as that is needed and allowed. Where the hard limit is too
/// low, `http.max_connections` and `stream.max_viewers` become what fits, and the result says in words
/// what they became.
///
/// # Errors
/// The limit can't be read or raised, in words. The server runs all the same.
pub fn fit(config: &mut Config) -> Result<Option<String>, String> {
    let needed = needed(config);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|e| format!("the limit of open files can't be read: {e}"))?;
    let raised = needed.min(hard).max(soft);
    if raised > soft {
        setrlimit(Resource::RLIMIT_NOFILE, raised, hard)
            .map_err(|e| format!("the limit of open files can't be raised to {raised}: {e}"))?;
    }
    if raised >= needed {
        return Ok(None);
    }
    let (connections, viewers) = (config.http.max_connections, config.stream.max_viewers);
    let room = raised.saturating_sub(RESERVED) as usize;
    // A viewer takes two of them, so viewers can have a third. Fewer of them stay as they are.
    let watch = viewers.min(room / 3).max(1);
    config.stream.max_viewers = watch;
    config.http.max_connections = room.saturating_sub(watch).max(1);
    Ok(Some(format!(
        "http.max_connections is {} instead of {connections} and stream.max_viewers {} instead of \
         {viewers}, which fits the hard limit of {hard} open files (ulimit -Hn; LimitNOFILE= in a \
         systemd unit)",
        config.http.max_connections, config.stream.max_viewers
    )))
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
