//! What of an event is never stored: addresses of visitors, and properties that the shop names.
//!
//! Both are taken out at the door, before an event goes to the disk, so no row, no counter, no dead
//! letter and no log ever has them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{collections::BTreeMap, fmt, sync::Arc};

use aho_corasick::AhoCorasick;
use serde_json::value::RawValue;

use crate::domain::veil::{plain_name, words};

/// Names of properties that hold an address, as [`plain_name`] gives them. SDKs and collectors use these.
const ADDRESS_NAMES: &[&str] = &[
    "ip",
    "cip",
    "ipaddress",
    "ipoverride",
    "clientip",
    "clientipaddress",
    "userip",
    "useripaddress",
    "visitorip",
    "remoteip",
    "remoteaddr",
    "remoteaddress",
    "clientaddress",
    "sourceaddress",
    "sourceip",
    "peerip",
    "netpeerip",
    "networkpeeraddress",
    "netsockpeeraddr",
    "httpclientip",
    "xforwardedfor",
    "forwardedfor",
    "xrealip",
    "browserip",
];
/// How these names end, so that a text without any of them need not be read.
const ENDINGS: &[&str] = &["ip\"", "address\"", "addr\"", "for\"", "override\""];

/// What stands in the place of a text that can't be read and may hold what is never stored.
const NOT_KEPT: &str = "(not kept: it may hold what privacy.never_store or privacy.ip leave out)";

/// What becomes of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// They are left out.
    Dropped,
    /// The last part is zero: what is left are networks of 256 addresses, or of 2^80 with IPv6.
    Cut,
    /// They are stored as they came.
    Kept,
}

/// `[privacy]`. A clone is a handle on the same.
#[derive(Clone, Debug)]
pub struct Privacy(Arc<PrivacyRules>);

struct PrivacyRules {
    addresses: Addresses,
    /// Names in small letters.
    never_store: Vec<String>,
    /// Finds texts in which there may be something to take out; `None` where nothing ever is.
    suspects: Option<AhoCorasick>,
}

impl fmt::Debug for PrivacyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, never {:?}", self.addresses, self.never_store)
    }
}

impl Privacy {
    /// What becomes of addresses, and the names of properties that are never stored, at any depth.
    pub fn new(addresses: Addresses, never_store: &[String]) -> Privacy {
        let never_store: Vec<String> = never_store.iter().map(|name| name.to_lowercase()).collect();
        let mut needles: Vec<String> = never_store.iter().map(|name| format!("{name}\"")).collect();
        if addresses != Addresses::Kept {
            needles.extend(ENDINGS.iter().map(ToString::to_string));
        }
        let suspects = (!needles.is_empty()).then(|| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&needles)
                .expect("a few hundred short words are no problem")
        });
        Privacy(Arc::new(PrivacyRules { addresses, never_store, suspects }))
    }

    /// The object of JSON without what is never stored; `None` where there is nothing to take out.
    pub fn cleaned(&self, object: &str) -> Option<String> {
        self.is_suspect(object).then(|| self.0.cleaned(object)).flatten()
    }

    /// A text that somebody sent, as it may be kept. What is no JSON, as a form, or where only the
    /// beginning is kept, is left out whole where it names what is never stored.
    pub fn kept(&self, text: String) -> String {
        // In a form no quote stands behind a name, and its characters may be escaped.
        let hides = |word: &str| self.0.is_address(word) || self.0.is_never(word);
        let names = || {
            let plain = percent_encoding::percent_decode_str(&text).decode_utf8_lossy();
            words(&plain).any(hides) || self.is_suspect(&plain)
        };
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(_) if !self.is_suspect(&text) => text,
            Ok(_) => self.0.cleaned(&text).unwrap_or(text),
            Err(_) if self.0.suspects.is_some() && names() => NOT_KEPT.to_owned(),
            Err(_) => text,
        }
    }

    /// Whether there may be something to take out. A name may be escaped (`\u0069p`), and the search
    /// knows only the capitals of ASCII.
    fn is_suspect(&self, text: &str) -> bool {
        let Some(suspects) = &self.0.suspects else { return false };
        let is_foreign = || self.0.never_store.iter().any(|name| !name.is_ascii());
        suspects.is_match(text) || text.contains("\\u") || is_foreign()
    }
}

impl PrivacyRules {
    fn is_never(&self, name: &str) -> bool {
        !self.never_store.is_empty() && self.never_store.contains(&name.to_lowercase())
    }

    fn is_address(&self, name: &str) -> bool {
        self.addresses != Addresses::Kept && ADDRESS_NAMES.contains(&plain_name(name).as_str())
    }

    /// A value without what is never stored; `None` where it is as it was. Numbers keep their digits.
    fn cleaned(&self, text: &str) -> Option<String> {
        let text = text.trim();
        match text.as_bytes().first()? {
            b'{' => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                // OpenTelemetry has a name and its value side by side.
                let key = members.get("key").and_then(|key| serde_json::from_str(key.get()).ok());
                let is_of_key = |key: &String| self.is_never(key) || self.is_address(key);
                if members.len() == 2
                    && members.contains_key("value")
                    && key.is_some_and(|key| is_of_key(&key))
                {
                    return Some("{}".to_owned());
                }
                let mut changed = false;
                let mut left = Vec::with_capacity(members.len());
                for (name, value) in members {
                    let value = value.get();
                    let new = match (self.is_never(&name), self.is_address(&name)) {
                        (true, _) => None,
                        (_, true) => self.address(value),
                        _ => Some(self.cleaned(value).unwrap_or_else(|| value.to_owned())),
                    };
                    changed |= new.as_deref() != Some(value);
                    left.extend(new.map(|value| format!("{}:{value}", json(&name))));
                }
                changed.then(|| format!("{{{}}}", left.join(",")))
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let cleaned: Vec<_> = items.iter().map(|item| self.cleaned(item.get())).collect();
                let changed = cleaned.iter().any(Option::is_some);
                let all = items.iter().zip(cleaned);
                let all = all.map(|(item, new)| new.unwrap_or_else(|| item.get().to_owned()));
                changed.then(|| format!("[{}]", all.collect::<Vec<_>>().join(",")))
            }
            _ => None,
        }
    }

    /// What is kept of an address, as JSON. What can't be read as one is dropped.
    fn address(&self, value: &str) -> Option<String> {
        if self.addresses == Addresses::Dropped {
            return None;
        }
        let text: String = serde_json::from_str(value).ok()?;
        let network = match text.trim().parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() >> 8 << 8).to_string(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).to_string(),
        };
        Some(json(&network))
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privacy(addresses: Addresses, never: &[&str]) -> Privacy {
        let never: Vec<String> = never.iter().map(ToString::to_string).collect();
        Privacy::new(addresses, &never)
    }

    #[test]
    fn addresses_are_taken_out_wherever_they_stand() {
        let dropped = privacy(Addresses::Dropped, &[]);
        let text = r#"{"amount":1.50,"$ip":"192.0.2.1","context":{"IP":"2001:db8::1","big":12345678901234567890},
            "list":[{"client.address":"192.0.2.1"},7],"X-Forwarded-For":"192.0.2.1, 10.0.0.1","shipping":"a"}"#;
        let cleaned = dropped.cleaned(text).unwrap();
        assert!(!cleaned.contains("192.0.2") && !cleaned.contains("2001"), "{cleaned}");
        assert!(cleaned.contains(r#""amount":1.50"#) && cleaned.contains("12345678901234567890"));
        assert!(cleaned.contains(r#""shipping":"a""#));
        assert_eq!(dropped.cleaned(r#"{"shipping":"a","address":"Street 1","tip":5}"#), None);
        assert_eq!(privacy(Addresses::Kept, &[]).cleaned(text), None);
    }

    #[test]
    fn what_is_cut_is_the_network() {
        let cut = privacy(Addresses::Cut, &[]);
        let cleaned = |text: &str| cut.cleaned(text);
        assert_eq!(cleaned(r#"{"ip":"192.0.2.77"}"#).unwrap(), r#"{"ip":"192.0.2.0"}"#);
        assert_eq!(cleaned(r#"{"ip":"::ffff:192.0.2.77"}"#).unwrap(), r#"{"ip":"192.0.2.0"}"#);
        assert_eq!(cleaned(r#"{"ip":"2001:db8:1:2:3::4"}"#).unwrap(), r#"{"ip":"2001:db8:1::"}"#);
        assert_eq!(cleaned(r#"{"ip":"unknown"}"#).unwrap(), "{}");
        assert_eq!(cleaned(r#"{"ip":"192.0.2.0"}"#), None, "it is one already");
    }

    #[test]
    fn named_properties_are_never_stored_at_any_depth() {
        let never = privacy(Addresses::Kept, &["email", "birthDate"]);
        assert_eq!(
            never.cleaned(r#"{"a":{"Email":"x","b":1},"birthdate":5,"ip":"192.0.2.1"}"#).unwrap(),
            r#"{"a":{"b":1},"ip":"192.0.2.1"}"#
        );
        assert_eq!(never.cleaned(r#"{"mail":"x"}"#), None);
        // As Python and PHP write it.
        let foreign = privacy(Addresses::Dropped, &["Größe"]);
        for text in [r#"{"gr\u00f6\u00dfe":5}"#, r#" {"GRÖßE":5}"#, r#"{"\u0069p":"192.0.2.1"}"#]
        {
            assert_eq!(foreign.cleaned(text).as_deref(), Some("{}"), "{text}");
        }
        let pair = r#"[{"key":"client.address","value":{"stringValue":"192.0.2.1"}}]"#;
        assert_eq!(foreign.kept(pair.to_owned()), "[{}]");
    }

    #[test]
    fn a_text_that_can_not_be_read_is_not_kept_where_it_names_one() {
        let dropped = privacy(Addresses::Dropped, &["email"]);
        let kept = |text: &str| dropped.kept(text.to_owned());
        assert_eq!(
            kept(r#"{"type":7,"properties":{"email":"x"}}"#),
            r#"{"properties":{},"type":7}"#
        );
        assert_eq!(kept("idsite=1&cip=192.0.2.1"), NOT_KEPT);
        assert_eq!(kept("idsite=1&%63ip=192.0.2.1"), NOT_KEPT);
        assert_eq!(kept(r#"{"email":"x"#), NOT_KEPT);
        assert_eq!(kept(r#"{"type":NaN}"#), r#"{"type":NaN}"#);
        assert_eq!(privacy(Addresses::Kept, &[]).kept("cip=192.0.2.1".to_owned()), "cip=192.0.2.1");
    }
}
