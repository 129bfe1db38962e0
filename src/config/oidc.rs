//! The section `[oidc]` of the configuration.

use serde::{Deserialize, Serialize};

/// `[oidc]`: the OpenID provider at which users sign in, and what it says they are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// Its issuer identifier, a URL; empty: nobody signs in by OpenID.
    pub issuer: String,
    /// A PEM file of the CA by which the provider is known; empty: the public ones.
    pub ca: String,
    /// What it calls this dashboard.
    pub client_id: String,
    /// The secret that goes with it; empty for a public client.
    pub client_secret: String,
    /// What it is asked for, besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that names a user.
    pub name_claim: String,
    /// The claim whose values give a role; a dot leads into an object.
    pub role_claim: String,
    /// Values that make an admin.
    pub admins: Vec<String>,
    /// Values that make an analyst.
    pub analysts: Vec<String>,
    /// Values that make a viewer.
    pub viewers: Vec<String>,
    /// The address of the dashboard, as browsers reach it.
    pub base_url: String,
    /// What the dashboard calls the provider.
    pub label: String,
}
