//! A certificate that the server gets by itself from an authority, and renews (ACME, RFC 8555), with the
//! challenge that stands in a handshake (TLS-ALPN-01): the authority connects to port 443 of the name.

use std::{fs, sync::Arc, time::Duration};

use actix_web::rt;
use futures_util::StreamExt;
use rustls::{ServerConfig, server::ResolvesServerCert};
use rustls_acme::{AcmeConfig, caches::DirCache};

use crate::{config::Config, panics, trust};

/// How long it rests after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// The folder of the data dir that keeps the account and the certificate.
const FOLDER: &str = "acme";

/// Gets certificates from now on. The results answer connections: those of clients, and the authority's.
pub fn start(config: &Config) -> Result<(Arc<dyn ResolvesServerCert>, Arc<ServerConfig>), String> {
    let tls = &config.tls;
    let folder = config.data_dir.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut acme = AcmeConfig::new(&tls.acme_domains).cache(DirCache::new(folder));
    acme = match tls.acme_directory.as_str() {
        "" => acme.directory_lets_encrypt(true),
        url => acme.directory(url),
    };
    if !tls.acme_contact.is_empty() {
        acme = acme.contact_push(format!("mailto:{}", tls.acme_contact));
    }
    // The authority's own certificate may be of a CA of the operator's.
    if let Some(client) = trust::only("tls.acme_ca", &tls.acme_ca)? {
        acme = acme.client_tls_config(client);
    }
    let mut state = acme.state();
    let (resolver, challenge) = (state.resolver(), state.challenge_rustls_config());
    rt::spawn(async move {
        loop {
            match panics::caught("certificate", state.next()).await {
                Some(Some(Ok(event))) => tracing::info!(?event, "certificate by ACME"),
                Some(Some(Err(error))) => {
                    tracing::warn!(%error, "no certificate by ACME; trying again");
                }
                Some(None) => return,
                None => rt::time::sleep(AFTER_PANIC).await,
            }
        }
    });
    Ok((resolver, challenge))
}
