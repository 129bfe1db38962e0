//! Under which names the server may be asked for numbers and for its page (`http.allowed_hosts`).
//!
//! A page of another site can't read what this server answers, unless it gets the browser to take the
//! server for its own site: its name first leads to its own server, and a moment later to the address of
//! this one (DNS rebinding). The browser then calls this server by the name of that site, in `Host`. An
//! address can't be rebound, and loopback names never leave the machine, so these are always known.
//!
//! Senders of events are not asked: pages of all sites may send anyhow ([`crate::http::scope`]), and
//! collectors are known to their clients by names that nobody has listed. Neither are health checks.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};

use crate::{
    config::Config,
    http::{auth::ViewerGuard, error::ApiError},
};

/// The longest name that a refusal repeats.
const LONGEST_NAME: usize = 253;

/// The names that are known besides addresses and loopback names. A clone shares them.
#[derive(Clone, Debug)]
pub struct KnownHosts(Arc<HostNames>);

#[derive(Debug)]
struct HostNames {
    /// Every name is known.
    any: bool,
    /// Without a list, every name is known as soon as this lets nobody in unknown.
    unlisted: Option<ViewerGuard>,
    exact: Vec<String>,
    /// Names under which every further name is known, each with its dot: `.shop.example`.
    under: Vec<String>,
}

impl KnownHosts {
    /// The names of `http.allowed_hosts`, and that of `listen` where it is one.
    ///
    /// With an empty list every name is known as soon as viewers need to be known: a page that got itself
    /// taken for this server's has neither a token nor a session. So a server behind a proxy needs no list,
    /// but one that shows its numbers to everybody does.
    pub fn new(config: &Config, viewers: ViewerGuard) -> KnownHosts {
        let allowed = &config.http.allowed_hosts;
        let mut names = HostNames {
            any: false,
            unlisted: allowed.is_empty().then_some(viewers),
            exact: Vec::new(),
            under: Vec::new(),
        };
        for name in allowed {
            let name = plain(name);
            match name.strip_prefix('*') {
                Some("") => names.any = true,
                Some(under) => names.under.push(under.to_owned()),
                None => names.exact.push(name),
            }
        }
        names.exact.push(plain(without_port(&config.listen)));
        KnownHosts(Arc::new(names))
    }

    /// Checks the name by which a request calls this server. One without a name is let in: it comes from
    /// no browser.
    ///
    /// # Errors
    /// 421 for a name that is not known.
    pub fn check(&self, request: &HttpRequest) -> Result<(), ApiError> {
        // A request line may name a host as well, which then goes before that of the header.
        let in_line = request.uri().authority().map(|authority| authority.as_str());
        let in_header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or(""));
        for host in [in_line, in_header].into_iter().flatten() {
            if !self.knows(host) {
                return Err(refusal(host));
            }
        }
        Ok(())
    }

    fn knows(&self, host: &str) -> bool {
        let needs_no_name = || self.0.unlisted.as_ref().is_some_and(|viewers| !viewers.is_open());
        if self.0.any || is_local(host) || needs_no_name() {
            return true;
        }
        let name = plain(without_port(host));
        self.0.exact.contains(&name)
            || self.0.under.iter().any(|under| name.ends_with(under) && name.len() > under.len())
    }
}

/// Whether a request calls this server by an address or a loopback name, or by no name.
pub fn is_asked_locally(request: &HttpRequest) -> bool {
    let host = request.headers().get(header::HOST);
    host.is_none_or(|host| host.to_str().is_ok_and(is_local))
}

/// Whether this host is an address or a loopback name.
fn is_local(host: &str) -> bool {
    let host = without_port(host);
    let address = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').and_then(|v6| v6.parse::<Ipv6Addr>().ok()).is_some(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    };
    let name = plain(host);
    address || name == "localhost" || name.ends_with(".localhost")
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A name as it is compared: case means nothing, nor does the dot of the root.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn refusal(host: &str) -> ApiError {
    let name = without_port(host);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let shown = match !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(is_name) {
        true => name,
        // What is no name can be none of the list, so nobody has to see it again.
        false => "a text that is no name",
    };
    let message = format!(
        "this server is not known as {shown}; if the name is yours, add it to http.allowed_hosts \
         (FLOODMARK_HTTP__ALLOWED_HOSTS)"
    );
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::{access::SharedBook, domain::access::Book};

    fn hosts(listen: &str, allowed: &[&str], tokens: &[&str]) -> KnownHosts {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let mut config = Config { listen: listen.to_owned(), ..Config::default() };
        config.http.allowed_hosts = owned(allowed);
        config.auth.viewer_tokens = owned(tokens);
        let book = SharedBook::of(Book::default());
        KnownHosts::new(&config, ViewerGuard::new(&config, book))
    }

    #[test]
    fn addresses_loopback_names_and_listed_names_are_known() {
        let hosts = hosts("shop.lan:8080", &["Wall.example", "*.shop.example"], &["v"]);
        for known in [
            "127.0.0.1:8080",
            "192.0.2.1",
            "[::1]:8080",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:8080",
            "floodmark.localhost",
            "localhost.",
            "shop.lan:80",
            "wall.example",
            "WALL.example.:443",
            "a.shop.example",
            "a.b.shop.example",
        ] {
            assert!(hosts.knows(known), "{known}");
        }
        for unknown in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evillocalhost",
            "shop.example",
            ".shop.example",
            "evilshop.example",
            "wall.example.evil.example",
            "wall.example:x",
            "wall.example evil.example",
            "2130706433",
            "0x7f.1",
            "[::1",
            "::1]",
        ] {
            assert!(!hosts.knows(unknown), "{unknown}");
        }
    }

    #[test]
    fn without_a_list_a_token_does_for_every_name() {
        assert!(!hosts("127.0.0.1:1", &[], &[]).knows("evil.example"));
        assert!(hosts("127.0.0.1:1", &[], &["v"]).knows("shop.example"));
        assert!(hosts("127.0.0.1:1", &["*"], &[]).knows("shop.example"));
    }

    #[test]
    fn both_places_of_a_name_are_looked_at_and_a_refusal_says_what_to_set() {
        let hosts = hosts("127.0.0.1:1", &[], &[]);
        let check = |uri: &str, host: Option<&'static str>| {
            let mut request = TestRequest::with_uri(uri);
            if let Some(host) = host {
                request = request.insert_header((header::HOST, host));
            }
            hosts.check(&request.to_http_request())
        };
        assert!(check("/", None).is_ok());
        assert!(check("/", Some("127.0.0.1")).is_ok());
        assert!(check("http://evil.example/", Some("127.0.0.1")).is_err());
        let refused = check("/", Some("evil.example:8080")).unwrap_err();
        assert_eq!(refused.status.as_u16(), 421);
        for part in ["evil.example;", "http.allowed_hosts"] {
            assert!(refused.message.contains(part), "{refused}");
        }
        let odd = check("/", Some("<script>")).unwrap_err();
        assert!(!odd.message.contains("script"), "{odd}");
    }
}
