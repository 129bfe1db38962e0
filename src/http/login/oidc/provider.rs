//! The provider: what it says of itself, and what it says of who comes back from it.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId,
    ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    SignatureVerificationError, TokenResponse,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken,
        CoreJwsSigningAlgorithm as Algorithm, CoreProviderMetadata, CoreTokenResponse,
    },
};
use rustls::ClientConfig;
use tokio::{sync::Mutex, time::Instant};

use super::{
    asking::asker,
    mapping::{self, Claims},
};
use crate::{config::OidcConfig, trust};

/// How long what the provider says of itself is taken for true.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// How long a provider that was away is not asked again.
pub const SILENT_FOR: Duration = Duration::from_secs(5);
/// The least time between two questions for keys, however many tokens have an unknown one.
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// What tokens may be signed with: nothing that a client secret could forge.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// What asks the provider in our name.
pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What a provider has said of itself, or why it has not.
type ProviderAnswer = Result<CoreProviderMetadata, String>;

/// A provider of `[oidc]`. A clone is the same.
#[derive(Clone)]
pub struct OidcProvider {
    /// `[oidc]`
    pub config: Arc<OidcConfig>,
    /// TLS that trusts `oidc.ca`, and nobody else; `None`: the public authorities.
    pub(super) trusts: Option<Arc<ClientConfig>>,
    /// What it has said of itself, and when. Whoever asks meanwhile waits for the answer.
    known: Arc<Mutex<Option<(ProviderAnswer, Instant)>>>,
}

/// A browser's way to the provider.
pub struct WayThere {
    /// Where it goes.
    pub address: String,
    /// What the address has, and what comes back.
    pub state: String,
    /// What the ID token has to have.
    pub nonce: String,
    /// What the code is exchanged with.
    pub verifier: String,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum OidcFault {
    /// The provider does not answer, or says what can't be understood.
    #[error("the provider: {0}")]
    Away(String),
    /// The provider does not take the code.
    #[error("the code is not taken: {0}")]
    Code(String),
    /// The ID token is not what it has to be.
    #[error("the ID token: {0}")]
    Token(String),
    /// What the provider says beside it is not what it has to be.
    #[error("the userinfo: {0}")]
    Userinfo(String),
}

impl OidcProvider {
    /// The provider of `[oidc]`; `None` where there is none.
    ///
    /// # Errors
    /// The file of `oidc.ca` can't be used, in words.
    pub fn of(config: &OidcConfig) -> Result<Option<OidcProvider>, String> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let trusts = trust::only("oidc.ca", &config.ca)?;
        Ok(Some(OidcProvider { config: Arc::new(config.clone()), trusts, known: Arc::default() }))
    }

    /// The way there for a browser that comes back to `redirect`.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn way_there(&self, redirect: &str) -> Result<WayThere, OidcFault> {
        let client = self.client(redirect, self.metadata(KNOWN_FOR).await?)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        for scope in self.config.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (address, state, nonce) = request.set_pkce_challenge(challenge).url();
        Ok(WayThere {
            address: address.into(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Who came back with this code: the subject, and the claims.
    ///
    /// # Errors
    /// The provider does not answer or take the code, or the token or the userinfo is wrong.
    pub async fn who(
        &self,
        redirect: &str,
        code: String,
        verifier: String,
        nonce: String,
    ) -> Result<(String, Claims), OidcFault> {
        let client = self.client(redirect, self.metadata(KNOWN_FOR).await?)?;
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|e| OidcFault::Away(e.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier));
        let answer =
            request.request_async(&asker(self.trusts.clone())).await.map_err(|e| match e {
                openidconnect::RequestTokenError::ServerResponse(why) => {
                    OidcFault::Code(why.to_string())
                }
                openidconnect::RequestTokenError::Request(why) => OidcFault::Away(why.to_string()),
                other => OidcFault::Away(other.to_string()),
            })?;
        let token =
            answer.id_token().ok_or_else(|| OidcFault::Token("there is none".to_owned()))?;
        let nonce = Nonce::new(nonce);
        let subject = match subject_of(&client, token, &answer, &nonce) {
            // The provider may have another key since it was asked.
            Err(TokenFault::UnknownKey(_)) => {
                let client = self.client(redirect, self.metadata(ASKED_EVERY).await?)?;
                subject_of(&client, token, &answer, &nonce)
            }
            known => known,
        };
        let subject = subject.map_err(|e| OidcFault::Token(e.to_string()))?;
        let mut claims = claims_of(token)?;
        let access = answer.access_token().clone();
        self.fill_in(&mut claims, &client, access, &subject).await?;
        Ok((subject, claims))
    }

    /// Reads the claims that `[oidc]` asks for and the ID token lacks from the provider's userinfo.
    async fn fill_in(
        &self,
        claims: &mut Claims,
        client: &Client,
        access: AccessToken,
        subject: &str,
    ) -> Result<(), OidcFault> {
        let lacking = mapping::lacking(claims, &self.config);
        if lacking.is_empty() {
            return Ok(());
        }
        match self.userinfo(client, access, subject).await {
            Ok(said) => mapping::fill_in(claims, &lacking, &said.unwrap_or_default()),
            // A name can be made. Without the role nobody could be let in, and a user would lose all sessions
            // for a provider that is in trouble.
            Err(why @ OidcFault::Away(_)) if lacking == [self.config.name_claim.as_str()] => {
                tracing::warn!(%why, "the name of a user of the OpenID provider is not known");
            }
            Err(why) => return Err(why),
        }
        Ok(())
    }

    /// What the provider says of itself, where that is no older than this; else it is asked. One that is away
    /// is asked again only after [`SILENT_FOR`], however many want to sign in.
    async fn metadata(&self, no_older: Duration) -> Result<CoreProviderMetadata, OidcFault> {
        let mut known = self.known.lock().await;
        let is_fresh = |known: &(Result<_, _>, Instant)| {
            known.1.elapsed() < if known.0.is_ok() { no_older } else { SILENT_FOR }
        };
        let found = match known.as_ref().filter(|known| is_fresh(known)) {
            Some((found, _)) => found.clone(),
            None => {
                let found = self.discovered().await;
                *known = Some((found.clone(), Instant::now()));
                found
            }
        };
        found.map_err(OidcFault::Away)
    }

    async fn discovered(&self) -> Result<CoreProviderMetadata, String> {
        let in_words = |e: &dyn std::error::Error| {
            let source = e.source().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{e}{source}")
        };
        let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(|e| in_words(&e))?;
        let found = CoreProviderMetadata::discover_async(issuer, &asker(self.trusts.clone())).await;
        found.map_err(|e| in_words(&e))
    }

    fn client(&self, redirect: &str, metadata: CoreProviderMetadata) -> Result<Client, OidcFault> {
        let allowed = metadata.id_token_signing_alg_values_supported().iter();
        let allowed = allowed.filter(|it| ALGORITHMS.contains(it)).cloned().collect();
        let metadata = metadata.set_id_token_signing_alg_values_supported(allowed);
        let redirect = RedirectUrl::new(redirect.to_owned());
        let redirect = redirect.map_err(|e| OidcFault::Away(format!("oidc.base_url: {e}")))?;
        let methods = metadata.token_endpoint_auth_methods_supported().cloned();
        let by_body = methods.is_some_and(|methods| {
            !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
                && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
        });
        let secret = &self.config.client_secret;
        let secret = (!secret.is_empty()).then(|| ClientSecret::new(secret.clone()));
        let id = ClientId::new(self.config.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata, id, secret);
        let client = client.set_redirect_uri(redirect);
        Ok(if by_body { client.set_auth_type(AuthType::RequestBody) } else { client })
    }
}

/// Why an ID token is refused.
#[derive(Debug, thiserror::Error)]
enum TokenFault {
    #[error("{0}")]
    UnknownKey(String),
    #[error("{0}")]
    Wrong(String),
}

/// Checks the signature and the claims of an ID token, and that the access token belongs to it.
fn subject_of(
    client: &Client,
    token: &CoreIdToken,
    answer: &CoreTokenResponse,
    nonce: &Nonce,
) -> Result<String, TokenFault> {
    let wrong = |e: &dyn std::error::Error| TokenFault::Wrong(e.to_string());
    let verifier = client.id_token_verifier();
    let claims = token.claims(&verifier, nonce).map_err(|e| match &e {
        ClaimsVerificationError::SignatureVerification(why) => match why {
            SignatureVerificationError::NoMatchingKey
            | SignatureVerificationError::CryptoError(_) => TokenFault::UnknownKey(why.to_string()),
            other => wrong(other),
        },
        other => wrong(other),
    })?;
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(|e| wrong(&e))?;
        let key = token.signing_key(&verifier).map_err(|e| wrong(&e))?;
        let found = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
        if found.map_err(|e| wrong(&e))? != *expected {
            return Err(TokenFault::Wrong("it belongs to another access token".to_owned()));
        }
    }
    Ok(claims.subject().to_string())
}

/// All claims of a token whose signature was checked.
fn claims_of(token: &CoreIdToken) -> Result<Claims, OidcFault> {
    let text = token.to_string();
    let payload = text.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    claims.ok_or_else(|| OidcFault::Token("its claims are no JSON".to_owned()))
}
