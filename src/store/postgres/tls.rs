//! TLS to the server, by rustls with ring as its provider. How far the certificate is verified
//! follows `sslmode`, with the meaning that it has in libpq.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{PostgresAddress, Verify};
use crate::sink::{SinkError, SinkErrorKind};
use crate::trust::Authorities;

/// Makes the TLS connector for an address.
pub(super) fn connector(address: &PostgresAddress) -> Result<MakeRustlsConnect, SinkError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match address.verify {
        Verify::Nothing => Arc::new(Anyone(provider.clone())),
        Verify::Chain | Verify::ChainAndName => Arc::new(Trusted::new(
            roots(address)?,
            address.verify == Verify::ChainAndName,
            provider.clone(),
        )?),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn failed(why: &str) -> SinkError {
    SinkError { kind: SinkErrorKind::Other, message: format!("TLS to Postgres: {why}") }
}

/// The roots to trust: those of `sslrootcert`, else those of `~/.postgresql/root.crt`, where libpq
/// looks too. An empty list stands for the public roots, which are also what
/// `sslrootcert=system` asks for.
fn roots(address: &PostgresAddress) -> Result<Vec<CertificateDer<'static>>, SinkError> {
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".postgresql/root.crt"));
    let path = match &address.roots {
        Some(path) if path.as_os_str() == "system" => None,
        Some(path) => Some(path.clone()),
        None => own.filter(|path| path.exists()),
    };
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let read = Authorities::read("sslrootcert", path).map_err(|why| failed(&why))?;
    Ok(read.certificates)
}

/// The verifier of `sslmode=require` and `prefer`: the connection is encrypted, to whoever the
/// server is. Nothing about the certificate is checked. Its signatures are not checked either:
/// they would only tie the session to a key that nobody knows.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The verifier of `verify-ca` and `verify-full`.
#[derive(Debug)]
struct Trusted {
    /// webpki's verifier, which always checks the name too.
    chain: Arc<WebPkiServerVerifier>,
    /// The roots of `sslrootcert`; empty where the public ones are trusted.
    given: Vec<CertificateDer<'static>>,
    /// Whether the certificate has to be made out to the host's name (`verify-full`).
    name: bool,
}

impl Trusted {
    fn new(
        given: Vec<CertificateDer<'static>>,
        name: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Trusted, SinkError> {
        let mut store = RootCertStore::empty();
        if given.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for root in &given {
            store.add(root.clone()).map_err(|e| failed(&format!("sslrootcert: {e}")))?;
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|e| failed(&e.to_string()))?;
        Ok(Trusted { chain, given, name })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict =
            self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp, now);
        match verdict {
            // webpki looks at the name after the chain. So the chain is good and only the name
            // does not fit, which `verify-ca` does not ask for.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            // By openssl's defaults, a self-signed certificate that is given as its own root is
            // a CA. webpki refuses a CA as a server; libpq takes it, and so do we, since it is
            // byte for byte what we were told to trust. webpki has checked its dates before.
            Err(ref e) if is_ca_as_server(e) && self.given.iter().any(|it| it == end_entity) => {
                if self.name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Whether webpki refused a CA that acts as a server. rustls has no variant for this error, so
/// its text is compared.
fn is_ca_as_server(e: &Error) -> bool {
    match e {
        Error::InvalidCertificate(CertificateError::Other(OtherError(e))) => {
            e.to_string() == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}
