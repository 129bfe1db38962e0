//! What of the configuration decides who outside can reach: names and proxies.

use crate::config::{Config, HttpConfig};

impl Config {
    /// Names under which the server is asked, and the networks of its proxies.
    pub(super) fn check_outside(&self, found: &mut Vec<String>) {
        for name in &self.http.allowed_hosts {
            if !is_host_pattern(name) {
                found.push(format!(
                    "http.allowed_hosts: {name:?} is no name such as shop.example, \
                     *.shop.example or *, without a scheme and without a port"
                ));
            }
        }
        let (proxies, trusted) = (&self.http.proxies, &self.http.trusted_proxies);
        for (key, list) in [("proxies", proxies), ("trusted_proxies", trusted)] {
            if let Err(wrong) = HttpConfig::networks(list) {
                found.push(format!(
                    "http.{key}: {wrong:?} is neither an address such as 10.0.0.1 nor a network \
                     such as 10.0.0.0/8"
                ));
            }
        }
    }
}

/// Whether this is a name, a name under which all others are meant, or the star for all names.
fn is_host_pattern(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        !label.is_empty() && label.bytes().all(plain)
    };
    text == "*" || name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_neither_scheme_nor_port() {
        for name in ["*", "shop.example", "*.shop.example", "floodmark", "shop.example."] {
            assert!(is_host_pattern(name), "{name}");
        }
        for text in ["", "*.", "http://shop.example", "shop.example:80", "a*.example", "a..b"] {
            assert!(!is_host_pattern(text), "{text}");
        }
    }
}
