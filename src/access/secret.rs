//! Secrets that are made here: 256 random bits, and a prefix that says what they are. Only their
//! SHA-256 is kept, which is enough for what nobody can guess; passwords need more
//! ([`super::password`]).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// What a secret is for. The prefix lets people and scanners of leaked secrets recognise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A write key of a server.
    Key,
    /// A write key that stands in pages.
    PublicKey,
    /// An API token.
    Token,
    /// A link.
    Link,
}

impl SecretKind {
    fn prefix(self) -> &'static str {
        match self {
            SecretKind::Key => "fm_sk_",
            SecretKind::PublicKey => "fm_pk_",
            SecretKind::Token => "fm_at_",
            SecretKind::Link => "fm_ln_",
        }
    }

    /// A new secret. It is shown once, and never kept.
    pub fn make(self) -> String {
        let random: [u8; 32] = rand::random();
        format!("{}{}", self.prefix(), URL_SAFE_NO_PAD.encode(random))
    }
}

/// What is kept of a secret: its SHA-256 in hex.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// A random id of 12 hex digits. It is no secret.
pub fn id() -> String {
    let random: [u8; 6] = rand::random();
    hex(&random)
}

/// A password for somebody who has not chosen one yet, of 120 random bits.
pub fn password() -> String {
    let random: [u8; 15] = rand::random();
    URL_SAFE_NO_PAD.encode(random)
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
