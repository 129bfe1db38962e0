//! `floodmark check --url`: looks at a server through its public address, as the page of a browser does.
//! It tells what a proxy in between does wrong: whether WebSockets pass, whether frames are held back, and
//! whether the server believes the proxy whose requests it passes on.

use std::{path::Path, time::Duration};

use awc::{
    Client, Connector,
    error::WsClientError,
    http::{StatusCode, Uri},
    ws::Frame,
};
use futures_util::StreamExt;
use rustls::RootCertStore;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::{Doubtful, Finding, Findings, Fine, Wrong};
use crate::{
    domain::time::{Millis, now_ms},
    trust::{self, Authorities},
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// For how long the stream is watched. A frame comes at least once a second.
const WATCHED: Duration = Duration::from_secs(5);
/// Frames that come later (ms) than the quickest by this much were held back.
const LATE_MS: Millis = 1_000;
/// The largest frame that is read: a snapshot with all that the configuration allows is less.
const MAX_FRAME_BYTES: usize = 16 << 20;

/// Whom the server takes this client for: `client` of `/readyz?client`.
#[derive(Deserialize)]
struct TakenFor {
    address: String,
    forwarded: String,
}

/// Looks at the server behind `url`. `ca` is a further authority to trust, `token` a viewer token.
pub(super) async fn look(url: &str, ca: Option<&Path>, token: Option<&str>, found: &mut Findings) {
    let client = match (origin(url), client(ca)) {
        (Ok(origin), Ok(client)) => (origin, client),
        (Err(e), _) | (_, Err(e)) => return found.say("public address", Wrong(e)),
    };
    let (origin, client) = client;
    found.say("public address", address(&client, &origin).await);
    found.say("public stream", stream(&client, &origin, token).await);
}

/// Scheme, name and port of an address: what a page that comes from there has for its origin.
fn origin(url: &str) -> Result<String, String> {
    let wrong = || format!("{url:?} is no address such as https://shop.example");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(place)) => Ok(format!("{scheme}://{place}")),
        _ => Err(wrong()),
    }
}

fn client(ca: Option<&Path>) -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = ca {
        Authorities::read("--url-ca", path)?.add_to(&mut roots)?;
    }
    // Without ALPN it is HTTP/1.1, in which a WebSocket is asked for.
    let connector = Connector::new().rustls_0_23(trust::client(roots)?).timeout(ANSWER_WITHIN);
    Ok(Client::builder().connector(connector).timeout(ANSWER_WITHIN).finish())
}

/// Whom the server takes this client for.
async fn address(client: &Client, origin: &str) -> Finding {
    let url = format!("{origin}/readyz?client");
    let mut answer = match client.get(&url).send().await {
        Ok(answer) => answer,
        Err(e) => return Wrong(format!("{url}: {e}")),
    };
    let status = answer.status();
    let said = answer.json::<serde_json::Value>().await.unwrap_or_default();
    let Ok(client) = TakenFor::deserialize(&said["client"]) else {
        return Wrong(format!(
            "{url}: {status}, but not from a Floodmark of this version; pass /readyz on to it"
        ));
    };
    judged(origin, &client)
}

fn judged(origin: &str, seen: &TakenFor) -> Finding {
    let TakenFor { address, forwarded } = seen;
    match forwarded.as_str() {
        "believed" => Fine(format!(
            "{origin}: answers; the server believes its proxy, and takes this client for {address}"
        )),
        "ignored" => Doubtful(format!(
            "{origin}: answers; the server takes this client for {address}, which says in \
             X-Forwarded-For whom it passes on, and is not believed\n\
             if that is your proxy, add it to http.trusted_proxies: limits by address then mean the client"
        )),
        _ => Fine(format!(
            "{origin}: answers; the server takes this client for {address}, with no X-Forwarded-For\n\
             if there is a proxy in between, have it set X-Forwarded-For and X-Forwarded-Proto"
        )),
    }
}

/// Whether a viewer gets its frames, and in time.
async fn stream(client: &Client, origin: &str, token: Option<&str>) -> Finding {
    let url = format!("{origin}/api/analytics/stream");
    let mut asked = client.ws(&url).origin(origin).max_frame_size(MAX_FRAME_BYTES);
    if let Some(token) = token {
        asked = asked.bearer_auth(token);
    }
    let mut connection = match asked.connect().await {
        Ok((_, connection)) => connection,
        Err(e) => return refused(&url, &e),
    };
    let end = Instant::now() + WATCHED;
    let mut frames = Arrivals::default();
    loop {
        match timeout_at(end, connection.next()).await {
            Err(_) => break,
            Ok(Some(Ok(Frame::Text(text)))) => frames.note(&text, now_ms()),
            Ok(Some(Ok(Frame::Close(reason)))) => {
                let why = reason.and_then(|reason| reason.description).unwrap_or_default();
                return Wrong(format!(
                    "{url}: the upgrade passes, and the stream was closed: {why}"
                ));
            }
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(e))) => return Wrong(format!("{url}: the upgrade passes, then: {e}")),
            Ok(None) => return Wrong(format!("{url}: the upgrade passes, then the stream ends")),
        }
    }
    frames.judged(&url)
}

/// What an answer in place of the upgrade means.
fn refused(url: &str, error: &WsClientError) -> Finding {
    let what_to_do = match error {
        WsClientError::InvalidResponseStatus(StatusCode::UNAUTHORIZED) => {
            return Doubtful(format!(
                "{url}: viewers need a token, and this configuration has none (auth.viewer_tokens), so \
                 the stream was not looked at"
            ));
        }
        WsClientError::InvalidResponseStatus(StatusCode::FORBIDDEN) => {
            "; have the proxy pass Host on as it came, for it is compared with the page's origin"
        }
        WsClientError::InvalidResponseStatus(StatusCode::MISDIRECTED_REQUEST) => {
            "; add the name to http.allowed_hosts"
        }
        WsClientError::SendRequest(_) => "",
        _ => {
            "; have the proxy speak HTTP/1.1 to the server, and pass Upgrade and Connection on: no viewer \
             gets through as it is"
        }
    };
    let said = match error {
        WsClientError::InvalidResponseStatus(status) => format!("{status} in place of the upgrade"),
        other => other.to_string(),
    };
    Wrong(format!("{url}: {said}{what_to_do}"))
}

/// How long frames were on their way, up to a constant that nobody knows: clocks differ.
#[derive(Default)]
struct Arrivals {
    delays: Vec<Millis>,
}

impl Arrivals {
    fn note(&mut self, text: &[u8], now: Millis) {
        #[derive(Deserialize)]
        struct Stamped {
            timestamp: Millis,
        }
        if let Ok(Stamped { timestamp }) = serde_json::from_slice(text) {
            self.delays.push(now - timestamp);
        }
    }

    fn judged(&self, url: &str) -> Finding {
        let watched = WATCHED.as_secs();
        let (Some(least), Some(most)) = (self.delays.iter().min(), self.delays.iter().max()) else {
            return Wrong(format!(
                "{url}: the upgrade passes, and no frame came within {watched} s, though one is sent each \
                 second: something in between holds them back; turn its buffering of answers off"
            ));
        };
        let (frames, late) = (self.delays.len(), most - least);
        let words = format!(
            "{url}: the upgrade passes; {frames} frames in {watched} s, the slowest {late} ms later than \
             the quickest"
        );
        match late < LATE_MS {
            true => Fine(words),
            false => Doubtful(format!(
                "{words}\nthey come in bunches: something in between holds them back; turn its buffering of \
                 answers off"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_origin() {
        assert_eq!(origin("https://shop.example/").unwrap(), "https://shop.example");
        assert_eq!(origin("http://127.0.0.1:8080/x?y").unwrap(), "http://127.0.0.1:8080");
        for wrong in ["shop.example", "ftp://shop.example", "", "https://"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn frames_in_bunches_were_held_back() {
        let judged = |delays: &[Millis]| {
            let mut arrivals = Arrivals::default();
            for delay in delays {
                arrivals.note(br#"{"timestamp":1000}"#, 1000 + delay);
            }
            arrivals.judged("u")
        };
        // The clocks may be apart by any time.
        assert!(matches!(judged(&[-90_000, -89_990, -89_995]), Fine(_)));
        assert!(matches!(judged(&[2_010, 1_010, 10]), Doubtful(_)));
        assert!(matches!(judged(&[]), Wrong(_)));
    }

    #[test]
    fn a_proxy_that_is_not_believed_is_named() {
        let seen = |forwarded: &str| TakenFor {
            address: "10.0.0.2".to_owned(),
            forwarded: forwarded.to_owned(),
        };
        let Doubtful(words) = judged("o", &seen("ignored")) else { panic!("it is a doubt") };
        assert!(words.contains("10.0.0.2") && words.contains("http.trusted_proxies"), "{words}");
        assert!(matches!(judged("o", &seen("believed")), Fine(_)));
        assert!(matches!(judged("o", &seen("none")), Fine(_)));
    }
}
