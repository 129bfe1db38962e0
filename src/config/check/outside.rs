//! What of the configuration decides who outside can reach the server, and how: names, proxies, the
//! second listener, and TLS.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::config::{Config, HttpConfig, webhook_url};

impl Config {
    /// The addresses of `http.ops_listen`; none where it is empty.
    ///
    /// # Errors
    /// It is no address, in words.
    pub fn ops_addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let text = &self.http.ops_listen;
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let addresses = text.to_socket_addrs().map(Iterator::collect);
        addresses.map_err(|e| {
            format!("http.ops_listen: {text:?} is not an address such as 127.0.0.1:9090 ({e})")
        })
    }

    /// The address by which other machines reach the server.
    pub(super) fn reached_at(&self) -> &str {
        let public = self.listen_addresses().unwrap_or_default();
        match public.iter().all(|address| address.ip().is_loopback()) {
            true => &self.http.ops_listen,
            false => &self.listen,
        }
    }

    /// Names under which the server is asked, the networks of its proxies, the listener for operators,
    /// and TLS.
    pub(super) fn check_outside(&self, found: &mut Vec<String>) {
        self.check_names(found);
        self.check_ops_listen(found);
        self.check_tls(found);
        self.check_oidc(found);
        self.check_otlp(found);
    }

    /// The OpenID provider: whoever could read or change what it says could be anybody here.
    fn check_oidc(&self, found: &mut Vec<String>) {
        let oidc = &self.oidc;
        if oidc.issuer.is_empty() {
            return;
        }
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        let is_safe = |url: &str| {
            let ends = |rest: &str| rest.is_empty() || rest.starts_with([':', '/']);
            url.starts_with("https://")
                || local.iter().any(|local| url.strip_prefix(local).is_some_and(ends))
        };
        if !is_safe(&oidc.issuer) {
            found
                .push("oidc.issuer: must begin with https:// (http:// on this machine)".to_owned());
        }
        if !is_safe(&oidc.base_url) {
            found.push(
                "oidc.base_url: must be the address of the dashboard as browsers reach it, and begin \
                 with https:// (http:// on this machine)"
                    .to_owned(),
            );
        }
        if !oidc.ca.is_empty() && !oidc.issuer.starts_with("https://") {
            found.push(
                "oidc.ca: is set, but oidc.issuer is not encrypted: write https://, or leave it empty"
                    .to_owned(),
            );
        }
        if oidc.client_id.is_empty() {
            found.push(
                "oidc.client_id: is empty; the provider gives one for this dashboard".to_owned(),
            );
        }
        if oidc.admins.is_empty() && oidc.analysts.is_empty() && oidc.viewers.is_empty() {
            found.push(
                "oidc: admins, analysts and viewers are empty, so nobody would be let in"
                    .to_owned(),
            );
        }
    }

    /// The collector. Its URL stands in texts that people read, so no secret may be in it.
    fn check_otlp(&self, found: &mut Vec<String>) {
        let otlp = &self.otlp;
        if !otlp.endpoint.is_empty() {
            let is_url = webhook_url::place_of(&otlp.endpoint).is_some();
            if !is_url || otlp.endpoint.contains(['@', '?', '#']) {
                found.push(
                    "otlp.endpoint: must be a URL such as http://127.0.0.1:4318, without a user, a \
                     password or a query; what a collector asks for belongs into otlp.headers"
                        .to_owned(),
                );
            }
        }
        if !otlp.ca.is_empty() && !otlp.endpoint.starts_with("https://") {
            found.push(
                "otlp.ca: is set, but otlp.endpoint is not encrypted: write https://, or leave it empty"
                    .to_owned(),
            );
        }
        if otlp.header_pairs().is_none() {
            // The value of a header may be a secret, so none is shown.
            found.push("otlp.headers: one of them is not of the form \"name: value\"".to_owned());
        }
        if otlp.service_name.trim().is_empty() {
            found.push("otlp.service_name: is empty".to_owned());
        }
    }

    fn check_ops_listen(&self, found: &mut Vec<String>) {
        let addresses = match self.ops_addresses() {
            Ok(addresses) => addresses,
            Err(message) => return found.push(message),
        };
        let fixed_port = addresses.iter().all(|address| address.port() != 0);
        if !addresses.is_empty() && fixed_port && self.http.ops_listen == self.listen {
            found.push(
                "http.ops_listen: is the same as listen; it needs a port of its own".to_owned(),
            );
        }
    }

    fn check_tls(&self, found: &mut Vec<String>) {
        let tls = &self.tls;
        if tls.cert.is_empty() != tls.key.is_empty() {
            found.push("tls: cert and key belong together; set both, or none".to_owned());
        }
        if !tls.cert.is_empty() && !tls.acme_domains.is_empty() {
            found.push("tls: set either cert and key, or acme_domains".to_owned());
        }
        for name in &tls.acme_domains {
            if !is_host_pattern(name) || name.contains('*') || !name.contains('.') {
                found.push(format!(
                    "tls.acme_domains: {name:?} is no name such as shop.example, for which an \
                     authority could find this server"
                ));
            }
        }
    }

    fn check_names(&self, found: &mut Vec<String>) {
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
