//! What the claims of an ID token, and of the provider's userinfo, say of a user: the name, and by `[oidc]` the role.

use serde_json::{Map, Value};

use crate::{
    access::secret,
    config::OidcConfig,
    domain::access::{Role, change::is_name},
};

/// The claims of an ID token whose signature was checked, and those that were read in place of missing ones.
pub type Claims = Map<String, Value>;

/// The role by the values of `oidc.role_claim`: the highest that one of them gives. `None` for whoever has
/// none of the values that the configuration names, who is not let in.
pub fn role_of(claims: &Claims, config: &OidcConfig) -> Option<Role> {
    let has = |wanted: &[String]| match claim(claims, &config.role_claim) {
        Some(Value::String(one)) => wanted.contains(one),
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).any(|one| wanted.iter().any(|it| it == one))
        }
        _ => false,
    };
    let roles = [
        (Role::Admin, &config.admins),
        (Role::Analyst, &config.analysts),
        (Role::Viewer, &config.viewers),
    ];
    roles.into_iter().find(|(_, wanted)| has(wanted)).map(|(role, _)| role)
}

/// The name of a user who signs in for the first time. Where the claim is missing, or is none of the names
/// that users may have, it is made from the issuer and the subject, which tell the user from all others.
pub fn name_of(claims: &Claims, config: &OidcConfig, subject: &str) -> String {
    let named = claim(claims, &config.name_claim).and_then(Value::as_str);
    if let Some(name) = named.map(str::to_lowercase).filter(|name| is_name(name)) {
        return name;
    }
    let hash = secret::hash(&format!("{}\0{subject}", config.issuer));
    format!("oidc-{}", &hash[..12])
}

/// The claims that `[oidc]` takes something from, and that are not here.
pub fn lacking<'a>(claims: &Claims, config: &'a OidcConfig) -> Vec<&'a str> {
    let wanted = [config.role_claim.as_str(), config.name_claim.as_str()];
    wanted.into_iter().filter(|name| claim(claims, name).is_none_or(Value::is_null)).collect()
}

/// Takes these claims from `said`, each under its whole name, by which it is found first.
pub fn fill_in(claims: &mut Claims, names: &[&str], said: &Claims) {
    for name in names {
        if let Some(value) = claim(said, name) {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
}

/// A claim by its name, or by the way to it (`realm_access.roles`).
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> OidcConfig {
        let mut config = crate::config::Config::default().oidc;
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        config.admins = list(&["boss"]);
        config.viewers = list(&["staff", "guest"]);
        config
    }

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_highest_role_counts_and_nobody_has_one_by_default() {
        let role = |groups: Value| role_of(&claims(json!({"groups": groups})), &config());
        assert_eq!(role(json!(["staff", "boss"])), Some(Role::Admin));
        assert_eq!(role(json!(["x", "guest"])), Some(Role::Viewer));
        assert_eq!(role(json!("guest")), Some(Role::Viewer));
        for none in [json!([]), json!(["other"]), json!("bos"), json!(7), json!({"boss": true})] {
            assert_eq!(role(none.clone()), None, "{none}");
        }
        assert_eq!(role_of(&Claims::new(), &config()), None);
        let unset = crate::config::Config::default().oidc;
        assert_eq!(role_of(&claims(json!({"groups": [""]})), &unset), None);
    }

    #[test]
    fn a_claim_may_lie_deeper() {
        let mut config = config();
        config.role_claim = "realm_access.roles".to_owned();
        let deep = claims(json!({"realm_access": {"roles": ["boss"]}}));
        assert_eq!(role_of(&deep, &config), Some(Role::Admin));
        let flat = claims(json!({"realm_access.roles": ["staff"]}));
        assert_eq!(role_of(&flat, &config), Some(Role::Viewer));
    }

    #[test]
    fn only_what_a_token_lacks_is_read_elsewhere() {
        let mut config = config();
        config.role_claim = "realm_access.roles".to_owned();
        let mut token = claims(json!({"email": "a@shop.example", "realm_access": {"else": 1}}));
        assert_eq!(lacking(&token, &config), ["realm_access.roles"]);
        let said = claims(json!({
            "email": "other@shop.example", "groups": ["boss"], "realm_access": {"roles": ["guest"]},
        }));
        fill_in(&mut token, &["realm_access.roles"], &said);
        assert_eq!(role_of(&token, &config), Some(Role::Viewer));
        assert_eq!(name_of(&token, &config, "s-1"), "a@shop.example");
        assert!(lacking(&token, &config).is_empty());
        // An empty list is an answer, and nobody looks for a better one.
        let none = claims(json!({"email": null, "realm_access": {"roles": []}}));
        assert_eq!(lacking(&none, &config), ["email"]);
        let mut still = Claims::new();
        fill_in(&mut still, &lacking(&Claims::new(), &config), &Claims::new());
        assert!(still.is_empty());
    }

    #[test]
    fn a_name_that_nobody_may_have_is_made_from_the_subject() {
        let name = |claim: Value| name_of(&claims(json!({"email": claim})), &config(), "s-1");
        assert_eq!(name(json!("Alice@Shop.example")), "alice@shop.example");
        let made = name(json!("Alice Smith"));
        assert!(made.starts_with("oidc-") && made.len() == 17, "{made}");
        assert_eq!(name(json!(null)), made);
        assert_ne!(name_of(&Claims::new(), &config(), "s-2"), made);
    }
}
