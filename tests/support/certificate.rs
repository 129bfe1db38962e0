//! Certificates of a test's own, made by openssl, and a client that speaks TLS and shows which one it got.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::program::PATIENCE;

/// Writes a certificate for `localhost` and 127.0.0.1, signed by itself, and its key. Both files are put
/// in place at once, as those who renew certificates do it.
pub fn make(cert: &Path, key: &Path) {
    make_with(cert, key, "localhost", &[]);
}

/// As [`make_leaf`], for another name than `localhost`.
pub fn make_for(name: &str, cert: &Path, key: &Path) {
    make_with(cert, key, name, LEAF);
}

/// As [`make`], but one that may sign no other, so that it can be trusted by itself: rustls takes none that
/// may.
pub fn make_leaf(cert: &Path, key: &Path) {
    make_with(cert, key, "localhost", LEAF);
}

const LEAF: &[&str] = &["-addext", "basicConstraints=critical,CA:FALSE"];

fn make_with(cert: &Path, key: &Path, name: &str, further: &[&str]) {
    let fresh = |path: &Path| path.with_added_extension("fresh");
    let status = Command::new("openssl")
        .args(["req", "-x509", "-days", "30", "-nodes", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name},IP:127.0.0.1")])
        .args(further)
        .arg("-keyout")
        .arg(fresh(key))
        .arg("-out")
        .arg(fresh(cert))
        .stderr(Stdio::null())
        .status()
        .expect("openssl (apt-get install openssl)");
    assert!(status.success());
    std::fs::rename(fresh(key), key).unwrap();
    std::fs::rename(fresh(cert), cert).unwrap();
}

/// The certificate in a file.
pub fn read(cert: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(cert).expect("a certificate")
}

/// A connection with TLS that stays open for several requests.
pub struct TlsConnection(StreamOwned<ClientConnection, TcpStream>);

impl TlsConnection {
    /// Connects, and takes any certificate.
    ///
    /// # Errors
    /// Nobody listens there, or there is no handshake.
    pub fn open(addr: SocketAddr) -> std::io::Result<TlsConnection> {
        TlsConnection::over(TcpStream::connect(addr)?, "localhost")
    }

    /// Speaks TLS over a connection that is open already, asks for this name, and takes any certificate.
    ///
    /// # Errors
    /// There is no handshake.
    pub fn over(stream: TcpStream, name: &'static str) -> std::io::Result<TlsConnection> {
        let provider: Arc<CryptoProvider> = ring::default_provider().into();
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions that ring has")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        let name = ServerName::try_from(name).expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut stream = StreamOwned::new(client, stream);
        stream.flush()?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsConnection(stream))
    }

    /// The certificate of the server.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().expect("after the handshake")[0].clone().into_owned()
    }

    /// Sends a request whose answer has a Content-Length; returns the head and the body.
    pub fn ask(&mut self, request: &str) -> String {
        self.0.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let count = self.0.read(&mut piece).expect("an answer");
            answer.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if count == 0 || length.is_some_and(|n| body.len() >= n.parse::<usize>().unwrap()) {
                return text.into_owned();
            }
        }
    }
}

impl Read for TlsConnection {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for TlsConnection {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Takes every certificate, since the tests compare it with the file.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
