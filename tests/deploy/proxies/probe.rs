//! `floodmark check --url`, through real proxies: it is content with what docs/PROXIES.md has, and names what
//! another configuration does wrong.

use std::{path::Path, time::Duration};

use super::{
    front::{Brand, Front},
    node,
    tap::Tap,
};
use crate::support::program::floodmark_output;

/// What the command said, and whether it was content.
fn probe(url: &str, ca: Option<&Path>) -> (bool, String) {
    let mut arguments = vec!["check", "--url", url];
    let ca = ca.map(|path| path.to_str().expect("plain names").to_owned());
    if let Some(ca) = &ca {
        arguments.extend(["--url-ca", ca]);
    }
    let output = floodmark_output(&arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("words"))
}

fn through(front: &Front) -> (bool, String) {
    // The certificate is for this address as well.
    probe(&format!("https://{}", front.addr()), Some(&front.folder.join("shop.crt")))
}

#[test]
#[ignore = "needs haproxy: ./test --deploy"]
fn haproxy_as_documented_is_found_well() {
    is_found_well(Brand::HaProxy);
}

#[test]
#[ignore = "needs nginx: ./test --deploy"]
fn nginx_as_documented_is_found_well() {
    is_found_well(Brand::Nginx);
}

fn is_found_well(brand: Brand) {
    let node = node(&[]);
    let front = Front::start(brand, [node.addr(); 3]);
    let (well, said) = through(&front);
    assert!(well && said.contains("believes its proxy") && !said.contains("warn"), "{said}");
    assert!(said.contains("the upgrade passes") && said.contains("Viewers are served"), "{said}");
    // Without its authority, the certificate is nobody's.
    let (well, said) = probe(&format!("https://{}", front.addr()), None);
    assert!(!well && said.contains("FAIL"), "{said}");
}

#[test]
#[ignore = "needs nginx: ./test --deploy"]
fn a_proxy_that_passes_no_upgrade_is_named() {
    let node = node(&[("FLOODMARK_HTTP__TRUSTED_PROXIES", "192.0.2.1")]);
    let without = |text: String| text.replace("proxy_set_header Upgrade $http_upgrade;", "");
    let front = Front::edited(Brand::Nginx, [node.addr(); 3], without);
    let (well, said) = through(&front);
    assert!(!well && said.contains("pass Upgrade and Connection on"), "{said}");
    assert!(said.contains("takes this client for 127.0.0.1"), "{said}");
    assert!(said.contains("add it to http.trusted_proxies"), "{said}");
}

#[test]
#[ignore = "needs nginx: ./test --deploy"]
fn a_proxy_that_changes_the_host_is_named() {
    let node = node(&[]);
    let other = |text: String| text.replace("Host $http_host;", "Host localhost;");
    let front = Front::edited(Brand::Nginx, [node.addr(); 3], other);
    let (well, said) = through(&front);
    assert!(!well && said.contains("pass Host on"), "{said}");
}

#[test]
#[ignore = "ten seconds: ./test --deploy"]
fn what_holds_frames_back_is_named() {
    let node = node(&[]);
    let bunches = Tap::holding(node.addr(), Duration::from_millis(2500));
    let (well, said) = probe(&format!("http://{}", bunches.addr()), None);
    assert!(well && said.contains("warn") && said.contains("they come in bunches"), "{said}");
    // Nobody waits for as long as this.
    let all = Tap::holding(node.addr(), Duration::from_secs(60));
    let (well, said) = probe(&format!("http://{}", all.addr()), None);
    assert!(!well && said.contains("no frame came within 5 s"), "{said}");
}
