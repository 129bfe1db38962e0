//! What the provider says of a user beside the ID token: claims that the token lacks are read there.

use openidconnect::{
    AccessToken, AdditionalClaims, SubjectIdentifier, UserInfoClaims, UserInfoError,
    core::CoreGenderClaim,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    asking::{ProviderSilence, asker},
    mapping::Claims,
    provider::{Client, OidcFault, OidcProvider},
};

/// The claims that the library has no name for, such as groups.
#[derive(Debug, Serialize, Deserialize)]
struct OtherClaims {
    #[serde(flatten)]
    all: Claims,
}

impl AdditionalClaims for OtherClaims {}

impl OidcProvider {
    /// All claims of the subject of an ID token, as the owner of the access token may read them; `None` where
    /// the provider has no such endpoint.
    ///
    /// # Errors
    /// The provider does not answer, or speaks of another subject.
    pub(super) async fn userinfo(
        &self,
        client: &Client,
        access: AccessToken,
        subject: &str,
    ) -> Result<Option<Claims>, OidcFault> {
        let subject = SubjectIdentifier::new(subject.to_owned());
        // It fails only where the provider names no address.
        let Ok(request) = client.user_info(access, Some(subject)) else { return Ok(None) };
        let asker = asker(self.trusts.clone());
        let found = request.request_async::<OtherClaims, _, CoreGenderClaim>(&asker).await;
        found.map_err(fault).and_then(plain).map(Some)
    }
}

/// The claims as JSON.
fn plain(found: UserInfoClaims<OtherClaims, CoreGenderClaim>) -> Result<Claims, OidcFault> {
    match serde_json::to_value(found) {
        Ok(Value::Object(claims)) => Ok(claims),
        _ => Err(OidcFault::Userinfo("its claims are no JSON object".to_owned())),
    }
}

/// No text of the answer is in it: the log is no place for what is said of a user.
fn fault(error: UserInfoError<ProviderSilence>) -> OidcFault {
    match error {
        UserInfoError::Request(why) => OidcFault::Away(format!("its userinfo: {why}")),
        UserInfoError::Response(status, _, why) => {
            OidcFault::Away(format!("its userinfo answers {status}: {why}"))
        }
        UserInfoError::ClaimsVerification(why) => OidcFault::Userinfo(why.to_string()),
        UserInfoError::Parse(why) => OidcFault::Userinfo(why.to_string()),
        other => OidcFault::Userinfo(other.to_string()),
    }
}
