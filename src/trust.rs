//! Whom the connections trust that this process makes by TLS: the public authorities, or those of a file that
//! the configuration names. All that read such a file read it here.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Tells rustls which cryptography to use where nobody names it, as the clients of HTTP and Redis don't. In a
/// program of one's own that starts a server, another crate may bring a second one, and without this rustls
/// would refuse to choose. One that is set already stays.
pub fn use_ring() {
    let _ = ring::default_provider().install_default();
}

/// The authorities of a PEM file; at least one.
#[derive(Debug)]
pub struct Authorities {
    /// The file as it is.
    pub pem: Vec<u8>,
    /// Its certificates.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What names the file, and the file, for messages.
    origin: String,
}

impl Authorities {
    /// Reads the file that `key` names, such as `redis.tls_ca`.
    ///
    /// # Errors
    /// The file can't be read, or has no certificate or a spoiled one. The message begins with `key`.
    pub fn read(key: &str, file: impl AsRef<Path>) -> Result<Authorities, String> {
        let origin = format!("{key} {}", file.as_ref().display());
        let wrong = |why: &dyn std::fmt::Display| format!("{origin}: {why}");
        let pem = fs::read(file).map_err(|e| wrong(&e))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|e| wrong(&e))?;
        if certificates.is_empty() {
            return Err(wrong(&"no certificate in it"));
        }
        Ok(Authorities { pem, certificates, origin })
    }

    /// Adds these authorities to others.
    ///
    /// # Errors
    /// One of them can't be an authority. The message begins with the key.
    pub fn add_to(&self, roots: &mut RootCertStore) -> Result<(), String> {
        for certificate in &self.certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|e| format!("{}: {e}", self.origin))?;
        }
        Ok(())
    }
}

/// TLS of a client that trusts the authorities of the file that `key` names, and no other. `None` where
/// `file` is empty: the public ones are trusted.
///
/// # Errors
/// The file can't be used. The message begins with `key`.
pub fn only(key: &str, file: &str) -> Result<Option<Arc<ClientConfig>>, String> {
    if file.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    Authorities::read(key, file)?.add_to(&mut roots)?;
    client(roots).map(Some)
}

/// TLS of a client that trusts these roots: 1.2 and 1.3, with the suites of ring.
///
/// # Errors
/// None by itself: ring has what both versions need.
pub fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// An error of a connection in words, with what to do where nobody is known who has signed the certificate:
/// `key` is to name that authority.
pub fn in_words(error: &dyn std::fmt::Display, key: &str) -> String {
    let error = error.to_string();
    let is_unknown = error.contains("UnknownIssuer");
    let hint = if is_unknown {
        format!("; {key} has to name the CA of its certificate")
    } else {
        String::new()
    };
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_authority_is_told_with_the_key_that_names_it() {
        let error = "invalid peer certificate: UnknownIssuer";
        assert!(in_words(&error, "otlp.ca").starts_with(&format!("{error}; otlp.ca has to name")));
        assert_eq!(in_words(&"connection refused", "otlp.ca"), "connection refused");
    }

    #[test]
    fn a_file_that_is_no_authority_is_named_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let spoiled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        for (path, why) in [
            (file("empty.pem", ""), "no certificate in it"),
            (file("key.pem", "no PEM at all"), "no certificate in it"),
            (file("spoiled.pem", spoiled), "invalid peer certificate"),
            (file("cut.pem", cut), "missing section end"),
            (folder.path().to_str().unwrap().to_owned(), "directory"),
            ("/nowhere/ca.pem".to_owned(), "No such file"),
        ] {
            let error = only("oidc.ca", &path).unwrap_err();
            assert!(error.starts_with(&format!("oidc.ca {path}: ")), "{error}");
            assert!(error.contains(why), "{error}");
        }
        assert!(only("oidc.ca", "").unwrap().is_none());
    }
}
