//! The servers that the configuration names, in the form that the client library wants.

use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

use crate::{config, trust::Authorities};

/// What `redis.urls` and `redis.tls_ca` say.
pub(super) struct Seeds {
    /// The servers of `redis.urls`.
    pub seeds: Vec<ConnectionInfo>,
    /// The CA of `redis.tls_ca`, for servers of a cluster that no URL names. The seeds have it
    /// already.
    pub certificates: Option<TlsCertificates>,
}

impl Seeds {
    /// Reads the configuration. The error says what is wrong with it.
    pub fn read(config: &config::RedisConfig) -> Result<Seeds, String> {
        let certificates = certificates(config)?;
        let seeds = config.urls.iter().map(|url| {
            let failed = |e| format!("redis.urls: {}: {e}", without_password(url));
            let mut info = url.as_str().into_connection_info().map_err(failed)?;
            if let Some(certificates) = &certificates {
                let client = Client::build_with_tls(info, certificates.clone());
                info = client.map_err(failed)?.get_connection_info().clone();
            }
            // Published messages arrive on the connection that subscribed only with RESP3.
            let settings = info.redis_settings().clone();
            Ok(info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3)))
        });
        Ok(Seeds { seeds: seeds.collect::<Result<_, String>>()?, certificates })
    }
}

/// The CA that `redis.tls_ca` names; `None` where it names none.
fn certificates(config: &config::RedisConfig) -> Result<Option<TlsCertificates>, String> {
    if config.tls_ca.is_empty() {
        return Ok(None);
    }
    if let Some(url) = config.urls.iter().find(|url| !url.starts_with("rediss://")) {
        return Err(format!(
            "redis.tls_ca is set, but {} is not encrypted: write rediss://",
            without_password(url)
        ));
    }
    let authorities = Authorities::read("redis.tls_ca", &config.tls_ca)?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(authorities.pem) }))
}

/// A URL as it may be printed, without user name and password.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}…{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let shown = without_password("rediss://shop:p@ss@cache:6379/1");
        assert_eq!(shown, "rediss://…@cache:6379/1");
        assert_eq!(without_password("redis://cache:6379"), "redis://cache:6379");
    }
}
