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

/// Raises the soft limit (`ulimit -n`) as far as that is needed and allowed.
///
/// # Errors
/// The hard limit is too low. The error says in words what to change; the server runs all the
/// same.
pub fn raise(config: &Config) -> Result<(), String> {
    let needed = needed(config);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|e| format!("the limit of open files can't be read: {e}"))?;
    if soft >= needed {
        return Ok(());
    }
    let raised = needed.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard)
        .map_err(|e| format!("the limit of open files can't be raised to {raised}: {e}"))?;
    if raised < needed {
        return Err(format!(
            "http.max_connections ({}) and stream.max_viewers ({}) can come to {needed} open \
             files, and the hard limit (ulimit -Hn) is {hard}: raise it (LimitNOFILE= in a \
             systemd unit), or lower these",
            config.http.max_connections, config.stream.max_viewers
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_the_keys_to_change() {
        let mut config = Config::default();
        config.http.max_connections = usize::MAX >> 8;
        let told = raise(&config).unwrap_err();
        assert!(told.contains("http.max_connections"), "{told}");
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard, "as far as it goes");
        config.http.max_connections = 10;
        assert_eq!(raise(&config), Ok(()));
    }
}
