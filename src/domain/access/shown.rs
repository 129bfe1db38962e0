//! Identities as lists, the audit and answers show them: everything but hashes.

use serde_json::{Value, json};

use super::{Account, Identity, IdentityKind, KeyRules, LinkGrant, Role, TokenGrant};
use crate::domain::time::Millis;

/// What an identity is and until when, as the audit has it.
pub fn shown(kind: &IdentityKind, expires_at: Option<Millis>) -> Value {
    let mut shown = match kind {
        IdentityKind::Key(KeyRules {
            source,
            public,
            allowed_origins,
            event_types,
            events_per_s,
            ids,
            ..
        }) => json!({
            "source": source, "public": public, "allowedOrigins": allowed_origins,
            "eventTypes": event_types, "eventsPerS": events_per_s, "ids": ids,
        }),
        IdentityKind::User(Account { role, password, elsewhere, .. }) => match elsewhere {
            Some(who) => json!({"role": role, "hasPassword": false, "signsInAt": who.issuer}),
            None => json!({"role": role, "hasPassword": password.is_some()}),
        },
        IdentityKind::Token(TokenGrant { scopes, .. }) => json!({"scopes": scopes}),
        IdentityKind::Link(LinkGrant { password, .. }) => {
            json!({"hasPassword": password.is_some()})
        }
    };
    let hides_money = match kind {
        IdentityKind::Key(_) => None,
        IdentityKind::User(user) => Some(!user.sees_money && user.role != Role::Admin),
        IdentityKind::Token(token) => Some(!token.sees_money),
        IdentityKind::Link(link) => Some(!link.sees_money),
    };
    if let Some(hides) = hides_money {
        shown["hidden"] = if hides { json!(["money"]) } else { json!([]) };
    }
    shown["expiresAt"] = json!(expires_at);
    shown
}

/// All of an identity.
pub fn shown_identity(identity: &Identity) -> Value {
    let mut value = shown(&identity.kind, identity.expires_at);
    value["id"] = json!(identity.id);
    value["name"] = json!(identity.name);
    value["createdAt"] = json!(identity.created_at);
    value["createdBy"] = json!(identity.created_by);
    value
}
