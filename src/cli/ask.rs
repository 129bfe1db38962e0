//! Asks a running server over HTTP, for the commands that look at one.

use std::{fs, path::Path, time::Duration};

use awc::{
    Client,
    http::{Method, StatusCode},
};
use serde_json::Value;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Longer answers are not read. The metrics of a node with many types are some MB.
const MAX_BYTES: usize = 64 << 20;

/// The status and the body of an answer. Needs a running actix system.
///
/// # Errors
/// The server can't be reached, or its answer takes too long; in words.
pub async fn get(url: &str, token: Option<&str>) -> Result<(StatusCode, Vec<u8>), String> {
    call(Method::GET, url, token, None).await
}

/// The status and the body of the answer to any request, which may have a body of JSON. Needs a running actix
/// system.
///
/// # Errors
/// As [`get`].
pub async fn call(
    method: Method,
    url: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<(StatusCode, Vec<u8>), String> {
    // A token must not follow a redirect to another server.
    let client = Client::builder().timeout(WITHIN).disable_redirects().finish();
    let mut request = client.request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let sent = match body {
        Some(body) => request.send_json(body),
        None => request.send(),
    };
    let mut answer = sent.await.map_err(|e| format!("{url}: {e}"))?;
    let body = answer.body().limit(MAX_BYTES).await.map_err(|e| format!("{url}: {e}"))?;
    Ok((answer.status(), body.to_vec()))
}

/// The secret that a file has, without the line's end.
///
/// # Errors
/// The file can't be read; in words.
pub fn secret_in(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(text.trim().to_owned())
}
