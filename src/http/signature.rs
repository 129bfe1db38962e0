//! Signatures of webhooks: an HMAC-SHA256 of the body, with a secret that the vendor and the shop share.

use std::sync::Arc;

use actix_web::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::{
    domain::source::{SourceSpec, WebhookVendor},
    http::error::ApiError,
};

/// What a request says of its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// What is signed before the body.
    pub before: Vec<u8>,
    /// The signatures, as bytes. While a secret takes the place of another there are several, and one of
    /// them has to be right.
    pub tags: Vec<Vec<u8>>,
}

impl Signature {
    /// Whether one of the signatures was made of this body with this secret. They are compared in
    /// constant time.
    pub fn is_by(&self, secret: &[u8], body: &[u8]) -> bool {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        let mac = mac.chain_update(&self.before).chain_update(body);
        self.tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok())
    }
}

/// The secrets of all sources of webhooks. A clone shares them.
#[derive(Clone, Debug)]
pub struct Signers(Arc<[Signer]>);

/// One that signs webhooks.
#[derive(Debug)]
struct Signer {
    vendor: WebhookVendor,
    secret: String,
    /// The place of its sender.
    sender: usize,
}

impl Signers {
    /// Those of the sources, of which the first has the place `first` among all senders.
    pub fn of(sources: &[SourceSpec], first: usize) -> Signers {
        let of_source = |(sender, source): (usize, &SourceSpec)| -> Vec<Signer> {
            let Some(vendor) = source.webhook else { return Vec::new() };
            let secrets = source.secret.0.iter().cloned();
            secrets.map(|secret| Signer { vendor, secret, sender }).collect()
        };
        Signers((first..).zip(sources).flat_map(of_source).collect())
    }

    /// The place of the sender that has signed a body.
    ///
    /// # Errors
    /// 401 where no source of this vendor has.
    pub fn find(
        &self,
        vendor: WebhookVendor,
        signature: &Signature,
        body: &[u8],
    ) -> Result<usize, ApiError> {
        let signer = self.of_vendor(vendor)?.find(|it| signature.is_by(it.secret.as_bytes(), body));
        signer.map(|signer| signer.sender).ok_or_else(|| {
            refused("none of the secrets of [[source]] has signed this body".to_owned())
        })
    }

    /// The place of the sender that has this secret, which a vendor sends as it is.
    ///
    /// # Errors
    /// 401 where no source of this vendor has.
    pub fn find_token(&self, vendor: WebhookVendor, token: &str) -> Result<usize, ApiError> {
        // Each is compared, also after a match, so that the time says nothing of which one it was.
        let (mut known, mut sender) = (Choice::from(0), 0);
        for signer in self.of_vendor(vendor)? {
            let same = signer.secret.as_bytes().ct_eq(token.as_bytes());
            if bool::from(same & !known) {
                sender = signer.sender;
            }
            known |= same;
        }
        match bool::from(known) {
            true => Ok(sender),
            false => Err(refused("none of the secrets of [[source]] is this token".to_owned())),
        }
    }

    /// Those of a vendor.
    fn of_vendor(&self, vendor: WebhookVendor) -> Result<impl Iterator<Item = &Signer>, ApiError> {
        let mut signers = self.0.iter().filter(move |signer| signer.vendor == vendor).peekable();
        if signers.peek().is_none() {
            let name = vendor.name();
            return Err(refused(format!("no [[source]] has webhook = {name:?} and its secret")));
        }
        Ok(signers)
    }
}

fn refused(message: String) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "signature", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metric::Names;

    #[test]
    fn a_token_is_of_a_source_of_its_vendor() {
        let source = |webhook, secrets: &[&str]| SourceSpec {
            webhook: Some(webhook),
            secret: Names(secrets.iter().map(ToString::to_string).collect()),
            ..SourceSpec::default()
        };
        let sources = [
            source(WebhookVendor::Stripe, &["other"]),
            source(WebhookVendor::GitLab, &["old", "new"]),
            source(WebhookVendor::GitLab, &["third"]),
        ];
        let signers = Signers::of(&sources, 5);
        let find = |token| signers.find_token(WebhookVendor::GitLab, token).ok();
        assert_eq!(["old", "new", "third"].map(find), [Some(6), Some(6), Some(7)]);
        assert_eq!(["other", "", "ol", "olds"].map(find), [None; 4]);
        assert!(signers.find_token(WebhookVendor::GitHub, "old").is_err());
    }

    #[test]
    fn a_signature_is_of_one_body_with_one_secret() {
        // RFC 4231, test case 2.
        let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let tag = (0..32).map(|at| u8::from_str_radix(&tag[2 * at..2 * at + 2], 16).unwrap());
        let wrong = vec![0; 32];
        let signature =
            Signature { before: b"what do ya ".to_vec(), tags: vec![wrong, tag.collect()] };
        assert!(signature.is_by(b"Jefe", b"want for nothing?"));
        assert!(!signature.is_by(b"Jefe", b"want for nothing!"));
        assert!(!signature.is_by(b"jefe", b"want for nothing?"));
        assert!(!Signature::default().is_by(b"Jefe", b""));
    }
}
