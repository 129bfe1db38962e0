//! TLS towards clients (`[tls]`), by rustls.
//!
//! The certificate comes from files, which are read again when they change ([`certificate`]), or from an
//! authority by ACME (`acme`, in a build with that feature). Open connections keep what they began with.
//! The protocol inside is HTTP/1.1 only: a proxy that speaks HTTP/2 to its clients stands in front.

#[cfg(feature = "acme")]
mod acme;
mod certificate;

use std::{io, sync::Arc, time::Duration};

use actix_web::rt::net::TcpStream;
use rustls::{ServerConfig, crypto::ring, server::ResolvesServerCert};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::{
    config::{Config, TlsConfig},
    http::error::ApiError,
};
use certificate::CertificateFiles;

/// Why names for ACME are refused in most builds.
const NO_ACME: &str = "tls.acme_domains: this program was built without ACME; build it with --features \
    acme, or set tls.cert and tls.key";
/// How every handshake begins: the type of its first record.
const HANDSHAKE: u8 = 0x16;

/// What connections need to begin TLS. A clone shares it.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// For the authority that looks whether the names of a certificate are ours.
    challenge: Option<Arc<ServerConfig>>,
    /// `http.header_timeout_ms`, for the whole handshake.
    timeout: Duration,
}

impl Tls {
    /// With the certificate of the configuration, which is kept fresh from now on; `None` where the
    /// server speaks plain HTTP. It has to be called on an actix system.
    ///
    /// # Errors
    /// The certificate or its key can't be used, in words.
    pub fn start(config: &Config) -> Result<Option<Tls>, String> {
        let timeout = Duration::from_millis(config.http.header_timeout_ms);
        let tls = &config.tls;
        if !tls.acme_domains.is_empty() {
            return start_acme(config, timeout).map(Some);
        }
        if tls.cert.is_empty() {
            return Ok(None);
        }
        let files = CertificateFiles { cert: tls.cert.clone(), key: tls.key.clone() };
        let resolver = certificate::watch(files)?;
        Ok(Some(Tls { config: server_config(resolver)?, challenge: None, timeout }))
    }

    /// How clients reach a server of this configuration, in words, and whether somebody should look
    /// after that. For `floodmark check`.
    ///
    /// # Errors
    /// The certificate or its key can't be used, in words.
    pub fn inspect(tls: &TlsConfig) -> Result<(String, bool), String> {
        if !tls.acme_domains.is_empty() {
            let names = tls.acme_domains.join(", ");
            return match cfg!(feature = "acme") {
                true => Ok((format!("a certificate for {names} is got by ACME"), false)),
                false => Err(NO_ACME.to_owned()),
            };
        }
        if tls.cert.is_empty() {
            return Ok(("plain HTTP: a proxy ends TLS, or none is needed".to_owned(), false));
        }
        let files = CertificateFiles { cert: tls.cert.clone(), key: tls.key.clone() };
        let days = files.days_left()?;
        let words = format!("the certificate of {} is good for {days} days", tls.cert);
        Ok((words, days < certificate::SOON_DAYS))
    }

    /// Does the handshake of a connection.
    ///
    /// # Errors
    /// The client speaks no TLS (then it is told so, as HTTP), took too long, or was the authority's.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let handshake = tokio::time::timeout(self.timeout, self.handshake(stream));
        handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn handshake(&self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            // A name in an address without https is the usual reason, and a closed connection would
            // say nothing.
            stream.write_all(&no_tls()).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no TLS"));
        }
        let begun = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        if let Some(challenge) = &self.challenge
            && is_challenge(&begun.client_hello())
        {
            let mut answered = begun.into_stream(challenge.clone()).await?;
            answered.shutdown().await?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        begun.into_stream(self.config.clone()).await
    }
}

/// Whether a connection is the authority's, to look at a certificate that proves a name (RFC 8737).
fn is_challenge(hello: &rustls::server::ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut names| names.any(|name| name == b"acme-tls/1"))
}

#[cfg(feature = "acme")]
fn start_acme(config: &Config, timeout: Duration) -> Result<Tls, String> {
    let (resolver, challenge) = acme::start(config)?;
    Ok(Tls { config: server_config(resolver)?, challenge: Some(challenge), timeout })
}

#[cfg(not(feature = "acme"))]
fn start_acme(_config: &Config, _timeout: Duration) -> Result<Tls, String> {
    Err(NO_ACME.to_owned())
}

/// TLS 1.2 and 1.3 with the suites of ring, and no certificates of clients.
fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a client that speaks plain HTTP is told.
fn no_tls() -> Vec<u8> {
    ApiError::bad_request("tls_expected", "this port speaks TLS: use https:// or wss://").on_wire()
}
