//! What of an event is never stored: addresses of visitors, and properties that the shop names.
//!
//! Both are taken out at the door, before an event goes to the disk, so no row, no counter, no dead
//! letter and no log ever has them.

mod names;
mod suspects;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::value::RawValue;

use self::{
    names::{ADDRESS_NAMES, ENDINGS, IDENTITY_NAMES},
    suspects::Suspects,
};
use crate::domain::{
    packed::{PackedJson, packed_within},
    veil::{plain_name, words},
};

/// What stands in the place of a text that can't be read and may hold what is never stored.
const NOT_KEPT: &str = "(not kept: it may hold what privacy.never_store or privacy.ip leave out, or say who a \
                        visitor is who refuses to be analysed)";

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

impl Addresses {
    /// What is kept of an address; `None` where nothing is.
    pub fn kept(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address.to_canonical()) {
            (Addresses::Dropped, _) => None,
            (Addresses::Kept, address) => Some(address),
            (Addresses::Cut, IpAddr::V4(address)) => {
                Some(Ipv4Addr::from_bits(address.to_bits() >> 8 << 8).into())
            }
            (Addresses::Cut, IpAddr::V6(address)) => {
                Some(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into())
            }
        }
    }
}

/// `[privacy]`. A clone is a handle on the same.
#[derive(Clone, Debug)]
pub struct Privacy(Arc<PrivacyRules>);

struct PrivacyRules {
    addresses: Addresses,
    /// Whether what says who a visitor is ([`IDENTITY_NAMES`]) is left out as well.
    anonymous: bool,
    /// Names in small letters.
    never_store: Vec<String>,
    /// Finds texts in which there may be something to take out; `None` where nothing ever is.
    suspects: Option<Suspects>,
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
        let mut endings = never_store.clone();
        if addresses != Addresses::Kept {
            endings.extend(ENDINGS.iter().map(ToString::to_string));
        }
        let suspects = (!endings.is_empty()).then(|| Suspects::new(endings));
        Privacy(Arc::new(PrivacyRules { addresses, anonymous: false, never_store, suspects }))
    }

    /// The same for a visitor who refuses to be analysed: addresses are dropped, and what says who that is.
    pub fn without_identity(&self) -> Privacy {
        Privacy(Arc::new(PrivacyRules {
            addresses: Addresses::Dropped,
            anonymous: true,
            never_store: self.0.never_store.clone(),
            // There are many such names, and few such visitors: each of their events is read.
            suspects: None,
        }))
    }

    /// The object of JSON without what is never stored; `None` where there is nothing to take out.
    pub fn cleaned(&self, object: &str) -> Option<String> {
        self.is_suspect(object).then(|| self.0.cleaned(object)).flatten()
    }

    /// A text that somebody sent, as it may be kept. What is no JSON, as a form, or where only the
    /// beginning is kept, is left out whole where it names what is never stored.
    pub fn kept(&self, text: String) -> String {
        // In a form no quote stands behind a name, and its characters may be escaped.
        let hides = |word: &str| self.0.is_left_out(word) || self.0.is_address(word);
        let names = || {
            let plain = percent_encoding::percent_decode_str(&text).decode_utf8_lossy();
            let mut packed = packed_within(&plain);
            words(&plain).any(hides)
                || self.is_suspect(&plain)
                || packed.any(|packed| self.kept(packed.json.clone()) != packed.json)
        };
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(_) if !self.is_suspect(&text) => text,
            Ok(_) => self.0.cleaned(&text).unwrap_or(text),
            Err(_) if names() => NOT_KEPT.to_owned(),
            Err(_) => text,
        }
    }

    /// The key of the configuration by which a property of this name is never stored, if one is.
    pub fn leaves_out(&self, name: &str) -> Option<&'static str> {
        match (self.0.is_never(name), self.0.addresses) {
            (true, _) => Some("privacy.never_store"),
            (_, Addresses::Dropped) if self.0.is_address(name) => Some("privacy.ip"),
            _ => None,
        }
    }

    /// Whether there may be something to take out. A name may be escaped (`\u0069p`), and the search
    /// knows only the capitals of ASCII.
    fn is_suspect(&self, text: &str) -> bool {
        let Some(suspects) = &self.0.suspects else { return self.0.anonymous };
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

    /// Whether all of a property of this name goes.
    fn is_left_out(&self, name: &str) -> bool {
        let is_dropped = self.is_address(name) && self.addresses == Addresses::Dropped;
        is_dropped || self.is_never(name) || self.is_identity(name)
    }

    fn is_identity(&self, name: &str) -> bool {
        self.anonymous && IDENTITY_NAMES.contains(&plain_name(name).as_str())
    }

    /// A value without what is never stored; `None` where it is as it was. Numbers keep their digits.
    fn cleaned(&self, text: &str) -> Option<String> {
        let text = text.trim();
        match text.as_bytes().first()? {
            b'{' => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
                // OpenTelemetry has a name and its value side by side.
                let key = members.get("key").and_then(|key| serde_json::from_str(key.get()).ok());
                let is_of_key = |key: &String| self.is_left_out(key) || self.is_address(key);
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
                    let new = match (self.is_left_out(&name), self.is_address(&name)) {
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
            b'"' => {
                let packed = PackedJson::of(&serde_json::from_str::<String>(text).ok()?)?;
                self.cleaned(&packed.json).map(|cleaned| json(&packed.repacked(&cleaned)))
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
        let kept = self.addresses.kept(text.trim().parse().ok()?)?;
        Some(json(&kept.to_string()))
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
