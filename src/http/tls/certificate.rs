//! A certificate with its key from two files of PEM, which are read again when one of them changes.
//!
//! Whoever renews certificates (certbot, cert-manager, a secret that is mounted) writes files, and has no
//! need to know of this process. A pair that does not fit, as while only one of the two has been written,
//! is left alone, and the last good one stays in use.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix_web::rt;
use metrics::Counter;
use parking_lot::RwLock;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_cert::{Certificate, der::Decode};

use crate::{
    domain::time::{DAY, Millis, now_ms},
    panics,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A certificate with less than this left should have been renewed by now.
pub const SOON_DAYS: i64 = 7;

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate, followed by those that lead to the authority: `tls.cert`.
    pub cert: String,
    /// The private key: `tls.key`.
    pub key: String,
}

/// What a file looked like when it was read. The inode tells a file that was put in the place of another
/// of the same age, as a mounted secret does.
type Stamp = [Option<(u64, u64, SystemTime)>; 2];

/// The certificate of new connections.
#[derive(Debug)]
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// Reads the files, and keeps reading them.
///
/// # Errors
/// They can't be used, in words.
pub fn watch(files: CertificateFiles) -> Result<Arc<dyn ResolvesServerCert>, String> {
    let stamp = files.stamp();
    let current = Arc::new(CurrentCertificate(RwLock::new(files.load()?)));
    for result in ["replaced", "failed"] {
        reloads(result).increment(0);
    }
    rt::spawn(panics::lasting("certificate", {
        let current = current.clone();
        move || keep_fresh(files.clone(), stamp, current.clone())
    }));
    Ok(current)
}

/// How often the files were read again, by what came of it.
fn reloads(result: &'static str) -> Counter {
    metrics::counter!("floodmark_tls_reloads_total", "result" => result)
}

async fn keep_fresh(files: CertificateFiles, mut seen: Stamp, current: Arc<CurrentCertificate>) {
    loop {
        rt::time::sleep(LOOK_EVERY).await;
        let stamp = files.stamp();
        if stamp == seen {
            continue;
        }
        // A file that changes again while it is read has another stamp at the next look.
        seen = stamp;
        let loaded = files.load();
        reloads(if loaded.is_ok() { "replaced" } else { "failed" }).increment(1);
        match loaded {
            Ok(fresh) => *current.0.write() = fresh,
            Err(error) => tracing::warn!(%error, "the certificate is not replaced"),
        }
    }
}

impl CertificateFiles {
    fn stamp(&self) -> Stamp {
        [&self.cert, &self.key].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.modified().ok()?))
        })
    }

    /// How many days the certificate is good for, if it and its key can be used.
    ///
    /// # Errors
    /// They can't be used, in words.
    pub fn days_left(&self) -> Result<i64, String> {
        self.read().map(|(_, expires)| days_until(expires))
    }

    /// The certificate and its key, for connections.
    fn load(&self) -> Result<Arc<CertifiedKey>, String> {
        let (certified, expires) = self.read()?;
        announce(expires);
        Ok(Arc::new(certified))
    }

    /// The certificate and its key, which fit, and when it expires.
    fn read(&self) -> Result<(CertifiedKey, Millis), String> {
        let in_cert = |why: String| format!("tls.cert: {}: {why}", self.cert);
        let in_key = |why: String| format!("tls.key: {}: {why}", self.key);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&self.cert)
            .map_err(|e| in_cert(e.to_string()))?
            .collect();
        let chain = chain.map_err(|e| in_cert(e.to_string()))?;
        let first = chain.first().ok_or_else(|| in_cert("has no certificate".to_owned()))?;
        let expires = expires(first).map_err(in_cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| in_key(e.to_string()))?;
        let key = any_supported_type(&key).map_err(|e| in_key(e.to_string()))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| in_key(format!("is not the key of {}", self.cert)))?;
        Ok((certified, expires))
    }
}

fn days_until(moment: Millis) -> i64 {
    (moment - now_ms()).div_euclid(DAY)
}

/// When a certificate expires.
fn expires(certificate: &CertificateDer<'_>) -> Result<Millis, String> {
    let parsed = Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let until = parsed.tbs_certificate.validity.not_after.to_unix_duration();
    Ok(until.as_millis() as Millis)
}

/// Says until when the certificate of new connections is good.
fn announce(expires: Millis) {
    metrics::gauge!("floodmark_tls_certificate_expires_seconds").set(expires as f64 / 1000.0);
    let days = days_until(expires);
    match days {
        ..SOON_DAYS => tracing::warn!(days, "the certificate expires soon: renew it"),
        _ => tracing::info!(days, "a certificate is in use"),
    }
}
