//! Sources: who may send events, each under a name of its own (`[[source]]`).
//!
//! A source is a shop's web page, its back end, its app. It has keys, or ids for clients that can't send
//! a key: the `domain` of Plausible, the `website` of Umami, the `idsite` of Matomo, the app id of
//! Snowplow. The name goes into the column `source` of every event.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::domain::{
    ids::IdSpace,
    metric::Names,
    rule::{Fault, List, MAX_NAME, MAX_RULES},
};

/// The name of those who send with a key of `auth.write_keys`, or to a server without keys.
pub const UNNAMED: &str = "http";

/// Who sent an event, and in which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// The name of its source.
    pub source: &'a str,
    /// The name of its dialect.
    pub dialect: &'a str,
    /// Whose ids its ids are.
    pub ids: IdSpace,
    /// Whether its orders and refunds count as revenue: it is the revenue source, or there is none.
    pub has_revenue: bool,
    /// Whether a bot sent it.
    pub is_bot: bool,
}

/// `[[source]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// What it is called in events and metrics: 1 to 64 characters of `A-Z a-z 0-9 _ . : -`.
    pub name: String,
    /// Its write key, or several: while one takes the place of another, both are good.
    #[serde(default)]
    pub key: Names,
    /// What its clients send in place of a key. Everybody can read it in a page, so only a public
    /// source has any.
    #[serde(default)]
    pub ids: Names,
    /// Whether its key stands in pages and apps, where everybody can read it.
    #[serde(default)]
    pub public: bool,
    /// The origins whose pages may send for it (`https://shop.example`); empty: those of all.
    #[serde(default)]
    pub allowed_origins: Names,
    /// Whose webhooks it sends: they are signed, and need no key.
    #[serde(default)]
    pub webhook: Option<WebhookVendor>,
    /// What its webhooks are signed with, or several while one takes the place of another.
    #[serde(default)]
    pub secret: Names,
    /// Whether it is the revenue source: the orders and refunds of all others are only reported.
    #[serde(default)]
    pub revenue: bool,
    /// `true` takes the entry of the same name away that an earlier layer has.
    #[serde(default)]
    pub off: bool,
}

/// Whose webhooks are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookVendor {
    /// Shopify: an order is paid, refunded, cancelled.
    Shopify,
    /// Stripe: a charge or a refund.
    Stripe,
    /// GitHub: a deployment or a release. They become marks, and no events.
    GitHub,
    /// GitLab: the same.
    GitLab,
}

impl WebhookVendor {
    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            WebhookVendor::Shopify => "shopify",
            WebhookVendor::Stripe => "stripe",
            WebhookVendor::GitHub => "github",
            WebhookVendor::GitLab => "gitlab",
        }
    }
}

impl SourceSpec {
    /// Whether it has keys, or ids that stand for one.
    pub fn needs_key(&self) -> bool {
        !self.key.0.is_empty() || !self.ids.0.is_empty()
    }

    /// Whose ids the ids of its events are.
    pub fn id_space(&self) -> IdSpace {
        match (self.public, self.webhook) {
            (true, _) => IdSpace::Public,
            (false, Some(_)) => IdSpace::Webhook,
            (false, None) => IdSpace::Shop,
        }
    }

    /// Whether its orders and refunds count, where `is_chosen` says that there is a revenue source. The
    /// charges of Stripe pay for orders that the shop tells, so they only count where it is chosen.
    pub fn has_revenue(&self, is_chosen: bool) -> bool {
        match is_chosen || self.webhook == Some(WebhookVendor::Stripe) {
            true => self.revenue,
            false => true,
        }
    }
}

/// Looks whether the sources can be used together.
///
/// # Errors
/// Every entry that can't, with its place in the list.
pub fn check(specs: &[SourceSpec]) -> Result<(), Vec<Fault>> {
    let (mut names, mut keys, mut ids) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut faults, mut revenue) = (Vec::new(), None);
    for (index, spec) in specs.iter().enumerate() {
        let mut wrong =
            |message: String| faults.push(Fault { list: List::Sources, index, message });
        let name = &spec.name;
        if !is_name(name) {
            wrong(format!("name {name:?}: 1 to {MAX_NAME} characters of A-Z a-z 0-9 _ . : -"));
        }
        if name == UNNAMED || !names.insert(name) {
            wrong(format!("{name}: another source has this name"));
        }
        if spec.key.0.is_empty() && spec.ids.0.is_empty() && spec.webhook.is_none() {
            wrong(format!(
                "{name}: needs a key, or ids for clients that send no key, or webhook and secret"
            ));
        }
        if spec.webhook.is_some() == spec.secret.0.is_empty() {
            wrong(format!("{name}: webhook and secret need each other"));
        }
        if spec.webhook.is_some() && spec.public {
            wrong(format!("{name}: a source of webhooks has a secret, so it is not public"));
        }
        if spec.secret.0.iter().any(|secret| secret.trim().is_empty()) {
            wrong(format!("{name}: an empty secret would let anyone in; remove it"));
        }
        if spec.revenue && revenue.replace(name).is_some() {
            wrong(format!("{name}: another source has revenue = true, and only one can"));
        }
        if !spec.ids.0.is_empty() && !spec.public {
            wrong(format!("{name}: ids stand in pages, so a source with ids needs public = true"));
        }
        for key in &spec.key.0 {
            // The message leaves the key out, since it is a secret.
            match key.trim().is_empty() {
                true => wrong(format!("{name}: an empty key would let anyone in; remove it")),
                false if !keys.insert(key) => wrong(format!("{name}: a key is there twice")),
                false => {}
            }
        }
        for id in &spec.ids.0 {
            match id.trim().is_empty() {
                true => wrong(format!("{name}: an id is empty")),
                false if !ids.insert(id) => wrong(format!("{name}: the id {id:?} is there twice")),
                false => {}
            }
        }
        for origin in &spec.allowed_origins.0 {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                wrong(format!("{name}: {origin:?} is not an origin such as https://shop.example"));
            }
        }
    }
    if specs.len() > MAX_RULES {
        let message = format!("more than {MAX_RULES} of them");
        faults.push(Fault { list: List::Sources, index: MAX_RULES, message });
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, keys: &[&str], ids: &[&str], public: bool) -> SourceSpec {
        let names = |texts: &[&str]| Names(texts.iter().map(ToString::to_string).collect());
        let name = name.to_owned();
        SourceSpec { name, key: names(keys), ids: names(ids), public, ..SourceSpec::default() }
    }

    #[test]
    fn sources_are_told_apart_by_name_key_and_id() {
        let web = || spec("web", &["w"], &["shop.example"], true);
        assert_eq!(check(&[web(), spec("back-end", &["b1", "b2"], &[], false)]), Ok(()));
        for (wrong, message) in [
            (spec("web", &["x"], &[], true), "another source has this name"),
            (spec("http", &["x"], &[], true), "another source has this name"),
            (spec("a b", &["x"], &[], true), "1 to 64 characters"),
            (spec("b", &[], &[], true), "needs a key"),
            (spec("b", &["w"], &[], true), "a key is there twice"),
            (spec("b", &[" "], &[], true), "an empty key"),
            (spec("b", &["x"], &["shop.example"], true), "is there twice"),
            (spec("b", &["x"], &["other.example"], false), "needs public = true"),
        ] {
            let faults = check(&[web(), wrong]).unwrap_err();
            assert!(faults[0].message.contains(message), "{faults:?}");
            assert_eq!((faults.len(), faults[0].index), (1, 1));
        }
    }

    #[test]
    fn a_webhook_has_a_secret_and_one_source_has_the_revenue() {
        let shopify = || SourceSpec {
            name: "shopify".to_owned(),
            webhook: Some(WebhookVendor::Shopify),
            secret: Names(vec!["s".to_owned()]),
            revenue: true,
            ..SourceSpec::default()
        };
        assert_eq!(check(&[shopify()]), Ok(()));
        let named = |name: &str| SourceSpec { name: name.to_owned(), ..shopify() };
        for (wrong, message) in [
            (named("b"), "only one can"),
            (
                SourceSpec { revenue: false, secret: Names::default(), ..named("b") },
                "need each other",
            ),
            (SourceSpec { revenue: false, public: true, ..named("b") }, "is not public"),
            (
                SourceSpec { revenue: false, secret: Names(vec![" ".to_owned()]), ..named("b") },
                "an empty secret",
            ),
        ] {
            let faults = check(&[shopify(), wrong]).unwrap_err();
            assert!(faults.iter().any(|fault| fault.message.contains(message)), "{faults:?}");
        }
    }

    #[test]
    fn charges_of_stripe_count_only_where_they_are_chosen() {
        let stripe = |revenue| SourceSpec {
            webhook: Some(WebhookVendor::Stripe),
            revenue,
            ..SourceSpec::default()
        };
        assert!(!stripe(false).has_revenue(false) && stripe(true).has_revenue(true));
        let page = SourceSpec { public: true, ..SourceSpec::default() };
        assert!(page.has_revenue(false) && !page.has_revenue(true));
    }
}
