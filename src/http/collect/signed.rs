//! Webhooks that are no events: the steps that they have in common with those that are.

use actix_web::{HttpRequest, web};
use bytes::Bytes;

use super::{Intake, payload};
use crate::{
    domain::source::WebhookVendor,
    http::{error::ApiError, signature::Signature},
};

/// What proves who sends a webhook.
#[derive(Clone, Debug)]
pub enum HookProof {
    /// A signature of the body.
    Signature(WebhookVendor, Signature),
    /// The secret itself.
    Token(WebhookVendor, String),
}

impl Intake {
    /// The body of a webhook, and the name of the `[[source]]` that it is from.
    ///
    /// # Errors
    /// 401 where no `[[source]]` of its vendor has the secret, 429 where its sender sends too much, and as
    /// [`payload::read`].
    pub async fn signed_body(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        proof: HookProof,
    ) -> Result<(Bytes, String), ApiError> {
        let client = self.proxies.client_of(request);
        let mut bytes = self.bytes_in_flight.permit(None, client);
        let body = payload::read(request, payload, &self.http, &mut bytes).await?;
        let access = match &proof {
            HookProof::Signature(vendor, signature) => {
                self.keys.by_signature(*vendor, signature, &body)?
            }
            HookProof::Token(vendor, token) => self.keys.by_token(*vendor, token)?,
        };
        self.quota.enter(&access, client)?.take(1)?;
        Ok((body, access.sender().source.clone()))
    }
}
